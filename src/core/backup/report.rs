//! What the daemon says about backups: the published copy that socket, `status` and metrics read.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::BackupId;
use super::manifest::Trigger;

/// Backups, as the daemon sees them now. A section of `GET /v1/status` and the body of
/// `GET /v1/backups`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupsReport {
    /// This node takes backups.
    pub on: bool,
    /// Why nothing is done, or why nothing more is done, one sentence; empty: nothing to say.
    pub reason: String,
    /// What runs now.
    pub running: Option<Running>,
    /// The last backup that was tried, successful or not.
    pub last_run: Option<LastRun>,
    /// Backups failed in a row.
    pub failures_in_a_row: u32,
    /// The last rehearsal of this process.
    pub last_rehearsal: Option<LastRun>,
    /// The newest whole backup.
    pub newest: Option<Backup>,
    /// The newest whose verification passed.
    pub newest_verified: Option<Backup>,
    /// The newest whose rehearsal passed: proven restorable.
    pub newest_proven: Option<Backup>,
    /// When that rehearsal ended.
    pub proven_at: Option<Timestamp>,
    /// When the next backup is due by schedule; `None`: only when asked.
    pub next_backup: Option<Timestamp>,
    /// When the next rehearsal is due by schedule.
    pub next_rehearsal: Option<Timestamp>,
    /// Whole backups on this node.
    pub kept: u64,
    /// Bytes of them.
    pub kept_bytes: u64,
    /// Free bytes of the file system that holds them; `None`: not known.
    pub free_bytes: Option<u64>,
    /// Below this many free bytes no backup is begun.
    pub min_free_bytes: u64,
    /// What lies in the directory of backups and is none, one sentence each.
    pub damaged: Vec<String>,
    /// Each target.
    pub targets: Vec<TargetReport>,
    /// The largest revision of the cluster that this node has recorded.
    pub high_water_revision: Option<i64>,
    /// What fails beside backups and rehearsals, one sentence each.
    pub problems: Vec<String>,
}

/// A piece of work under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its number, since the daemon started: the answer to `POST /v1/backups` names it.
    pub run: u64,
    /// Backup or rehearsal.
    pub work: Work,
    /// Who asked for it.
    pub trigger: Trigger,
    /// When it began.
    pub since: Timestamp,
    /// What is being done, as `streaming`; empty: not begun.
    pub phase: String,
    /// Bytes done in this phase.
    pub done_bytes: u64,
    /// Bytes in all; 0: not known.
    pub total_bytes: u64,
}

/// What kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A backup is taken.
    Backup,
    /// A backup is restored in the sandbox.
    Rehearsal,
}

impl Work {
    /// The word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Rehearsal => "rehearsal",
        }
    }
}

/// How a piece of work ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// Its number; 0: of an earlier process.
    pub run: u64,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How long it took in milliseconds; `None`: not known any more.
    pub took_ms: Option<u64>,
    /// The backup that it made or rehearsed.
    pub id: Option<BackupId>,
    /// Why it failed; `None`: it succeeded.
    pub failure: Option<String>,
    /// What should be known of its success, one sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// A whole backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Its name.
    pub id: BackupId,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// Bytes of all its files.
    pub bytes: u64,
}

/// How the copies at a target stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetReport {
    /// Its name in the configuration.
    pub name: String,
    /// Complete copies of backups that are on this node.
    pub complete: u64,
    /// Backups on this node without a complete copy there.
    pub pending: u64,
    /// When the last copy became complete.
    pub last_success: Option<Timestamp>,
    /// Failed attempts in a row, of the backup that has most.
    pub failures: u32,
    /// The last failure.
    pub last_failure: Option<String>,
}

/// How long ago, never negative: a backup from the future (scenario D03) is new.
#[must_use]
pub fn age(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}
