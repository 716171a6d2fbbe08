//! What one decision of a start is made on.

use std::collections::BTreeMap;

use crate::core::id::{CheckpointId, PodRef};
use crate::core::observed::{EngineView, Probe, RuntimeView};
use crate::core::reading::Reading;
use crate::core::sharing::Steered;
use crate::core::time::Moment;

/// Everything that is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The kernel's boot id.
    pub boot_id: String,
    /// containerd, namespace of the kubelet.
    pub runtime: Reading<RuntimeView>,
    /// The temporary pods that run without a kubelet, by the key [`super::component::key`].
    pub engine: Reading<EngineView>,
    /// What stands at the places where something was or is to be placed.
    pub placed: Reading<Placed>,
    /// The kubelet answers.
    pub kubelet: Reading<()>,
    /// Whether an API server serves.
    pub api: ApiSeen,
    /// What the API server says of pods and nodes: never proof that one runs.
    pub cluster: Reading<Cluster>,
    /// Answers of the pods' own probes, asked by this process.
    pub probes: BTreeMap<PodRef, Probe>,
    /// Ports that a temporary pod shares with its counterpart, as they are steered, by the key
    /// [`super::component::key`].
    pub steering: BTreeMap<CheckpointId, Steered>,
    /// How far the creation of the objects is.
    pub objects: ObjectsSeen,
    /// Why something does not serve yet, by name of a temporary pod or of a required one. For
    /// people only.
    pub why: BTreeMap<String, String>,
}

/// What stands at the places of a start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placed {
    /// The directory of secrets.
    pub secrets: Standing,
    /// What stood there before this start lies beside it.
    pub aside: bool,
    /// The manifests, by file name.
    pub files: BTreeMap<String, Standing>,
}

/// What stands at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// Nothing.
    #[default]
    Absent,
    /// What this start has placed; of a manifest, its activation.
    Ours(u64),
    /// Something of somebody else.
    Foreign,
}

/// What an API server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSeen {
    /// When it was asked.
    pub asked: Moment,
    /// It is ready and has the namespace kube-system; otherwise why not.
    pub answer: Reading<Result<(), String>>,
}

impl ApiSeen {
    /// It serves, and was asked at `since` or later.
    #[must_use]
    pub fn serves_since(&self, since: Moment) -> bool {
        self.asked >= since && matches!(self.answer, Reading::Known(Ok(())))
    }

    /// Why not.
    #[must_use]
    pub fn why_not(&self) -> &str {
        match &self.answer {
            Reading::Known(Ok(())) => "it serves",
            Reading::Known(Err(text)) => text,
            Reading::Unknown(unseen) => &unseen.detail,
        }
    }
}

/// What the API server says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cluster {
    /// Pods of the namespaces that hold required ones.
    pub pods: Vec<Bound>,
    /// Every node that is named by a pod or that is to be forgotten.
    pub nodes: BTreeMap<String, Node>,
}

/// One pod as the API server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The pod.
    pub pod: PodRef,
    /// The node it is bound to; empty: to none.
    pub node: String,
    /// Since when this process has seen it Ready without a break; `None`: it is not.
    pub ready_since: Option<Moment>,
    /// A static pod's mirror.
    pub mirror: bool,
    /// Succeeded, failed or being deleted.
    pub ends: bool,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// There is a Node object of this name.
    pub exists: bool,
    /// This process has seen its lease renewed: a kubelet lives there now.
    pub renewed: bool,
    /// Since when this process has looked at it, with answers.
    pub watched_since: Moment,
    /// When its lease was renewed last, as the API server has it.
    pub last: Option<String>,
}

/// How far the creation of the objects is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ObjectsSeen {
    /// Nobody has begun.
    #[default]
    Idle,
    /// Under way: how many are there, and what is waited for.
    Running {
        /// Objects that are there.
        there: u64,
        /// What is being done.
        doing: String,
    },
    /// All were tried.
    Ended {
        /// Objects that are there.
        there: u64,
        /// Which could not be created, and why.
        failed: Vec<String>,
    },
}
