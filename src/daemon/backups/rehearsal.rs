//! One rehearsal of the newest verified backup.

use std::path::PathBuf;
use std::sync::Arc;

use super::lock::{self, Busy};
use super::look::{index_file, look};
use super::task::Ended;
use crate::backup::Progress;
use crate::backup::rehearse::{self, Limits, Request};
use crate::config::Settings;
use crate::core::backup::id::BackupId;
use crate::daemon::clock;
use crate::daemon::execute::blocking;
use crate::store::chain;

/// Directory in the one of backups where rehearsals live: the file system that has the room.
const SCRATCH: &str = ".rehearsal";

/// Where rehearsals live.
#[must_use]
pub fn scratch(settings: &Settings) -> PathBuf {
    settings.backup.dir.join(SCRATCH)
}

/// Rehearses the newest verified backup and records the result.
pub(super) async fn rehearse(settings: Arc<Settings>, progress: Progress) -> Ended {
    let looking = Arc::clone(&settings);
    let chosen = blocking(move || {
        let lock = lock::hold(&looking).map_err(Busy::said)?;
        let found = look(&looking)?;
        let newest = found.newest(|kept| kept.verified && kept.taken_at <= clock::wall());
        let id = newest.map(|(kept, _)| kept.id.clone());
        Ok((lock, id.ok_or("there is no verified backup")?))
    })
    .await;
    let (_lock, id) = chosen.map_err(|error| (None, error))?;
    match of(&settings, &id, progress).await {
        Ok(()) => Ok((id, Vec::new())),
        Err(failure) => Err((Some(id), failure)),
    }
}

async fn of(settings: &Arc<Settings>, id: &BackupId, progress: Progress) -> Result<(), String> {
    let backup = &settings.backup;
    let limits = Limits {
        memory_bytes: backup.rehearsal_memory_bytes,
        min_free_bytes: backup.policy.retention.min_free_bytes,
        ..Limits::default()
    };
    let request = Request {
        tools: backup.tools_dir(),
        prefix: backup.key_prefix.clone(),
        limits,
        ..Request::new(backup.dir.join(id.as_str()), scratch(settings))
    };
    // Where it could not be made, nothing is said about the backup, and nothing is recorded.
    let outcome = rehearse::rehearse(request, progress)
        .await
        .map_err(|error| format!("it could not be rehearsed: {}", chain(&error)))?;
    let failure = outcome.failure.clone();
    let (settings, id) = (Arc::clone(settings), id.clone());
    let recorded = blocking(move || {
        index_file(&settings)
            .with(|index| index.records.entry(id).or_default().rehearsed = Some(outcome))
            .map_err(|error| format!("the result is not recorded: {}", chain(&error)))
    })
    .await;
    match failure {
        Some(failure) => Err(failure),
        None => recorded,
    }
}
