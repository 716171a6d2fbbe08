//! Hand-over between a checkpoint and its parent, which on the host network want the same port.
//!
//! The copy is released the moment the parent's container is created, so that the parent's first
//! bind succeeds; if the parent ends or does not serve in time, the copy comes back, with back-off.

use std::collections::BTreeMap;
use std::time::Duration;

use super::action::Action;
use super::copies::Stop;
use super::id::{CheckpointId, RevisionId};
use super::observed::{Observed, TaskState};
use super::phase::Step;
use super::policy::Policy;
use super::sharing;
use super::stored::{Checkpoint, Engine, HandoverBackoff, Phase};
use super::time::Moment;
use super::view::Running;

/// A parent is frozen no longer than this because another hand-over comes first.
const HOLD: Duration = Duration::from_secs(10);
/// A parent that could not be frozen for this time loses its copy all the same; `start` hands over
/// by the same rule.
pub const FREEZE: Duration = Duration::from_secs(2);
/// An API server's parent that has not come after this time is not waited for by the others.
const FIRST: Duration = Duration::from_secs(60);
/// An API server's checkpoint that does not serve after this time is not waited for by the others.
/// It serves about 8 s after the kubelet's start on two cores.
const HEAD_START: Duration = Duration::from_secs(30);
/// A kubelet that has not answered after this time is not expected to start anything.
const KUBELET_START: Duration = Duration::from_secs(10);

/// Where a parent runs again, our copy goes: at once, or where it can be `beside` the parent on one
/// port, once the parent serves.
pub(crate) fn yield_to_parent(
    checkpoint: &mut Checkpoint,
    step: &mut Step<'_>,
    parent: Running,
    engine: Engine,
    revision: &RevisionId,
    beside: bool,
) -> Option<String> {
    if parent == Running::Serving {
        sharing::switch(step);
        checkpoint.handover = HandoverBackoff::default();
        checkpoint.phase = Phase::Deactivating {
            since: step.now,
            remove: false,
        };
        let _gone = step.copies.stop(
            step.id,
            step.actions,
            Stop {
                at_once: false,
                kill: false,
            },
        );
        return Some("the parent serves: the copy is stopped".to_owned());
    }
    if parent < Running::Starting || beside || !step.copies.fights_for_ports(revision) {
        return None;
    }
    let spread = step.policy.handover_spread;
    if checkpoint.handover.not_before.is_none()
        && !spread.is_zero()
        && step.policy.handover_first.contains(step.id)
    {
        // Ends by itself, whatever becomes of the other masters: nobody is asked.
        checkpoint.handover.not_before = Some(step.now.after(spread));
    }
    if let Some(not_before) = checkpoint.handover.not_before
        && !step.passed(not_before, Duration::ZERO)
    {
        let left = not_before.since(step.now).as_secs();
        return Some(match checkpoint.handover.failures {
            0 => format!(
                "the parent starts, but masters hand over one after another: this one in {left} s"
            ),
            failures => format!(
                "the parent starts, but it failed to take over {failures} times: next try in {left} s"
            ),
        });
    }
    if let Some(other) = step.wait_for {
        return Some(format!(
            "the parent starts, but {other} is handed over first"
        ));
    }
    checkpoint.phase = Phase::HandingOver {
        engine,
        revision: revision.clone(),
        since: step.now,
    };
    let _gone = step.copies.stop(
        step.id,
        step.actions,
        Stop {
            at_once: true,
            kill: true,
        },
    );
    Some("released: the parent starts and needs the ports".to_owned())
}

pub(crate) fn handing_over(
    checkpoint: &mut Checkpoint,
    step: &mut Step<'_>,
    parent: Running,
    engine: Engine,
    revision: &RevisionId,
    since: Moment,
) -> String {
    if parent < Running::Starting && step.keeps_copy(engine, revision) {
        checkpoint.phase = Phase::Active {
            engine,
            revision: revision.clone(),
            since: step.now,
            gone_since: None,
        };
        return "the parent ended before it was frozen: the copy was not released".to_owned();
    }
    sharing::end(step);
    let gone = step.copies.stop(
        step.id,
        step.actions,
        Stop {
            at_once: true,
            kill: true,
        },
    );
    if parent == Running::Serving {
        if gone {
            checkpoint.handover = HandoverBackoff::default();
            checkpoint.phase = Phase::Inactive;
            return "handed over: the parent serves".to_owned();
        }
        return format!(
            "the parent serves; waits for {}",
            step.copies.what_is_left()
        );
    }
    let late = step.passed(since, step.policy.handover_deadline);
    if parent >= Running::Starting && !late {
        return "released; waits for the parent to serve".to_owned();
    }
    let failures = checkpoint.handover.failures.saturating_add(1);
    let doubled = 1u32
        .checked_shl(failures.saturating_sub(1).min(16))
        .unwrap_or(u32::MAX);
    let wait = step.policy.handover_backoff.saturating_mul(doubled);
    let wait = wait.min(step.policy.handover_backoff_limit);
    checkpoint.handover.failures = failures;
    checkpoint.handover.not_before = Some(step.now.after(wait));
    checkpoint.activations += 1;
    let why = if late {
        "did not serve in time"
    } else {
        "ended before it served"
    };
    let reason = format!(
        "the parent {why}: the checkpoint is back, next try in {} s",
        wait.as_secs()
    );
    checkpoint.phase = Phase::Activating {
        engine,
        revision: revision.clone(),
        since: step.now,
        reason: reason.clone(),
    };
    *step.wake_at = Some(step.now);
    reason
}

/// The API server is handed over first (a controller that starts without one ends at once), and
/// alone, so that nothing takes its processor time. Others go together. An API server whose parent
/// does not come, or failed before, holds up nobody for long; one that serves beside its parent,
/// nobody at all.
pub(crate) fn queue<'a>(
    id: &CheckpointId,
    checkpoints: &'a BTreeMap<CheckpointId, Checkpoint>,
    observed: &Observed,
    policy: &Policy,
    now: Moment,
) -> Option<&'a CheckpointId> {
    let first = |other: &CheckpointId| policy.handover_first.contains(other);
    let comes_before = |other: &CheckpointId, checkpoint: &Checkpoint| match &checkpoint.phase {
        Phase::HandingOver { .. } => first(other) || first(id),
        Phase::Activating { since, .. } | Phase::Active { since, .. } => {
            first(other)
                && !first(id)
                && expected(other, observed)
                && !sharing::serves_beside(other, observed)
                && checkpoint.handover.failures == 0
                && now.since(*since) < FIRST
        }
        Phase::Inactive | Phase::Deactivating { .. } => false,
    };
    checkpoints
        .iter()
        .find(|(other, checkpoint)| *other != id && comes_before(other, checkpoint))
        .map(|(other, _)| other)
}

/// The API server's checkpoint that this one lets go first, when it is about to be activated: the
/// others can do nothing without an API server, and would only take its processor time.
///
/// Waited for: an API server that the kubelet is starting, and then one whose parent the kubelet is
/// expected to bring back (with the others' parents, so that they need no activation at all). Each
/// for a bounded time.
pub(crate) fn goes_first<'a>(
    id: &CheckpointId,
    checkpoints: &'a BTreeMap<CheckpointId, Checkpoint>,
    observed: &Observed,
    policy: &Policy,
    now: Moment,
) -> Option<(&'a CheckpointId, Moment)> {
    if policy.handover_first.contains(id) {
        return None;
    }
    let kubelet_answers = observed.kubelet.known().is_some();
    let head_start = if kubelet_answers {
        HEAD_START
    } else {
        KUBELET_START
    };
    let until = |checkpoint: &Checkpoint| match &checkpoint.phase {
        Phase::Activating {
            engine: Engine::Kubelet,
            since,
            ..
        } => Some(since.after(head_start)),
        Phase::Active { since, .. } | Phase::HandingOver { since, .. } if kubelet_answers => {
            Some(since.after(FIRST))
        }
        _ => None,
    };
    checkpoints
        .iter()
        .filter(|(other, checkpoint)| {
            policy.handover_first.contains(*other)
                && checkpoint.handover.failures == 0
                && (matches!(checkpoint.phase, Phase::Activating { .. })
                    || observed.apiserver.known().is_none()
                    || expected(other, observed))
        })
        .filter_map(|(other, checkpoint)| Some((other, until(checkpoint)?)))
        .find(|(_, until)| now < *until)
}

/// The API server lists a parent on this node that is not on its way out.
fn expected(id: &CheckpointId, observed: &Observed) -> bool {
    observed.apiserver.known().is_some_and(|api| {
        let mut parents = api.pods.iter();
        parents.any(|seen| seen.parent_of.as_ref() == Some(id) && !seen.deleting)
    })
}

/// Freezes a parent that would find its port taken, and thaws it in every other case: a kill of the
/// daemon in between leaves nothing frozen for longer than its restart.
///
/// It is frozen while a released copy still holds the ports, and for a short while when another
/// hand-over comes first: it would only end, and wait out the kubelet's back-off. One that has
/// served and not ended since is left alone. While it cannot be frozen its copy is not released
/// (`daemon/turn.rs`): most likely it has ended, and the next one can be frozen.
pub(crate) fn guard(checkpoint: &mut Checkpoint, step: &mut Step<'_>) {
    let (released, gives_up) = match checkpoint.phase {
        Phase::HandingOver { since, .. } => (true, step.passed(since, FREEZE)),
        _ => (false, false),
    };
    // A `start` thaws what it has frozen, and only what no copy of ours is beside can be its.
    let not_ours = step.hold.freezes()
        && checkpoint.held_since.is_none()
        && checkpoint.phase == Phase::Inactive;
    let queues = step.wait_for.is_some() && !step.view.parent_tasks.is_empty();
    let holds_back = if queues {
        let since = *checkpoint.held_since.get_or_insert(step.now);
        !step.passed(since, HOLD)
    } else {
        checkpoint.held_since = None;
        false
    };
    let starts = step.view.parent == Some(Running::Starting) && checkpoint.down_since.is_some();
    // Whoever has the node finds nothing frozen.
    let free = step.hold.is_free();
    let hold = free && ((released && step.copies.holds_ports()) || (holds_back && starts));
    for container in &step.view.parent_tasks {
        let (id, container_id) = (step.id.clone(), container.id.clone());
        match (container.task, hold) {
            (TaskState::Running, true) if !gives_up => step.actions.push(Action::PauseParent {
                checkpoint: id,
                container: container_id,
            }),
            (TaskState::Paused, false) if !not_ours => step.actions.push(Action::ResumeParent {
                checkpoint: id,
                container: container_id,
            }),
            _ => {}
        }
    }
}
