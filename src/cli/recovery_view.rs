//! The section on the control plane of `rekindle status`: how it stands, what is done about it,
//! and why no more.

use jiff::Timestamp;

use super::backup_view::ago;
use super::output::columns;
use super::status_view::duration;
use crate::core::recovery::loss::Condition;
use crate::core::recovery::view::{Chosen, Last, LossView, RecoveryReport, Running};

/// The section without its head: lines, and whether each needs an operator's eye.
#[must_use]
pub fn section(report: &RecoveryReport, now: Timestamp) -> Vec<(String, bool)> {
    let mut lines: Vec<(Vec<String>, bool)> = Vec::new();
    let mut line = |what: &str, text: String, bad: bool| {
        lines.push((vec![what.to_owned(), text], bad));
    };
    if let Some(held) = &report.held {
        line("held", held.clone(), true);
    }
    let condition = report.condition;
    line(
        "condition",
        format!(
            "{} for {}",
            condition.word(),
            duration(report.since_seconds)
        ),
        matches!(
            condition,
            Condition::Lost | Condition::Suspected | Condition::Degraded
        ),
    );
    if let Some(running) = &report.running {
        line("recovering", under_way(running), false);
    }
    if let Some(why) = &report.latched {
        line("latched", why.clone(), true);
    }
    for seen in &report.losses {
        let head = if seen.confirmed { "lost" } else { "suspected" };
        line(head, loss(seen), true);
        for evidence in &seen.evidence {
            line("", evidence.clone(), false);
        }
    }
    for trouble in &report.troubles {
        let text = format!(
            "{} for {}: {}; dealt with by {}",
            trouble.part,
            duration(trouble.since_seconds),
            trouble.what,
            trouble.handler
        );
        line("trouble", text, true);
    }
    for wait in &report.waits {
        line("waits for", wait.clone(), false);
    }
    for unknown in &report.unknown {
        line("not known", unknown.clone(), false);
    }
    if let Some(way) = &report.chosen {
        line("way back", chosen(way, report), false);
    } else if !report.blockers.is_empty() {
        line("way back", "none".to_owned(), true);
    }
    for blocker in &report.blockers {
        line("blocked", blocker.clone(), true);
    }
    if let Some(last) = &report.last {
        line(
            "last recovery",
            ended(last, now),
            last.outcome.why().is_some(),
        );
    }
    let rows: Vec<_> = lines.iter().map(|(row, _)| row.clone()).collect();
    let bad = lines.iter().map(|(_, bad)| *bad);
    columns(&rows, "  ")
        .lines()
        .map(str::to_owned)
        .zip(bad)
        .collect()
}

/// What runs, in words.
#[must_use]
pub fn under_way(running: &Running) -> String {
    let waits = if running.waits_for.is_empty() {
        String::new()
    } else {
        format!(", waits for {}", running.waits_for)
    };
    format!(
        "{} by {}, begun {} {} ago: {} for {}{waits}",
        running.id,
        running.rung,
        running.trigger.said(),
        duration(running.elapsed_seconds),
        running.phase,
        duration(running.phase_seconds),
    )
}

fn loss(seen: &LossView) -> String {
    let since = duration(seen.since_seconds);
    let word = seen.loss.word();
    if seen.confirmed {
        format!("{word} for {since}")
    } else if seen.due_in_seconds > 0 {
        let due = duration(seen.due_in_seconds);
        format!("{word} for {since}; counts as lost in {due}")
    } else {
        format!("{word} for {since}; due, and not all of the evidence is there")
    }
}

fn chosen(way: &Chosen, report: &RecoveryReport) -> String {
    let cost = match way.loss_seconds {
        Some(0) => "loses nothing".to_owned(),
        Some(seconds) => format!("loses {}", duration(seconds)),
        None => "loses not known how much".to_owned(),
    };
    let takes = way.takes_seconds.map_or_else(String::new, |seconds| {
        format!(", takes about {}", duration(seconds))
    });
    let who = if report.automatic {
        ""
    } else {
        "; only when asked (recovery.automatic is off)"
    };
    format!("{}: {cost}{takes}{who}", way.rung)
}

fn ended(last: &Last, now: Timestamp) -> String {
    let why = last
        .outcome
        .why()
        .map_or_else(String::new, |why| format!(": {why}"));
    let lost = match last.lost_seconds {
        None | Some(0) => String::new(),
        Some(seconds) => format!(", {} of data lost", duration(seconds)),
    };
    format!(
        "{} {} {} after {}{lost}{why}",
        last.id,
        last.outcome.word(),
        ago(last.ended_at, now),
        duration(last.took_seconds)
    )
}
