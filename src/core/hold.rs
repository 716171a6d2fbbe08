//! Holding back: what becomes of the decisions while a long operation of the command line has the
//! node, while an operator holds it, or while it is not known whether one does.
//!
//! Learning and what ends a copy go on. No copy is started, handed over or removed, nothing is
//! pruned. Once nothing holds any more, every timer starts again ([`super::stored::Stored::held`]).

use super::action::Action;
use super::copies::Stop;
use super::observed::Observed;
use super::operation::OperationSeen;
use super::phase::Step;
use super::reading::Reading;
use super::stored::{Checkpoint, Phase};
use super::time::Moment;
use super::view::Running;

/// Whether decisions are held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nothing holds.
    Free,
    /// Nobody knows: nothing is begun, and nothing forgotten. What is not known.
    Unknown(&'static str),
    /// An operation has the node.
    Held {
        /// Its command.
        by: &'static str,
        /// Our own copies are to go too.
        clears: bool,
        /// A process works on it that freezes and thaws parents itself.
        freezes: bool,
    },
    /// An operator holds it.
    Operator,
}

impl Hold {
    pub(crate) fn of(observed: &Observed, now: Moment) -> Self {
        let operations = match &observed.operations {
            Reading::Unknown(_) => return Self::Unknown("an operation is under way"),
            Reading::Known(operations) => operations,
        };
        if let [first, ..] = operations.seen.as_slice() {
            return Self::Held {
                by: first.kind.word(),
                clears: operations.seen.iter().all(|seen| seen.kind.clears()),
                freezes: operations.seen.iter().any(OperationSeen::freezes),
            };
        }
        match &observed.hold {
            Reading::Unknown(_) => Self::Unknown("an operator holds this node"),
            Reading::Known(Some(hold)) if !hold.is_over(now) => Self::Operator,
            Reading::Known(_) => Self::Free,
        }
    }

    pub(crate) fn is_free(&self) -> bool {
        *self == Self::Free
    }

    /// Somebody else freezes parents, and thaws them: what this loop has not frozen is left alone.
    pub(crate) fn freezes(&self) -> bool {
        matches!(self, Self::Held { freezes: true, .. })
    }

    /// Why nothing is begun; `None` where nothing holds.
    pub(crate) fn why(&self) -> Option<String> {
        match self {
            Self::Free => None,
            Self::Unknown(what) => Some(format!(
                "held back: whether {what} is not known: nothing is changed"
            )),
            Self::Held { by, .. } => Some(format!(
                "held back by `rekindle {by}`: nothing is started or handed over"
            )),
            Self::Operator => Some(
                "held back by an operator (`rekindle hold`): nothing is started or handed over"
                    .to_owned(),
            ),
        }
    }

    /// Whether `action` may be done now.
    pub(crate) fn allows(&self, action: &Action) -> bool {
        self.is_free()
            || match action {
                Action::KillStaticPod { .. }
                | Action::StopEnginePod { .. }
                | Action::RemoveManifest { .. }
                | Action::ResumeParent { .. }
                | Action::StoreRevision { .. }
                | Action::PinImage { .. } => true,
                Action::PauseParent { .. }
                | Action::Steer { .. }
                | Action::RemoveDamagedManifest { .. }
                | Action::WriteManifest { .. }
                | Action::StartEnginePod { .. }
                | Action::DropRevision { .. }
                | Action::RemoveCheckpoint { .. }
                | Action::ConfirmWithApi => false,
            }
    }

    /// An orphan's time does not run while somebody else has the node.
    pub(crate) fn keep(&self, checkpoint: &mut Checkpoint) {
        let removing = matches!(checkpoint.phase, Phase::Deactivating { remove: true, .. });
        if matches!(self, Self::Held { .. } | Self::Operator) && !removing {
            checkpoint.orphan = None;
        }
    }
}

/// The step of a checkpoint that is held back; `None` where it goes on as ever.
pub(crate) fn held_back(
    checkpoint: &mut Checkpoint,
    step: &mut Step<'_>,
    parent: Running,
    copy: Running,
) -> Option<String> {
    let why = step.hold.why()?;
    let clears = matches!(step.hold, Hold::Held { clears: true, .. });
    let asked_for = step.copies.asked_for().is_some() || step.copies.engine_left();
    match &checkpoint.phase {
        // What ends a copy goes on.
        Phase::Deactivating { .. } => return None,
        Phase::Inactive if !clears || !(asked_for || copy > Running::Absent) => {}
        Phase::Inactive | Phase::Activating { .. } | Phase::Active { .. } if clears => {
            checkpoint.phase = Phase::Deactivating {
                since: step.now,
                remove: false,
            };
            *step.wake_at = Some(step.now);
            return Some(format!("{why}; the copy is stopped"));
        }
        Phase::Inactive | Phase::Activating { .. } | Phase::Active { .. } => {}
        // Released already: its release is completed, and nothing takes it back.
        Phase::HandingOver { .. } => {
            let stop = Stop {
                at_once: true,
                kill: true,
            };
            let gone = step.copies.stop(step.id, step.actions, stop);
            if gone && (clears || parent == Running::Serving) {
                checkpoint.phase = Phase::Inactive;
            }
        }
    }
    Some(why)
}
