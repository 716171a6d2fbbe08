//! What a clean-up decides on. What could not be learnt is unknown, and refuses what needs it.

use std::path::PathBuf;

use crate::core::reading::Reading;

/// Everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Who serves here: each question with its answer.
    pub control_plane: Vec<Served>,
    /// The kubelet.
    pub kubelet: Kubelet,
    /// Containers and sandboxes, Kubernetes' and others.
    pub containers: Reading<Containers>,
    /// File systems mounted below the kubelet's pods.
    pub mounts: Reading<Vec<PathBuf>>,
    /// The static pod directory.
    pub manifests: Place,
    /// The kubelet's directories of pods.
    pub pods: Place,
    /// etcd's data directory.
    pub etcd: Place,
    /// Whose the etcd is.
    pub etcd_owner: EtcdOwner,
    /// The data directory's database: `member/snap/db`.
    pub database: Option<PathBuf>,
    /// `backup.db` is in this run's quarantine already, and verified.
    pub database_copied: bool,
    /// Logs of containers that could be archived.
    pub logs: usize,
    /// They are in this run's quarantine already.
    pub logs_archived: bool,
}

/// A part of the control plane that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Which, for people.
    pub who: String,
    /// Healthy, or not, with its words.
    pub answer: Answer,
}

/// What a part of the control plane said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It serves.
    Healthy,
    /// It lives and does not let us ask: whether it serves is not known.
    Lives(String),
    /// No healthy answer: the reason.
    Silent(String),
}

/// The kubelet of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubelet {
    /// Its unit.
    pub unit: Unit,
    /// Its name.
    pub unit_name: String,
    /// Processes of that name in this network namespace.
    pub processes: Vec<u32>,
    /// Ports of it that somebody listens on, as URLs.
    pub ports: Vec<String>,
}

/// A unit as systemd knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// No systemd here.
    NoSystemd,
    /// systemd knows no such unit.
    Missing,
    /// systemd did not answer.
    Unknown(String),
    /// Known, with its `ActiveState`.
    Known(String),
}

impl Unit {
    /// systemd runs it, or is about to.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Known(state) if state != "inactive" && state != "failed")
    }
}

/// What containerd runs and keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Containers {
    /// Kubernetes' containers and sandboxes, by the labels of containerd's CRI plugin.
    pub kubernetes: usize,
    /// Those of our own engine.
    pub ours: usize,
    /// Others in the same namespaces, which are left alone.
    pub foreign: usize,
    /// Names of the pods, each once, sorted.
    pub pods: Vec<String>,
}

impl Containers {
    /// None of them is to go.
    #[must_use]
    pub fn none(&self) -> bool {
        self.kubernetes == 0 && self.ours == 0
    }
}

/// Whose the etcd on this node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EtcdOwner {
    /// A pod's, or nobody's any more.
    Pod,
    /// A unit of systemd runs it: provisioned, not Kubernetes' business.
    Unit(String),
    /// A process outside of Kubernetes' containers has the database open.
    Process,
    /// systemd did not say.
    Unknown(String),
}

/// A directory whose content is to be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The directory.
    pub path: PathBuf,
    /// What stands in it and is to go, sorted.
    pub entries: Vec<String>,
    /// What stands in it and cannot be moved, with the reason.
    pub stuck: Vec<(String, String)>,
    /// It could not be read: the reason.
    pub unreadable: Option<String>,
}

impl Place {
    /// A place with nothing in it.
    #[must_use]
    pub fn empty(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            entries: Vec::new(),
            stuck: Vec::new(),
            unreadable: None,
        }
    }
}
