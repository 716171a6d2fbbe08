//! One backup: taken, recorded, older ones pruned. Used by the daemon's task and, where no daemon
//! answers, by the command line.

use std::sync::Arc;

use super::lock::{Busy, hold};
use super::look::index_file;
use super::task::Ended;
use crate::backup::Progress;
use crate::config::Settings;
use crate::core::backup::id::BackupId;
use crate::core::backup::manifest::Trigger;
use crate::core::backup::record::Index;
use crate::daemon::clock;
use crate::daemon::execute::blocking;
use crate::store::chain;

/// Takes a backup and keeps the index true: the try is on record before it begins and when it
/// ends, whatever its end.
pub async fn backup(settings: Arc<Settings>, trigger: Trigger, progress: Progress) -> Ended {
    let begin = Arc::clone(&settings);
    let begun = blocking(move || {
        let lock = match hold(&begin) {
            Ok(lock) => lock,
            Err(Busy::Held) => {
                return Err("another rekindle process takes or rehearses a backup".to_owned());
            }
            Err(Busy::Failed(error)) => return Err(error),
        };
        change(&begin, |index| index.runs.under_way = Some(clock::wall()))?;
        Ok(lock)
    })
    .await;
    let _lock = begun.map_err(|error| (None, error))?;
    let taken = attempt(&settings, trigger, &progress).await;
    let failure = taken.as_ref().err().cloned();
    let end = Arc::clone(&settings);
    let recorded = blocking(move || {
        change(&end, |index| {
            let runs = &mut index.runs;
            runs.under_way = None;
            runs.failures = match &failure {
                Some(_) => runs.failures.saturating_add(1),
                None => 0,
            };
            runs.last_try = Some((clock::wall(), failure));
        })
    })
    .await;
    match (taken, recorded) {
        (Ok((id, mut notes)), recorded) => {
            notes.extend(recorded.err());
            Ok((id, notes))
        }
        (Err(failure), Ok(())) => Err((None, failure)),
        (Err(failure), Err(error)) => Err((None, format!("{failure}; and {error}"))),
    }
}

async fn attempt(
    _settings: &Arc<Settings>,
    _trigger: Trigger,
    _progress: &Progress,
) -> Result<(BackupId, Vec<String>), String> {
    Err("taking backups is not built in yet".to_owned())
}

fn change<T>(settings: &Settings, change: impl FnOnce(&mut Index) -> T) -> Result<T, String> {
    index_file(settings)
        .with(change)
        .map_err(|error| chain(&error))
}
