//! A target as configured: plain values, filled and checked by `config`.

use crate::objectstore::Place;

/// Where copies of backups go, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSettings {
    /// Its name in the index, in messages and in metrics: letters, digits, `-` and `_`.
    pub name: String,
    /// The place.
    pub place: Place,
    /// `age` recipients (`age1…`): where there are any, everything that leaves this node is
    /// encrypted to all of them. Check each by [`super::check_recipient`].
    pub recipients: Vec<String>,
    /// Bytes per second that are sent at most; 0: no limit.
    pub bandwidth: u64,
    /// Whether copies are deleted with the local backups that retention prunes. False is right for
    /// immutable buckets, and where the store has a life cycle of its own.
    pub prune: bool,
}
