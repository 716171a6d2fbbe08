//! What this node knows of each backup beside the bundle itself: the index. It can be lost: the
//! bundles are the truth, and the index is rebuilt from them without results.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::BackupId;
use super::outcome::Outcome;

/// The index of backups, `backup/index.json` of the state directory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Index {
    /// By backup.
    pub records: BTreeMap<BackupId, Record>,
    /// The last runs of the schedule.
    pub runs: Runs,
}

/// One backup's entry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Newest verification.
    pub verified: Option<Outcome>,
    /// Newest rehearsal.
    pub rehearsed: Option<Outcome>,
    /// By target's name: how far the copy is.
    pub copies: BTreeMap<String, Copy>,
}

/// A copy of a backup at a target.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Copy {
    /// When it was complete, manifest included; `None`: not yet.
    pub complete_at: Option<Timestamp>,
    /// Failed attempts in a row.
    pub failures: u32,
    /// The last failure, in words; never a credential.
    pub last_failure: Option<String>,
    /// No attempt before.
    pub not_before: Option<Timestamp>,
}

/// When the schedules last ran. Wall-clock: they outlive a boot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Runs {
    /// The last backup that was begun by schedule (the time it was due, not when it ran).
    pub backup_due: Option<Timestamp>,
    /// The last rehearsal that was begun by schedule.
    pub rehearsal_due: Option<Timestamp>,
    /// When the last try to take a backup ended, and how it failed, if it did.
    pub last_try: Option<(Timestamp, Option<String>)>,
    /// Failed tries in a row.
    pub failures: u32,
    /// A try was begun then and has not ended: found at the next start, it was cut off.
    pub under_way: Option<Timestamp>,
}

/// A whole backup on this node's disk, as decisions need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub id: BackupId,
    /// When it was taken, by the clock of that time.
    pub taken_at: Timestamp,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Its newest verification passed.
    pub verified: bool,
    /// Its newest rehearsal passed.
    pub rehearsed: bool,
    /// Every configured target has a complete copy (true where there is none).
    pub copied: bool,
}
