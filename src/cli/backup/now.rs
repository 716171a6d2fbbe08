//! `rekindle backup now`: through the daemon, or in this process where none answers.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::api::client::{self, ClientError};
use crate::api::wire;
use crate::backup::Progress;
use crate::backup::progress::Position;
use crate::cli::ask::wait_for;
use crate::cli::exit::{Exit, Failure, chain};
use crate::cli::output::{Out, clean};
use crate::cli::progress::Display;
use crate::cli::{Format, Global};
use crate::config::{self, Settings};
use crate::core::backup::manifest::Trigger;
use crate::core::backup::report::{BackupsReport, LastRun, Running, Work};
use crate::daemon::backups::run;
use crate::etcd::Allow;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
The daemon takes it, so that there are never two at one time; interrupting this command does not
end it. Where no daemon answers, this command takes it itself and says so. The id is printed.

Examples:
  rekindle backup now
  rekindle backup verify $(rekindle backup now)
  rekindle backup now -o json | jq -r .id";

/// Between two looks at the daemon's progress.
const LOOK: Duration = Duration::from_millis(250);

/// Options of `backup now`.
#[derive(Debug, Args)]
pub struct Options {
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,

    /// Where etcd has no better member: one that lags, learns or has an alarm of corrupt data
    ///
    /// The backup is marked for it. It is then always taken by this command, not by the daemon.
    #[arg(long)]
    allow_doubtful: bool,
}

#[derive(Serialize)]
struct Taken {
    id: String,
    notes: Vec<String>,
    by_daemon: bool,
}

/// Takes a backup.
///
/// # Errors
/// Exit code 1 where it fails or another one is under way.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let mut settings = config::load(global.config.as_deref())?.settings;
    if let Some(socket) = &global.socket {
        settings.socket.path.clone_from(socket);
    }
    let allow = Allow {
        doubtful: options.allow_doubtful,
    };
    let taken = wait_for(async {
        if allow.doubtful {
            return here(settings, allow, out).await;
        }
        match client::post::<wire::Begun>(&settings.socket.path, "/v1/backups").await {
            Ok(begun) => follow(&settings, begun.run, out).await,
            Err(error @ ClientError::Connect { .. }) => {
                out.note(&format!("note: {}", chain(&error)));
                out.note("note: the backup is taken by this command");
                here(settings, allow, out).await
            }
            Err(error) => Err(error.into()),
        }
    })??;
    for note in &taken.notes {
        out.note(&format!("note: {}", clean(note)));
    }
    match options.output {
        Format::Json => super::json(&taken, out)?,
        Format::Table => out.data(format!("{}\n", taken.id))?,
    }
    Ok(Exit::Done)
}

/// Watches the daemon take it.
async fn follow(settings: &Settings, number: u64, out: &mut Out) -> Result<Taken, Failure> {
    let mut display = Display::new();
    let ended = loop {
        let report: BackupsReport =
            client::get(&settings.socket.path, "/v1/backups", Duration::ZERO).await?;
        match (report.running, report.last_run) {
            (Some(running), _) if running.run == number && running.work == Work::Backup => {
                display.show(position(&running), out);
            }
            (_, Some(last)) if last.run == number => break Some(last),
            // Another run, or none of ours: the daemon was restarted.
            _ => break None,
        }
        tokio::time::sleep(LOOK).await;
    };
    display.end();
    match ended {
        Some(LastRun {
            failure: None,
            id: Some(id),
            notes,
            ..
        }) => Ok(Taken {
            id: id.to_string(),
            notes,
            by_daemon: true,
        }),
        Some(run) => Err(failed(&run.failure.unwrap_or_default())),
        None => Err(failed("the daemon was restarted meanwhile")),
    }
}

/// The phases by name: what comes over the socket is only compared with them.
fn position(running: &Running) -> Position {
    let phases = [
        "choosing",
        "streaming",
        "syncing",
        "unpacking",
        "verifying",
        "packing files of the host",
        "sealing",
        "pruning",
    ];
    let phase = phases.into_iter().find(|phase| *phase == running.phase);
    Position {
        phase: phase.unwrap_or("working"),
        done: running.done_bytes,
        total: running.total_bytes,
    }
}

/// Takes it in this process.
async fn here(settings: Settings, allow: Allow, out: &mut Out) -> Result<Taken, Failure> {
    let progress = Progress::default();
    let mut display = Display::new();
    let work = run::backup(settings.into(), Trigger::Asked, allow, progress.clone());
    tokio::pin!(work);
    let ended = loop {
        tokio::select! {
            ended = &mut work => break ended,
            () = tokio::time::sleep(LOOK) => display.show(progress.position(), out),
        }
    };
    display.end();
    match ended {
        Ok((id, notes)) => Ok(Taken {
            id: id.to_string(),
            notes,
            by_daemon: false,
        }),
        Err((_, failure)) => Err(failed(&failure)),
    }
}

fn failed(message: &str) -> Failure {
    super::told(format!("no backup was taken: {message}"))
        .hint("`rekindle status` shows how backups stand; earlier ones are untouched")
}
