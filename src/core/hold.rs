//! Holding back: what becomes of the decisions while a long operation of the command line has the
//! node, or while it is not known whether one has.
//!
//! Learning and what ends a copy go on. No copy is started, handed over or removed, nothing is
//! pruned. Once nothing holds any more, every timer starts again ([`super::stored::Stored::held`]).

use super::action::Action;
use super::copies::Stop;
use super::operation::OperationsView;
use super::phase::Step;
use super::reading::Reading;
use super::stored::{Checkpoint, Phase};
use super::view::Running;

/// Whether decisions are held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nothing holds.
    Free,
    /// Nobody knows: nothing is begun, and nothing forgotten.
    Unknown,
    /// An operation has the node.
    Held {
        /// Its command.
        by: &'static str,
        /// Our own copies are to go too.
        clears: bool,
    },
}

impl Hold {
    pub(crate) fn of(operations: &Reading<OperationsView>) -> Self {
        match operations {
            Reading::Unknown(_) => Self::Unknown,
            Reading::Known(operations) => match operations.seen.as_slice() {
                [] => Self::Free,
                [first, ..] => Self::Held {
                    by: first.kind.word(),
                    clears: operations.seen.iter().all(|seen| seen.kind.clears()),
                },
            },
        }
    }

    pub(crate) fn is_free(&self) -> bool {
        *self == Self::Free
    }

    /// Why nothing is begun; `None` where nothing holds.
    pub(crate) fn why(&self) -> Option<String> {
        match self {
            Self::Free => None,
            Self::Unknown => Some(
                "held back: whether an operation is under way is not known: nothing is changed"
                    .to_owned(),
            ),
            Self::Held { by, .. } => Some(format!(
                "held back by `rekindle {by}`: nothing is started or handed over"
            )),
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
        if matches!(self, Self::Held { .. }) && !removing {
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
