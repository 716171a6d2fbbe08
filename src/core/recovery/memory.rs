//! What an assessment has to remember from one look to the next. Kept by the task that calls
//! `assess`; lost with the daemon, and then every timer starts again.

use std::collections::{BTreeMap, BTreeSet};

use super::etcd_seen::Identity;
use super::loss::Loss;
use super::part::Part;
use super::reasons::Kind;
use crate::core::time::Moment;

/// Timers and what they are of. The default is that of a daemon that has just started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// When it was last looked.
    pub(super) looked: Option<Moment>,
    /// Losses that look so.
    pub(super) claims: BTreeMap<Loss, Claim>,
    /// When the evidence last spoke against a loss.
    pub(super) denied: BTreeMap<Loss, Moment>,
    /// Losses that looked so and passed by, with when each of the last ones did; oldest first.
    pub(super) passed: BTreeMap<Loss, Vec<Moment>>,
    /// Troubles, each since when.
    pub(super) troubles: BTreeMap<(Part, Kind), Moment>,
    /// Parts that do not answer here.
    pub(super) silences: BTreeMap<Part, Silence>,
    /// Containers of parts that were seen running, each since when.
    pub(super) running: BTreeMap<(Part, String), Moment>,
    /// Parts that were seen running or asked for in this daemon's life.
    pub(super) seen: BTreeSet<Part>,
    /// An API server has served without a break since then.
    pub(super) api_serves: Option<Moment>,
    /// Something looked lost last then.
    pub(super) unwell: Option<Moment>,
    /// The control plane was seen to work.
    pub(super) worked: bool,
    /// Whose data etcd holds, as it was first seen to hold any.
    pub(super) identity: Option<Identity>,
    /// The newest raft term.
    pub(super) term: Option<u64>,
    /// When the term last changed, oldest first.
    pub(super) elections: Vec<Moment>,
}

impl Memory {
    /// Whose data etcd holds, as far as it was ever seen.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The control plane was seen to work: an API server served, somebody led, nothing looked lost,
    /// and no operation had the node.
    #[must_use]
    pub fn worked(&self) -> bool {
        self.worked
    }

    /// What was known before this memory began. An identity that was seen since stands.
    pub fn recall(&mut self, identity: Option<&Identity>, worked: bool) {
        if self.identity.is_none() {
            self.identity = identity.cloned();
        }
        self.worked |= worked;
    }
}

/// Something that looks lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    /// It was first seen then.
    pub(super) first: Moment,
    /// Some of the evidence was last missing then.
    pub(super) missing: Option<Moment>,
}

/// A part that does not answer on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Silence {
    /// Since when.
    pub(super) since: Moment,
    /// Containers that were there when it began.
    pub(super) before: BTreeSet<String>,
    /// Containers that were started since and ended without ever answering.
    pub(super) ended: BTreeSet<String>,
    /// One that was started since was last seen alive then.
    pub(super) started: Option<Moment>,
}
