//! `rekindle backup list`.

use std::collections::BTreeMap;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::backup::targets::{self, Remote};
use crate::cli::backup_view::{ago, bytes};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Out, clean, columns};
use crate::cli::{Format, Global};
use crate::config;
use crate::core::backup::outcome::Outcome;
use crate::core::backup::record::{Copy, Record};
use crate::daemon::backups::look::{Look, look};
use crate::daemon::clock;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Reads the disk of this node only: no daemon, etcd or API server is needed, and nothing is changed.
What lies among the backups and is none is said on stderr.

Examples:
  rekindle backup list
  rekindle backup list --target offsite
  rekindle backup list -o json | jq -r '.backups[-1].id'";

/// Options of `backup list`.
#[derive(Debug, Args)]
pub struct Options {
    /// List the copies at this target instead, of every node
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

#[derive(Serialize)]
struct Listed<'a> {
    backups: Vec<Row<'a>>,
    damaged: Vec<String>,
    problems: &'a [String],
}

#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    taken_at: Timestamp,
    bytes: u64,
    etcd_revision: i64,
    live_keys: u64,
    marks: &'a [String],
    verified: Option<&'a Outcome>,
    rehearsed: Option<&'a Outcome>,
    copies: &'a BTreeMap<String, Copy>,
}

/// Lists.
///
/// # Errors
/// Where the directory of backups or the index cannot be read.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let settings = config::load(global.config.as_deref())?.settings;
    if let Some(name) = &options.target {
        let target = super::fetch::named(&settings.backup.targets, name)?;
        let copies = super::fetch::ask(target, async |target| targets::list(target).await)?;
        return remote(&copies, options.output, out);
    }
    let found = look(&settings).map_err(super::told)?;
    let nothing = Record::default();
    let damaged = found.damaged(&settings.backup.dir);
    let listed = Listed {
        backups: rows(&found, &nothing),
        problems: &found.problems,
        damaged,
    };
    for line in listed.damaged.iter().chain(listed.problems) {
        out.note(&format!("warning: {}", clean(line)));
    }
    match options.output {
        Format::Json => super::json(&listed, out)?,
        Format::Table if listed.backups.is_empty() => {
            let place = settings.backup.dir.display();
            out.note(&format!("no backups in {place}"));
        }
        Format::Table => out.data(table(&listed.backups, clock::wall()))?,
    }
    Ok(Exit::Done)
}

/// Copies at a target.
fn remote(copies: &[Remote], format: Format, out: &mut Out) -> Result<Exit, Failure> {
    if format == Format::Json {
        super::json(&copies, out)?;
        return Ok(Exit::Done);
    }
    let yes = |is: bool| if is { "yes" } else { "NO" }.to_owned();
    let head = ["ID", "SIZE", "COMPLETE", "ENCRYPTED"];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    table.extend(copies.iter().map(|copy| {
        let encrypted = if copy.encrypted { "yes" } else { "no" };
        let size = bytes(copy.bytes);
        vec![
            copy.id.to_string(),
            size,
            yes(copy.complete),
            encrypted.to_owned(),
        ]
    }));
    match copies {
        [] => out.note("no copies there"),
        _ => out.data(columns(&table, ""))?,
    }
    Ok(Exit::Done)
}

fn rows<'a>(found: &'a Look, nothing: &'a Record) -> Vec<Row<'a>> {
    let all = found.listing.backups.iter();
    all.map(|(kept, manifest)| {
        let record = found.index.records.get(&kept.id).unwrap_or(nothing);
        Row {
            id: kept.id.as_str(),
            taken_at: kept.taken_at,
            bytes: kept.bytes,
            etcd_revision: manifest.etcd.revision,
            live_keys: manifest.content.live_keys,
            marks: &manifest.marks,
            verified: record.verified.as_ref(),
            rehearsed: record.rehearsed.as_ref(),
            copies: &record.copies,
        }
    })
    .collect()
}

fn table(rows: &[Row<'_>], now: Timestamp) -> String {
    let head = [
        "ID",
        "TAKEN",
        "SIZE",
        "REVISION",
        "VERIFIED",
        "REHEARSED",
        "COPIES",
        "MARKS",
    ];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    table.extend(rows.iter().map(|row| {
        vec![
            row.id.to_owned(),
            ago(row.taken_at, now),
            bytes(row.bytes),
            row.etcd_revision.to_string(),
            outcome(row.verified),
            outcome(row.rehearsed),
            copies(row.copies),
            marks(row.marks),
        ]
    }));
    columns(&table, "")
}

fn outcome(outcome: Option<&Outcome>) -> String {
    match outcome {
        None => "-".to_owned(),
        Some(outcome) if outcome.passed() => "yes".to_owned(),
        Some(_) => "FAILED".to_owned(),
    }
}

fn copies(copies: &BTreeMap<String, Copy>) -> String {
    let complete = copies.iter().filter(|(_, copy)| copy.complete_at.is_some());
    let names: Vec<&str> = complete.map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        return "-".to_owned();
    }
    names.join(",")
}

fn marks(marks: &[String]) -> String {
    if marks.is_empty() {
        return String::new();
    }
    marks.join("; ")
}
