//! `rekindle backup`: its subcommands. `now` asks the daemon where it answers; all others work
//! with no daemon, etcd or API server.

pub mod fetch;
pub mod list;
pub mod now;
pub mod prune;
pub mod rehearse;
pub mod restore;
pub mod show;
pub mod verify;

use clap::Subcommand;

use super::Global;
use super::exit::{Exit, Failure};
use super::output::Out;
pub(super) use super::output::json;
use crate::core::backup::id::BackupId;

/// What can be done with backups.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take a backup now
    #[command(after_help = now::EXAMPLES)]
    Now(now::Options),
    /// List the backups of this node
    #[command(after_help = list::EXAMPLES)]
    List(list::Options),
    /// Fetch a copy back from a target
    #[command(after_help = fetch::EXAMPLES)]
    Fetch(fetch::Options),
    /// Show one backup and what is known of it
    #[command(after_help = show::EXAMPLES)]
    Show(show::Options),
    /// Prove that a backup, a snapshot or a database is whole
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::Options),
    /// Prove that a backup restores, by restoring it
    #[command(after_help = rehearse::EXAMPLES)]
    Rehearse(rehearse::Options),
    /// Remove backups that no rule keeps, or those that are named
    #[command(after_help = prune::EXAMPLES)]
    Prune(prune::Options),
    /// Make an etcd data directory of a backup
    #[command(after_help = restore::EXAMPLES)]
    Restore(restore::Options),
}

/// Carries one out.
///
/// # Errors
/// As the subcommand says.
pub fn run(global: &Global, command: Command, out: &mut Out) -> Result<Exit, Failure> {
    match command {
        Command::Now(options) => now::run(global, &options, out),
        Command::List(options) => list::run(global, &options, out),
        Command::Fetch(options) => fetch::run(global, &options, out),
        Command::Show(options) => show::run(global, &options, out),
        Command::Verify(options) => verify::run(global, &options, out),
        Command::Rehearse(options) => rehearse::run(global, &options, out),
        Command::Prune(options) => prune::run(global, &options, out),
        Command::Restore(options) => restore::run(global, &options, out),
    }
}

/// Parses an id given as an argument.
pub(super) fn id(text: &str) -> Result<BackupId, String> {
    BackupId::parse(text).map_err(|error| error.to_string())
}

/// A failure in words.
pub(super) fn told(message: String) -> Failure {
    Failure::Told {
        exit: Exit::No,
        message,
        hint: None,
    }
}
