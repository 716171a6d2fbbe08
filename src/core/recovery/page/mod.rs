//! The report of one recovery as one page of HTML: no script, no resource from elsewhere, so that
//! it opens on any machine at any time. Everything that a record holds is escaped.

mod layout;
mod sections;
mod style;
pub mod svg;
pub mod text;

use std::fmt::Write as _;

use jiff::Timestamp;

use self::style::STYLE;
use self::text::{between, duration, escaped, utc};
use super::record::{Outcome, Record};

/// The page of `record` as it is at `now`, written by the given version of Rekindle.
#[must_use]
pub fn render(record: &Record, now: Timestamp, version: &str) -> String {
    let mut out = String::new();
    let title = escaped(&format!("Recovery {}", record.id));
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    );
    let (word, headline) = headline(record, now);
    let _ = write!(
        out,
        "<header>\n<h1><span class=\"badge {word}\">{word}</span> {}</h1>\n\
         <p class=\"soft\">Node <strong>{}</strong> · begun {} {} · <span class=\"id\">{}</span></p>\n\
         </header>\n",
        escaped(&headline),
        escaped(&record.node),
        utc(record.entered_at),
        escaped(&record.trigger.said()),
        escaped(&record.id),
    );
    sections::summary(&mut out, record, now);
    let _ = write!(
        out,
        "<section>\n<h2>Timeline</h2>\n<div class=\"picture\">\n{}</div>\n</section>\n",
        svg::timeline(record, now)
    );
    sections::list(&mut out, "Evidence", &record.evidence, "");
    sections::list(&mut out, "Plan", &record.plan, "");
    sections::phases(&mut out, record, now);
    sections::events(&mut out, record);
    sections::hygiene(&mut out, record);
    sections::list(
        &mut out,
        "Moved aside, nothing deleted",
        &record.moved_aside,
        "place",
    );
    let _ = write!(
        out,
        "<footer>Written by Rekindle {} at {}. All times are UTC, by the clock of the node.</footer>\n\
         </main>\n</body>\n</html>\n",
        escaped(version),
        utc(now)
    );
    out
}

/// How it ended in one word and in one sentence.
fn headline(record: &Record, now: Timestamp) -> (&'static str, String) {
    let took = duration(between(record.entered_at, record.ended_at.unwrap_or(now)));
    match &record.outcome {
        None => ("running", format!("The recovery is under way for {took}")),
        Some(outcome) => {
            let said = match outcome {
                Outcome::Recovered => format!("The control plane was brought back in {took}"),
                Outcome::Unneeded => {
                    format!("The control plane came back by itself within {took}")
                }
                Outcome::Failed(why) => format!("The recovery failed after {took}: {why}"),
                Outcome::Abandoned(why) => {
                    format!("An operator ended the recovery after {took}: {why}")
                }
            };
            (outcome.word(), said)
        }
    }
}
