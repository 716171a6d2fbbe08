//! etcd as recovery mode sees it: every member that can be asked, and what is on this node.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::evidence::DoorAnswer;
use crate::core::reading::Reading;
use crate::core::time::Moment;

/// Everything seen of etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdEvidence {
    /// Endpoints that were asked: those of the configuration first, then the addresses of further
    /// members. None: none is configured.
    pub endpoints: Vec<EtcdDoor>,
    /// The members of the cluster as the one that answered last listed them; unknown: nobody has
    /// ever said. They outlive the answers, see [`EtcdMembers::at`].
    pub members: Reading<EtcdMembers>,
    /// A linearizable read: known is that one succeeded, and how long it took.
    pub read: Reading<u64>,
    /// Which Kubernetes cluster's data it holds, as that read says.
    pub identity: Reading<Identity>,
    /// etcd on this node.
    pub here: EtcdHere,
}

/// Whose data an etcd holds: it tells an emptied etcd, which serves as well as any, from ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Digest of the authority that etcd is trusted by: with another one it is another cluster by
    /// somebody's will.
    pub authority: String,
    /// The uid of the namespace `kube-system`; `None`: there is no such namespace.
    pub cluster: Option<String>,
}

/// One address of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdDoor {
    /// The address.
    pub endpoint: String,
    /// It leads to this node's own member: loopback, or this node's address.
    pub own: bool,
    /// It stands in the configuration, or is known from the list of members alone.
    pub configured: bool,
    /// What came of it.
    pub answer: EtcdAnswer,
    /// The answer in words where it is none of a member.
    pub detail: String,
    /// How long the answer took, in milliseconds.
    pub took_ms: u64,
}

/// What came of asking a member for its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EtcdAnswer {
    /// It answers for itself.
    Status(MemberStatus),
    /// It does not; never [`DoorAnswer::Serving`].
    Not(DoorAnswer),
}

/// What a member says of itself. It needs no quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its id.
    pub member_id: u64,
    /// Its cluster's.
    pub cluster_id: u64,
    /// The member that leads; `None`: it knows of none.
    pub leader: Option<u64>,
    /// It does not vote.
    pub learner: bool,
    /// Revision of its store.
    pub revision: i64,
    /// Raft term.
    pub raft_term: u64,
    /// Newest raft entry that it knows.
    pub raft_index: u64,
    /// Newest raft entry that its store has applied.
    pub raft_applied: u64,
    /// Size of its database in bytes.
    pub db_bytes: u64,
    /// The cluster's alarms as it repeats them, as `NOSPACE` with the member's id.
    pub alarms: Vec<AlarmSeen>,
    /// What else it complains of, in its own words.
    pub complaints: Vec<String>,
}

/// An alarm on a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlarmSeen {
    /// On which.
    pub member_id: u64,
    /// Which.
    pub kind: AlarmWord,
}

/// Alarms of etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmWord {
    /// Its database is full.
    NoSpace,
    /// Its data differs from the others'.
    Corrupt,
}

/// The members of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdMembers {
    /// Each.
    pub all: Vec<EtcdMember>,
    /// When that was said.
    pub at: Moment,
}

/// One member as the others know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdMember {
    /// Its id.
    pub id: u64,
    /// Its name; empty: it never started.
    pub name: String,
    /// Addresses of its clients.
    pub client_urls: Vec<String>,
    /// Addresses of its peers.
    pub peer_urls: Vec<String>,
    /// It does not vote.
    pub learner: bool,
    /// It is this node's.
    pub own: bool,
}

/// etcd on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdHere {
    /// How etcd is run here, as far as can be seen.
    pub host: Reading<EtcdHost>,
    /// The data directory as configured.
    pub data_dir: PathBuf,
    /// What is in it.
    pub data: Reading<DataDir>,
}

/// Who runs etcd on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EtcdHost {
    /// The kubelet, by a static manifest.
    StaticPod,
    /// The kubelet, as a pod of the API server, or our copy of it.
    Pod,
    /// systemd: the unit, and its state in systemd's words.
    Unit {
        /// Its name.
        name: String,
        /// `active`, `failed`, …
        state: String,
    },
    /// Nobody that is known: no manifest, no pod, no unit.
    Nobody,
}

/// etcd's data directory, as far as a glance tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataDir {
    /// It is not there.
    Absent,
    /// It holds no member.
    Empty,
    /// A database and a write-ahead log are there.
    Present {
        /// A process has the database open.
        in_use: bool,
        /// Size of the database in bytes.
        db_bytes: u64,
    },
    /// Something of it is missing or is not what it should be: what.
    Damaged(String),
}

impl EtcdEvidence {
    /// Nothing is known yet.
    #[must_use]
    pub fn nothing(data_dir: PathBuf) -> Self {
        Self {
            endpoints: Vec::new(),
            members: Reading::not_asked(),
            read: Reading::not_asked(),
            identity: Reading::not_asked(),
            here: EtcdHere {
                host: Reading::not_asked(),
                data_dir,
                data: Reading::not_asked(),
            },
        }
    }

    /// What members say of themselves, with their addresses.
    pub fn statuses(&self) -> impl Iterator<Item = (&EtcdDoor, &MemberStatus)> {
        self.endpoints.iter().filter_map(|door| match &door.answer {
            EtcdAnswer::Status(status) => Some((door, status)),
            EtcdAnswer::Not(_) => None,
        })
    }

    /// The door of this node's own member.
    #[must_use]
    pub fn own_door(&self) -> Option<&EtcdDoor> {
        self.endpoints.iter().find(|door| door.own)
    }

    /// Any member answers, with or without a leader: nothing may be restored then (invariant 6).
    #[must_use]
    pub fn anybody_answers(&self) -> bool {
        self.statuses().next().is_some()
    }

    /// The cluster has a quorum: a linearizable read succeeded, or a member that votes has a
    /// leader.
    #[must_use]
    pub fn has_quorum(&self) -> bool {
        let mut statuses = self.statuses();
        self.read.known().is_some() || statuses.any(|(_, it)| it.leader.is_some() && !it.learner)
    }
}
