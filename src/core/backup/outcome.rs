//! Results of verifying and of rehearsing a backup.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::manifest::Content;

/// Result of one verification or rehearsal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What was checked, in order, in words: `trailer hash`, `12034 pages`.
    pub checked: Vec<String>,
    /// Why it failed; `None`: passed.
    pub failure: Option<String>,
    /// What was counted; of a rehearsal: by the etcd that was started on it.
    pub content: Option<Content>,
}

impl Outcome {
    /// Passed.
    pub fn passed(&self) -> bool {
        self.failure.is_none()
    }
}
