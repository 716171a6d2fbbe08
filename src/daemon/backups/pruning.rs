//! Retention carried out: after each backup, and before one for which there is no room. Blocking;
//! the lock of backups is held by the caller.

use tracing::info;

use super::look::{index_file, look};
use crate::config::Settings;
use crate::core::backup::id::BackupId;
use crate::core::backup::retention::{Room, fates, room};
use crate::daemon::clock;
use crate::store::chain;
use crate::store::dir::Dir;
use crate::store::durable;

/// Removes what no rule keeps.
pub(super) fn prune(settings: &Settings) -> Result<(), String> {
    let found = look(settings)?;
    // Not known is not none: then nothing goes for want of room.
    let free = found.free_bytes.unwrap_or(u64::MAX);
    let retention = &settings.backup.policy.retention;
    let fates = fates(&found.listing.kept(), retention, free, clock::wall());
    let gone = fates.into_iter().filter(|fate| !fate.keep);
    for fate in gone {
        remove(settings, &fate.id, &fate.reason)?;
    }
    Ok(())
}

/// Makes room for a backup of about the newest one's size, if need be.
pub(super) fn make_room(settings: &Settings) -> Result<(), String> {
    let found = look(settings)?;
    let Some(free) = found.free_bytes else {
        return Ok(());
    };
    let estimated = found.newest(|_| true).map_or(0, |(kept, _)| kept.bytes);
    let retention = &settings.backup.policy.retention;
    match room(
        estimated,
        &found.listing.kept(),
        retention,
        free,
        clock::wall(),
    ) {
        // Whether it really is too little, taking it says: a database may have shrunk.
        Room::Enough | Room::No { .. } => Ok(()),
        Room::Prune(first) => {
            for id in first {
                remove(settings, &id, "room is needed for another")?;
            }
            Ok(())
        }
    }
}

/// Removes one backup: its name first, so that no half of it is ever listed.
fn remove(settings: &Settings, id: &BackupId, reason: &str) -> Result<(), String> {
    let failed = |error: &dyn std::error::Error| format!("{id} is not pruned: {}", chain(error));
    let dir = Dir::open(&settings.backup.dir).map_err(|error| failed(&error))?;
    durable::discard(&dir, id.as_str(), &dir).map_err(|error| failed(&error))?;
    info!(%id, reason, "pruned");
    let forgotten = index_file(settings).with(|index| {
        let record = index.records.get(id);
        // What is kept at a target stays known.
        if record.is_none_or(|record| record.copies.is_empty()) {
            index.records.remove(id);
        }
    });
    forgotten.map_err(|error| failed(&error))
}
