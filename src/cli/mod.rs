//! The command line: one file for each subcommand, exit codes in [`exit`], output in [`output`].
//!
//! Data goes to stdout, everything else to stderr. Only `run` needs no daemon by nature;
//! `checkpoint list` and `show` read the disk where the daemon does not answer.

pub mod ask;
pub mod backup;
pub mod backup_view;
pub mod check_config;
pub mod checkpoint;
pub mod checkpoint_render;
pub mod cleanup;
pub mod completions;
pub mod cri_log;
pub mod doctor;
pub mod duration;
pub mod exit;
pub mod hold;
pub mod logging;
pub mod man;
pub mod output;
pub mod progress;
pub mod recover;
pub mod recovery_mode;
pub mod recovery_view;
pub mod run;
pub mod start;
pub mod status;
pub mod status_view;
pub mod unified;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use exit::{Exit, Failure};
use output::Out;

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  answered, and the answer is no: not found, refused, failed
  2  wrong usage or bad configuration
  3  the daemon is not reachable

Examples:
  rekindle status --watch
  rekindle checkpoint list -o json
  rekindle check-config";

/// Brings a lost Kubernetes control plane back by itself
#[derive(Debug, Parser)]
#[command(name = "rekindle", version, propagate_version = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every subcommand.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Read exactly this configuration file and no drop-in
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// The daemon's socket [default: socket.path of the configuration]
    #[arg(long, value_name = "PATH", global = true)]
    pub socket: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    #[command(after_help = run::EXAMPLES)]
    Run,
    /// Check the configuration and print what is in force
    #[command(after_help = check_config::EXAMPLES)]
    CheckConfig(check_config::Options),
    /// Show sources, checkpoints, and what the daemon waits for
    #[command(after_help = status::EXAMPLES)]
    Status(status::Options),
    /// Pause every automatic action for a while, for an upgrade; show or end that
    #[command(after_help = hold::EXAMPLES)]
    Hold(hold::Options),
    /// Look at checkpoints
    #[command(subcommand)]
    Checkpoint(checkpoint::Command),
    /// Take, look at, prove and restore backups of etcd
    #[command(subcommand)]
    Backup(backup::Command),
    /// Take Kubernetes off this node before a recovery, and back with --undo
    #[command(after_help = cleanup::EXAMPLES)]
    Cleanup(cleanup::Options),
    /// Extract a lost control plane from what is left of it
    #[command(after_help = recover::EXAMPLES)]
    Recover(recover::Options),
    /// Bring a control plane back from an asset tree
    #[command(after_help = start::EXAMPLES)]
    Start(start::Options),
    /// Look at recoveries
    #[command(subcommand)]
    RecoveryMode(recovery_mode::Command),
    /// Find what would go wrong in a disaster, and what to do about it
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::Options),
    /// Print a completion script
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::Options),
    /// Print or write the manual pages
    #[command(after_help = man::EXAMPLES)]
    Man(man::Options),
    /// Write a container's output as the kubelet's log files (started by containerd's shim)
    #[command(hide = true)]
    CriLog {
        /// The log file
        path: PathBuf,
    },
}

/// How data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

/// Parses the arguments, does what they say, and returns the exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout, mistakes to stderr; a closed pipe is no failure.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            }
            .into();
        }
    };
    if let Command::CriLog { path } = &cli.command {
        return cri_log::run(path);
    }
    let mut out = Out::terminal();
    match dispatch(cli, &mut out).and_then(|exit| out.flush().map(|()| exit)) {
        Ok(exit) => exit.into(),
        Err(failure) => failure.tell(&mut out).into(),
    }
}

fn dispatch(cli: Cli, out: &mut Out) -> Result<Exit, Failure> {
    let global = &cli.global;
    match cli.command {
        Command::Run => run::run(global),
        Command::CheckConfig(options) => check_config::run(global, &options, out),
        Command::Status(options) => status::run(global, &options, out),
        Command::Hold(options) => hold::run(global, &options, out),
        Command::Checkpoint(command) => checkpoint::run(global, command, out),
        Command::Backup(command) => backup::run(global, command, out),
        Command::Cleanup(options) => cleanup::run(global, &options, out),
        Command::Recover(options) => recover::run(global, &options, out),
        Command::Start(options) => start::run(global, &options, out),
        Command::RecoveryMode(command) => recovery_mode::run(global, command, out),
        Command::Doctor(options) => doctor::run(global, &options, out),
        Command::Completions(options) => completions::run(&options, out),
        Command::Man(options) => man::run(&options, out),
        Command::CriLog { .. } => Ok(Exit::Done),
    }
}

/// A path that was given on the command line, from the root: what is written down, or done by
/// another process, is not seen from this one's directory.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::of(Exit::Usage, &error))
}

/// The whole command, for completions, manual pages and the tests.
#[must_use]
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}
