//! `rekindle backup show`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::backup_view::{ago, bytes};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Out, clean, columns};
use crate::cli::{Format, Global};
use crate::config;
use crate::core::backup::id::BackupId;
use crate::core::backup::manifest::{Manifest, PartKind};
use crate::core::backup::outcome::Outcome;
use crate::core::backup::record::Record;
use crate::daemon::backups::look::look;
use crate::daemon::clock;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Reads the disk of this node only, and changes nothing. What is told is what the backup says of
itself; `rekindle backup verify ID` compares it with what is there.

Examples:
  rekindle backup show 20261124T003000Z-master1
  rekindle backup show 20261124T003000Z-master1 -o json | jq .manifest.content.resources";

/// Options of `backup show`.
#[derive(Debug, Args)]
pub struct Options {
    /// The backup
    #[arg(value_name = "ID", value_parser = super::id)]
    id: BackupId,
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

#[derive(Serialize)]
struct Shown<'a> {
    path: PathBuf,
    bytes: u64,
    manifest: &'a Manifest,
    record: &'a Record,
}

/// Shows one backup.
///
/// # Errors
/// Exit code 1 where there is no such backup.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let settings = config::load(global.config.as_deref())?.settings;
    let found = look(&settings).map_err(super::told)?;
    let dir = &settings.backup.dir;
    let Some((kept, manifest)) = found.newest(|kept| kept.id == options.id) else {
        let named = options.id.as_str();
        let strays = found.damaged(dir);
        let stray = strays.iter().find(|line| line.contains(named));
        let message = stray
            .cloned()
            .unwrap_or_else(|| format!("no backup {named} in {}", dir.display()));
        return Err(Failure::Told {
            exit: Exit::No,
            message,
            hint: Some("`rekindle backup list` shows those that there are".to_owned()),
        });
    };
    for line in &found.problems {
        out.note(&format!("warning: {}", clean(line)));
    }
    let nothing = Record::default();
    let shown = Shown {
        path: dir.join(kept.id.as_str()),
        bytes: kept.bytes,
        manifest,
        record: found.index.records.get(&kept.id).unwrap_or(&nothing),
    };
    match options.output {
        Format::Json => super::json(&shown, out)?,
        Format::Table => out.data(text(&shown, clock::wall()))?,
    }
    Ok(Exit::Done)
}

fn text(shown: &Shown<'_>, now: Timestamp) -> String {
    let Manifest {
        id,
        taken_at,
        node,
        trigger,
        etcd,
        content,
        versions,
        images,
        marks,
        parts,
        ..
    } = shown.manifest;
    let trigger = serde_json::to_value(trigger).unwrap_or_default();
    let mut out = String::new();
    section(
        &mut out,
        &format!("{id}: {}", bytes(shown.bytes)),
        &[
            row("path", shown.path.display()),
            row("taken", format!("{taken_at}, {}", ago(*taken_at, now))),
            row("node", node),
            row("trigger", trigger.as_str().unwrap_or_default()),
            row("verified", outcome(shown.record.verified.as_ref(), now)),
            row("rehearsed", outcome(shown.record.rehearsed.as_ref(), now)),
        ],
    );
    section(
        &mut out,
        "Marks",
        &marks
            .iter()
            .map(|mark| vec![mark.clone()])
            .collect::<Vec<_>>(),
    );
    let mut rows = vec![
        row("version", &etcd.version),
        row("cluster", format!("{:x}", etcd.cluster_id)),
        row(
            "from",
            format!("{} (member {:x})", etcd.endpoint, etcd.member_id),
        ),
        row("revision", etcd.revision),
        row("high water", etcd.high_water_revision),
        row("raft term", etcd.raft_term),
    ];
    rows.extend(etcd.members.iter().map(|member| {
        let learner = if member.learner { ", learner" } else { "" };
        let urls = member.client_urls.join(" ");
        row(
            "member",
            format!("{} {:x} {urls}{learner}", member.name, member.id),
        )
    }));
    section(&mut out, "etcd", &rows);
    let mut rows = vec![
        row("database", bytes(content.database_bytes)),
        row("live keys", content.live_keys),
        row("records", content.records),
        row("compacted at", content.compacted_revision),
    ];
    let resources = content.resources.iter();
    rows.extend(resources.map(|(resource, count)| row(resource, count)));
    section(&mut out, "Content", &rows);
    let each = |map: &std::collections::BTreeMap<String, String>| -> Vec<Vec<String>> {
        map.iter().map(|(name, value)| row(name, value)).collect()
    };
    section(&mut out, "Versions", &each(versions));
    section(&mut out, "Images", &each(images));
    let files = parts.iter().map(|part| {
        let kind = match part.kind {
            PartKind::Snapshot => "snapshot",
            PartKind::Host => "files of the host",
        };
        vec![
            part.name.clone(),
            kind.to_owned(),
            bytes(part.bytes),
            format!("{} unpacked", bytes(part.plain_bytes)),
            format!("sha256 {}", part.sha256),
        ]
    });
    section(&mut out, "Files", &files.collect::<Vec<_>>());
    let copies = shown.record.copies.iter().map(|(target, copy)| {
        let told = match (copy.complete_at, &copy.last_failure) {
            (Some(at), _) => format!("complete since {at}"),
            (None, Some(why)) => format!("failed {} times: {why}", copy.failures),
            (None, None) => "not yet".to_owned(),
        };
        row(target, told)
    });
    section(&mut out, "Copies", &copies.collect::<Vec<_>>());
    out
}

fn row(name: &str, value: impl std::fmt::Display) -> Vec<String> {
    vec![name.to_owned(), format!("{value}")]
}

/// Appends a section; nothing where it is empty.
fn section(out: &mut String, head: &str, rows: &[Vec<String>]) {
    if rows.is_empty() {
        return;
    }
    if !out.is_empty() {
        out.push('\n');
    }
    let _infallible = writeln!(out, "{}\n{}", clean(head), columns(rows, "  ").trim_end());
}

fn outcome(outcome: Option<&Outcome>, now: Timestamp) -> String {
    let Some(outcome) = outcome else {
        return "not yet".to_owned();
    };
    let when = ago(outcome.at, now);
    match &outcome.failure {
        Some(why) => format!("FAILED {when}: {why}"),
        None => format!("{when}: {}", outcome.checked.join(", ")),
    }
}
