//! What is published of recovery mode: the socket, the metrics and `status` read it.
//!
//! Durations are whole seconds at the moment of publishing. [`RecoveryReport::timeless`] is the
//! report without them, so that a reader is woken by what happens and not by time that passes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::loss::{Condition, Loss};
use super::part::Part;
use super::record::{Outcome, Record, Trigger};
use super::rung::Rung;

/// How the control plane stands, what is done about it, and why no more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RecoveryReport {
    /// Something may be done without asking.
    pub automatic: bool,
    /// An operator holds everything automatic: until when and why, one sentence.
    pub held: Option<String>,
    /// In one word.
    pub condition: Condition,
    /// Seconds that it has been so.
    pub since_seconds: u64,
    /// Losses, suspected and confirmed.
    pub losses: Vec<LossView>,
    /// What does not work and is no loss, or not yet.
    pub troubles: Vec<TroubleView>,
    /// What is waited for, or why it is not called lost, one sentence each.
    pub waits: Vec<String>,
    /// What is not known, one sentence each.
    pub unknown: Vec<String>,
    /// The way back that would be taken; while nothing is lost: if it were lost now.
    pub chosen: Option<Chosen>,
    /// What stands in the way of it, one sentence each.
    pub blockers: Vec<String>,
    /// Nothing automatic until an operator has looked: why, one sentence.
    pub latched: Option<String>,
    /// The recovery that is under way.
    pub running: Option<Running>,
    /// The one that ended last.
    pub last: Option<Last>,
    /// How many ended, and how, since the log began.
    pub ended: Ended,
}

/// A loss, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossView {
    /// Which.
    pub loss: Loss,
    /// Seconds that all evidence has agreed.
    pub since_seconds: u64,
    /// Seconds until it counts as lost; 0: it is due.
    pub due_in_seconds: u64,
    /// It is due, and nothing of the evidence is missing.
    pub confirmed: bool,
    /// The evidence, one sentence each.
    pub evidence: Vec<String>,
}

/// Something that does not work, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TroubleView {
    /// Which part.
    pub part: Part,
    /// What is wrong, one sentence.
    pub what: String,
    /// Seconds that it has been so.
    pub since_seconds: u64,
    /// Who deals with it.
    pub handler: String,
}

/// The way back that would be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// Which.
    pub rung: Rung,
    /// Data lost by it, in seconds; `None`: not known.
    pub loss_seconds: Option<u64>,
    /// Seconds until everything serves; `None`: not known.
    pub takes_seconds: Option<u64>,
}

/// A recovery that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its id.
    pub id: String,
    /// The way.
    pub rung: Rung,
    /// Who began it.
    pub trigger: Trigger,
    /// The phase it is in.
    pub phase: String,
    /// What the phase waits for; empty: nothing to say.
    pub waits_for: String,
    /// Seconds since it began.
    pub elapsed_seconds: u64,
    /// Seconds since the phase began.
    pub phase_seconds: u64,
}

/// A recovery that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// Its id.
    pub id: String,
    /// The way.
    pub rung: Rung,
    /// How it ended.
    pub outcome: Outcome,
    /// When.
    pub ended_at: Timestamp,
    /// Seconds from its beginning to its end.
    pub took_seconds: u64,
    /// Data lost, in seconds, as far as it is known.
    pub lost_seconds: Option<u64>,
}

/// How many recoveries ended, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Ended {
    /// The control plane was brought back.
    pub recovered: u64,
    /// It came back by itself.
    pub unneeded: u64,
    /// It failed.
    pub failed: u64,
    /// An operator ended it.
    pub abandoned: u64,
}

impl Ended {
    /// Counts one.
    pub fn count(&mut self, outcome: &Outcome) {
        self.count_word(outcome.word());
    }

    /// Counts one by the word of its outcome; another word counts as nothing.
    pub fn count_word(&mut self, word: &str) {
        let counter = match word {
            "recovered" => &mut self.recovered,
            "unneeded" => &mut self.unneeded,
            "failed" => &mut self.failed,
            "abandoned" => &mut self.abandoned,
            _ => return,
        };
        *counter = counter.saturating_add(1);
    }

    /// Each word of an outcome with its number.
    #[must_use]
    pub fn by_word(&self) -> [(&'static str, u64); 4] {
        let [recovered, unneeded, failed, abandoned] = Outcome::WORDS;
        [
            (recovered, self.recovered),
            (unneeded, self.unneeded),
            (failed, self.failed),
            (abandoned, self.abandoned),
        ]
    }
}

impl Running {
    /// A recovery without an outcome; `None`: it has one.
    #[must_use]
    pub fn of(record: &Record, now: Timestamp) -> Option<Self> {
        if record.outcome.is_some() {
            return None;
        }
        let phase = record.phases.last();
        Some(Self {
            id: record.id.clone(),
            rung: record.rung,
            trigger: record.trigger.clone(),
            phase: phase.map_or_else(|| "beginning".to_owned(), |phase| phase.what.clone()),
            waits_for: phase.map_or_else(String::new, |phase| phase.note.clone()),
            elapsed_seconds: seconds_between(record.entered_at, now),
            phase_seconds: seconds_between(phase.map_or(record.entered_at, |p| p.began), now),
        })
    }
}

impl Last {
    /// A recovery with an outcome; `None`: it is under way.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        let (outcome, ended_at) = (record.outcome.clone()?, record.ended_at?);
        Some(Self {
            id: record.id.clone(),
            rung: record.rung,
            outcome,
            ended_at,
            took_seconds: seconds_between(record.entered_at, ended_at),
            lost_seconds: record.lost_seconds,
        })
    }
}

impl RecoveryReport {
    /// The same with every duration that only passes set to 0.
    #[must_use]
    pub fn timeless(&self) -> Self {
        let mut report = self.clone();
        report.since_seconds = 0;
        for loss in &mut report.losses {
            (loss.since_seconds, loss.due_in_seconds) = (0, 0);
        }
        for trouble in &mut report.troubles {
            trouble.since_seconds = 0;
        }
        if let Some(running) = &mut report.running {
            (running.elapsed_seconds, running.phase_seconds) = (0, 0);
        }
        report
    }
}

/// Whole seconds from one time to a later one; 0 where it is not later.
#[must_use]
pub fn seconds_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0)
}
