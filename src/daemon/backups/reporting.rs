//! Composes the published report on backups, and says each problem once.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tracing::warn;

use super::look::{Look, target_names};
use super::sides::Told;
use crate::config::Settings;
use crate::core::backup::record::Index;
use crate::core::backup::report::{BackupsReport, LastRun, Running, TargetReport, Work};

/// What has been said, and what became of the last work.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    problems: BTreeMap<&'static str, String>,
    last_backup: Option<LastRun>,
    last_rehearsal: Option<LastRun>,
}

impl Spoken {
    /// Logs a problem once, and keeps it for the report until it is solved.
    pub(super) fn problem(&mut self, key: &'static str, text: String) {
        if self.problems.get(key) != Some(&text) {
            warn!(problem = text, "backups");
            self.problems.insert(key, text);
        }
    }

    /// The problem is no more.
    pub(super) fn solved(&mut self, key: &'static str) {
        self.problems.remove(key);
    }

    /// What became of a piece of work.
    pub(super) fn last(&mut self, work: Work, run: LastRun) {
        match work {
            Work::Backup => self.last_backup = Some(run),
            Work::Rehearsal => self.last_rehearsal = Some(run),
        }
    }
}

/// All that the report is made of.
pub(super) struct Facts<'a> {
    pub(super) settings: &'a Settings,
    /// Why backups are off.
    pub(super) off: Option<String>,
    /// `None`: the disk could not be read.
    pub(super) look: Option<&'a Look>,
    pub(super) running: Option<&'a Running>,
    /// When the next backup and rehearsal are due.
    pub(super) next: (Option<Timestamp>, Option<Timestamp>),
    pub(super) sides: &'a Told,
    pub(super) spoken: &'a Spoken,
}

/// The report.
pub(super) fn report(facts: &Facts<'_>) -> BackupsReport {
    let settings = facts.settings;
    let spoken = facts.spoken;
    let mut report = BackupsReport {
        on: facts.off.is_none(),
        running: facts.running.cloned(),
        last_run: spoken.last_backup.clone(),
        last_rehearsal: spoken.last_rehearsal.clone(),
        next_backup: facts.next.0,
        next_rehearsal: facts.next.1,
        min_free_bytes: settings.backup.policy.retention.min_free_bytes,
        high_water_revision: facts.sides.high_water,
        problems: spoken.problems.values().cloned().collect(),
        ..BackupsReport::default()
    };
    report.problems.extend(facts.sides.problems.iter().cloned());
    if let Some(look) = facts.look {
        report.problems.extend(look.problems.iter().cloned());
        of_disk(&mut report, settings, look);
    }
    report.reason = reason(facts, &report);
    report
}

fn of_disk(report: &mut BackupsReport, settings: &Settings, look: &Look) {
    report.newest = look.newest_backup(|_| true);
    report.newest_verified = look.newest_backup(|kept| kept.verified);
    report.newest_proven = look.newest_backup(|kept| kept.rehearsed);
    report.proven_at = report.newest_proven.as_ref().and_then(|proven| {
        let record = look.index.records.get(&proven.id)?;
        record.rehearsed.as_ref().map(|outcome| outcome.at)
    });
    let sizes = look.listing.backups.iter().map(|(kept, _)| kept.bytes);
    report.kept = u64::try_from(look.listing.backups.len()).unwrap_or(u64::MAX);
    report.kept_bytes = sizes.fold(0, u64::saturating_add);
    report.free_bytes = look.free_bytes;
    report.damaged = look.damaged(&settings.backup.dir);
    report.failures_in_a_row = look.index.runs.failures;
    if report.last_run.is_none() {
        let last = look.index.runs.last_try.clone();
        report.last_run = last.map(|(ended_at, failure)| LastRun {
            run: 0,
            ended_at,
            took_ms: None,
            id: None,
            failure,
            notes: Vec::new(),
        });
    }
    let names = target_names(settings).into_iter();
    report.targets = names.map(|name| target(&name, &look.index, look)).collect();
}

fn target(name: &str, index: &Index, look: &Look) -> TargetReport {
    let here = look.listing.backups.iter();
    let copies = here.map(|(kept, _)| {
        let record = index.records.get(&kept.id);
        record.and_then(|record| record.copies.get(name))
    });
    let mut report = TargetReport {
        name: name.to_owned(),
        complete: 0,
        pending: 0,
        last_success: None,
        failures: 0,
        last_failure: None,
    };
    for copy in copies {
        if copy.is_some_and(|copy| copy.complete_at.is_some()) {
            report.complete += 1;
            continue;
        }
        report.pending += 1;
        let Some(copy) = copy else { continue };
        if copy.failures > report.failures {
            report.failures = copy.failures;
            report.last_failure.clone_from(&copy.last_failure);
        }
    }
    // Also of backups that are pruned here.
    let everywhere = index.records.values();
    report.last_success = everywhere
        .filter_map(|record| record.copies.get(name)?.complete_at)
        .max();
    report
}

fn reason(facts: &Facts<'_>, report: &BackupsReport) -> String {
    if let Some(off) = &facts.off {
        return off.clone();
    }
    let policy = &facts.settings.backup.policy;
    if facts.look.is_none() {
        return "the disk cannot be read: nothing is begun by schedule".to_owned();
    }
    let verified = report.newest_verified.is_some();
    match (&policy.schedule, &policy.rehearsal) {
        (None, None) => "no schedule: backups and rehearsals only when asked".to_owned(),
        (None, Some(_)) => "no schedule: backups only when asked".to_owned(),
        (Some(_), None) => "no schedule of rehearsals: none is proven restorable".to_owned(),
        (Some(_), Some(_)) if !verified => {
            "nothing is rehearsed until there is a verified backup".to_owned()
        }
        _ => String::new(),
    }
}
