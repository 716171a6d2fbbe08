//! Which of the found controllers are the control plane.
//!
//! By the label that installers put on them, else by their name, else by the program that their
//! pods run: the predecessor knew labels only (`predecessor.md` R6).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::component::Component;
use super::found::Found;

/// Labels with the component's name, in the order in which they are believed.
const LABELS: [&str; 3] = ["k8s-app", "component", "app.kubernetes.io/name"];

/// The controller of a component.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen<'a> {
    pub(super) component: Component,
    pub(super) kind: &'static str,
    pub(super) name: &'a str,
    pub(super) template: &'a PodTemplateSpec,
}

impl Chosen<'_> {
    /// Kind, namespace and name.
    pub(super) fn place(&self, namespace: &str) -> String {
        format!("{} {namespace}/{}", self.kind, self.name)
    }
}

/// What the selection comes to.
#[derive(Debug, Default)]
pub(super) struct Selection<'a> {
    pub(super) chosen: Vec<Chosen<'a>>,
    pub(super) mistakes: Vec<String>,
    pub(super) warnings: Vec<String>,
}

struct Candidate<'a> {
    kind: &'static str,
    meta: &'a ObjectMeta,
    template: &'a PodTemplateSpec,
}

/// Ways to know a component, the surest first.
const WAYS: [fn(Component, &Candidate<'_>) -> bool; 4] = [
    |component, candidate| labelled(component, candidate.meta.labels.as_ref()),
    |component, candidate| {
        let meta = candidate.template.metadata.as_ref();
        labelled(component, meta.and_then(|meta| meta.labels.as_ref()))
    },
    |component, candidate| candidate.meta.name.as_deref() == Some(component.name()),
    |component, candidate| {
        let spec = candidate.template.spec.as_ref();
        spec.is_some_and(|spec| component.runs_in(spec))
    },
];

fn labelled(component: Component, labels: Option<&BTreeMap<String, String>>) -> bool {
    let value = labels.and_then(|labels| {
        let mut values = LABELS.iter().filter_map(|label| labels.get(*label));
        values.find(|value| !value.is_empty())
    });
    value.is_some_and(|value| value == component.name())
}

/// Chooses one controller for each component.
pub(super) fn select<'a>(found: &'a Found, looked_in: &str) -> Selection<'a> {
    let all = candidates(found);
    let mut selection = Selection::default();
    let mut missing = Vec::new();
    for component in Component::ALL {
        let matching = WAYS.iter().map(|way| {
            let fit = all.iter().filter(|candidate| way(component, candidate));
            fit.collect::<Vec<_>>()
        });
        match matching.into_iter().find(|fit| !fit.is_empty()) {
            Some(fit) => choose(component, &fit, &found.namespace, &mut selection),
            None => missing.push(component),
        }
    }
    tell_missing(found, &missing, looked_in, &mut selection);
    selection
}

fn candidates(found: &Found) -> Vec<Candidate<'_>> {
    let sets = found.daemon_sets.iter().map(|set| Candidate {
        kind: "DaemonSet",
        meta: &set.metadata,
        template: &set.spec.template,
    });
    let deployments = found.deployments.iter().map(|deployment| Candidate {
        kind: "Deployment",
        meta: &deployment.metadata,
        template: &deployment.spec.template,
    });
    sets.chain(deployments).collect()
}

/// A `DaemonSet` before a Deployment, as the predecessor read them; two of one kind are one too
/// many to guess.
fn choose<'a>(
    component: Component,
    fit: &[&Candidate<'a>],
    namespace: &str,
    selection: &mut Selection<'a>,
) {
    let Some(first) = fit.first() else { return };
    let (same, other): (Vec<_>, Vec<_>) = fit
        .iter()
        .copied()
        .partition(|c: &&Candidate<'_>| c.kind == first.kind);
    if same.len() > 1 {
        let names: Vec<String> = same.iter().map(|c| place(c, namespace)).collect();
        selection.mistakes.push(format!(
            "{component}: {} all claim to be it; which one ran cannot be told",
            names.join(" and ")
        ));
        return;
    }
    for other in other {
        selection.warnings.push(format!(
            "{component}: {} is taken, not {}",
            place(first, namespace),
            place(other, namespace)
        ));
    }
    selection.chosen.push(Chosen {
        component,
        kind: first.kind,
        name: first.meta.name.as_deref().unwrap_or_default(),
        template: first.template,
    });
}

fn place(candidate: &Candidate<'_>, namespace: &str) -> String {
    let name = candidate.meta.name.as_deref().unwrap_or_default();
    format!("{} {namespace}/{name}", candidate.kind)
}

fn tell_missing(
    found: &Found,
    missing: &[Component],
    looked_in: &str,
    selection: &mut Selection<'_>,
) {
    if missing.is_empty() {
        return;
    }
    let names: Vec<&str> = missing.iter().map(|component| component.name()).collect();
    let names = names.join(", ");
    // What is there and unreadable may be just what is missing.
    let controllers = found.unreadable.iter();
    for (place, why) in controllers.filter(|(place, _)| !is_etcd_cluster(place)) {
        selection.mistakes.push(format!(
            "{place} cannot be read: {why}; no other object is {names}"
        ));
    }
    let sought = format!(
        "no DaemonSet or Deployment of namespace {} in {looked_in} has the label {}, the name or \
         the program of {names} ({} and {} were looked at)",
        found.namespace,
        LABELS.join(", "),
        counted(found.daemon_sets.len(), "DaemonSet"),
        counted(found.deployments.len(), "Deployment"),
    );
    if missing.len() == Component::ALL.len() {
        selection
            .mistakes
            .push(format!("nothing to recover: {sought}"));
    } else {
        selection.warnings.push(format!("not recovered: {sought}"));
    }
}

/// Of what cannot be read, only the `EtcdCluster` is no controller.
pub(super) fn is_etcd_cluster(place: &str) -> bool {
    place.to_ascii_lowercase().contains("etcdcluster")
}

fn counted(count: usize, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {what}{ending}")
}
