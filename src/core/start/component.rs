//! One temporary pod and its self-hosted counterpart, which want the same ports.
//!
//! As between a checkpoint and its parent ([`crate::core::handover`]): the temporary pod is killed
//! the moment the counterpart's container is created, the counterpart is frozen until the ports
//! are free, and if it does not serve in time the temporary pod comes back, with back-off.

use std::time::Duration;

use super::beside::{self, has_time, waits_beside};
use super::evidence::Evidence;
use super::journal::{Component, Journal, State};
use super::observed::{Observed, Standing};
use super::required::Required;
use super::turn::{Action, Turn};
use crate::core::id::CheckpointId;
use crate::core::manifest::names::mirror_name;
use crate::core::observed::{EngineState, Sandbox, TaskState};
use crate::core::stored::Engine;
use crate::core::time::Moment;

/// An API server's time to serve after the temporary one was released.
pub const API_DEADLINE: Duration = Duration::from_secs(30);
/// Any other's: a controller may have to wait for the lease of its predecessor.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// A counterpart is held back no longer than this because another one is handed over first: as
/// long as one of a checkpoint is.
const HOLD: Duration = Duration::from_secs(10);
/// The kubelet's time to stop a static pod whose manifest is gone.
const KUBELET_STOPS: Duration = Duration::from_secs(15);

/// The name of a temporary pod for our own engine.
#[must_use]
pub fn key(component: &Component) -> Option<CheckpointId> {
    CheckpointId::new("pod", &component.namespace, &component.name).ok()
}

/// The name under which the kubelet runs it.
#[must_use]
pub fn static_name(component: &Component, node: &str) -> String {
    mirror_name(&component.name, node)
}

/// The static pod's sandboxes that have tasks; `None`: containerd does not say.
#[must_use]
pub fn temporary<'o>(
    component: &Component,
    observed: &'o Observed,
    node: &str,
) -> Option<Vec<&'o Sandbox>> {
    let name = static_name(component, node);
    let runtime = observed.runtime.known()?;
    let ours = runtime.sandboxes.iter().filter(|sandbox| {
        sandbox.pod.namespace == component.namespace
            && sandbox.pod.name == name
            && sandbox.has_task()
    });
    Some(ours.collect())
}

/// The self-hosted pods of `required` on this node: no temporary one, no checkpoint, no static
/// pod of somebody else. `None`: containerd does not say.
#[must_use]
pub fn parents<'o>(
    required: &Required,
    observed: &'o Observed,
    journal: &Journal,
    node: &str,
) -> Option<Vec<&'o Sandbox>> {
    let temporary: Vec<String> = journal
        .components
        .iter()
        .map(|component| static_name(component, node))
        .collect();
    let cluster = observed.cluster.known();
    let mirror = |sandbox: &Sandbox| {
        let mut pods = cluster.iter().flat_map(|cluster| &cluster.pods);
        pods.any(|bound| {
            bound.mirror
                && bound.pod.namespace == sandbox.pod.namespace
                && bound.pod.name == sandbox.pod.name
        })
    };
    let runtime = observed.runtime.known()?;
    let parents = runtime.sandboxes.iter().filter(|sandbox| {
        required.names(&sandbox.pod.namespace, &sandbox.pod.name)
            && !temporary.contains(&sandbox.pod.name)
            && sandbox.checkpoint.is_none()
            && !mirror(sandbox)
    });
    Some(parents.collect())
}

/// Whether nothing of the temporary pod is left; `None`: not known.
#[must_use]
pub fn gone(component: &Component, observed: &Observed, node: &str) -> Option<bool> {
    let placed = observed.placed.known()?;
    let engine = observed.engine.known()?;
    let sandboxes = temporary(component, observed, node)?;
    let file = placed.files.get(&component.file).copied();
    let engine_pod = key(component).is_some_and(|key| engine.pods.contains_key(&key));
    let ours = matches!(file, Some(Standing::Ours(_)));
    Some(!ours && sandboxes.is_empty() && !engine_pod)
}

/// Whether a container of the temporary pod has a process, and with it a port; `None`: not known.
/// Its sandbox has none: the counterpart need not wait until that has ended too.
fn has_ports(component: &Component, observed: &Observed, node: &str) -> Option<bool> {
    let engine = observed.engine.known()?;
    let sandboxes = temporary(component, observed, node)?;
    let engine_pod = key(component).is_some_and(|key| engine.pods.contains_key(&key));
    Some(engine_pod || sandboxes.iter().any(|sandbox| sandbox.has_process()))
}

/// Has the temporary pod run, by `engine`.
pub(crate) fn run(index: usize, component: &Component, engine: Engine, turn: &mut Turn<'_>) {
    let observed = turn.observed;
    let (Some(placed), Some(pods)) = (observed.placed.known(), observed.engine.known()) else {
        return;
    };
    let standing = placed.files.get(&component.file).copied();
    let engine_pod = key(component).and_then(|key| pods.pods.get(&key));
    match (engine, standing.unwrap_or_default()) {
        // Never two copies: the other engine's goes first.
        (Engine::Kubelet, _) if engine_pod.is_some() => {
            turn.actions.push(Action::StopEnginePod {
                index,
                at_once: true,
            });
        }
        (Engine::Kubelet, Standing::Absent) => {
            turn.actions.push(Action::PlaceManifest { index });
        }
        (Engine::Kubelet, Standing::Ours(activation)) if activation != component.activation => {
            turn.actions.push(Action::RemoveManifest { index });
        }
        (Engine::Kubelet, Standing::Ours(_)) => {}
        (_, Standing::Foreign) => turn.waits.push(format!(
            "{}: a file of somebody else stands in its place",
            component.file
        )),
        (Engine::Containerd, Standing::Ours(_)) => stop(index, component, true, turn),
        (Engine::Containerd, Standing::Absent) => {
            match temporary(component, observed, turn.orders.node.as_str()) {
                Some(left) if left.is_empty() && engine_pod.is_none() => {
                    turn.actions.push(Action::StartEnginePod { index });
                }
                Some(left) if !left.is_empty() => stop(index, component, true, turn),
                _ => {}
            }
        }
    }
}

/// Has everything of the temporary pod go. `kill`: through containerd at once, because somebody
/// needs the ports, or because the kubelet does not.
pub(crate) fn stop(index: usize, component: &Component, kill: bool, turn: &mut Turn<'_>) {
    let observed = turn.observed;
    if let Some(placed) = observed.placed.known()
        && let Some(Standing::Ours(_)) = placed.files.get(&component.file)
    {
        turn.actions.push(Action::RemoveManifest { index });
    }
    if kill {
        let left = temporary(component, observed, &turn.orders.node).unwrap_or_default();
        turn.actions.extend(left.iter().map(|sandbox| Action::Kill {
            sandbox: sandbox.id.clone(),
        }));
    }
    let engine = observed.engine.known();
    let pod = key(component).and_then(|key| engine?.pods.get(&key));
    if pod.is_some_and(|pod| kill || pod.state != EngineState::Stopping) {
        turn.actions.push(Action::StopEnginePod {
            index,
            at_once: kill,
        });
    }
}

/// Whether the kubelet has had its time to stop what it runs.
pub(crate) fn kubelet_had_its_time(journal: &Journal, turn: &Turn<'_>) -> bool {
    turn.now.since(journal.since) >= KUBELET_STOPS || turn.observed.kubelet.known().is_none()
}

/// The temporary pod runs: is it time to let go of it? `first`: what is handed over before it.
pub(crate) fn temporary_step(
    index: usize,
    component: &mut Component,
    evidence: &Evidence,
    first: Option<&str>,
    parents: Option<&[&Sandbox]>,
    turn: &mut Turn<'_>,
) {
    let Some(parents) = parents else {
        return turn.wait(component, &evidence.text);
    };
    let starts = parents.iter().any(|sandbox| sandbox.has_process());
    let waits = waits_beside(index, component, parents, turn);
    if !starts && !evidence.elsewhere {
        return turn.wait(component, &evidence.text);
    }
    if starts && waits {
        return turn.wait(
            component,
            "its self-hosted pod starts beside it, on the same port",
        );
    }
    if let Some(not_before) = component.not_before
        && turn.now < not_before
    {
        let left = not_before.since(turn.now).as_secs();
        let times = component.failures;
        turn.wake(not_before);
        return turn.wait(
            component,
            &format!(
                "its self-hosted pod failed to take over {times} times, next try in {left} s: {}",
                evidence.text
            ),
        );
    }
    if let Some(first) = first {
        return turn.wait(component, &format!("{first} is handed over first"));
    }
    component.state = State::HandingOver {
        since: turn.now,
        gone: None,
        local: starts,
    };
}

/// The temporary pod was released: what became of its counterpart?
pub(crate) fn handing_over(
    index: usize,
    component: &mut Component,
    evidence: &Evidence,
    parents: Option<&[&Sandbox]>,
    turn: &mut Turn<'_>,
) {
    let State::HandingOver {
        since,
        gone: before,
        local,
    } = component.state
    else {
        return;
    };
    let now_gone = gone(component, turn.observed, &turn.orders.node);
    let gone = match now_gone {
        Some(true) => before.or(Some(turn.now)),
        Some(false) => None,
        None => before,
    };
    component.state = State::HandingOver { since, gone, local };
    if gone.is_some() && now_gone == Some(true) && evidence.met {
        component.failures = 0;
        component.not_before = None;
        component.beside_since = None;
        component.state = State::HandedOver { lost: None };
        return;
    }
    let limit = if component.api {
        API_DEADLINE
    } else {
        DEADLINE
    };
    let late = turn.now.since(since) >= limit;
    let starts = parents.is_some_and(|parents| parents.iter().any(|sandbox| sandbox.has_process()));
    let ended = local && parents.is_some() && !starts;
    if late || (ended && gone.is_some()) {
        component.back(turn.now);
        let why = if late {
            "did not serve in time"
        } else {
            "ended before it served"
        };
        turn.wake(turn.now);
        return turn.wait(
            component,
            &format!(
                "its self-hosted pod {why}; the temporary one comes back: {}",
                evidence.text
            ),
        );
    }
    turn.wake(since.after(limit));
    stop(index, component, !has_time(component, since, turn), turn);
    let text = if gone.is_some() {
        format!("released; {}", evidence.text)
    } else {
        "the temporary pod is being stopped".to_owned()
    };
    turn.wait(component, &text);
}

/// It has been handed over: does its counterpart go on serving?
pub(crate) fn handed_over(
    index: usize,
    component: &mut Component,
    evidence: &Evidence,
    turn: &mut Turn<'_>,
) {
    let State::HandedOver { lost } = component.state else {
        return;
    };
    beside::end(index, component, turn);
    // The kubelet was just starting it again when its manifest went.
    if gone(component, turn.observed, &turn.orders.node) == Some(false) {
        stop(index, component, true, turn);
        turn.wait(component, "the temporary pod is being stopped");
    }
    // Of an API server its own answer counts: nothing else can be known while there is none.
    let serves = if component.api {
        turn.observed.api.serves_since(Moment(0))
    } else {
        evidence.met
    };
    if serves {
        component.state = State::HandedOver { lost: None };
        return;
    }
    let since = lost.unwrap_or(turn.now);
    component.state = State::HandedOver { lost: Some(since) };
    let limit = if component.api {
        API_DEADLINE
    } else {
        DEADLINE
    };
    turn.wake(since.after(limit));
    // Unknown is not down: only a runtime that answers may bring a second copy about.
    if turn.now.since(since) >= limit && turn.observed.runtime.known().is_some() {
        component.back(turn.now);
    }
    turn.wait(component, &evidence.text);
}

/// Freezes a counterpart that would find its port taken, and thaws it in every other case: what a
/// killed run left frozen is thawed by the next one.
///
/// One that starts while another is handed over first (`queues`) is frozen too, for a short while:
/// it would find no API server, end, and wait out the kubelet's back-off, and it would take the
/// processor time that the API server needs for its start.
pub(crate) fn guard(
    component: &mut Component,
    parents: &[&Sandbox],
    queues: bool,
    turn: &mut Turn<'_>,
) {
    let released = matches!(component.state, State::HandingOver { .. })
        && component.beside_since.is_none()
        && has_ports(component, turn.observed, &turn.orders.node) == Some(true);
    let starts = parents.iter().any(|sandbox| sandbox.has_process());
    let held = queues && starts && {
        let since = *component.held_since.get_or_insert(turn.now);
        let until = since.after(HOLD);
        if turn.now < until {
            turn.wake(until);
        }
        turn.now < until
    };
    if !queues {
        component.held_since = None;
    }
    for container in parents.iter().flat_map(|sandbox| &sandbox.containers) {
        let container_id = container.id.clone();
        match container.task {
            TaskState::Running if released => turn.actions.push(Action::Pause {
                container: container_id,
            }),
            TaskState::Running if held => turn.actions.push(Action::Hold {
                container: container_id,
            }),
            TaskState::Paused if !released && !held => turn.actions.push(Action::Resume {
                container: container_id,
            }),
            _ => {}
        }
    }
}

/// What thaws every counterpart that is frozen now, whatever is under way.
#[must_use]
pub fn thawing(observed: &Observed, journal: &Journal, node: &str) -> Vec<Action> {
    let counterparts = journal
        .components
        .iter()
        .filter_map(|it| it.counterpart.as_ref());
    let sandboxes = counterparts
        .flat_map(|required| parents(required, observed, journal, node).unwrap_or_default());
    let containers = sandboxes.flat_map(|sandbox| &sandbox.containers);
    let frozen = containers.filter(|container| container.task == TaskState::Paused);
    frozen
        .map(|container| Action::Resume {
            container: container.id.clone(),
        })
        .collect()
}
