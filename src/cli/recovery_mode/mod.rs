//! `rekindle recovery-mode`: its subcommands.

pub mod enter;
pub mod exit_mode;
pub mod plan;
pub(super) mod plans;
pub mod report;
mod report_text;
mod standalone;
pub mod status;

use std::time::Duration;

use clap::Subcommand;

use super::Global;
use super::exit::{Exit, Failure};
use super::output::Out;
use crate::core::recovery::rung::Rung;

/// What can be done with recovery mode.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show how the control plane stands, and why nothing more is done about it
    #[command(after_help = status::EXAMPLES)]
    Status(status::Options),
    /// Show every way back, with its cost and what stands in it; changes nothing
    #[command(after_help = plan::EXAMPLES)]
    Plan(plan::Options),
    /// Begin a recovery by hand
    #[command(after_help = enter::EXAMPLES)]
    Enter(enter::Options),
    /// End the recovery that is under way, or the latch
    #[command(after_help = exit_mode::EXAMPLES)]
    Exit(exit_mode::Options),
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
        Command::Status(options) => status::run(global, &options, out),
        Command::Plan(options) => plan::run(global, &options, out),
        Command::Enter(options) => enter::run(global, &options, out),
        Command::Exit(options) => exit_mode::run(global, &options, out),
        Command::Report(options) => report::run(global, &options, out),
    }
}

/// Reads a rung.
fn rung(text: &str) -> Result<Rung, String> {
    Rung::parse(text).ok_or_else(|| {
        let all: Vec<_> = Rung::ALL.iter().map(|rung| rung.word()).collect();
        format!("it is one of {}", all.join(", "))
    })
}

/// Reads a length of time.
fn duration(text: &str) -> Result<Duration, String> {
    super::duration::parse(text)
}
