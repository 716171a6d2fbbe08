//! What an earlier process left when it was cut off: cleared away, and its unfinished run noted.

use jiff::Timestamp;
use tracing::warn;

use super::lock::{Busy, hold};
use super::look::index_file;
use crate::backup::{STATE, bundle, rehearse};
use crate::config::Settings;
use crate::core::backup::record::Runs;
use crate::daemon::clock;
use crate::store::chain;

/// The failure noted of a run that no process ended.
const CUT_OFF: &str = "the daemon was stopped or killed while the backup was taken";

/// What was found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Swept {
    /// A run by schedule was begun and never ended: so many failures in a row, with it.
    pub(super) failures_after_cut_off: Option<u32>,
}

/// Removes unfinished backups that nobody works on, then notes the run. Blocking. Where this node
/// has nothing of backups, it makes nothing.
pub(super) fn sweep(settings: &Settings) -> Result<Swept, String> {
    let place = settings.paths.state_dir.join(STATE);
    if !place.exists() && !settings.backup.dir.exists() {
        return Ok(Swept::default());
    }
    // Somebody at the command line may be taking one right now.
    let _lock = match hold(settings) {
        Ok(lock) => lock,
        Err(Busy::Held) => return Ok(Swept::default()),
        Err(Busy::Failed(error)) => return Err(error),
    };
    let removed = bundle::sweep(&settings.backup.dir).map_err(|error| chain(&error))?;
    for name in removed {
        warn!(name, "the rest of an unfinished backup was removed");
    }
    let scratch = super::rehearsal::scratch(settings);
    if scratch.exists() {
        rehearse::sweep(&scratch).map_err(|error| chain(&error))?;
    }
    let file = index_file(settings);
    let runs = file.read().map_err(|error| chain(&error))?.index.runs;
    if runs == Runs::default() {
        return Ok(Swept::default());
    }
    file.sweep().map_err(|error| chain(&error))?;
    if runs.under_way.is_none() {
        return Ok(Swept {
            failures_after_cut_off: (runs.failures > 0).then_some(runs.failures),
        });
    }
    let noted = file.with(|index| note(&mut index.runs, clock::wall()));
    Ok(Swept {
        failures_after_cut_off: Some(noted.map_err(|error| chain(&error))?),
    })
}

fn note(runs: &mut Runs, now: Timestamp) -> u32 {
    runs.failures = runs.failures.saturating_add(1);
    runs.last_try = Some((now, Some(CUT_OFF.to_owned())));
    runs.under_way = None;
    runs.failures
}
