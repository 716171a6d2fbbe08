//! `rekindle check-config`: every mistake, or what is in force and where it comes from.

use clap::{Args, ValueEnum};

use super::Global;
use super::exit::{Exit, Failure};
use super::output::Out;
use crate::config::{self, show};

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Prints every mistake of every file with file, line and key, and ends with exit code 2; where
there is none, every key in force with the file and line that it comes from.

Examples:
  rekindle check-config
  rekindle check-config --config new.toml -o json
  rekindle check-config -o default > config.toml";

/// Options of `check-config`.
#[derive(Debug, Args)]
pub struct Options {
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "toml")]
    output: Format,
}

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// TOML with the origin of each value as a comment
    Toml,
    /// JSON with value, file and line of each key
    Json,
    /// The default configuration file, every key commented out
    Default,
}

/// Checks and prints.
///
/// # Errors
/// All mistakes, exit code 2.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let in_force = |config| config::load(config).map(|loaded| loaded.in_force);
    let config = global.config.as_deref();
    out.data(match options.output {
        Format::Toml => show::toml(&in_force(config)?),
        Format::Json => format!("{:#}\n", show::json(&in_force(config)?)),
        Format::Default => show::default_file(&config::keys::table("")),
    })?;
    Ok(Exit::Done)
}
