//! The metrics of backups, from the published report.

use std::fmt;

use jiff::Timestamp;

use super::{Out, number, seconds};
use crate::core::backup::report::{BackupsReport, LastRun, Work};
use crate::daemon::publish::Tries;

/// Writes every metric of backups.
pub(super) fn encode(out: &mut Out<'_, '_>, report: &BackupsReport, tries: Tries) -> fmt::Result {
    let truth = |so: bool| f64::from(u8::from(so));
    out.gauge("rekindle_backup_enabled", truth(report.on))?;
    let running = [Work::Backup, Work::Rehearsal].map(|work| {
        let so = report.running.as_ref().is_some_and(|now| now.work == work);
        ([("work", work.word())], truth(so))
    });
    out.gauges("rekindle_backup_running", running)?;
    let taken = |backup: &Option<_>| {
        let backup: Option<&crate::core::backup::report::Backup> = backup.as_ref();
        moment(backup.map(|backup| backup.taken_at))
    };
    for (name, value) in [
        (
            "rekindle_backup_newest_proven_timestamp_seconds",
            taken(&report.newest_proven),
        ),
        (
            "rekindle_backup_last_proof_timestamp_seconds",
            moment(report.proven_at),
        ),
        (
            "rekindle_backup_newest_verified_timestamp_seconds",
            taken(&report.newest_verified),
        ),
        (
            "rekindle_backup_newest_bytes",
            seconds(report.newest.as_ref().map_or(0, |newest| newest.bytes)),
        ),
        ("rekindle_backup_kept", seconds(report.kept)),
        ("rekindle_backup_kept_bytes", seconds(report.kept_bytes)),
        ("rekindle_backup_damaged", number(report.damaged.len())),
        (
            "rekindle_backup_min_free_bytes",
            seconds(report.min_free_bytes),
        ),
    ] {
        out.gauge(name, value)?;
    }
    let ended = [
        (Work::Backup, "done", tries.backups_done),
        (Work::Backup, "failed", tries.backups_failed),
        (Work::Rehearsal, "done", tries.rehearsals_done),
        (Work::Rehearsal, "failed", tries.rehearsals_failed),
    ]
    .map(|(work, outcome, count)| ([("work", work.word()), ("outcome", outcome)], count));
    out.counters("rekindle_backup_runs_total", ended)?;
    out.gauge(
        "rekindle_backup_failures_in_a_row",
        f64::from(report.failures_in_a_row),
    )?;
    occasional(out, report)
}

/// What is there only once there is something to tell.
fn occasional(out: &mut Out<'_, '_>, report: &BackupsReport) -> fmt::Result {
    if let Some(free) = report.free_bytes {
        out.gauge("rekindle_backup_free_bytes", seconds(free))?;
    }
    if let Some(run) = &report.last_run {
        out.gauge(
            "rekindle_backup_last_run_timestamp_seconds",
            moment(Some(run.ended_at)),
        )?;
        let success = f64::from(u8::from(run.failure.is_none()));
        out.gauge("rekindle_backup_last_run_success", success)?;
    }
    if let Some(took) = report.last_run.as_ref().and_then(took) {
        out.gauge("rekindle_backup_last_run_duration_seconds", took)?;
    }
    if let Some(took) = report.last_rehearsal.as_ref().and_then(took) {
        out.gauge("rekindle_backup_rehearsal_duration_seconds", took)?;
    }
    if let Some(revision) = report.high_water_revision {
        let revision = u64::try_from(revision).unwrap_or(0);
        out.gauge("rekindle_backup_high_water_revision", seconds(revision))?;
    }
    let targets = &report.targets;
    if targets.is_empty() {
        return Ok(());
    }
    let each = |value: fn(&crate::core::backup::report::TargetReport) -> f64| {
        targets
            .iter()
            .map(move |target| ([("target", target.name.as_str())], value(target)))
    };
    out.gauges(
        "rekindle_backup_target_last_success_timestamp_seconds",
        each(|target| moment(target.last_success)),
    )?;
    out.gauges(
        "rekindle_backup_target_failures",
        each(|target| f64::from(target.failures)),
    )?;
    out.gauges(
        "rekindle_backup_target_pending",
        each(|target| seconds(target.pending)),
    )
}

/// Seconds since the epoch; 0 where there is none.
fn moment(at: Option<Timestamp>) -> f64 {
    at.map_or(0.0, |at| {
        seconds(u64::try_from(at.as_second()).unwrap_or(0))
    })
}

fn took(run: &LastRun) -> Option<f64> {
    run.took_ms.map(|millis| seconds(millis) / 1000.0)
}
