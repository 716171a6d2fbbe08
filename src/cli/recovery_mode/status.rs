//! `rekindle recovery-mode status`: how the control plane stands, and what is done about it.

use std::time::Duration;

use clap::Args;

use crate::api::wire::Status;
use crate::cli::ask::{Places, wait_for};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Out, json};
use crate::cli::{Format, Global, recovery_view};
use crate::daemon::clock;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
The section of `rekindle status` on the control plane, and why nothing more is done about it.

Examples:
  rekindle recovery-mode status
  rekindle recovery-mode status -o json | jq .condition";

/// Options of `recovery-mode status`.
#[derive(Debug, Args)]
pub struct Options {
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Asks and tells.
///
/// # Errors
/// Exit code 3 where the daemon does not answer.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let places = Places::of(global)?;
    let status: Status = wait_for(places.get("/v1/status", Duration::ZERO))??;
    match options.output {
        Format::Json => json(&status.recovery, out)?,
        Format::Table => {
            let lines = recovery_view::section(&status.recovery, clock::wall());
            let lines: String = lines.into_iter().map(|(line, _)| line + "\n").collect();
            out.data(lines)?;
        }
    }
    Ok(Exit::Done)
}
