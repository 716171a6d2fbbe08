//! What is written down of one recovery: before each step, and for the report afterwards.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::loss::Loss;
use super::rung::Rung;

/// One recovery, from the loss to its end. What the report, the log and `status` are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its name: `<UTC time>-<node>`, as of backups.
    pub id: String,
    /// The node.
    pub node: String,
    /// Who began it.
    pub trigger: Trigger,
    /// What was lost.
    pub losses: Vec<Loss>,
    /// The evidence at the beginning, one sentence each.
    pub evidence: Vec<String>,
    /// The way that was taken.
    pub rung: Rung,
    /// What the plan said of it, one sentence each: predicted loss and time, the source.
    pub plan: Vec<String>,
    /// When the loss was first seen.
    pub suspected_at: Timestamp,
    /// When the recovery began.
    pub entered_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended; `None`: it is under way.
    pub outcome: Option<Outcome>,
    /// Its phases in their order; the last one is under way while there is no outcome.
    pub phases: Vec<Phase>,
    /// What happened, in its order.
    pub events: Vec<Event>,
    /// Data lost, in seconds, as far as it is known at the end.
    pub lost_seconds: Option<u64>,
    /// Where what was moved aside is.
    pub moved_aside: Vec<String>,
    /// What was cleared up afterwards, and what was left.
    #[serde(default)]
    pub hygiene: Vec<Finding>,
}

/// One thing that is stale after a restore, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The kind, as in the key `recovery.hygiene`.
    pub kind: String,
    /// What is stale and why, one sentence.
    pub what: String,
    /// What became of it.
    pub end: Ending,
}

/// What became of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It is to be cleared up.
    Planned,
    /// It was cleared up.
    Done,
    /// It was left as it is: why.
    Left(String),
}

/// Who began a recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// The daemon, by its policy.
    Automatic,
    /// An operator.
    Operator {
        /// The user id on the socket.
        uid: u32,
    },
}

impl Trigger {
    /// For people.
    #[must_use]
    pub fn said(&self) -> String {
        match self {
            Self::Automatic => "by itself".to_owned(),
            Self::Operator { uid } => format!("by an operator (user id {uid})"),
        }
    }
}

/// A phase of a recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Which, in words: `restoring etcd`.
    pub what: String,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What it waits for, or how it ended; empty: nothing to say.
    pub note: String,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What, one sentence.
    pub what: String,
    /// The API server served from then on (`true`) or did no more (`false`).
    pub api: Option<bool>,
}

/// How a recovery ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The control plane serves and its components are Ready.
    Recovered,
    /// It came back before anything was done.
    Unneeded,
    /// It failed, and what was done was taken back: why.
    Failed(String),
    /// An operator ended it.
    Abandoned(String),
}

impl Outcome {
    /// The words of all outcomes, used as metric labels.
    pub const WORDS: [&str; 4] = ["recovered", "unneeded", "failed", "abandoned"];

    /// The word shown to people and used as a metric label.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Unneeded => "unneeded",
            Self::Failed(_) => "failed",
            Self::Abandoned(_) => "abandoned",
        }
    }

    /// For people.
    #[must_use]
    pub fn said(&self) -> String {
        match self {
            Self::Recovered => "the control plane is back".to_owned(),
            Self::Unneeded => "the control plane came back by itself".to_owned(),
            Self::Failed(why) => format!("failed: {why}"),
            Self::Abandoned(why) => format!("abandoned: {why}"),
        }
    }

    /// Why it failed or was ended.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Recovered | Self::Unneeded => None,
            Self::Failed(why) | Self::Abandoned(why) => Some(why),
        }
    }
}
