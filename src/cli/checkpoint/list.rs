//! `rekindle checkpoint list`.

use clap::Args;

use crate::api::wire;
use crate::cli::ask::Places;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Out;
use crate::cli::{Format, Global, status_view};

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Where the daemon does not answer, its memory on disk is read and a note says so.

Examples:
  rekindle checkpoint list
  rekindle checkpoint list -o json";

/// Options of `checkpoint list`.
#[derive(Debug, Args)]
pub struct Options {
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Lists.
///
/// # Errors
/// Exit code 3 where neither the daemon nor the disk answers.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let checkpoints = Places::of(global)?.checkpoints(out)?;
    match options.output {
        Format::Json => {
            let text = serde_json::to_string_pretty(&wire::Checkpoints { checkpoints })
                .map_err(|error| Failure::of(Exit::No, &error))?;
            out.data(text + "\n")?;
        }
        Format::Table if checkpoints.is_empty() => out.note("no checkpoints"),
        Format::Table => out.data(status_view::checkpoints(&checkpoints, ""))?,
    }
    Ok(Exit::Done)
}
