//! A recovery as text for a terminal.

use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;

use crate::cli::output::{clean, columns};
use crate::core::recovery::availability::seconds_away;
use crate::core::recovery::page::text::{between, duration, offset, seconds, utc};
use crate::core::recovery::record::{Ending, Record};

/// The whole text. `page`: where the page of it is.
pub(super) fn text(record: &Record, page: Option<&Path>, now: Timestamp) -> String {
    let mut out = String::new();
    let end = record.ended_at.unwrap_or(now);
    let took = duration(between(record.entered_at, end));
    let said = match &record.outcome {
        None => format!("under way for {took}"),
        Some(outcome) => match outcome.why() {
            None => format!("{} in {took}", outcome.word()),
            Some(why) => format!("{} after {took}: {why}", outcome.word()),
        },
    };
    let _ = writeln!(out, "{}: {}", clean(&record.id), clean(&said));
    let lost: Vec<&str> = record.losses.iter().map(|loss| loss.word()).collect();
    let mut facts = vec![
        ["node", &record.node].map(str::to_owned).to_vec(),
        vec!["lost".to_owned(), lost.join(", ")],
        vec!["way back".to_owned(), record.rung.word().to_owned()],
        vec![
            "begun".to_owned(),
            format!(
                "{} {}, {} after the loss was first seen",
                utc(record.entered_at),
                record.trigger.said(),
                duration(between(record.suspected_at, record.entered_at))
            ),
        ],
    ];
    if let Some(at) = record.ended_at {
        facts.push(vec!["ended".to_owned(), utc(at)]);
    }
    let away = seconds_away(record, end).map_or("not known".to_owned(), seconds);
    facts.push(vec!["without API server".to_owned(), away]);
    facts.push(vec![
        "data lost".to_owned(),
        match record.lost_seconds {
            Some(0) => "none".to_owned(),
            Some(lost) => seconds(lost),
            None => "not known".to_owned(),
        },
    ]);
    if let Some(page) = page {
        facts.push(vec!["page".to_owned(), page.display().to_string()]);
    }
    out.push_str(&columns(&facts, "  "));
    lines(&mut out, "Evidence", &record.evidence);
    lines(&mut out, "Plan", &record.plan);
    table(&mut out, "Steps", &steps(record, now));
    table(&mut out, "What happened", &events(record));
    table(&mut out, "Cleared up", &hygiene(record));
    lines(&mut out, "Moved aside", &record.moved_aside);
    out
}

fn lines(out: &mut String, head: &str, lines: &[String]) {
    let rows: Vec<_> = lines.iter().map(|line| vec![line.clone()]).collect();
    table(out, head, &rows);
}

fn table(out: &mut String, head: &str, rows: &[Vec<String>]) {
    if !rows.is_empty() {
        let _ = writeln!(out, "\n{head}");
        out.push_str(&columns(rows, "  "));
    }
}

fn steps(record: &Record, now: Timestamp) -> Vec<Vec<String>> {
    let steps = record.phases.iter().map(|phase| {
        let end = phase.ended.or(record.ended_at);
        let took = duration(between(phase.began, end.unwrap_or(now)));
        let open = if end.is_none() { ", goes on" } else { "" };
        vec![
            offset(record.suspected_at, phase.began),
            format!("{took}{open}"),
            phase.what.clone(),
            phase.note.clone(),
        ]
    });
    steps.collect()
}

fn events(record: &Record) -> Vec<Vec<String>> {
    let events = record.events.iter().map(|event| {
        let api = match event.api {
            Some(true) => " [API serves]",
            Some(false) => " [API away]",
            None => "",
        };
        vec![
            offset(record.suspected_at, event.at),
            format!("{}{api}", event.what),
        ]
    });
    events.collect()
}

fn hygiene(record: &Record) -> Vec<Vec<String>> {
    let findings = record.hygiene.iter().map(|finding| {
        let end = match &finding.end {
            Ending::Planned => "planned".to_owned(),
            Ending::Done => "done".to_owned(),
            Ending::Left(why) => format!("left: {why}"),
        };
        vec![finding.kind.clone(), end, finding.what.clone()]
    });
    findings.collect()
}
