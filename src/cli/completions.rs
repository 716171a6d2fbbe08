//! `rekindle completions`: a script for the shell.

use clap::Args;
use clap_complete::Shell;

use super::exit::{Exit, Failure};
use super::output::Out;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Examples:
  rekindle completions bash > /usr/share/bash-completion/completions/rekindle";

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct Options {
    /// For which shell
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// Where it cannot be written.
pub fn run(options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(
        options.shell,
        &mut super::command(),
        "rekindle",
        &mut script,
    );
    out.data(script)?;
    Ok(Exit::Done)
}
