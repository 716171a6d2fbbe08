//! What the sources said, as plain data. Every field that can fail is a [`Reading`].

use std::collections::{BTreeMap, BTreeSet};

use super::id::{CheckpointId, PodRef, RevisionId};
use super::operation::OperationsView;
use super::operator_hold::HoldSeen;
use super::reading::Reading;
use super::sharing::Steered;

/// Everything one turn of the loop decides on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The kernel's boot id: timers of another boot are not compared with ours.
    pub boot_id: String,
    /// containerd, namespace of the kubelet: what runs now.
    pub runtime: Reading<RuntimeView>,
    /// The kubelet's `/pods`: which pods are bound here. Never proof that one runs.
    pub kubelet: Reading<KubeletView>,
    /// The static pod directory: what is asked of the kubelet.
    pub manifests: Reading<ManifestsView>,
    /// The API server: the only one who may say that a parent is deleted.
    pub apiserver: Reading<ApiView>,
    /// Our own containerd engine: the checkpoints it runs.
    pub engine: Reading<EngineView>,
    /// For each parent seen: the revision its spec and data render to, or why there is none.
    pub renderings: BTreeMap<PodRef, Rendering>,
    /// Answers of the pods' own probes; a pod not asked is missing.
    pub probes: BTreeMap<PodRef, Probe>,
    /// Ports that a copy shares with its parent, as the daemon has steered them; one that nobody
    /// asked for is missing.
    pub steering: BTreeMap<CheckpointId, Steered>,
    /// Images that checkpoints need, with their presence in containerd.
    pub images: Reading<BTreeMap<String, ImagePresence>>,
    /// Revisions that are whole on disk (digests checked), by checkpoint.
    pub stored_revisions: Reading<BTreeMap<CheckpointId, BTreeMap<RevisionId, RevisionFacts>>>,
    /// Long operations of the command line that have this node: while there is one, or it is not
    /// known, nothing is begun.
    pub operations: Reading<OperationsView>,
    /// An operator's hold of this node: the same holds while there is one, or it is not known.
    pub hold: Reading<Option<HoldSeen>>,
}

/// What the kubelet's containerd namespace holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuntimeView {
    /// Pod sandboxes, running or not, in a stable order.
    pub sandboxes: Vec<Sandbox>,
}

/// One pod sandbox and its containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// containerd's id of the sandbox container.
    pub id: String,
    /// The pod, from the CRI labels.
    pub pod: PodRef,
    /// The sandbox's own task runs.
    pub running: bool,
    /// Value of the pod label [`super::manifest::LABEL_CHECKPOINT`]: one of our copies.
    pub checkpoint: Option<String>,
    /// Its containers, every attempt that containerd still lists.
    pub containers: Vec<ContainerSeen>,
}

/// One container (one attempt) of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSeen {
    /// containerd's container id.
    pub id: String,
    /// Name in the pod spec.
    pub name: String,
    /// What its task does.
    pub task: TaskState,
    /// Process id of a running task in the daemon's pid namespace; 0 where there is none. For
    /// people and tests: no decision uses it.
    pub pid: u32,
}

/// State of a container's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// No task: not started yet, or already deleted.
    None,
    /// Created, not started.
    Created,
    /// Runs.
    Running,
    /// Paused or pausing.
    Paused,
    /// Ended with this exit code.
    Exited(u32),
}

impl TaskState {
    /// There is a process, and with it what it holds.
    #[must_use]
    pub fn has_process(self) -> bool {
        matches!(self, Self::Created | Self::Running | Self::Paused)
    }
}

impl Sandbox {
    /// A container of it has a process.
    #[must_use]
    pub fn has_process(&self) -> bool {
        let mut containers = self.containers.iter();
        containers.any(|container| container.task.has_process())
    }

    /// It has a task of its own, or a container of it has a process.
    #[must_use]
    pub fn has_task(&self) -> bool {
        self.running || self.has_process()
    }
}

/// The kubelet's list of pods.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KubeletView {
    /// Pods bound to this node as far as the kubelet remembers.
    pub pods: Vec<PodSeen>,
}

/// What the API server says of the pods bound to this node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApiView {
    /// Pods bound to this node, kept up to date by the watch.
    pub pods: Vec<PodSeen>,
    /// How many complete lists have been answered since the daemon started: "twice" of
    /// invariant 3 is two different counts.
    pub lists: u64,
}

/// The few facts of a pod that decisions need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSeen {
    /// The pod.
    pub pod: PodRef,
    /// Its checkpoint's key if it is a parent; `None` for every other pod.
    pub parent_of: Option<CheckpointId>,
    /// `Ready` condition.
    pub ready: bool,
    /// Phase `Succeeded` or `Failed` (evicted pods are `Failed`).
    pub finished: bool,
    /// Has a deletion timestamp.
    pub deleting: bool,
}

/// The static pod directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ManifestsView {
    /// Our own files, by checkpoint: the revision each asks for.
    pub ours: BTreeMap<CheckpointId, RevisionId>,
    /// Files that are ours by name but broken or of no known checkpoint: removed.
    pub damaged: BTreeSet<String>,
    /// Names of files that are not ours: left alone, reported.
    pub foreign: BTreeSet<String>,
}

/// What our containerd engine runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineView {
    /// Its pods, by checkpoint.
    pub pods: BTreeMap<CheckpointId, EnginePod>,
}

/// One pod of our containerd engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnginePod {
    /// The revision it runs.
    pub revision: RevisionId,
    /// What it does.
    pub state: EngineState,
}

/// State of a pod of our containerd engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineState {
    /// Init containers or first start under way.
    Starting,
    /// Every container's task runs and the probes, where there are any, pass.
    Serving,
    /// Every container's task runs; a probe fails or has not answered yet.
    NotReady(String),
    /// A container ended and waits for its next start.
    BackOff(String),
    /// Being stopped.
    Stopping,
    /// Cannot run here: the reason.
    Refused(String),
}

/// What a parent's spec and data render to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rendering {
    /// A whole checkpoint of this revision is ready to be stored (or is stored).
    Whole(RevisionId),
    /// Data is still missing: a Secret or ConfigMap not read yet.
    Waiting(String),
    /// It can be no checkpoint: the reasons.
    Refused(Vec<String>),
}

/// The pod's own probes, as asked by the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Every probe of every container passes, or (no probes) it has been up long enough.
    Passing,
    /// Not yet, or not any more: the reason.
    Failing(String),
    /// This container (containerd's id) served, with no copy beside it, and now nobody listens on
    /// its port although it runs.
    Closed(String),
}

/// Whether an image could be started without a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImagePresence {
    /// Pinned, its content proven present.
    Proven,
    /// There, not pinned yet.
    Unpinned,
    /// Not there, or not whole: what is missing.
    Missing(String),
}

/// What decisions need to know of a stored revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionFacts {
    /// Host network: may run on our own engine, and its copy wants the same ports.
    pub host_network: bool,
    /// The port on which copy and parent may listen together (`--permit-port-sharing` of
    /// kube-apiserver, 1.20 and later).
    pub shared_port: Option<u16>,
    /// Container names of the pod, without init containers.
    pub containers: Vec<String>,
    /// Images it needs, pause image excluded.
    pub images: Vec<String>,
    /// Why our own engine refuses it, if it does.
    pub engine_refusal: Option<String>,
}
