//! `rekindle recovery-mode report`: what a recovery did, from the disk of this node.

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

use super::report_text;
use crate::cli::Global;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Out, clean, columns, json};
use crate::cli::status_view::duration;
use crate::config;
use crate::core::recovery::page;
use crate::core::recovery::record::{Outcome, Record};
use crate::core::recovery::view::seconds_between;
use crate::daemon::clock;
use crate::recovery::report::log::Verified;
use crate::recovery::report::{Found, Reports};

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Reads the disk of this node only, and changes nothing: no daemon, etcd or API server is needed.
The 50 newest recoveries are kept; the log has a line for each that there ever was. Exit code 1
where there is no such recovery, or where the log is not whole.

Examples:
  rekindle recovery-mode report
  rekindle recovery-mode report --list
  rekindle recovery-mode report 20261125T093012Z-master1 -o html > report.html
  rekindle recovery-mode report -o json | jq '.phases[] | {what, began, ended}'
  rekindle recovery-mode report --verify-log";

/// Options of `recovery-mode report`.
#[derive(Debug, Args)]
pub struct Options {
    /// The recovery [default: the newest]
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// List every recovery that is kept
    #[arg(long, conflicts_with = "id")]
    list: bool,
    /// Check that no line of the log was changed, left out or moved
    #[arg(long, conflicts_with_all = ["id", "list"])]
    verify_log: bool,
}

/// How a recovery is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs
    Json,
    /// One page that needs nothing else, with a picture of the timeline
    Html,
}

/// Shows one, or lists all.
///
/// # Errors
/// Exit code 1 where there is none, or it cannot be read.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let settings = config::load(global.config.as_deref())?.settings;
    let reports = Reports::new(&settings.paths.state_dir);
    if (options.list || options.verify_log) && options.output == Format::Html {
        return Err(Failure::Told {
            exit: Exit::Usage,
            message: "only one recovery is written as a page".to_owned(),
            hint: Some("leave `-o html` out, or name the recovery instead".to_owned()),
        });
    }
    if options.verify_log {
        return verify(&reports, options.output, out);
    }
    if options.list {
        return list(&reports, options.output, out);
    }
    let record = find(&reports, options.id.as_deref(), out)?;
    let now = clock::wall();
    match options.output {
        Format::Json => json(&record, out)?,
        Format::Html => out.data(page::render(&record, now, env!("CARGO_PKG_VERSION")))?,
        Format::Table => {
            let page = reports.page_of(&record.id);
            let page = page.is_file().then_some(page);
            out.data(report_text::text(&record, page.as_deref(), now))?;
        }
    }
    Ok(Exit::Done)
}

fn find(reports: &Reports, id: Option<&str>, out: &mut Out) -> Result<Record, Failure> {
    let none = |message: String| Failure::Told {
        exit: Exit::No,
        message,
        hint: Some("`rekindle recovery-mode report --list` shows those that there are".to_owned()),
    };
    let failed = |error| Failure::of(Exit::No, &error);
    if let Some(id) = id {
        let found = reports.find(id).map_err(failed)?;
        return found.ok_or_else(|| none(format!("no recovery {id} is kept on this node")));
    }
    let newest = all(reports, out)?.records.into_iter().next();
    newest.ok_or_else(|| Failure::Told {
        exit: Exit::No,
        message: "there was no recovery on this node".to_owned(),
        hint: None,
    })
}

fn all(reports: &Reports, out: &mut Out) -> Result<Found, Failure> {
    let found = reports
        .all()
        .map_err(|error| Failure::of(Exit::No, &error))?;
    for line in &found.damaged {
        out.note(&format!("warning: {}", clean(line)));
    }
    Ok(found)
}

#[derive(Serialize)]
struct Listed<'a> {
    recoveries: &'a [Record],
}

fn list(reports: &Reports, format: Format, out: &mut Out) -> Result<Exit, Failure> {
    let found = all(reports, out)?;
    if format == Format::Json {
        let recoveries = &found.records;
        json(&Listed { recoveries }, out)?;
        return Ok(Exit::Done);
    }
    if found.records.is_empty() {
        out.data("none\n")?;
        return Ok(Exit::Done);
    }
    let head = ["ID", "OUTCOME", "LOST", "WAY", "TOOK", "DATA LOST", "BEGUN"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let now = clock::wall();
    rows.extend(found.records.iter().map(|record| row(record, now)));
    out.data(columns(&rows, ""))?;
    Ok(Exit::Done)
}

fn row(record: &Record, now: Timestamp) -> Vec<String> {
    let outcome = record.outcome.as_ref();
    let lost: Vec<&str> = record.losses.iter().map(|loss| loss.word()).collect();
    let end = record.ended_at.unwrap_or(now);
    vec![
        record.id.clone(),
        outcome.map_or("running", Outcome::word).to_owned(),
        lost.join(","),
        record.rung.word().to_owned(),
        duration(seconds_between(record.entered_at, end)),
        match record.lost_seconds {
            Some(0) => "none".to_owned(),
            Some(lost) => duration(lost),
            None => "not known".to_owned(),
        },
        record.trigger.said(),
    ]
}

fn verify(reports: &Reports, format: Format, out: &mut Out) -> Result<Exit, Failure> {
    let log = reports.log();
    let verified = log
        .verify()
        .map_err(|error| Failure::of(Exit::No, &error))?;
    let exit = if verified.broken.is_some() {
        Exit::No
    } else {
        Exit::Done
    };
    if format == Format::Json {
        json(&verified, out)?;
        return Ok(exit);
    }
    let Verified {
        lines,
        digest,
        broken,
        cut_off,
    } = verified;
    out.data(match &broken {
        None => format!("the log is whole: {lines} lines, the last one {digest}\n"),
        Some(broken) => format!(
            "the log is not whole: line {} of {lines}: {}\n",
            broken.line,
            clean(&broken.why)
        ),
    })?;
    if cut_off {
        out.note(
            "its last line is cut off: it was never acknowledged, and the next one replaces it",
        );
    }
    if broken.is_some() {
        out.note(&format!(
            "hint: compare {} with a copy of it; `journalctl -u rekindle` has the digest of each line",
            log.path().display()
        ));
    }
    Ok(exit)
}
