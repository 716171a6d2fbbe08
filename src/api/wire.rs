//! What crosses the socket: version 1. Fields are only ever added.

use serde::{Deserialize, Serialize};

use crate::core::backup::report::BackupsReport;
use crate::core::recovery::plan::Plan;
use crate::core::recovery::view::RecoveryReport;
use crate::core::report::{CheckpointReport, Report};

/// Body of `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Number of this report: `?after=GENERATION` waits for another one.
    pub generation: u64,
    /// The report.
    #[serde(flatten)]
    pub report: Report,
    /// Backups.
    #[serde(default)]
    pub backups: BackupsReport,
    /// Recovery mode.
    #[serde(default)]
    pub recovery: RecoveryReport,
}

/// Body of `GET /v1/recovery-mode/plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plans {
    /// For each loss that there is; while there is none, for those that could be.
    pub plans: Vec<Plan>,
    /// Sources that the daemon, just started, has not asked yet: ask again in a moment.
    #[serde(default)]
    pub unasked: Vec<String>,
}

/// Body of the answer to `POST /v1/recovery-mode/enter`: a recovery was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entered {
    /// Its name: `running.id` and then `last.id` of the report.
    pub id: String,
}

/// Body of the answer to `POST /v1/recovery-mode/exit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// What is done.
    pub said: String,
}

/// Body of the answer to `POST /v1/backups`: a backup was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Its number in `running.run` and then `last_run.run` of `GET /v1/backups`.
    pub run: u64,
}

/// Body of `GET /v1/checkpoints`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoints {
    /// By id.
    pub checkpoints: Vec<CheckpointReport>,
}

/// Body of `GET /v1/checkpoints/ID`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// State and reason; `None` where only the disk was asked.
    pub report: Option<CheckpointReport>,
    /// What is stored.
    pub details: Details,
}

/// What is stored of a checkpoint. Holds no value of an environment variable and no content of a
/// file, nor digests of them, from which short ones could be guessed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Details {
    /// The last known good revision.
    pub good: Option<Revision>,
    /// A newer one, not proven yet. What is hidden in it says whether it differs from the good one.
    pub candidate: Option<Revision>,
    /// What could not be read, one sentence each.
    pub problems: Vec<String>,
}

/// One stored revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// 16 hex digits.
    pub revision: String,
    /// The static pod, secrets hidden.
    pub manifest: serde_json::Value,
    /// Files of its data volumes.
    pub files: Vec<File>,
    /// What was changed or left out when it was made from its parent.
    pub notes: Vec<String>,
}

/// One data file, without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Below the revision's data directory.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size.
    pub bytes: u64,
    /// Its content differs from that of the good revision, or is not in it.
    pub differs: bool,
}

/// Body of every answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// What is wrong.
    pub error: String,
    /// What to do.
    pub hint: String,
}
