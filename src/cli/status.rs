//! `rekindle status`: the report, once or at each change.

use std::time::Duration;

use clap::Args;

use super::ask::{Places, wait_for};
use super::exit::{Exit, Failure};
use super::output::Out;
use super::{Format, Global, status_view};
use crate::api::wire;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Examples:
  rekindle status
  rekindle status --watch
  rekindle status -o json | jq '.checkpoints[] | {id, state, reason}'";

/// The daemon holds an answer back this long where nothing changes.
const WAIT: Duration = Duration::from_secs(60);

/// Options of `status`.
#[derive(Debug, Args)]
pub struct Options {
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// Print again at each change, until interrupted
    #[arg(short, long)]
    watch: bool,
}

/// Prints the report.
///
/// # Errors
/// Exit code 3 where the daemon does not answer, 1 where it refuses.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let places = Places::of(global)?;
    wait_for(async {
        let mut status: wire::Status = places.get("/v1/status", Duration::ZERO).await?;
        loop {
            print(&status, options, out)?;
            if !options.watch {
                return Ok(Exit::Done);
            }
            let shown = status.generation;
            while status.generation == shown {
                let target = format!("/v1/status?after={shown}&wait_seconds={}", WAIT.as_secs());
                status = places.get(&target, WAIT).await?;
            }
        }
    })?
}

fn print(status: &wire::Status, options: &Options, out: &mut Out) -> Result<(), Failure> {
    let text = match options.output {
        // One line for each report, so that a program can read a watched one.
        Format::Json if options.watch => serde_json::to_string(status).map(|text| text + "\n"),
        Format::Json => serde_json::to_string_pretty(status).map(|text| text + "\n"),
        Format::Table => Ok(status_view::text(status, out.colour())),
    };
    let text = text.map_err(|error| Failure::of(Exit::No, &error))?;
    if options.watch && out.is_terminal() && options.output == Format::Table {
        // Home, then clear: the screen of a terminal is redrawn in place.
        out.data("\x1b[H\x1b[2J")?;
    } else if options.watch && options.output == Format::Table {
        out.data("\n")?;
    }
    out.data(text)?;
    out.flush()
}
