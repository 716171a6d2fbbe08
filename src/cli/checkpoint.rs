//! `rekindle checkpoint`: its subcommands.

pub mod diff;
pub mod list;
pub mod render;
pub mod show;

use clap::Subcommand;

use super::Global;
use super::exit::{Exit, Failure};
use super::output::Out;
use crate::core::id::CheckpointId;

/// What can be done with checkpoints.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List checkpoints with state and reason
    #[command(after_help = list::EXAMPLES)]
    List(list::Options),
    /// Show one checkpoint and what is stored of it
    #[command(after_help = show::EXAMPLES)]
    Show(show::Options),
    /// Show how the candidate revision differs from the good one
    #[command(after_help = diff::EXAMPLES)]
    Diff(diff::Options),
    /// Show what would be stored for the parents in a list of pods
    #[command(after_help = render::EXAMPLES)]
    Render(render::Options),
}

/// Carries one out.
///
/// # Errors
/// As the subcommand says.
pub fn run(global: &Global, command: Command, out: &mut Out) -> Result<Exit, Failure> {
    match command {
        Command::List(options) => list::run(global, &options, out),
        Command::Show(options) => show::run(global, &options, out),
        Command::Diff(options) => diff::run(global, &options, out),
        Command::Render(options) => render::run(global, &options, out),
    }
}

/// Parses an id given as an argument.
fn id(text: &str) -> Result<CheckpointId, String> {
    CheckpointId::parse(text).map_err(|error| error.cause.to_owned())
}
