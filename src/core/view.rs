//! What the sources say about one checkpoint: its parents, our own copies, the API server's
//! opinion. Derived, never stored.

use std::collections::{BTreeMap, BTreeSet};

use super::id::{CheckpointId, PodRef};
use super::manifest::finish::label_value;
use super::observed::{ContainerSeen, Observed, PodSeen, Probe, RevisionFacts, Sandbox, TaskState};
use super::reading::{Reading, UnseenKind};
use super::stored::Checkpoint;

/// A pod (parent or our static pod) as containerd and its probes show it, worst to best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Running {
    /// No sandbox, or a dead one without a running container.
    Absent,
    /// A sandbox whose containers do not (all) run: starting, crashed, backing off.
    Waiting,
    /// Every container's task is created or runs; not proven to serve.
    Starting,
    /// Every container runs and the probes pass.
    Serving,
}

impl Running {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Waiting => "failing",
            Self::Starting => "starting",
            Self::Serving => "serving",
        }
    }
}

/// What the API server says about a checkpoint's parents on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiOpinion {
    /// A parent is bound to this node and not finished or going.
    Listed,
    /// Only finished or terminating parents are bound to this node.
    Leaving,
    /// No parent is bound to this node.
    NotListed {
        /// Complete lists answered so far.
        lists: u64,
    },
    /// It does not answer: connection refused, time-out, broken answer.
    Silent,
    /// It answers, but not us (401, 403).
    Denied,
    /// Nobody has asked yet.
    NotAsked,
}

/// One checkpoint seen through all sources.
#[derive(Debug)]
pub(crate) struct View<'a> {
    /// Parents as the API server or the kubelet list them now.
    pub(crate) listed: Vec<&'a PodSeen>,
    /// The parent in containerd; `None` while containerd is silent.
    pub(crate) parent: Option<Running>,
    /// A parent runs on that has closed its port.
    pub(crate) closed: bool,
    /// Containers of the parents whose task runs and may still serve.
    pub(crate) parent_tasks: Vec<&'a ContainerSeen>,
    /// Our static pod in containerd; `None` while containerd is silent.
    pub(crate) copy: Option<Running>,
    /// Our static pod's sandboxes with any task left; `None` while containerd is silent.
    pub(crate) copies: Option<Vec<&'a Sandbox>>,
    /// What the API server says.
    pub(crate) api: ApiOpinion,
}

impl<'a> View<'a> {
    /// The parent in words.
    pub(crate) fn parent_word(&self) -> &'static str {
        match self.parent {
            None => "unknown",
            Some(Running::Waiting) if self.closed => "ending",
            Some(parent) => parent.word(),
        }
    }

    pub(crate) fn of(
        id: &CheckpointId,
        checkpoint: &Checkpoint,
        observed: &'a Observed,
        facts: Option<&RevisionFacts>,
    ) -> Self {
        let listed = listed(id, observed);
        let mut pods: BTreeSet<&PodRef> = checkpoint.parents.iter().collect();
        pods.extend(listed.iter().map(|seen| &seen.pod));
        let label = label_value(id);
        let containers = facts.map(|facts| facts.containers.as_slice());
        let sandboxes = observed
            .runtime
            .known()
            .map(|runtime| runtime.sandboxes.as_slice());
        let best = |belongs: &dyn Fn(&Sandbox) -> bool| {
            sandboxes.map(|all| {
                all.iter()
                    .filter(|sandbox| belongs(sandbox))
                    .map(|sandbox| {
                        running(sandbox, containers, &observed.probes, &checkpoint.closed)
                    })
                    .max()
                    .unwrap_or(Running::Absent)
            })
        };
        let is_copy = |sandbox: &Sandbox| sandbox.checkpoint.as_deref() == Some(label.as_str());
        let is_parent = |sandbox: &Sandbox| !is_copy(sandbox) && pods.contains(&sandbox.pod);
        let parent = best(&is_parent);
        let parent_tasks = sandboxes
            .unwrap_or_default()
            .iter()
            .filter(|sandbox| is_parent(sandbox))
            .flat_map(|sandbox| &sandbox.containers)
            .filter(|container| matches!(container.task, TaskState::Running | TaskState::Paused))
            .filter(|container| !checkpoint.closed.contains(&container.id))
            .collect();
        let copy = best(&is_copy);
        let copies = sandboxes.map(|all| {
            all.iter()
                .filter(|sandbox| is_copy(sandbox) && sandbox.has_task())
                .collect()
        });
        Self {
            api: opinion(&listed, observed),
            listed,
            parent,
            closed: !checkpoint.closed.is_empty(),
            parent_tasks,
            copy,
            copies,
        }
    }
}

fn listed<'a>(id: &CheckpointId, observed: &'a Observed) -> Vec<&'a PodSeen> {
    let of = |seen: &&PodSeen| seen.parent_of.as_ref() == Some(id);
    match (&observed.apiserver, &observed.kubelet) {
        // Where the API server answers, what the kubelet remembers beside it is out of date.
        (Reading::Known(api), _) => api.pods.iter().filter(of).collect(),
        (Reading::Unknown(_), Reading::Known(kubelet)) => kubelet.pods.iter().filter(of).collect(),
        (Reading::Unknown(_), Reading::Unknown(_)) => Vec::new(),
    }
}

fn opinion(listed: &[&PodSeen], observed: &Observed) -> ApiOpinion {
    match &observed.apiserver {
        Reading::Known(api) => {
            if listed.is_empty() {
                ApiOpinion::NotListed { lists: api.lists }
            } else if listed.iter().all(|seen| seen.finished || seen.deleting) {
                ApiOpinion::Leaving
            } else {
                ApiOpinion::Listed
            }
        }
        Reading::Unknown(unseen) => match unseen.kind {
            UnseenKind::NotAsked => ApiOpinion::NotAsked,
            UnseenKind::Denied => ApiOpinion::Denied,
            UnseenKind::Unreachable
            | UnseenKind::TimedOut
            | UnseenKind::Unreadable
            | UnseenKind::TooLarge => ApiOpinion::Silent,
        },
    }
}

/// It does not answer, and that is no refusal.
pub(crate) fn api_is_silent(observed: &Observed) -> bool {
    opinion(&[], observed) == ApiOpinion::Silent
}

/// What a sandbox does; `containers` are those that its pod is to have, where that is known, and
/// `closed` ids of those that will not serve again.
pub(crate) fn running(
    sandbox: &Sandbox,
    containers: Option<&[String]>,
    probes: &BTreeMap<PodRef, Probe>,
    closed: &[String],
) -> Running {
    let alive = |container: &&ContainerSeen| {
        container.task.has_process() && !closed.contains(&container.id)
    };
    if !sandbox.has_task() {
        return Running::Absent;
    }
    let names: BTreeSet<&str> = sandbox
        .containers
        .iter()
        .filter(alive)
        .map(|container| container.name.as_str())
        .collect();
    let whole = match containers {
        Some(containers) => containers.iter().all(|name| names.contains(name.as_str())),
        None => {
            !names.is_empty()
                && sandbox
                    .containers
                    .iter()
                    .all(|container| names.contains(container.name.as_str()))
        }
    };
    if !whole {
        return Running::Waiting;
    }
    match probes.get(&sandbox.pod) {
        Some(Probe::Passing) => Running::Serving,
        Some(Probe::Failing(_) | Probe::Closed(_)) | None => Running::Starting,
    }
}
