//! The parts of a control plane that can be lost.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A part of the control plane of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// etcd's member on this node.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
}

impl Part {
    /// Each, in the order in which they are needed.
    pub const ALL: [Self; 4] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
    ];

    /// Those that elect a leader.
    pub const LEADERS: [Self; 2] = [Self::ControllerManager, Self::Scheduler];

    /// The part that a container, or a checkpoint's parent, of this name is.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let bare = name.strip_prefix("kube-etcd").map_or(name, |_| "etcd");
        Self::ALL.into_iter().find(|part| part.name() == bare)
    }

    /// The name of its program.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
