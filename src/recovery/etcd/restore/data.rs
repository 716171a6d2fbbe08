//! The way from the surviving data directory to a snapshot: a copy, and an etcd in quarantine that
//! replays its log (R02).

use super::source::alone;
use crate::backup::Progress;
use crate::backup::rehearse::{Limits, Quarantine, QuarantineError, Ways};
use crate::config::Settings;
use crate::core::reading::chain;
use crate::core::recovery::etcd::Restore;
use crate::recovery::etcd::power;
use crate::recovery::etcd::{Error, PLACE};

/// The snapshot in the recovery's directory.
pub(super) const SNAPSHOT: &str = "snapshot.db";
/// Directory of copies.
const QUARANTINE: &str = "quarantine";

/// Copies the data directory.
pub(super) async fn copy(
    settings: &Settings,
    it: &Restore,
    progress: &Progress,
) -> Result<Quarantine, Error> {
    let ways = Ways {
        scratch: settings.paths.state_dir.join(PLACE).join(QUARANTINE),
        tools: settings.backup.tools_dir(),
        limits: Limits {
            memory_bytes: settings.backup.rehearsal_memory_bytes,
            ..Limits::default()
        },
    };
    let copied = Quarantine::copy(&it.place.data_dir, &ways, progress).await;
    copied.map_err(|error| failed(it, error))
}

/// Makes the snapshot of the copy.
pub(super) async fn replay(
    settings: &Settings,
    it: &Restore,
    copy: Quarantine,
    progress: &Progress,
) -> Result<(), Error> {
    let into = power::place(settings, &it.id)?;
    let alone = alone(it).await;
    let replayed = copy.replay(alone, &into, SNAPSHOT, progress).await;
    replayed.map_err(|error| failed(it, error))
}

fn failed(it: &Restore, error: QuarantineError) -> Error {
    match error {
        QuarantineError::Damaged(why) => Error::Damaged {
            what: it.place.data_dir.display().to_string(),
            why,
        },
        QuarantineError::Untried(error) => Error::Quarantine(chain(&error)),
        QuarantineError::Write(error) => error.into(),
    }
}
