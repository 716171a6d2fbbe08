//! Asks the daemon, or, where it does not answer, the disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Global;
use super::exit::{Exit, Failure, chain};
use super::output::Out;
use crate::api::client::{self, ClientError};
use crate::api::{details, wire};
use crate::config;
use crate::core::id::CheckpointId;
use crate::core::report::{CheckpointReport, State};
use crate::core::stored::{Checkpoint, Engine, Phase};
use crate::store::revisions::Revisions;
use crate::store::state;

/// Where the daemon and its memory are.
#[derive(Debug)]
pub struct Places {
    socket: PathBuf,
    state_dir: PathBuf,
}

impl Places {
    /// From the options and the configuration.
    ///
    /// # Errors
    /// Bad configuration, unless `--socket` says where to ask: a broken file must not keep an
    /// operator from the daemon that still runs.
    pub fn of(global: &Global) -> Result<Self, Failure> {
        let settings = match config::load(global.config.as_deref()) {
            Ok(loaded) => Some(loaded.settings),
            Err(_) if global.socket.is_some() && global.config.is_none() => None,
            Err(mistakes) => return Err(mistakes.into()),
        };
        let socket = global.socket.clone();
        Ok(match settings {
            Some(settings) => Self {
                socket: socket.unwrap_or(settings.socket.path),
                state_dir: settings.paths.state_dir,
            },
            None => Self {
                socket: socket.unwrap_or_default(),
                state_dir: "/var/lib/rekindle".into(),
            },
        })
    }

    /// Where the daemon is asked.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks the daemon for `target`.
    ///
    /// # Errors
    /// As [`client::get`].
    pub async fn get<T: DeserializeOwned>(
        &self,
        target: &str,
        patience: Duration,
    ) -> Result<T, ClientError> {
        client::get(&self.socket, target, patience).await
    }

    /// All checkpoints, from the daemon or from the disk.
    ///
    /// # Errors
    /// Where neither answers: the daemon's failure, exit code 3.
    pub fn checkpoints(&self, out: &mut Out) -> Result<Vec<CheckpointReport>, Failure> {
        let asked = wait_for(self.get::<wire::Checkpoints>("/v1/checkpoints", Duration::ZERO))?;
        match asked {
            Ok(answer) => Ok(answer.checkpoints),
            Err(error) => {
                let stored = self.stored(error, out)?;
                Ok(stored
                    .iter()
                    .map(|(id, memory)| remembered(id, memory))
                    .collect())
            }
        }
    }

    /// One checkpoint with what is stored of it.
    ///
    /// # Errors
    /// Exit code 1 where there is no such checkpoint, 3 where nobody can say.
    pub fn checkpoint(
        &self,
        id: &CheckpointId,
        out: &mut Out,
    ) -> Result<wire::Checkpoint, Failure> {
        let target = format!("/v1/checkpoints/{id}");
        let error = match wait_for(self.get::<wire::Checkpoint>(&target, Duration::ZERO))? {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let stored = self.stored(error, out)?;
        let Some(memory) = stored.get(id) else {
            return Err(Failure::Told {
                exit: Exit::No,
                message: format!("no checkpoint {id}"),
                hint: Some("`rekindle checkpoint list` shows those that there are".to_owned()),
            });
        };
        let report = remembered(id, memory);
        let revisions = Revisions::new(&self.state_dir);
        let (good, candidate) = (report.good.as_ref(), report.candidate.as_ref());
        Ok(wire::Checkpoint {
            details: details::read(&revisions, id, good, candidate),
            report: Some(report),
        })
    }

    /// The daemon's memory on disk, after the daemon failed to answer with `error`.
    fn stored(
        &self,
        error: ClientError,
        out: &mut Out,
    ) -> Result<std::collections::BTreeMap<CheckpointId, Checkpoint>, Failure> {
        if error.is_refusal() {
            return Err(error.into());
        }
        let place = self.state_dir.display();
        match std::fs::metadata(&self.state_dir) {
            Ok(_) => {}
            Err(_) => return Err(error.into()),
        }
        match state::peek(&self.state_dir) {
            Ok((stored, problems)) => {
                out.note(&format!("note: {}", chain(&error)));
                out.note(&format!(
                    "note: read from {place}: what ran last, not what runs now"
                ));
                for problem in problems {
                    out.note(&format!("note: {problem}"));
                }
                Ok(stored.checkpoints)
            }
            Err(unreadable) => {
                out.note(&format!("note: {place}: {}", chain(&unreadable)));
                Err(error.into())
            }
        }
    }
}

/// Runs one request to its end.
///
/// # Errors
/// Where no runtime can be made.
pub fn wait_for<F: Future>(work: F) -> Result<F::Output, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of(Exit::No, &error))?;
    let output = runtime.block_on(work);
    // A thread that hangs on a dead disk must not hold up the answer.
    runtime.shutdown_background();
    Ok(output)
}

/// What the daemon's memory says of a checkpoint, without anything that only observation tells.
fn remembered(id: &CheckpointId, memory: &Checkpoint) -> CheckpointReport {
    let (state, engine): (State, Option<Engine>) = match &memory.phase {
        Phase::Inactive if memory.orphan.is_some() => (State::Orphaned, None),
        Phase::Inactive if memory.good.is_none() => (State::Learning, None),
        Phase::Inactive => (State::Inactive, None),
        Phase::Activating { engine, .. } => (State::Activating, Some(*engine)),
        Phase::Active { engine, .. } => (State::Active, Some(*engine)),
        Phase::HandingOver { engine, .. } => (State::HandingOver, Some(*engine)),
        Phase::Deactivating { .. } => (State::Deactivating, None),
    };
    CheckpointReport {
        id: id.clone(),
        state,
        reason: "the daemon does not answer; this was committed last".to_owned(),
        engine,
        good: memory.good.clone(),
        candidate: memory
            .candidate
            .as_ref()
            .map(|candidate| candidate.revision.clone()),
        parents: memory.parents.clone(),
        parent_state: "unknown".to_owned(),
        handover_failures: memory.handover.failures,
        engine_refusal: None,
    }
}
