//! Which backups are pruned, each with its reason.

use super::id::BackupId;

/// What becomes of one backup, and why, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fate {
    /// The backup.
    pub id: BackupId,
    /// False: pruned.
    pub keep: bool,
    /// `newest verified`, `daily 2026-11-23`, `no rule keeps it`, `over the limit of 20 GiB`.
    pub reason: String,
}
