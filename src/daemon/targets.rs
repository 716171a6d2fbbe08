//! Which pods the prober asks, with the specs whose probes it asks by.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::render::Renderings;
use crate::core::id::{CheckpointId, PodRef, RevisionId};
use crate::core::manifest::facts::serving_port;
use crate::core::manifest::finish::label_value;
use crate::core::observed::{RuntimeView, Sandbox, TaskState};
use crate::core::stored::{Checkpoint, Phase, Stored};
use crate::probe::{Door, Target};
use crate::steering::Steering;

/// The static pods of the good revisions, read once each: their probes stand for the parents'
/// too, while no source shows a parent's own spec.
pub(super) type GoodPods = BTreeMap<CheckpointId, (RevisionId, Arc<Pod>)>;

/// The prober's targets for the pods that the decision wants probed.
pub(super) fn targets(
    wanted: &BTreeMap<PodRef, bool>,
    runtime: &RuntimeView,
    renderings: &Renderings,
    stored: &Stored,
    good: &GoodPods,
    node_address: &str,
    steering: &Steering,
) -> Vec<Target> {
    wanted
        .iter()
        .filter_map(|(pod, eager)| {
            let sandbox = runtime
                .sandboxes
                .iter()
                .find(|s| s.pod == *pod && s.running)?;
            let spec = renderings
                .parent(pod)
                .or_else(|| spec_of(sandbox, stored, good))?;
            let running = sandbox
                .containers
                .iter()
                .filter(|container| container.task == TaskState::Running)
                .map(|container| (container.name.clone(), container.id.clone()))
                .collect();
            let parent_of = parent_of(sandbox, stored);
            Some(Target {
                pod: pod.clone(),
                spec: Arc::clone(spec),
                host: address(spec, node_address)?,
                ours: false,
                // While new connections are steered.
                shared: parent_of.and_then(|(id, _)| steering.shared(id)),
                running,
                eager: *eager,
                door: parent_of.and_then(|(_, checkpoint)| door(spec, checkpoint)),
            })
        })
        .collect()
}

/// The checkpoint of which this is a parent.
fn parent_of<'a>(
    sandbox: &Sandbox,
    stored: &'a Stored,
) -> Option<(&'a CheckpointId, &'a Checkpoint)> {
    if sandbox.checkpoint.is_some() {
        return None;
    }
    let mut checkpoints = stored.checkpoints.iter();
    checkpoints.find(|(_, checkpoint)| checkpoint.parents.contains(&sandbox.pod))
}

/// The API server's own door, while its checkpoint is stopped and was verified to be.
fn door(spec: &Pod, checkpoint: &Checkpoint) -> Option<Door> {
    if checkpoint.phase != Phase::Inactive {
        return None;
    }
    let (container, port) = serving_port(spec)?;
    Some(Door { container, port })
}

fn spec_of<'a>(sandbox: &Sandbox, stored: &Stored, good: &'a GoodPods) -> Option<&'a Arc<Pod>> {
    let (id, _) = stored.checkpoints.iter().find(|(id, checkpoint)| {
        sandbox.checkpoint.as_deref() == Some(label_value(id).as_str())
            || checkpoint.parents.contains(&sandbox.pod)
    })?;
    good.get(id).map(|(_, pod)| pod)
}

/// Where the pod's probes go: the node for host-network pods, else the pod's own address.
fn address(spec: &Pod, node_address: &str) -> Option<String> {
    if spec.spec.as_ref()?.host_network == Some(true) {
        return Some(node_address.to_owned());
    }
    spec.status.as_ref()?.pod_ip.clone()
}
