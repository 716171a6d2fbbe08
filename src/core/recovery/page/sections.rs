//! The page's sections around the picture.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::text::{between, duration, escaped, offset, seconds};
use crate::core::recovery::availability::seconds_away;
use crate::core::recovery::record::{Ending, Record};

/// What was lost, what was done, how long it took, and what it cost.
pub(super) fn summary(out: &mut String, record: &Record, now: Timestamp) {
    let end = record.ended_at.unwrap_or(now);
    let lost: Vec<&str> = record.losses.iter().map(|loss| loss.word()).collect();
    let lost = if lost.is_empty() {
        "nothing".to_owned()
    } else {
        lost.join(", ")
    };
    let away = seconds_away(record, end).map_or("not known".to_owned(), seconds);
    let (data, note) = data_lost(record);
    out.push_str("<section>\n<dl class=\"summary\">\n");
    let whole = format!(
        "and {} to detect it",
        duration(between(record.suspected_at, record.entered_at))
    );
    for (what, value, small) in [
        ("Lost", lost, String::new()),
        ("Way back", record.rung.word().to_owned(), String::new()),
        ("Took", duration(between(record.entered_at, end)), whole),
        ("Without API server", away, String::new()),
        ("Data lost", data, note),
    ] {
        let small = if small.is_empty() {
            String::new()
        } else {
            format!("<small>{}</small>", escaped(&small))
        };
        let _ = writeln!(
            out,
            "<div><dt>{what}</dt><dd>{}{small}</dd></div>",
            escaped(&value)
        );
    }
    out.push_str("</dl>\n</section>\n");
}

fn data_lost(record: &Record) -> (String, String) {
    match record.lost_seconds {
        Some(0) => ("none".to_owned(), String::new()),
        Some(lost) => (
            seconds(lost),
            "what was written to etcd in that time is gone".to_owned(),
        ),
        None if record.outcome.is_none() => ("not known yet".to_owned(), String::new()),
        None => ("not known".to_owned(), String::new()),
    }
}

/// Sentences or places; nothing where there are none.
pub(super) fn list(out: &mut String, head: &str, lines: &[String], class: &str) {
    if lines.is_empty() {
        return;
    }
    let class = if class.is_empty() {
        String::new()
    } else {
        format!(" class=\"{class}\"")
    };
    let _ = writeln!(out, "<section>\n<h2>{}</h2>\n<ul>", escaped(head));
    for line in lines {
        let _ = writeln!(out, "<li{class}>{}</li>", escaped(line));
    }
    out.push_str("</ul>\n</section>\n");
}

/// The steps with their times.
pub(super) fn phases(out: &mut String, record: &Record, now: Timestamp) {
    if record.phases.is_empty() {
        return;
    }
    out.push_str(
        "<section>\n<h2>Steps</h2>\n<table>\n<tr><th>Began</th><th class=\"number\">After</th>\
         <th class=\"number\">Took</th><th>Step</th><th></th></tr>\n",
    );
    for phase in &record.phases {
        let end = phase.ended.or(record.ended_at);
        let took = duration(between(phase.began, end.unwrap_or(now)));
        let open = if end.is_none() { ", goes on" } else { "" };
        let _ = writeln!(
            out,
            "<tr><td class=\"time\">{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{took}{open}</td><td>{}</td><td class=\"soft\">{}</td></tr>",
            phase.began.strftime("%H:%M:%S"),
            offset(record.suspected_at, phase.began),
            escaped(&phase.what),
            escaped(&phase.note)
        );
    }
    out.push_str("</table>\n</section>\n");
}

/// What happened, in its order.
pub(super) fn events(out: &mut String, record: &Record) {
    if record.events.is_empty() {
        return;
    }
    out.push_str(
        "<section>\n<h2>What happened</h2>\n<table>\n<tr><th>At</th><th class=\"number\">After</th>\
         <th>Event</th><th>API server</th></tr>\n",
    );
    for event in &record.events {
        let api = match event.api {
            Some(true) => "<span class=\"good\">serves</span>",
            Some(false) => "<span class=\"bad\">away</span>",
            None => "",
        };
        let _ = writeln!(
            out,
            "<tr><td class=\"time\">{}</td><td class=\"number\">{}</td><td>{}</td><td>{api}</td></tr>",
            event.at.strftime("%H:%M:%S"),
            offset(record.suspected_at, event.at),
            escaped(&event.what)
        );
    }
    out.push_str("</table>\n</section>\n");
}

/// What was stale afterwards, and what became of it.
pub(super) fn hygiene(out: &mut String, record: &Record) {
    if record.hygiene.is_empty() {
        return;
    }
    out.push_str(
        "<section>\n<h2>Cleared up</h2>\n<table>\n<tr><th>Kind</th><th>What</th><th>End</th></tr>\n",
    );
    for finding in &record.hygiene {
        let end = match &finding.end {
            Ending::Planned => "planned".to_owned(),
            Ending::Done => "<span class=\"good\">done</span>".to_owned(),
            Ending::Left(why) => format!("left: {}", escaped(why)),
        };
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{end}</td></tr>",
            escaped(&finding.kind),
            escaped(&finding.what)
        );
    }
    out.push_str("</table>\n</section>\n");
}
