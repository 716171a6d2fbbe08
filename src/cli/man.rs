//! `rekindle man`: manual pages, made from the same description as the help.

use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man;

use super::exit::{Exit, Failure};
use super::output::Out;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Examples:
  rekindle man | man -l -
  rekindle man --dir /usr/share/man/man8";

/// Options of `man`.
#[derive(Debug, Args)]
pub struct Options {
    /// Write the page of every subcommand into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints the main page, or writes every page.
///
/// # Errors
/// Where one cannot be written.
pub fn run(options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let mut command = super::command().disable_help_subcommand(true);
    command.build();
    let Some(dir) = &options.dir else {
        let mut page = Vec::new();
        page_of(command)
            .render(&mut page)
            .map_err(|error| Failure::of(Exit::No, &error))?;
        out.data(page)?;
        return Ok(Exit::Done);
    };
    let mut left = vec![command];
    while let Some(command) = left.pop() {
        left.extend(
            command
                .get_subcommands()
                .filter(|sub| !sub.is_hide_set())
                .cloned(),
        );
        page_of(command).generate_to(dir).map_err(|error| {
            Failure::of(Exit::No, &error).hint(format!("is {} a directory?", dir.display()))
        })?;
    }
    Ok(Exit::Done)
}

fn page_of(command: clap::Command) -> Man {
    Man::new(command).section("8").manual("Rekindle")
}
