//! What a decision asks to be done. Every action may be repeated: the executor checks first.

use super::id::{CheckpointId, PodRef, RevisionId};
use super::sharing::Side;

/// One thing to do. Variants stand in the order in which one turn carries them out: what stops
/// comes before what starts, removal comes last. A copy's tasks are killed just before its manifest
/// goes: the kubelet looks only once a second.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// First of all, for its port is fought for in the milliseconds after its start: freeze a
    /// container of the parent until the copy has let go of the ports: a parent that
    /// finds its port taken dies and waits out the kubelet's back-off.
    PauseParent {
        /// Whose parent.
        checkpoint: CheckpointId,
        /// containerd's container id.
        container: String,
    },
    /// Send new connections to a port that copy and parent share to one of them.
    Steer {
        /// Whose copy and parent.
        checkpoint: CheckpointId,
        /// The port.
        port: u16,
        /// Whom they are to reach.
        to: Side,
    },
    /// Kill the tasks of our static pod through containerd, at once (SIGKILL: the port is needed)
    /// or by the pod's grace period.
    KillStaticPod {
        /// Whose.
        checkpoint: CheckpointId,
        /// The static pod's sandbox as seen in containerd.
        sandbox: String,
        /// The pod, for the log.
        pod: PodRef,
        /// SIGKILL at once.
        at_once: bool,
    },
    /// Stop the checkpoint's pod of our own engine and forget it there.
    StopEnginePod {
        /// Whose.
        checkpoint: CheckpointId,
        /// SIGKILL at once.
        at_once: bool,
    },
    /// Remove our manifest from the static pod directory.
    RemoveManifest {
        /// Whose.
        checkpoint: CheckpointId,
    },
    /// Remove a file in the static pod directory that is ours by name but broken.
    RemoveDamagedManifest {
        /// Its name.
        file: String,
    },
    /// Thaw a container of the parent.
    ResumeParent {
        /// Whose parent.
        checkpoint: CheckpointId,
        /// containerd's container id.
        container: String,
    },
    /// Store a rendered revision, whole, durably.
    StoreRevision {
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// Which.
        revision: RevisionId,
        /// The parent it was rendered from.
        parent: PodRef,
    },
    /// Put the manifest of a stored revision into the static pod directory.
    WriteManifest {
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// Which revision.
        revision: RevisionId,
        /// Number of this activation: makes the static pod's uid new.
        activation: u64,
    },
    /// Have our own engine run a stored revision.
    StartEnginePod {
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// Which revision.
        revision: RevisionId,
    },
    /// Pin an image in containerd.
    PinImage {
        /// Its reference.
        image: String,
    },
    /// Drop a revision that is neither good, candidate nor in use.
    DropRevision {
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// Which.
        revision: RevisionId,
    },
    /// Forget a checkpoint: its data is moved aside.
    RemoveCheckpoint {
        /// Which.
        checkpoint: CheckpointId,
    },
    /// Ask the API server for a complete list now (the second answer of invariant 3).
    ConfirmWithApi,
}

impl Action {
    /// The kind in one word, for logs and metric labels.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::PauseParent { .. } => "pause-parent",
            Self::Steer { .. } => "steer",
            Self::KillStaticPod { .. } => "kill-static-pod",
            Self::StopEnginePod { .. } => "stop-engine-pod",
            Self::RemoveManifest { .. } => "remove-manifest",
            Self::RemoveDamagedManifest { .. } => "remove-damaged-manifest",
            Self::ResumeParent { .. } => "resume-parent",
            Self::StoreRevision { .. } => "store-revision",
            Self::WriteManifest { .. } => "write-manifest",
            Self::StartEnginePod { .. } => "start-engine-pod",
            Self::PinImage { .. } => "pin-image",
            Self::DropRevision { .. } => "drop-revision",
            Self::RemoveCheckpoint { .. } => "remove-checkpoint",
            Self::ConfirmWithApi => "confirm-with-api",
        }
    }

    /// Whether it takes the copy of one of these checkpoints away.
    #[must_use]
    pub fn releases(&self, of: &[&CheckpointId]) -> bool {
        match self {
            Self::KillStaticPod { checkpoint, .. }
            | Self::StopEnginePod { checkpoint, .. }
            | Self::RemoveManifest { checkpoint } => of.contains(&checkpoint),
            _ => false,
        }
    }

    /// The checkpoint it is about, if any.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&CheckpointId> {
        match self {
            Self::PauseParent { checkpoint, .. }
            | Self::Steer { checkpoint, .. }
            | Self::KillStaticPod { checkpoint, .. }
            | Self::StopEnginePod { checkpoint, .. }
            | Self::RemoveManifest { checkpoint }
            | Self::ResumeParent { checkpoint, .. }
            | Self::StoreRevision { checkpoint, .. }
            | Self::WriteManifest { checkpoint, .. }
            | Self::StartEnginePod { checkpoint, .. }
            | Self::DropRevision { checkpoint, .. }
            | Self::RemoveCheckpoint { checkpoint } => Some(checkpoint),
            Self::RemoveDamagedManifest { .. } | Self::PinImage { .. } | Self::ConfirmWithApi => {
                None
            }
        }
    }
}
