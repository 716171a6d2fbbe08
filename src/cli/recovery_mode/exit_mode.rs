//! `rekindle recovery-mode exit`: ends the recovery that is under way, or the latch.

use clap::Args;

use crate::api::client;
use crate::api::wire::Said;
use crate::cli::ask::wait_for;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Out, clean, json};
use crate::cli::{Format, Global};
use crate::config;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
What is done already stays; before its point of no return a restore of etcd is taken back. Also
ends the latch, with which the daemon waits for an operator after a recovery that failed. For root.

Examples:
  rekindle recovery-mode exit";

/// Options of `recovery-mode exit`.
#[derive(Debug, Args)]
pub struct Options {
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Ends it.
///
/// # Errors
/// Exit code 1 where there is nothing to end, 3 where the daemon does not answer.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let settings = config::load(global.config.as_deref())?.settings;
    let socket = global.socket.clone().unwrap_or(settings.socket.path);
    let said: Said = wait_for(client::post(&socket, "/v1/recovery-mode/exit"))??;
    match options.output {
        Format::Json => json(&said, out)?,
        Format::Table => out.data(clean(&said.said) + "\n")?,
    }
    Ok(Exit::Done)
}
