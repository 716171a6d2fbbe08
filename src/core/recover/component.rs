//! The three parts of a control plane that are recovered.

use std::fmt;

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::command::words;
use crate::core::manifest::needs::all_containers;

/// A part of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Component {
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
}

impl Component {
    /// Each, in the order in which they are written.
    pub const ALL: [Self; 3] = [Self::ApiServer, Self::ControllerManager, Self::Scheduler];

    /// The name of its program, by which its objects are known too.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }

    fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|this| this.name() == word)
    }

    /// What the container runs, by its command line, else by its image.
    #[must_use]
    pub fn of(container: &Container) -> Option<Self> {
        let mut words = words(container)
            .take_while(|word| !word.starts_with("--"))
            .map(basename);
        let mut hyperkube = false;
        for word in words.by_ref() {
            // Hyperkube, in which every component was once shipped, takes both names.
            // Source: Kubernetes 1.16 `cmd/hyperkube/main.go`.
            let short = hyperkube && !word.starts_with("kube-");
            let long = if short {
                format!("kube-{word}")
            } else {
                word.to_owned()
            };
            if let Some(found) = Self::named(&long) {
                return Some(found);
            }
            hyperkube |= word == "hyperkube";
        }
        let image = container.image.as_deref().unwrap_or_default();
        let image = image.split_once('@').map_or(image, |(name, _)| name);
        let name = basename(image);
        Self::named(name.split_once(':').map_or(name, |(name, _)| name))
    }

    /// The container of `spec` that runs it: by its program, else by its name, else the only one.
    #[must_use]
    pub fn container(self, spec: &PodSpec) -> Option<usize> {
        let list = &spec.containers;
        let by_program = list.iter().position(|c| Self::of(c) == Some(self));
        let by_name = || list.iter().position(|c| c.name == self.name());
        by_program
            .or_else(by_name)
            .or_else(|| (list.len() == 1).then_some(0))
    }

    /// Some container of `spec` runs it.
    #[must_use]
    pub fn runs_in(self, spec: &PodSpec) -> bool {
        all_containers(spec).any(|container| Self::of(container) == Some(self))
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn basename(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}
