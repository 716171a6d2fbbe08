//! `rekindle backup`: its subcommands.

pub mod restore;
pub mod verify;

use clap::Subcommand;

use super::Global;
use super::exit::{Exit, Failure};
use super::output::Out;

/// What can be done with backups.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an etcd data directory of a backup
    #[command(after_help = restore::EXAMPLES)]
    Restore(restore::Options),
    /// Prove that a backup, a snapshot or a database is whole
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::Options),
}

/// Carries one out.
///
/// # Errors
/// As the subcommand says.
pub fn run(global: &Global, command: Command, out: &mut Out) -> Result<Exit, Failure> {
    match command {
        Command::Restore(options) => restore::run(global, &options, out),
        Command::Verify(options) => verify::run(global, &options, out),
    }
}
