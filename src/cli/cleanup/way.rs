//! What cleaning up and putting back have in common: the node is taken, the operator asked, and
//! the daemon waited for.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::Options;
use crate::api::{client, wire};
use crate::cleanup::{CleanupError, State};
use crate::cli::ask::wait_for;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Out;
use crate::config::Settings;
use crate::core::operation::OperationKind;
use crate::daemon::clock;
use crate::operation::{self, Operation, RecordError};

/// A running daemon has noticed long before.
const NOTICED: Duration = Duration::from_secs(30);

/// One call of the command.
pub(super) struct Way<'a> {
    pub(super) settings: &'a Settings,
    pub(super) socket: PathBuf,
    pub(super) options: &'a Options,
}

impl Way<'_> {
    /// What the journal of an earlier run says, and whether that one was done.
    pub(super) fn left_behind(&self) -> Option<(State, bool)> {
        operation::peek(&self.settings.paths.state_dir, OperationKind::Cleanup)
    }

    /// Takes the node. Gives what an earlier run that was cut off remembers.
    pub(super) fn begin(
        &self,
        first: &State,
        out: &mut Out,
    ) -> Result<(Operation<State>, Option<State>), Failure> {
        let state_dir = &self.settings.paths.state_dir;
        let (kind, now) = (OperationKind::Cleanup, clock::wall());
        let begun = Operation::begin(state_dir, kind, now, "begins", first);
        let begun = begun.map_err(|error| Failure::of(Exit::No, &error).hint(error.hint()))?;
        for problem in &begun.problems {
            out.note(&format!("note: {problem}"));
        }
        let held = begun.held;
        Ok((begun.operation, begun.resumed.filter(|_| !held)))
    }

    /// Asks, unless that was answered on the command line.
    pub(super) fn confirm(&self, question: &str, out: &mut Out) -> Result<(), Failure> {
        if self.options.yes {
            return Ok(());
        }
        let refused = |message: &str, hint: &str| Failure::Told {
            exit: Exit::No,
            message: message.to_owned(),
            hint: Some(hint.to_owned()),
        };
        if !std::io::stdin().is_terminal() {
            let message = "nobody can be asked here (no terminal), and nothing was done";
            return Err(refused(message, "say --yes, or --dry-run to only look"));
        }
        out.flush()?;
        let mut stderr = std::io::stderr();
        let asked = write!(stderr, "{question} Type yes: ").and_then(|()| stderr.flush());
        asked.map_err(|error| Failure::of(Exit::No, &error))?;
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        read.map_err(|error| Failure::of(Exit::No, &error))?;
        if answer.trim() == "yes" {
            return Ok(());
        }
        Err(refused(
            "not confirmed, and nothing was done",
            "type the whole word yes",
        ))
    }

    /// Waits until a daemon that runs has noticed: a turn that has begun may still start a copy.
    pub(super) fn daemon_holds_back(&self, out: &mut Out) -> Result<(), Failure> {
        // Within the runtime: a timer cannot be made outside of one.
        let noticed = wait_for(async {
            tokio::time::timeout(NOTICED, async {
                let mut target = "/v1/status".to_owned();
                let mut patience = Duration::ZERO;
                loop {
                    let status = client::get::<wire::Status>(&self.socket, &target, patience).await;
                    let Ok(status) = status else {
                        return false;
                    };
                    let mut operations = status.report.operations.iter();
                    if operations.any(|seen| seen.kind == OperationKind::Cleanup) {
                        return true;
                    }
                    patience = Duration::from_secs(5);
                    target = format!("/v1/status?after={}&wait_seconds=5", status.generation);
                }
            })
            .await
        })?;
        match noticed {
            Ok(true) => out.note("the daemon holds back"),
            Ok(false) => out.note("note: no daemon answers; one that is started will hold back"),
            Err(_) => {
                return Err(Failure::Told {
                    exit: Exit::No,
                    message: format!(
                        "the daemon has not noticed within {} s that it is to hold back",
                        NOTICED.as_secs()
                    ),
                    hint: Some("see `rekindle status`; is it of this version?".to_owned()),
                });
            }
        }
        Ok(())
    }
}

pub(super) fn failed(error: &CleanupError) -> Failure {
    Failure::of(Exit::No, error).hint(error.hint())
}

pub(super) fn unrecorded(error: &RecordError) -> Failure {
    Failure::of(Exit::No, error).hint("see to the disk of paths.state_dir, then run it again")
}
