//! A copy and its parent on one port: both may listen (`--permit-port-sharing` of kube-apiserver),
//! and new connections are steered to the copy until the parent serves. Then nothing has to be
//! released before the parent starts, and nobody meets a closed port.

use std::time::Duration;

use super::action::Action;
use super::id::{CheckpointId, RevisionId};
use super::observed::Observed;
use super::phase::Step;
use super::stored::{Checkpoint, Phase};
use super::view::Running;

/// A parent that ended or did not serve so often beside its copy gets the port alone: it may have
/// lost the flag.
const TRIES: u32 = 2;

/// For the last answers of a copy whose parent has its port: the kubelet sees within a second that
/// the manifest is gone, and then the copy is told to end.
pub(crate) const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// Whom new connections reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The copy; from `::1` the parent, where it listens.
    Copy,
    /// The parent.
    Parent,
    /// Whom the kernel chooses.
    Hash,
}

/// What is known of a port that a checkpoint's copy and its parent could share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Steered {
    /// New connections to `port` go there.
    To {
        /// The port.
        port: u16,
        /// Whom they reach.
        side: Side,
    },
    /// It cannot be steered: the reason. The parent needs the port for itself.
    Refused(String),
}

impl Steered {
    /// The port; 0 where none is steered.
    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::To { port, .. } => *port,
            Self::Refused(_) => 0,
        }
    }
}

/// Whether the copy of `revision`, which `(runs, serves)`, keeps its port while the parent starts.
pub(crate) fn shares(
    checkpoint: &mut Checkpoint,
    step: &mut Step<'_>,
    parent: Running,
    (runs, serves): (bool, bool),
    revision: &RevisionId,
) -> bool {
    let Some(port) = step.copies.shared_port(revision) else {
        return false;
    };
    if !runs {
        end(step);
        return false;
    }
    match step.steered {
        None if !serves => false,
        None => {
            steer(step, port, Side::Copy);
            // What became of it decides.
            *step.wake_at = Some(step.now);
            true
        }
        Some(Steered::Refused(_)) => false,
        Some(Steered::To { .. }) => keeps_trying(checkpoint, step, parent),
    }
}

/// Counts what the parent's tries come to. A try ends with the parent, or by the deadline.
fn keeps_trying(checkpoint: &mut Checkpoint, step: &mut Step<'_>, parent: Running) -> bool {
    let handover = &mut checkpoint.handover;
    if parent == Running::Serving {
        return true;
    }
    if parent < Running::Starting {
        if handover.beside_since.take().is_some() {
            handover.failures = handover.failures.saturating_add(1);
        }
    } else if handover.failures < TRIES {
        let since = *handover.beside_since.get_or_insert(step.now);
        if step.passed(since, step.policy.handover_deadline) {
            handover.beside_since = None;
            handover.failures = TRIES;
        }
    }
    handover.failures < TRIES
}

/// The parent serves: from now on it gets the connections, and then the copy may go.
pub(crate) fn switch(step: &mut Step<'_>) {
    if let Some(Steered::To { port, .. }) = step.steered {
        steer(step, *port, Side::Parent);
    }
}

/// The copy keeps its port while its parent starts.
pub(crate) fn serves_beside(id: &CheckpointId, observed: &Observed) -> bool {
    matches!(observed.steering.get(id), Some(Steered::To { .. }))
}

/// The parent has the new connections.
pub(crate) fn has_switched(step: &Step<'_>) -> bool {
    matches!(
        step.steered,
        Some(Steered::To {
            side: Side::Parent,
            ..
        })
    )
}

/// There is no copy that serves: nothing is steered any more.
pub(crate) fn end(step: &mut Step<'_>) {
    if let Some(steered) = step.steered {
        steer(step, steered.port(), Side::Hash);
    }
}

/// For people: why the hand-over will have a gap although the port might be shared.
pub(crate) fn gap(step: &Step<'_>) -> String {
    match step.steered {
        Some(Steered::Refused(why)) => format!("; the hand-over will have a gap: {why}"),
        _ => String::new(),
    }
}

/// Whether the copy would answer for its parent: it may share the parent's port, and nothing is
/// steered yet.
pub(crate) fn answers_for(checkpoint: &Checkpoint, step: &Step<'_>) -> bool {
    match &checkpoint.phase {
        Phase::Active { revision, .. } => {
            step.steered.is_none() && step.copies.shared_port(revision).is_some()
        }
        _ => false,
    }
}

fn steer(step: &mut Step<'_>, port: u16, to: Side) {
    step.actions.push(Action::Steer {
        checkpoint: step.id.clone(),
        port,
        to,
    });
}
