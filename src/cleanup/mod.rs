//! `rekindle cleanup`: Kubernetes is taken off this node, and nothing is deleted.
//!
//! ```text
//! <quarantine_dir>/<ID>/list.json      what came from where, on the disk before it is moved
//! <quarantine_dir>/<ID>/logs.tar.zst   the logs of containers
//! <quarantine_dir>/<ID>/backup.db      etcd's database, verified
//! <quarantine_dir>/<ID>/moved/…        everything else
//! ```
//!
//! Facts are gathered ([`gather`]), steps planned ([`crate::core::cleanup::plan`]) and carried out
//! ([`steps`]); a run that was cut off gathers and plans again, into the same quarantine. Order of
//! the steps: logs, kubelet, containers, mounts, manifests, pods, etcd. The way back is
//! [`quarantine::Quarantine::put_back`], in the opposite order.

mod error;
pub(crate) mod etcd;
pub mod gather;
mod kubelet;
mod logs;
mod mounts;
pub mod quarantine;
pub mod steps;

use serde::{Deserialize, Serialize};

pub use self::error::CleanupError;
pub use self::kubelet::Kubelet;

/// What the journal of a clean-up remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The quarantine.
    pub id: String,
    /// Why a control plane that served was taken down.
    pub force_reason: Option<String>,
    /// It is being put back.
    pub undoing: bool,
}
