//! What the daemon says about itself: the published copy that socket, metrics and `STATUS=` read.

use serde::{Deserialize, Serialize};

use super::id::{CheckpointId, PodRef, RevisionId};
use super::operation::OperationSeen;
use super::operator_hold::HoldSeen;
use super::reading::UnseenKind;
use super::stored::Engine;

/// One turn's explanation: what was seen, what is done, what is waited for and why nothing more
/// is done. Also the body of `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// The node's name.
    pub node: String,
    /// First line for people: `STATUS=` of systemd and the head of `rekindle status`.
    pub summary: String,
    /// An operator's hold: nothing is begun meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldSeen>,
    /// Long operations of the command line that have the node: nothing is begun meanwhile.
    #[serde(default)]
    pub operations: Vec<OperationSeen>,
    /// Each source.
    pub sources: Vec<SourceReport>,
    /// Each checkpoint, by id.
    pub checkpoints: Vec<CheckpointReport>,
    /// What the daemon waits for, one sentence each.
    pub waiting: Vec<String>,
    /// What it refuses to do, and why, one sentence each.
    pub refused: Vec<String>,
    /// What needs an operator's eye: missing images, foreign files, damaged state.
    pub problems: Vec<String>,
    /// Images that checkpoints need and that are not proven present.
    pub missing_images: Vec<String>,
}

/// One source, and since when it is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReport {
    /// `containerd`, `kubelet`, `manifests`, `apiserver`, `engine`, `store`, `operations` or
    /// `hold`.
    pub name: String,
    /// `None`: it answers. Otherwise the class of failure.
    pub unknown: Option<UnseenKind>,
    /// What it said last in short, or the failure.
    pub detail: String,
    /// Seconds that it has been so.
    pub since_seconds: u64,
}

/// State of a checkpoint in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// No good revision yet.
    Learning,
    /// Stored, its parent's business.
    Inactive,
    /// Asked to run.
    Activating,
    /// Verified running.
    Active,
    /// Released for the parent.
    HandingOver,
    /// Being stopped.
    Deactivating,
    /// The API server says the parent is gone; grace runs.
    Orphaned,
    /// The parent can be no checkpoint.
    Refused,
}

impl State {
    /// Every state, for metrics.
    pub const ALL: [Self; 8] = [
        Self::Learning,
        Self::Inactive,
        Self::Activating,
        Self::Active,
        Self::HandingOver,
        Self::Deactivating,
        Self::Orphaned,
        Self::Refused,
    ];

    /// The word shown to people and used as a metric label.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Learning => "learning",
            Self::Inactive => "inactive",
            Self::Activating => "activating",
            Self::Active => "active",
            Self::HandingOver => "handing-over",
            Self::Deactivating => "deactivating",
            Self::Orphaned => "orphaned",
            Self::Refused => "refused",
        }
    }
}

/// One checkpoint and why it is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointReport {
    /// Its key.
    pub id: CheckpointId,
    /// Its state.
    pub state: State,
    /// Why it is so and what it waits for, one sentence.
    pub reason: String,
    /// Who runs it, while it is asked to run.
    pub engine: Option<Engine>,
    /// Last known good revision.
    pub good: Option<RevisionId>,
    /// Newer revision, not proven yet.
    pub candidate: Option<RevisionId>,
    /// Parents as last seen.
    pub parents: Vec<PodRef>,
    /// What containerd says of the parent: `unknown`, `absent`, `failing`, `starting`, `serving`.
    pub parent_state: String,
    /// Failed hand-overs in a row.
    pub handover_failures: u32,
    /// Why the containerd engine would refuse it, if it would.
    pub engine_refusal: Option<String>,
}
