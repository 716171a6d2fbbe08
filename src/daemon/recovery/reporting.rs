//! What recovery mode tells: the published report, the record's events, reports on the disk, and
//! the operators at their terminals.

use jiff::Timestamp;

use super::jobs::{Done, Ended};
use super::task::Task;
use crate::config::Settings;
use crate::core::recovery::evidence::Evidence;
use crate::core::recovery::hygiene::leases::superseded;
use crate::core::recovery::journal::{Act, Journal};
use crate::core::recovery::loss::Assessment;
use crate::core::recovery::plan::{Plan, Restraint, plan};
use crate::core::recovery::record::{Finding, Outcome, Record};
use crate::core::recovery::resources::Resources;
use crate::core::recovery::view::{
    Chosen, Ended as Counts, Last, LossView, RecoveryReport, Running, TroubleView,
};
use crate::core::time::Moment;
use crate::daemon::clock;
use crate::daemon::execute::blocking;
use crate::recovery::report::Reports;
use crate::recovery::report::chain::{Kind, Told as Line};
use crate::recovery::wall;
use crate::store::chain;

/// What was told, and what could not be.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// What fails, one sentence each.
    pub(super) problems: Vec<String>,
    last: Option<Last>,
    counts: Counts,
    since: Option<(crate::core::recovery::loss::Condition, Moment)>,
}

impl Told {
    /// Reads what earlier recoveries left.
    pub(super) async fn load(&mut self, settings: &Settings) {
        let state_dir = settings.paths.state_dir.clone();
        let read = blocking(move || {
            let reports = Reports::new(&state_dir);
            let all = reports.all().map_err(|error| chain(&error))?;
            let counts = reports.log().ended().map_err(|error| chain(&error))?;
            Ok((all, counts))
        });
        match read.await {
            Ok((found, counts)) => {
                self.last = found.records.iter().find_map(Last::of);
                self.counts = counts;
            }
            Err(error) => self.problems.push(error),
        }
    }

    /// A recovery has begun.
    pub(super) async fn begun(&mut self, settings: &Settings, record: &Record) {
        let losses: Vec<_> = record.losses.iter().map(|loss| loss.word()).collect();
        tell_everybody(format!(
            "Rekindle on {}: the control plane is lost ({}); recovery {} begins ({}). \
             `rekindle recovery-mode status` shows it.",
            record.node,
            losses.join(", "),
            record.id,
            record.rung
        ));
        // What cannot be told is no reason to leave the control plane lost.
        if let Err(error) = save(settings, record).await {
            self.problems = vec![error];
        }
        let text = format!("{}: {}", losses.join(", "), record.rung);
        if let Err(error) = log(settings, line(record, Kind::Begun, text)).await {
            self.problems = vec![error];
        }
    }

    /// A recovery has ended.
    pub(super) async fn ended(
        &mut self,
        settings: &Settings,
        record: &Record,
    ) -> Result<(), String> {
        save(settings, record).await?;
        let said = record
            .outcome
            .as_ref()
            .map(Outcome::said)
            .unwrap_or_default();
        log(settings, line(record, Kind::Ended, said.clone())).await?;
        if let Some(outcome) = &record.outcome {
            self.counts.count(outcome);
        }
        self.last = Last::of(record);
        tell_everybody(format!(
            "Rekindle on {}: recovery {} has ended: {}. `rekindle recovery-mode report` tells it.",
            record.node, record.id, said
        ));
        Ok(())
    }
}

async fn save(settings: &Settings, record: &Record) -> Result<(), String> {
    let (state_dir, record) = (settings.paths.state_dir.clone(), record.clone());
    let wall = clock::wall();
    blocking(move || {
        let reports = Reports::new(&state_dir);
        reports.save(&record, wall).map_err(|error| chain(&error))
    })
    .await
}

async fn log(settings: &Settings, told: Line) -> Result<(), String> {
    let state_dir = settings.paths.state_dir.clone();
    blocking(move || {
        let log = Reports::new(&state_dir).log();
        log.append(&told).map(drop).map_err(|error| chain(&error))
    })
    .await
}

/// A line of the log about a recovery.
fn line(record: &Record, kind: Kind, text: String) -> Line {
    Line {
        at: clock::wall(),
        node: record.node.clone(),
        kind,
        id: Some(record.id.clone()),
        outcome: record
            .outcome
            .as_ref()
            .map(|outcome| outcome.word().to_owned()),
        text,
    }
}

/// Beside the task: a terminal that hangs holds up nothing.
fn tell_everybody(text: String) {
    drop(tokio::task::spawn_blocking(move || wall::tell(&text)));
}

/// Notes when the API server begins or ceases to serve.
pub(super) fn availability(journal: &mut Journal, evidence: &Evidence, wall: Timestamp) {
    if evidence.doors.is_empty() {
        return;
    }
    let serves = evidence.api_serves();
    let last = journal
        .record
        .events
        .iter()
        .rev()
        .find_map(|event| event.api);
    if last != Some(serves) {
        let what = if serves {
            "the API server serves"
        } else {
            "no API server serves"
        };
        journal.event(what, Some(serves), wall);
    }
}

/// What the present phase waits for; not written down by itself.
pub(super) fn waiting(journal: &mut Journal, waits: &[String]) {
    if let Some(phase) = journal.record.phases.last_mut()
        && phase.ended.is_none()
        && journal
            .doing
            .as_ref()
            .is_none_or(|act| *act == Act::Checkpoints)
    {
        phase.note = waits.join("; ");
    }
}

/// An act has ended.
pub(super) fn settle(journal: &mut Journal, ended: Ended, now: Moment, wall: Timestamp) {
    let result = ended.map(|done| {
        let Done {
            what,
            moved_aside,
            lost_seconds,
            hygiene,
        } = done;
        // A lease may have been cleared while the rest was looked at.
        let known = &mut journal.record.hygiene;
        let news = |it: &Finding| !known.iter().any(|cleared| superseded(it, cleared));
        let news: Vec<Finding> = hygiene.into_iter().filter(news).collect();
        known.extend(news);
        journal.record.moved_aside.extend(moved_aside);
        if lost_seconds.is_some() {
            journal.record.lost_seconds = lost_seconds;
        }
        what
    });
    journal.end(result, now, wall);
}

impl Task {
    /// Publishes everything.
    pub(super) fn publish(
        &mut self,
        assessment: &Assessment,
        actual: Option<&Plan>,
        found: &Resources,
        restraint: &Restraint,
        now: Moment,
    ) {
        let since = match self.told.since {
            Some((condition, since)) if condition == assessment.condition => since,
            _ => now,
        };
        self.told.since = Some((assessment.condition, since));
        if self.current.is_some() {
            let under_way = Some(self.journal.is_some());
            self.hooks
                .send_if_modified(|told| std::mem::replace(told, under_way) != under_way);
        }
        let policy = &self.settings.recovery.policy;
        let worst = super::resources::THOUGHT_OF[0];
        let thought = || plan(worst, found, policy, restraint, None, &[], clock::wall());
        let plan = actual.cloned().unwrap_or_else(thought);
        let way = plan
            .chosen
            .and_then(|rung| plan.rungs.iter().find(|way| way.rung == rung));
        let wall = clock::wall();
        let record = self.journal.as_ref().map(|journal| &journal.record);
        let mut unknown = assessment.unknown.clone();
        unknown.extend(self.told.problems.iter().cloned());
        let held = restraint.held.first().cloned();
        self.publisher.publish(RecoveryReport {
            automatic: policy.automatic,
            held,
            condition: assessment.condition,
            since_seconds: now.since(since).as_secs(),
            losses: assessment
                .losses
                .iter()
                .map(|seen| LossView {
                    loss: seen.loss,
                    since_seconds: now.since(seen.since).as_secs(),
                    due_in_seconds: seen.due.since(now).as_secs(),
                    confirmed: seen.confirmed,
                    evidence: seen.evidence.clone(),
                })
                .collect(),
            troubles: assessment
                .troubles
                .iter()
                .map(|trouble| TroubleView {
                    part: trouble.part,
                    what: trouble.what.clone(),
                    since_seconds: now.since(trouble.since).as_secs(),
                    handler: trouble.handler.clone(),
                })
                .collect(),
            waits: assessment.waits.clone(),
            unknown,
            chosen: way.map(|way| Chosen {
                rung: way.rung,
                loss_seconds: way.loses_seconds,
                takes_seconds: Some(way.takes_seconds),
            }),
            blockers: plan.refusals.clone(),
            latched: self.standing.latched.clone(),
            running: record.and_then(|record| Running::of(record, wall)),
            last: self.told.last.clone(),
            ended: self.told.counts,
        });
    }
}
