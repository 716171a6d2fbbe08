//! The ways back, from the one that costs nothing to the one that costs most.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::loss::Loss;

/// One way to recover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// The loop activates the checkpoints of this node: no loss.
    Checkpoints,
    /// A component that hangs is stopped through containerd and started again by its owner: no loss.
    Restart,
    /// A static manifest of the control plane is put back from its last known good copy: no loss.
    StaticPods,
    /// A temporary control plane, rendered from what etcd or a backup holds, until the self-hosted
    /// one is back: no loss.
    TemporaryControlPlane,
    /// This node's etcd member is removed and joins anew, while the others have a quorum: no loss.
    ReplaceMember,
    /// etcd is restored from the data directory that survived here: at most what this member had
    /// not heard of.
    DataDirectory,
    /// etcd is restored from the newest verified backup: its age is lost.
    Backup,
}

impl Rung {
    /// Each, in the order in which they are tried.
    pub const ALL: [Self; 7] = [
        Self::Checkpoints,
        Self::Restart,
        Self::StaticPods,
        Self::TemporaryControlPlane,
        Self::ReplaceMember,
        Self::DataDirectory,
        Self::Backup,
    ];

    /// The loss of etcd that it leads out of; `None`: of something else.
    #[must_use]
    pub fn loss_of_etcd(self) -> Option<Loss> {
        match self {
            Self::ReplaceMember => Some(Loss::EtcdMember),
            Self::DataDirectory | Self::Backup => Some(Loss::EtcdQuorum),
            _ => None,
        }
    }

    /// The word of the configuration, the command line and metric labels.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Checkpoints => "checkpoints",
            Self::Restart => "restart",
            Self::StaticPods => "static-pods",
            Self::TemporaryControlPlane => "temporary-control-plane",
            Self::ReplaceMember => "replace-member",
            Self::DataDirectory => "data-directory",
            Self::Backup => "backup",
        }
    }

    /// The rung of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rung| rung.word() == word)
    }

    /// It makes a new etcd cluster of old data.
    #[must_use]
    pub fn restores_etcd(self) -> bool {
        matches!(self, Self::DataDirectory | Self::Backup)
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
