//! `rekindle recovery-mode`: its subcommands.

pub mod report;
mod report_text;

use clap::Subcommand;

use super::Global;
use super::exit::{Exit, Failure};
use super::output::Out;

/// What can be done with recovery mode.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what a recovery did, or all of them
    #[command(after_help = report::EXAMPLES)]
    Report(report::Options),
}

/// Carries one out.
///
/// # Errors
/// As the subcommand says.
pub fn run(global: &Global, command: Command, out: &mut Out) -> Result<Exit, Failure> {
    match command {
        Command::Report(options) => report::run(global, &options, out),
    }
}
