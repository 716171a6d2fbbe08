//! What a recovery remembers from one step to the next: on the disk before each step begins.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::guard::restore::Restore;
use super::loss::Loss;
use super::part::Part;
use super::plan::{Asked, Plan};
use super::record::{Event, Outcome, Phase, Record, Trigger};
use super::resources::Restartable;
use super::rung::Rung;
use crate::core::time::Moment;

/// One thing that a recovery does; it may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// The loop of checkpoints is given its time.
    Checkpoints,
    /// Something that hangs is started again.
    Restart(Part, Restartable),
    /// The good copy of this static manifest is put back.
    PutBack(Part, Restore),
    /// etcd is restored from its data directory here.
    RestoreData,
    /// etcd is restored from this backup: an id, or a path.
    RestoreBackup(String),
    /// etcd's member here is replaced.
    ReplaceMember,
    /// A temporary control plane, until the self-hosted one is back.
    Temporary,
    /// What is stale after a restore is cleared up.
    Hygiene,
}

impl Act {
    /// The way that it is a part of.
    #[must_use]
    pub fn rung(&self) -> Option<Rung> {
        Some(match self {
            Self::Checkpoints => Rung::Checkpoints,
            Self::Restart(..) => Rung::Restart,
            Self::PutBack(..) => Rung::StaticPods,
            Self::RestoreData => Rung::DataDirectory,
            Self::RestoreBackup(_) => Rung::Backup,
            Self::ReplaceMember => Rung::ReplaceMember,
            Self::Temporary => Rung::TemporaryControlPlane,
            Self::Hygiene => return None,
        })
    }

    /// The phase, for people.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Checkpoints => "activating checkpoints".to_owned(),
            Self::Restart(part, _) => format!("restarting {part}"),
            Self::PutBack(part, _) => format!("putting back the static manifest of {part}"),
            Self::RestoreData => "restoring etcd from its data directory".to_owned(),
            Self::RestoreBackup(source) => format!("restoring etcd from backup {source}"),
            Self::ReplaceMember => "replacing this node's etcd member".to_owned(),
            Self::Temporary => "running a temporary control plane".to_owned(),
            Self::Hygiene => "clearing up what is stale".to_owned(),
        }
    }

    /// It has changed what etcd holds: what is stale is cleared up afterwards.
    #[must_use]
    pub fn restores_etcd(&self) -> bool {
        matches!(self, Self::RestoreData | Self::RestoreBackup(_))
    }
}

/// A recovery under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// What its report will say.
    pub record: Record,
    /// What an operator asked for; nothing: it began by itself.
    pub asked: Option<Asked>,
    /// Ways that have failed, and why.
    pub tried: Vec<(Rung, String)>,
    /// What is being done: after a cut-off it is done again.
    pub doing: Option<Act>,
    /// What was done, in its order.
    pub done: Vec<Act>,
    /// Since when nothing is lost any more; of [`Journal::boot_id`].
    pub well_since: Option<Moment>,
    /// When [`Journal::doing`] began; of [`Journal::boot_id`].
    pub doing_since: Option<Moment>,
    /// When the last of [`Journal::done`] ended; of [`Journal::boot_id`].
    pub done_at: Option<Moment>,
    /// The boot that these moments are of.
    pub boot_id: String,
    /// An operator has ended it: why.
    pub ending: Option<String>,
}

/// How a recovery begins.
#[derive(Debug, Clone)]
pub struct Beginning<'a> {
    /// Its name.
    pub id: String,
    /// The node.
    pub node: &'a str,
    /// What is lost, with the evidence.
    pub losses: Vec<Loss>,
    /// The evidence, one sentence each.
    pub evidence: Vec<String>,
    /// The plan that it begins with.
    pub plan: &'a Plan,
    /// Its first way.
    pub rung: Rung,
    /// What was asked for.
    pub asked: Option<Asked>,
    /// When the loss was first seen.
    pub suspected_at: Timestamp,
    /// Now.
    pub wall: Timestamp,
    /// This boot.
    pub boot_id: &'a str,
}

/// Why the ways before this one were not taken, a sentence each.
fn passed_over(plan: &Plan, rung: Rung) -> impl Iterator<Item = String> {
    let before = plan.rungs.iter().take_while(move |way| way.rung != rung);
    before.map(|way| {
        let reasons: Vec<&str> = way.against().collect();
        format!("not by {}: {}", way.rung, reasons.join("; "))
    })
}

impl Journal {
    /// A recovery that begins.
    #[must_use]
    pub fn begin(from: Beginning<'_>) -> Self {
        let trigger = match &from.asked {
            None => Trigger::Automatic,
            Some(asked) => Trigger::Operator { uid: asked.uid },
        };
        let way = from.plan.rungs.iter().find(|way| way.rung == from.rung);
        let plan = way.map_or(Vec::new(), |way| {
            let mut lines = vec![format!(
                "{}: loses {}, takes about {} s",
                way.rung, way.loses, way.takes_seconds
            )];
            lines.extend(way.with.iter().cloned());
            lines.extend(passed_over(from.plan, from.rung));
            lines
        });
        Self {
            record: Record {
                id: from.id,
                node: from.node.to_owned(),
                trigger,
                losses: from.losses,
                evidence: from.evidence,
                rung: from.rung,
                plan,
                suspected_at: from.suspected_at,
                entered_at: from.wall,
                ended_at: None,
                outcome: None,
                phases: Vec::new(),
                events: Vec::new(),
                lost_seconds: None,
                moved_aside: Vec::new(),
                hygiene: Vec::new(),
            },
            asked: from.asked,
            tried: Vec::new(),
            doing: None,
            done: Vec::new(),
            well_since: None,
            doing_since: None,
            done_at: None,
            boot_id: from.boot_id.to_owned(),
            ending: None,
        }
    }

    /// Another boot: what was measured by the old one's clock begins anew.
    pub fn rebase(&mut self, boot_id: &str, now: Moment) {
        if self.boot_id != boot_id {
            boot_id.clone_into(&mut self.boot_id);
            self.well_since = None;
            self.doing_since = self.doing_since.map(|_| now);
            self.done_at = self.done_at.map(|_| now);
        }
    }

    /// When etcd last served again after a restore of this recovery; `None`: it was not restored.
    #[must_use]
    pub fn restored_at(&self) -> Option<Timestamp> {
        let mut acts = self.done.iter().rev();
        let words = acts.find(|act| act.restores_etcd())?.words();
        let mut phases = self.record.phases.iter().rev();
        phases.find(|phase| phase.what == words)?.ended
    }

    /// Something is begun.
    pub fn start(&mut self, act: Act, now: Moment, wall: Timestamp) {
        self.phase(act.words(), wall);
        if let Some(rung) = act.rung() {
            // What costs most tells what the recovery was; what comes after it only follows.
            self.record.rung = self.record.rung.max(rung);
        }
        self.doing = Some(act);
        self.doing_since = Some(now);
    }

    /// What was begun has ended: with a word on how, or why it failed.
    pub fn end(&mut self, result: Result<String, String>, now: Moment, wall: Timestamp) {
        let Some(act) = self.doing.take() else {
            return;
        };
        self.doing_since = None;
        let note = match result {
            Ok(note) => {
                self.done.push(act);
                self.done_at = Some(now);
                note
            }
            Err(why) => {
                let note = format!("failed: {why}");
                if let Some(rung) = act.rung() {
                    self.tried.push((rung, why));
                }
                note
            }
        };
        if let Some(phase) = self.record.phases.last_mut() {
            phase.ended = Some(wall);
            phase.note.clone_from(&note);
        }
        if !note.is_empty() {
            self.event(&note, None, wall);
        }
    }

    /// A phase begins; the one before has ended.
    pub fn phase(&mut self, what: String, wall: Timestamp) {
        if let Some(last) = self.record.phases.last_mut()
            && last.ended.is_none()
        {
            last.ended = Some(wall);
        }
        self.record.phases.push(Phase {
            what,
            began: wall,
            ended: None,
            note: String::new(),
        });
    }

    /// Something happened.
    pub fn event(&mut self, what: &str, api: Option<bool>, wall: Timestamp) {
        /// A recovery that goes in circles is not to fill the disk.
        const MOST: usize = 500;
        if self.record.events.len() < MOST {
            self.record.events.push(Event {
                at: wall,
                what: what.to_owned(),
                api,
            });
        }
    }

    /// It has ended.
    pub fn close(&mut self, outcome: Outcome, wall: Timestamp) {
        if let Some(last) = self.record.phases.last_mut()
            && last.ended.is_none()
        {
            last.ended = Some(wall);
        }
        self.record.outcome = Some(outcome);
        self.record.ended_at = Some(wall);
    }

    /// etcd was restored.
    #[must_use]
    pub fn restored_etcd(&self) -> bool {
        self.done.iter().any(Act::restores_etcd)
    }
}
