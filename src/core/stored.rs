//! What survives a restart of the daemon. Written before the actions that follow from it.
//!
//! Unknown fields are ignored and missing ones take their default, so that a neighbouring version
//! can read what this one wrote (scenario C12). A new field therefore needs a default that is
//! right for a state that lacks it; a new variant of [`Phase`] or [`Engine`], or a new meaning, is
//! a new major version of the state file (`store::sealed`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::id::{CheckpointId, PodRef, RevisionId};
use super::time::Moment;

/// The daemon's memory. `Moment`s belong to `boot_id`; see [`Stored::in_boot`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stored {
    /// Boot in which the moments below were taken.
    pub boot_id: String,
    /// One entry for each checkpoint of this node.
    pub checkpoints: BTreeMap<CheckpointId, Checkpoint>,
    /// A long operation of the command line had the node in the last turn that knew: once it has
    /// ended, every timer starts again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
}

/// One checkpoint's memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Checkpoint {
    /// Last known good revision: the one that is activated. `None` while still learning.
    pub good: Option<RevisionId>,
    /// A newer revision whose parent has not been Ready long enough.
    pub candidate: Option<Candidate>,
    /// The parents last seen, so that their sandboxes are known after a restart.
    pub parents: Vec<PodRef>,
    /// What the checkpoint does.
    pub phase: Phase,
    /// Some parent's containers were seen running in this boot.
    pub seen_running: bool,
    /// Since when no parent serves.
    pub down_since: Option<Moment>,
    /// Set while the API server says that there is no parent here.
    pub orphan: Option<Orphan>,
    /// Since when the parent is held frozen because another hand-over comes first.
    pub held_since: Option<Moment>,
    /// Failed hand-overs, for the back-off.
    pub handover: HandoverBackoff,
    /// Containers of the parents that run on, but have closed their port ([`super::closed`]).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<String>,
    /// Counts activations: part of the manifest, so that each has its own static pod uid.
    pub activations: u64,
}

/// A revision on its way to be the good one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The revision.
    pub revision: RevisionId,
    /// Since when its parent is Ready without a break.
    pub ready_since: Option<Moment>,
}

/// The API server says that there is no parent here any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// Since when.
    pub since: Moment,
    /// [`super::observed::ApiView::lists`] at that time: removal needs a later list.
    pub lists: u64,
}

/// How often a hand-over failed in a row.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HandoverBackoff {
    /// Failures in a row.
    pub failures: u32,
    /// No new attempt before this moment.
    pub not_before: Option<Moment>,
    /// Since when the parent starts beside its copy, on the same port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside_since: Option<Moment>,
}

/// Who runs an activated checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// The kubelet, by a manifest in its static pod directory.
    Kubelet,
    /// Our own engine, through containerd.
    Containerd,
}

/// What a checkpoint does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Only stored.
    #[default]
    Inactive,
    /// Asked to run, not verified yet.
    Activating {
        /// Who is to run it.
        engine: Engine,
        /// The revision that is to run.
        revision: RevisionId,
        /// Since when this engine is asked.
        since: Moment,
        /// Why, for people.
        reason: String,
    },
    /// Verified running: tasks in containerd, probes passing.
    Active {
        /// Who runs it.
        engine: Engine,
        /// The revision that runs.
        revision: RevisionId,
        /// Since when it is verified.
        since: Moment,
        /// Since when it does not run any more, if so.
        gone_since: Option<Moment>,
    },
    /// Released for the parent, which must serve by a deadline.
    HandingOver {
        /// Who ran it.
        engine: Engine,
        /// The revision that ran, to come back.
        revision: RevisionId,
        /// Since when.
        since: Moment,
    },
    /// Being stopped; verified before it counts as stopped.
    Deactivating {
        /// Since when.
        since: Moment,
        /// Removed afterwards.
        remove: bool,
    },
}

impl Stored {
    /// The same memory in the boot `boot_id`. After a reboot every timer starts again in the
    /// direction that removes nothing.
    #[must_use]
    pub fn in_boot(&self, boot_id: &str, now: Moment) -> Self {
        let mut stored = self.clone();
        if stored.boot_id == boot_id {
            return stored;
        }
        boot_id.clone_into(&mut stored.boot_id);
        for checkpoint in stored.checkpoints.values_mut() {
            checkpoint.seen_running = false;
        }
        stored.restart(now);
        stored
    }

    /// Starts every timer again.
    pub fn restart(&mut self, now: Moment) {
        for checkpoint in self.checkpoints.values_mut() {
            checkpoint.down_since = None;
            checkpoint.orphan = None;
            checkpoint.held_since = None;
            checkpoint.handover.not_before = None;
            checkpoint.handover.beside_since = None;
            if let Some(candidate) = &mut checkpoint.candidate {
                candidate.ready_since = None;
            }
            match &mut checkpoint.phase {
                Phase::Inactive => {}
                Phase::Activating { since, .. }
                | Phase::Active { since, .. }
                | Phase::HandingOver { since, .. }
                | Phase::Deactivating { since, .. } => *since = now,
            }
        }
    }
}
