//! `rekindle backup prune`.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::backup::prune::{PruneError, Removed};
use crate::cli::backup_view::{ago, bytes};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Out, clean, columns};
use crate::cli::{Format, Global};
use crate::config;
use crate::core::backup::id::BackupId;
use crate::daemon::backups::lock::{Busy, hold};
use crate::daemon::backups::pruning::pruner;
use crate::daemon::clock;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Without an ID the rules of the configuration are applied, as after each backup. Says of every backup
why it stays or goes. Needs no daemon, etcd or API server. The newest verified backup, the newest
rehearsed one, and everything as long as none is verified stay, unless named with --force.

Examples:
  rekindle backup prune --dry-run
  rekindle backup prune
  rekindle backup prune 20261124T003000Z-master1
  rekindle backup prune 20261124T003000Z-master1 --force";

/// Options of `backup prune`.
#[derive(Debug, Args)]
pub struct Options {
    /// Remove these, whatever the rules say [default: what no rule keeps]
    #[arg(value_name = "ID", value_parser = super::id)]
    ids: Vec<BackupId>,
    /// Remove nothing and say what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Remove also what must stay or is damaged
    #[arg(long, requires = "ids")]
    force: bool,
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

#[derive(Debug, Default, Serialize)]
struct Pruned {
    dry_run: bool,
    backups: Vec<Row>,
    removed_bytes: u64,
    free_bytes: Option<u64>,
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    id: BackupId,
    /// `None`: it is damaged.
    taken_at: Option<Timestamp>,
    bytes: Option<u64>,
    keep: bool,
    /// It is gone.
    removed: bool,
    reason: String,
}

/// Prunes.
///
/// # Errors
/// Exit code 1 where another process works on the backups, where a named backup must stay or is not
/// there, or where the disk fails.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let settings = config::load(global.config.as_deref())?.settings;
    let _lock = if options.dry_run {
        None
    } else {
        Some(hold(&settings).map_err(busy)?)
    };
    let pruner = pruner(&settings);
    let now = clock::wall();
    let plan = pruner.plan(now).map_err(|error| failure(&error))?;
    let mut told = Pruned {
        dry_run: options.dry_run,
        free_bytes: plan.free_bytes,
        problems: plan.problems,
        ..Pruned::default()
    };
    told.backups = plan
        .backups
        .into_iter()
        .map(|(kept, fate)| Row {
            id: fate.id,
            taken_at: Some(kept.taken_at),
            bytes: Some(kept.bytes),
            // By hand, the rules are not applied.
            keep: fate.keep || !options.ids.is_empty(),
            removed: false,
            reason: fate.reason,
        })
        .collect();
    let mut done = Ok(());
    if options.ids.is_empty() {
        if !options.dry_run {
            done = pruner.prune(now, &mut |one| gone(&mut told, one));
        }
    } else {
        let named = pruner.by_hand(&options.ids, options.force, now);
        for (id, bytes) in named.map_err(|error| failure(&error))? {
            let row = row(&mut told.backups, &id);
            (row.bytes, row.keep) = (bytes, false);
            "asked for".clone_into(&mut row.reason);
        }
        if !options.dry_run {
            let mut say = |one| gone(&mut told, one);
            done = pruner.remove_by_hand(&options.ids, options.force, now, &mut say);
        }
    }
    print(&told, options, now, out)?;
    done.map_err(|error| failure(&error))?;
    Ok(Exit::Done)
}

/// The row of a backup; one that is damaged has none yet.
fn row<'a>(rows: &'a mut Vec<Row>, id: &BackupId) -> &'a mut Row {
    let place = rows.iter().position(|row| row.id == *id);
    let place = place.unwrap_or_else(|| {
        rows.push(Row {
            id: id.clone(),
            taken_at: None,
            bytes: None,
            keep: true,
            removed: false,
            reason: String::new(),
        });
        rows.len() - 1
    });
    &mut rows[place]
}

fn gone(told: &mut Pruned, one: Removed) {
    told.removed_bytes = told.removed_bytes.saturating_add(one.bytes.unwrap_or(0));
    let row = row(&mut told.backups, &one.id);
    (row.keep, row.removed, row.reason) = (false, true, one.reason);
    told.problems.extend(one.notes);
}

fn print(told: &Pruned, options: &Options, now: Timestamp, out: &mut Out) -> Result<(), Failure> {
    for problem in &told.problems {
        out.note(&format!("warning: {}", clean(problem)));
    }
    if options.output == Format::Json {
        return super::json(told, out);
    }
    let head = ["ID", "TAKEN", "SIZE", "", "REASON"];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    table.extend(told.backups.iter().map(|row| {
        let what = match (row.keep, row.removed) {
            (true, _) => "keep",
            (false, true) => "removed",
            (false, false) => "remove",
        };
        vec![
            row.id.to_string(),
            row.taken_at.map_or("-".to_owned(), |at| ago(at, now)),
            row.bytes.map_or("damaged".to_owned(), bytes),
            what.to_owned(),
            row.reason.clone(),
        ]
    }));
    if told.backups.is_empty() {
        out.note("no backups");
        return Ok(());
    }
    out.data(columns(&table, ""))?;
    if told.removed_bytes > 0 {
        out.note(&format!("{} removed", bytes(told.removed_bytes)));
    }
    Ok(())
}

fn failure(error: &PruneError) -> Failure {
    let told = Failure::of(Exit::No, error);
    match error.hint() {
        Some(hint) => told.hint(hint),
        None => told,
    }
}

fn busy(busy: Busy) -> Failure {
    match busy {
        Busy::Held => super::told("a backup or a rehearsal is running".to_owned())
            .hint("`rekindle status` shows it; try again when it has ended"),
        Busy::Failed(error) => super::told(error),
    }
}
