//! `rekindle recovery-mode enter`: an operator begins a recovery, and watches it.

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use form_urlencoded::Serializer;

use super::{plans, standalone};
use crate::api::client::{self, ClientError};
use crate::api::wire::{Entered, Plans, Status};
use crate::cli::ask::wait_for;
use crate::cli::exit::{Exit, Failure, chain};
use crate::cli::output::{Out, clean, json};
use crate::cli::{Format, Global};
use crate::config;
use crate::core::recovery::record::Outcome;
use crate::core::recovery::rung::Rung;
use crate::core::recovery::view::Last;
use crate::recovery::current::peek;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Says what it will do and lose, and asks, unless --yes. The daemon carries it out: interrupting this
command does not end it, `rekindle recovery-mode exit` does. For root.

Examples:
  rekindle recovery-mode enter
  rekindle recovery-mode enter --from backup --allow-data-loss 1h --yes
  rekindle recovery-mode enter --from backup --source 20261124T003000Z-master1 --allow-data-loss 2d
  rekindle recovery-mode enter --standalone";

/// A report is waited for so long; then it is asked for again.
const WAIT: Duration = Duration::from_secs(20);

/// Options of `recovery-mode enter`.
#[derive(Debug, Args)]
pub struct Options {
    /// The first way that is considered
    #[arg(long, value_name = "RUNG", value_parser = super::rung)]
    from: Option<Rung>,
    /// The backup: its id, or a path [default: the newest verified one]
    #[arg(long, value_name = "ID|PATH")]
    source: Option<String>,
    /// Data of so much time may be lost, as 30s, 15m, 2h, 1d
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = super::duration)]
    allow_data_loss: Duration,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Where no daemon runs: recover in this process, in the foreground
    #[arg(long)]
    standalone: bool,
    /// How the end is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Begins a recovery and follows it to its end.
///
/// # Errors
/// Exit code 1 where it is refused, fails, or the answer is no; 3 where the daemon does not answer.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let mut settings = config::load(global.config.as_deref())?.settings;
    if let Some(socket) = &global.socket {
        settings.socket.path.clone_from(socket);
    }
    if options.standalone {
        // What cannot be read the daemon says itself, and does not begin another one.
        let journal = peek(&settings.paths.state_dir).ok().and_then(|(it, _)| it);
        let cut_off = journal.map(|journal| journal.record.id);
        return wait_for(standalone::run(&settings, |socket| {
            conversation(socket, cut_off, options, out)
        }))?;
    }
    let socket = settings.socket.path.clone();
    wait_for(conversation(socket, None, options, out))?
}

async fn conversation(
    socket: PathBuf,
    cut_off: Option<String>,
    options: &Options,
    out: &mut Out,
) -> Result<Exit, Failure> {
    if let Some(id) = cut_off {
        // This process has taken it up already.
        out.note(&format!(
            "recovery {id} was cut off: it is gone on with, whatever is asked for now"
        ));
        return ending(&socket, &id, options, out).await;
    }
    let query = query(options);
    let target = format!("/v1/recovery-mode/plan?{query}");
    let asked = plans::known(&socket, &target, |line| out.note(line)).await;
    let Plans { plans, .. } = asked.map_err(silent)?;
    for plan in &plans {
        out.note(super::plan::text(plan).trim_end());
    }
    if !options.yes && !confirmed(out)? {
        return Ok(Exit::No);
    }
    let target = format!("/v1/recovery-mode/enter?{query}");
    let Entered { id } = client::post(&socket, &target).await?;
    out.note(&format!("recovery {id} has begun"));
    ending(&socket, &id, options, out).await
}

/// Follows a recovery and tells how it ends.
async fn ending(
    socket: &Path,
    id: &str,
    options: &Options,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let last = follow(socket, id, out).await?;
    match options.output {
        Format::Json => json(&last, out)?,
        Format::Table => out.data(format!(
            "{}: {}, after {} s\n",
            last.id,
            clean(&last.outcome.said()),
            last.took_seconds
        ))?,
    }
    out.note(&format!(
        "`rekindle recovery-mode report {id}` tells all of it"
    ));
    Ok(match last.outcome {
        Outcome::Recovered | Outcome::Unneeded => Exit::Done,
        Outcome::Failed(_) | Outcome::Abandoned(_) => Exit::No,
    })
}

fn query(options: &Options) -> String {
    let mut query = Serializer::new(String::new());
    if let Some(from) = options.from {
        query.append_pair("from", from.word());
    }
    if let Some(source) = &options.source {
        query.append_pair("source", source);
    }
    let seconds = options.allow_data_loss.as_secs();
    query.append_pair("allow_loss_seconds", &seconds.to_string());
    query.finish()
}

/// Where nobody answers, there is another way.
fn silent(error: ClientError) -> Failure {
    match error {
        ClientError::Connect { .. } => {
            let failure: Failure = error.into();
            failure.hint("where the daemon cannot run: `rekindle recovery-mode enter --standalone`")
        }
        other => other.into(),
    }
}

fn confirmed(out: &mut Out) -> Result<bool, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::Told {
            exit: Exit::Usage,
            message: "stdin is no terminal, so nobody can be asked".to_owned(),
            hint: Some("give --yes".to_owned()),
        });
    }
    out.note("Begin? Type yes:");
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    read.map_err(|error| Failure::of(Exit::No, &error))?;
    let yes = answer.trim() == "yes";
    if !yes {
        out.note("nothing was begun");
    }
    Ok(yes)
}

/// Tells what changes until the recovery has ended. A daemon that is restarted meanwhile goes on.
async fn follow(socket: &Path, id: &str, out: &mut Out) -> Result<Last, Failure> {
    let mut seen = 0;
    let mut said = String::new();
    let mut silent_since = 0;
    loop {
        let target = format!("/v1/status?after={seen}&wait_seconds={}", WAIT.as_secs());
        match client::get::<Status>(socket, &target, WAIT).await {
            Ok(status) => {
                silent_since = 0;
                seen = status.generation;
                if let Some(last) = status.recovery.last.filter(|last| last.id == id) {
                    return Ok(last);
                }
                if let Some(running) = status.recovery.running {
                    let line = if running.waits_for.is_empty() {
                        running.phase
                    } else {
                        format!("{}: {}", running.phase, running.waits_for)
                    };
                    if line != said {
                        out.note(&format!(
                            "{:>5} s  {}",
                            running.elapsed_seconds,
                            clean(&line)
                        ));
                        said = line;
                    }
                }
            }
            Err(error) if silent_since < 60 => {
                if silent_since == 0 {
                    out.note(&format!("note: {}", chain(&error)));
                }
                silent_since += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
