//! `rekindle backup rehearse`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::backup::bundle::{self, Bundle};
use crate::backup::index::IndexFile;
use crate::backup::rehearse::{self, RehearseError, Request};
use crate::backup::{Progress, STATE};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Out, clean};
use crate::cli::progress::Display;
use crate::cli::{Format, Global, ask};
use crate::config;
use crate::core::backup::id::BackupId;
use crate::core::backup::outcome::Outcome;

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
/// The rehearsals' directory in `backup/` of the state directory.
pub const SCRATCH: &str = "rehearsal";

/// Options of `backup rehearse`.
#[derive(Debug, Args)]
pub struct Options {
    /// A backup of this node or a bundle's directory [default: the newest that was verified]
    #[arg(value_name = "ID|PATH")]
    backup: Option<String>,
    /// Directory for what lasts as long as the rehearsal [default: in the state directory]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Directory of etcd, etcdutl and etcdctl [default: the usual ones]
    #[arg(long, value_name = "DIR")]
    tools_dir: Option<PathBuf>,
    /// Where backups are kept [default: as configured]
    #[arg(long, value_name = "DIR")]
    backups_dir: Option<PathBuf>,
    /// The API server's prefix in etcd
    #[arg(long, value_name = "PREFIX", default_value = crate::objects::REGISTRY)]
    etcd_prefix: String,
    /// Seconds without progress after which a step has failed
    #[arg(long, value_name = "SECONDS", default_value = "120",
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
    let state_dir = &settings.paths.state_dir;
    let backups = options.backups_dir.clone();
    let backups = backups.unwrap_or_else(|| state_dir.join("backups"));
    let index = IndexFile::new(state_dir, &backups);
    let place = find(options.backup.as_deref(), &backups, &index)?;
    let scratch = options.scratch.clone();
    let scratch = scratch.unwrap_or_else(|| state_dir.join(STATE).join(SCRATCH));
    let mut request = Request::new(place.clone(), scratch);
    request.tools.clone_from(&options.tools_dir);
    request.prefix.clone_from(&options.etcd_prefix);
    request.limits.stall = Duration::from_secs(options.stall_seconds);
    let outcome = ask::wait_for(watched(request, out))?.map_err(|error| cannot(&error))?;
    let id = record(&place, &backups, &index, &outcome, out)?;
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
        return newest.ok_or_else(|| Failure::Told {
            exit: Exit::No,
            message: format!("no verified backup in {}", backups.display()),
            hint: Some("`rekindle backup list` shows those that there are".to_owned()),
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
    let failure = Failure::of(Exit::No, error);
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
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
        let text = serde_json::to_string_pretty(&answer);
        let text = text.map_err(|error| Failure::of(Exit::No, &error))?;
        return out.data(text + "\n");
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
