//! `rekindle backup`: its subcommands.

pub mod rehearse;
pub mod restore;

use clap::Subcommand;

use super::Global;
use super::exit::{Exit, Failure};
use super::output::Out;

/// What can be done with backups.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prove that a backup restores, by restoring it
    #[command(after_help = rehearse::EXAMPLES)]
    Rehearse(rehearse::Options),
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
        Command::Rehearse(options) => rehearse::run(global, &options, out),
        Command::Restore(options) => restore::run(global, &options, out),
    }
}
