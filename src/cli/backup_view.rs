//! The section on backups of `rekindle status`, and the words for sizes and ages.

use std::time::Duration;

use jiff::Timestamp;

use super::output::columns;
use super::status_view::duration;
use crate::core::backup::report::{Backup, BackupsReport, LastRun, Running, TargetReport, age};

/// A line of the section, and whether it needs an operator's eye.
type Line = (Vec<String>, bool);

/// The section without its head: lines, and whether each needs an operator's eye.
#[must_use]
pub fn section(report: &BackupsReport, now: Timestamp) -> Vec<(String, bool)> {
    let mut lines: Vec<Line> = Vec::new();
    let mut line = |what: &str, text: String, bad: bool| {
        lines.push((vec![what.to_owned(), text], bad));
    };
    if !report.reason.is_empty() {
        let head = if report.on { "note" } else { "off" };
        line(head, report.reason.clone(), false);
    }
    if let Some(running) = &report.running {
        line("running", under_way(running, now), false);
    }
    if report.on || report.kept > 0 {
        let proven = report.newest_proven.as_ref();
        let mut text = backup(proven, now);
        if let Some(at) = report.proven_at {
            text = format!("{text}, proven {}", ago(at, now));
        }
        line("proven restorable", text, report.on && proven.is_none());
        let verified = report.newest_verified.as_ref();
        line(
            "newest verified",
            backup(verified, now),
            report.on && verified.is_none(),
        );
        line("kept", kept(report), false);
    }
    if let Some(run) = &report.last_run {
        let mut text = ended(run, now);
        if report.failures_in_a_row > 1 {
            text = format!("{text} ({} in a row)", report.failures_in_a_row);
        }
        line("last backup", text, run.failure.is_some());
    }
    if let Some(run) = &report.last_rehearsal {
        line("last rehearsal", ended(run, now), run.failure.is_some());
    }
    if report.on {
        line("next backup", due(report.next_backup, now), false);
        line("next rehearsal", due(report.next_rehearsal, now), false);
    }
    for one in &report.targets {
        let head = format!("target {}", one.name);
        lines.push((vec![head, target(one, now)], one.failures > 0));
    }
    for (head, texts) in [("damaged", &report.damaged), ("problem", &report.problems)] {
        let told = texts
            .iter()
            .map(|text| (vec![head.to_owned(), text.clone()], true));
        lines.extend(told);
    }
    let rows: Vec<_> = lines.iter().map(|(row, _)| row.clone()).collect();
    let bad = lines.iter().map(|(_, bad)| *bad);
    columns(&rows, "  ")
        .lines()
        .map(str::to_owned)
        .zip(bad)
        .collect()
}

fn backup(backup: Option<&Backup>, now: Timestamp) -> String {
    backup.map_or_else(
        || "none".to_owned(),
        |backup| {
            let size = bytes(backup.bytes);
            format!("{}, taken {}, {size}", backup.id, ago(backup.taken_at, now))
        },
    )
}

fn kept(report: &BackupsReport) -> String {
    let free = report.free_bytes.map_or_else(
        || "free space not known".to_owned(),
        |free| format!("{} free", bytes(free)),
    );
    format!("{}, {}; {free}", report.kept, bytes(report.kept_bytes))
}

/// What runs, in words.
#[must_use]
pub fn under_way(running: &Running, now: Timestamp) -> String {
    let since = words(age(running.since, now));
    let phase = if running.phase.is_empty() {
        "beginning"
    } else {
        &running.phase
    };
    let done = bytes(running.done_bytes);
    let how_far = match (running.done_bytes, running.total_bytes) {
        (0, 0) => String::new(),
        (_, 0) => format!(", {done}"),
        (_, total) => format!(", {done} of {}", bytes(total)),
    };
    format!("{} for {since}: {phase}{how_far}", running.work.word())
}

fn ended(run: &LastRun, now: Timestamp) -> String {
    let when = ago(run.ended_at, now);
    let took = run.took_ms.map_or_else(String::new, |millis| {
        format!(", took {}", words(Duration::from_millis(millis)))
    });
    match (&run.failure, &run.id) {
        (Some(failure), Some(id)) => format!("{id} failed {when}: {failure}"),
        (Some(failure), None) => format!("failed {when}: {failure}"),
        (None, Some(id)) => format!("{id} done {when}{took}"),
        (None, None) => format!("done {when}{took}"),
    }
}

fn due(at: Option<Timestamp>, now: Timestamp) -> String {
    match at {
        None => "only when asked".to_owned(),
        Some(at) if at <= now => "now".to_owned(),
        Some(at) => format!("in {}", words(age(now, at))),
    }
}

fn target(target: &TargetReport, now: Timestamp) -> String {
    let newest = target.last_success.map_or_else(String::new, |at| {
        format!(", the last complete {}", ago(at, now))
    });
    let pending = if target.pending > 0 {
        format!(", {} to copy", target.pending)
    } else {
        String::new()
    };
    let failed = target
        .last_failure
        .as_ref()
        .map_or_else(String::new, |why| {
            format!(", {} failed in a row: {why}", target.failures)
        });
    format!("{} copies{newest}{pending}{failed}", target.complete)
}

/// `3 h 2 min ago`.
#[must_use]
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    format!("{} ago", words(age(then, now)))
}

fn words(time: Duration) -> String {
    duration(time.as_secs())
}

/// A size in the largest unit that it reaches, with three digits or so.
#[must_use]
pub fn bytes(count: u64) -> String {
    let mut unit = "B";
    let (mut whole, mut tenths) = (count, 0);
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if whole < 1024 {
            break;
        }
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit = larger;
    }
    if unit == "B" || whole >= 100 {
        format!("{whole} {unit}")
    } else {
        format!("{whole}.{tenths} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{bytes, section};
    use crate::core::backup::id::BackupId;
    use crate::core::backup::report::{Backup, BackupsReport, LastRun, TargetReport};

    #[test]
    fn sizes_are_short() {
        for (count, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (200 * 1024 * 1024, "200 MiB"),
            (3 << 30, "3.0 GiB"),
        ] {
            assert_eq!(bytes(count), expected);
        }
    }

    #[test]
    fn b01_what_is_not_proven_and_what_fails_stands_out() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let backup = Backup {
            id: BackupId::parse("20261124T090000Z-m1").unwrap(),
            taken_at: "2026-11-24T09:00:00Z".parse().unwrap(),
            bytes: 1536,
        };
        let report = BackupsReport {
            on: true,
            newest: Some(backup.clone()),
            newest_verified: Some(backup),
            failures_in_a_row: 3,
            last_run: Some(LastRun {
                run: 4,
                ended_at: "2026-11-24T11:30:00Z".parse().unwrap(),
                took_ms: None,
                id: None,
                failure: Some("etcd does not answer".to_owned()),
                notes: Vec::new(),
            }),
            next_backup: Some("2026-11-24T15:00:00Z".parse().unwrap()),
            kept: 1,
            kept_bytes: 1536,
            targets: vec![TargetReport {
                name: "s3".to_owned(),
                complete: 0,
                pending: 1,
                last_success: None,
                failures: 2,
                last_failure: Some("access denied".to_owned()),
            }],
            ..BackupsReport::default()
        };
        let told = section(&report, now);
        let expected = [
            ("  proven restorable  none", true),
            (
                "  newest verified    20261124T090000Z-m1, taken 3 h 0 min ago, 1.5 KiB",
                false,
            ),
            (
                "  kept               1, 1.5 KiB; free space not known",
                false,
            ),
            (
                "  last backup        failed 30 min 0 s ago: etcd does not answer (3 in a row)",
                true,
            ),
            ("  next backup        in 3 h 0 min", false),
            ("  next rehearsal     only when asked", false),
            (
                "  target s3          0 copies, 1 to copy, 2 failed in a row: access denied",
                true,
            ),
        ];
        let expected: Vec<_> = expected.map(|(text, bad)| (text.to_owned(), bad)).to_vec();
        assert_eq!(told, expected);
    }
}
