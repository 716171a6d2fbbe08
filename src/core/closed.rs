//! Parents that have closed their port: an API server that is told to end stops listening at once,
//! and then lives on, with the watches of its clients, for up to its grace period. A process that
//! has stopped listening does not begin again, so its checkpoint need not wait for its end.
//!
//! Source: kube-apiserver `staging/src/k8s.io/apiserver/pkg/server/secure_serving.go`, `RunServer`:
//! the listener is closed when the server is told to stop; what is under way is waited for.

use super::id::CheckpointId;
use super::observed::{Observed, Probe, RuntimeView, Sandbox};
use super::policy::Policy;
use super::reading::Reading;
use super::stored::{Checkpoint, Phase};
use super::view;

/// Remembers such containers until they have ended: once a copy listens on the same port, nobody
/// could tell any more.
///
/// Only of API servers, which do no harm side by side, and only while none answers: where another
/// one does, there is time to wait.
pub(crate) fn follow(
    id: &CheckpointId,
    checkpoint: &mut Checkpoint,
    observed: &Observed,
    policy: &Policy,
) {
    let Reading::Known(runtime) = &observed.runtime else {
        return;
    };
    let closed = &mut checkpoint.closed;
    closed.retain(|container| has_process(runtime, container));
    if !policy.handover_first.contains(id)
        || checkpoint.phase != Phase::Inactive
        || !view::api_is_silent(observed)
    {
        return;
    }
    for parent in &checkpoint.parents {
        if let Some(Probe::Closed(container)) = observed.probes.get(parent)
            && has_process(runtime, container)
            && !closed.contains(container)
        {
            closed.push(container.clone());
        }
    }
}

/// A container of it runs on that has closed its port.
pub(crate) fn has_closed(checkpoint: &Checkpoint, sandbox: &Sandbox) -> bool {
    let mut containers = sandbox.containers.iter();
    containers
        .any(|container| container.task.has_process() && checkpoint.closed.contains(&container.id))
}

fn has_process(runtime: &RuntimeView, id: &str) -> bool {
    let mut containers = runtime.sandboxes.iter().flat_map(|it| &it.containers);
    containers.any(|container| container.id == id && container.task.has_process())
}
