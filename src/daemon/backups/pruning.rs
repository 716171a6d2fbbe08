//! Retention carried out: after each backup, and before one for which there is no room. Blocking;
//! the lock of backups is held by the caller.

use tracing::{info, warn};

use super::look::{index_file, target_names};
use crate::backup::prune::{Pruner, Removed};
use crate::config::Settings;
use crate::daemon::clock;
use crate::store::chain;

/// What prunes the backups of these settings.
#[must_use]
pub fn pruner(settings: &Settings) -> Pruner {
    let retention = settings.backup.policy.retention;
    let targets = target_names(settings);
    Pruner::new(
        &settings.backup.dir,
        index_file(settings),
        targets,
        retention,
    )
}

/// Removes what no rule keeps.
pub(super) fn prune(settings: &Settings) -> Result<(), String> {
    let pruned = pruner(settings).prune(clock::wall(), &mut say);
    pruned.map_err(|error| chain(&error))
}

/// Makes room for a backup of about the newest one's size, if need be. Whether it really is too
/// little, taking it says: a database may have shrunk.
pub(super) fn make_room(settings: &Settings) -> Result<(), String> {
    let (pruner, now) = (pruner(settings), clock::wall());
    let plan = pruner.plan(now).map_err(|error| chain(&error))?;
    let estimated = plan.backups.first().map_or(0, |(kept, _)| kept.bytes);
    let made = pruner.make_room(estimated, now, &mut say);
    made.map(drop).map_err(|error| chain(&error))
}

fn say(removed: Removed) {
    info!(id = %removed.id, reason = removed.reason, "pruned");
    for note in removed.notes {
        warn!(id = %removed.id, note, "pruned");
    }
}
