//! `rekindle backup rehearse`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::backup::Progress;
use crate::backup::bundle::{self, Bundle};
use crate::backup::index::IndexFile;
use crate::backup::rehearse::{self, Limits, RehearseError, Request};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Out, clean};
use crate::cli::progress::Display;
use crate::cli::{Format, Global, ask};
use crate::config;
use crate::core::backup::id::BackupId;
use crate::core::backup::outcome::Outcome;
use crate::daemon::backups::lock::{Busy, hold};
use crate::daemon::backups::rehearsal::scratch;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Restores the backup in a directory of its own, starts an etcd on it that nobody else can reach,
compares revision and numbers of keys with what the backup says, decodes every object, and opens
what is encrypted at rest with the configuration in the same backup. Nothing of it stays. Exit
code 1 where the backup does not pass.

Examples:
  rekindle backup rehearse
  rekindle backup rehearse 20261124T003000Z-master1 -o json
  rekindle backup rehearse /mnt/usb/20261124T003000Z-master1 --scratch /mnt/big/rehearsal";

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);

/// Options of `backup rehearse`.
#[derive(Debug, Args)]
pub struct Options {
    /// A backup of this node or a bundle's directory [default: the newest that was verified]
    #[arg(value_name = "ID|PATH")]
    backup: Option<String>,
    /// Directory for what lasts as long as the rehearsal [default: beside the backups]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Directory of etcd, etcdutl and etcdctl [default: the usual ones]
    #[arg(long, value_name = "DIR")]
    tools_dir: Option<PathBuf>,
    /// Where backups are kept [default: as configured]
    #[arg(long, value_name = "DIR")]
    backups_dir: Option<PathBuf>,
    /// Seconds without progress after which a step has failed
    #[arg(long, value_name = "SECONDS", default_value = "300",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    stall_seconds: u64,
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Rehearses and records the outcome.
///
/// # Errors
/// Exit code 1 where it does not pass or cannot be made, 2 for bad configuration.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let settings = config::load(global.config.as_deref())?.settings;
    let backups = options.backups_dir.as_ref().unwrap_or(&settings.backup.dir);
    let index = IndexFile::new(&settings.paths.state_dir, backups);
    // Held to the end: there is one backup or rehearsal at a time.
    let _lock = hold(&settings).map_err(|busy| match busy {
        Busy::Held => super::told("another process takes or rehearses a backup".to_owned())
            .hint("`rekindle status` shows what the daemon does"),
        Busy::Failed(error) => super::told(error),
    })?;
    let place = find(options.backup.as_deref(), backups, &index)?;
    let request = Request {
        tools: options
            .tools_dir
            .clone()
            .or_else(|| settings.backup.tools_dir()),
        prefix: settings.backup.key_prefix.clone(),
        limits: Limits {
            memory_bytes: settings.backup.rehearsal_memory_bytes,
            min_free_bytes: settings.backup.policy.retention.min_free_bytes,
            stall: Duration::from_secs(options.stall_seconds),
        },
        ..Request::new(
            place.clone(),
            options
                .scratch
                .clone()
                .unwrap_or_else(|| scratch(&settings)),
        )
    };
    let outcome = ask::wait_for(watched(request, out))?.map_err(|error| cannot(&error))?;
    let id = record(&place, backups, &index, &outcome, out)?;
    tell(&id, &outcome, options.output, out)?;
    Ok(if outcome.passed() {
        Exit::Done
    } else {
        Exit::No
    })
}

async fn watched(request: Request, out: &mut Out) -> Result<Outcome, RehearseError> {
    let progress = Progress::default();
    let mut display = Display::new();
    let mut look = tokio::time::interval(LOOK);
    let mut work = std::pin::pin!(rehearse::rehearse(request, progress.clone()));
    let ended = loop {
        tokio::select! {
            ended = &mut work => break ended,
            _ = look.tick() => display.show(progress.position(), out),
        }
    };
    display.end();
    ended
}

/// The bundle that is meant.
fn find(named: Option<&str>, backups: &Path, index: &IndexFile) -> Result<PathBuf, Failure> {
    let Some(named) = named else {
        let newest = newest_verified(backups, index)?;
        return newest.ok_or_else(|| {
            super::told(format!("no verified backup in {}", backups.display()))
                .hint("`rekindle backup list` shows those that there are")
        });
    };
    let here = backups.join(named);
    Ok(if BackupId::parse(named).is_ok() && here.is_dir() {
        here
    } else {
        PathBuf::from(named)
    })
}

fn newest_verified(backups: &Path, index: &IndexFile) -> Result<Option<PathBuf>, Failure> {
    let read = index.read();
    let read = read.map_err(|error| Failure::of(Exit::No, &error))?;
    let listing = bundle::list(backups, &read.index, &[]);
    let listing = listing.map_err(|error| Failure::of(Exit::No, &error))?;
    let verified = listing.backups.iter().rev().find(|(it, _)| it.verified);
    Ok(verified.map(|(it, _)| backups.join(it.id.as_str())))
}

/// Keeps the outcome in the index, where it is a backup of this node.
fn record(
    place: &Path,
    backups: &Path,
    index: &IndexFile,
    outcome: &Outcome,
    out: &mut Out,
) -> Result<BackupId, Failure> {
    let bundle = Bundle::open(place).map_err(|error| Failure::of(Exit::No, &error))?;
    let id = bundle.manifest().id.clone();
    let ours = std::fs::canonicalize(backups).is_ok_and(|it| bundle.path().parent() == Some(&it));
    if ours {
        let kept = index.with(|index| {
            let record = index.records.entry(id.clone()).or_default();
            record.rehearsed = Some(outcome.clone());
        });
        kept.map_err(|error| Failure::of(Exit::No, &error))?;
    } else {
        out.note("note: not a backup of this node: the outcome is not recorded");
    }
    Ok(id)
}

fn cannot(error: &RehearseError) -> Failure {
    Failure::of(Exit::No, error).maybe_hint(error.hint())
}

fn tell(id: &BackupId, outcome: &Outcome, format: Format, out: &mut Out) -> Result<(), Failure> {
    if format == Format::Json {
        #[derive(serde::Serialize)]
        struct Answer<'a> {
            id: &'a BackupId,
            passed: bool,
            #[serde(flatten)]
            outcome: &'a Outcome,
        }
        let answer = Answer {
            id,
            passed: outcome.passed(),
            outcome,
        };
        return super::json(&answer, out);
    }
    let seconds = outcome.took_ms.div_ceil(1000);
    let word = if outcome.passed() { "passed" } else { "FAILED" };
    out.data(format!("{id}: rehearsal {word} after {seconds} s\n"))?;
    for checked in &outcome.checked {
        out.data(format!("  {}\n", clean(checked)))?;
    }
    match &outcome.failure {
        Some(failure) => out.data(format!("  failed: {}\n", clean(failure))),
        None => Ok(()),
    }
}
