//! The report as a screenful for people.

use crate::api::wire::Status;
use crate::cli::output::{clean, columns};
use crate::cli::{backup_view, recovery_view};
use crate::core::report::{CheckpointReport, SourceReport};
use crate::core::stored::Engine;
use crate::daemon::clock;

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// The whole text, at least one line.
#[must_use]
pub fn text(status: &Status, colour: bool) -> String {
    let report = &status.report;
    let paint = |code: &str, text: &str| {
        if colour {
            format!("{code}{text}{PLAIN}")
        } else {
            text.to_owned()
        }
    };
    let node = if report.node.is_empty() {
        "this node"
    } else {
        &report.node
    };
    let summary = if report.summary.is_empty() {
        "starting"
    } else {
        &report.summary
    };
    let mut out = paint(BOLD, &format!("{}: {}", clean(node), clean(summary)));
    out.push('\n');
    if let Some(hold) = &report.hold {
        let left = duration(hold.left(clock::now()).as_secs());
        let line = format!("  {}; {left} left", clean(&hold.said()));
        out.push_str("\nHold\n");
        out.push_str(&paint(RED, &line));
        out.push('\n');
    }
    if !report.operations.is_empty() {
        out.push_str("\nOperations\n");
        for operation in &report.operations {
            let line = format!("  {}", clean(&operation.said()));
            out.push_str(&if operation.is_left() {
                paint(RED, &line)
            } else {
                line
            });
            out.push('\n');
        }
    }
    out.push_str("\nControl plane\n");
    for (line, bad) in recovery_view::section(&status.recovery, clock::wall()) {
        out.push_str(&if bad { paint(RED, &line) } else { line });
        out.push('\n');
    }
    if !report.sources.is_empty() {
        out.push_str("\nSources\n");
        let rows: Vec<_> = report.sources.iter().map(source).collect();
        for (line, source) in columns(&rows, "  ").lines().zip(&report.sources) {
            let red = source.unknown.is_some();
            out.push_str(&if red {
                paint(RED, line)
            } else {
                line.to_owned()
            });
            out.push('\n');
        }
    }
    out.push_str("\nCheckpoints\n");
    if report.checkpoints.is_empty() {
        out.push_str("  none\n");
    } else {
        out.push_str(&checkpoints(&report.checkpoints, "  "));
    }
    out.push_str("\nBackups\n");
    for (line, bad) in backup_view::section(&status.backups, clock::wall()) {
        out.push_str(&if bad { paint(RED, &line) } else { line });
        out.push('\n');
    }
    for (head, lines, code) in [
        ("Waiting for", &report.waiting, ""),
        ("Refused", &report.refused, ""),
        ("Problems", &report.problems, RED),
        ("Missing images", &report.missing_images, RED),
    ] {
        if lines.is_empty() {
            continue;
        }
        out.push('\n');
        out.push_str(head);
        out.push('\n');
        for line in lines {
            let line = format!("  {}", clean(line));
            out.push_str(&if code.is_empty() {
                line
            } else {
                paint(code, &line)
            });
            out.push('\n');
        }
    }
    out
}

fn source(source: &SourceReport) -> Vec<String> {
    let word = source.unknown.map_or("up", |kind| kind.word());
    vec![
        source.name.clone(),
        format!("{word} for {}", duration(source.since_seconds)),
        source.detail.clone(),
    ]
}

/// Checkpoints as a table with a head.
#[must_use]
pub fn checkpoints(all: &[CheckpointReport], indent: &str) -> String {
    let head = ["ID", "STATE", "ENGINE", "PARENT", "REASON"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(all.iter().map(|checkpoint| {
        let engine = checkpoint.engine.map_or("-", engine_word);
        vec![
            checkpoint.id.to_string(),
            checkpoint.state.word().to_owned(),
            engine.to_owned(),
            checkpoint.parent_state.clone(),
            checkpoint.reason.clone(),
        ]
    }));
    columns(&rows, indent)
}

/// The word for an engine.
#[must_use]
pub fn engine_word(engine: Engine) -> &'static str {
    match engine {
        Engine::Kubelet => "kubelet",
        Engine::Containerd => "containerd",
    }
}

/// A duration in its two largest units.
#[must_use]
pub fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_show_two_units() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min 0 s"),
            (3599, "59 min 59 s"),
            (3600, "1 h 0 min"),
            (86399, "23 h 59 min"),
            (90000, "1 d 1 h"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }
}
