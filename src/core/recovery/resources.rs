//! What there is to recover with, as it was last looked at. Nothing here is needed while nothing
//! is lost; it is what `plan` and `doctor` warn of in time.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::guard::restore::Restore;
use super::part::Part;
use crate::core::backup::id::BackupId;
use crate::core::reading::Reading;

/// Everything that a way back may need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources {
    /// For each part that has a checkpoint here: what keeps it from being activated, one sentence
    /// each; nothing: it can be.
    pub checkpoints: Reading<BTreeMap<Part, Vec<String>>>,
    /// Parts whose static manifest has a last known good copy: the file's name.
    pub copies: Reading<BTreeMap<Part, String>>,
    /// Static manifests that are wrong now and are put back.
    pub put_back: BTreeMap<Part, Restore>,
    /// Why no more of them is, one sentence each.
    pub not_put_back: Vec<String>,
    /// Parts whose static manifest somebody may be at work on, and why that is thought: no way after
    /// `static-pods` is taken for them without asking.
    pub manifests_wait: BTreeMap<Part, String>,
    /// Parts that run here and do not answer, or whose unit is stopped: what would be restarted.
    pub restartable: BTreeMap<Part, Restartable>,
    /// Images of the parts' static pods with which no kubelet starts them unless a registry answers,
    /// one sentence each. What containerd did not answer is not among them.
    pub missing_images: BTreeMap<Part, Vec<String>>,
    /// Where etcd runs here, in words; an error where it is not found out or cannot be driven.
    pub etcd_home: Result<String, String>,
    /// etcd's data directory here.
    pub data: Reading<Data>,
    /// The newest verified backup on this node.
    pub backup: Reading<Option<OnHand>>,
    /// The program that restores; an error where there is none that raises the revision.
    pub tool: Result<String, String>,
    /// Bytes free where etcd's data directory is.
    pub free_bytes: Reading<u64>,
    /// The administrator's kubeconfig can be used; else why not.
    pub administrator: Result<(), String>,
    /// Certificates of the control plane on this node that are expired or will be soon.
    pub certificates: Vec<Expiry>,
    /// What else stands in the way, one sentence each, of any way back: containerd silent, the
    /// manifest directory unreadable.
    pub blockers: Vec<String>,
}

/// What can be started again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restartable {
    /// A container in the kubelet's containerd namespace: the kubelet starts it again.
    Container {
        /// containerd's id of its sandbox.
        sandbox: String,
        /// Its pod, for people.
        pod: String,
    },
    /// A unit of systemd.
    Unit(String),
}

/// etcd's data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// There is none, or nothing in it.
    Absent,
    /// A database of so many bytes.
    Present(u64),
    /// There is one and it is no database: why.
    Damaged(String),
    /// It serves, and what was there is gone: its revision, and a higher one that this node has seen.
    Behind {
        /// What it is at.
        seen: i64,
        /// What this node has seen.
        highest: i64,
    },
}

impl Data {
    /// [`Data::Behind`] in words, with the way out where an operator wanted it so: nobody else knows.
    #[must_use]
    pub fn behind(seen: i64, highest: i64) -> String {
        format!(
            "it is at revision {seen}, and this node has seen {highest}: what was there is gone \
             (hint: if its data was exchanged on purpose, `rekindle backup now`, then `rekindle \
             backup restore` of that raises the revision: README, \"Back to a backup\")"
        )
    }
}

/// A verified backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnHand {
    /// Its name.
    pub id: BackupId,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// Bytes of its database.
    pub bytes: u64,
    /// A rehearsal of it has passed.
    pub proven: bool,
}

/// A certificate's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// Which file.
    pub what: String,
    /// When.
    pub at: Timestamp,
}

impl OnHand {
    /// How old it is; never negative.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        crate::core::backup::report::age(self.taken_at, now)
    }
}
