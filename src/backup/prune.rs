//! Retention carried out on the backups directory: what goes and why, removal, room for another.
//!
//! A backup is removed by taking its name away in one step and then its content, so a kill leaves
//! it whole or gone; what is left without a name is swept by the next work on the directory. Every
//! removal is decided anew from what is on the disk then, so that a verification that fails
//! meanwhile is heeded. Blocks; the caller holds the lock of backups.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::bundle::{self, BundleError, StrayKind};
use super::index::{IndexError, IndexFile};
use crate::core::backup::id::BackupId;
use crate::core::backup::policy::Retention;
use crate::core::backup::record::Kept;
use crate::core::backup::retention::{Fate, Room, fates, protections, room};
use crate::core::reading::chain;
use crate::failpoints::hit;
use crate::store::dir::Dir;
use crate::store::durable::{self, DurableError};

/// The backups of this node and the rules for them.
#[derive(Debug, Clone)]
pub struct Pruner {
    backups: PathBuf,
    index: IndexFile,
    targets: Vec<String>,
    retention: Retention,
}

/// What is there and what becomes of it.
#[derive(Debug)]
pub struct Plan {
    /// Each backup with its fate, newest first.
    pub backups: Vec<(Kept, Fate)>,
    /// Free bytes of the file system; `None`: not known, and then nothing goes for want of room.
    pub free_bytes: Option<u64>,
    /// What of the index was lost, one sentence each.
    pub problems: Vec<String>,
}

/// A backup that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Which.
    pub id: BackupId,
    /// Why, in words.
    pub reason: String,
    /// Bytes of it; `None`: it was damaged.
    pub bytes: Option<u64>,
    /// What went wrong beside; empty: nothing.
    pub notes: Vec<String>,
}

/// Why a backup is not removed.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// What is there is not known.
    #[error("the backups cannot be listed")]
    List(#[from] BundleError),
    /// What is known of them cannot be read: nothing is removed then.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// There is none of that name.
    #[error("no backup {id} in {}", backups.display())]
    NoSuch {
        /// Asked for.
        id: BackupId,
        /// Where.
        backups: PathBuf,
    },
    /// It must stay.
    #[error("{id} is not removed: {reason}")]
    Protected {
        /// Asked for.
        id: BackupId,
        /// Why it must stay.
        reason: String,
    },
    /// It is whole as before, or its name is gone already.
    #[error("{id} cannot be removed")]
    Remove {
        /// Which.
        id: BackupId,
        /// Why.
        source: DurableError,
    },
}

impl PruneError {
    /// What to do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Protected { .. } => Some("--force removes it all the same"),
            Self::NoSuch { .. } => Some("`rekindle backup list` shows those that there are"),
            _ => None,
        }
    }
}

impl Pruner {
    /// For the directory `backups`; `index` says what is known of them, `targets` where copies
    /// have to be.
    pub fn new(
        backups: &Path,
        index: IndexFile,
        targets: Vec<String>,
        retention: Retention,
    ) -> Self {
        Self {
            backups: backups.to_owned(),
            index,
            targets,
            retention,
        }
    }

    /// What becomes of each backup, without doing anything.
    ///
    /// # Errors
    /// Where backups or index cannot be read.
    pub fn plan(&self, now: Timestamp) -> Result<Plan, PruneError> {
        self.plan_with(free_bytes(&self.backups), now)
    }

    fn plan_with(&self, free_bytes: Option<u64>, now: Timestamp) -> Result<Plan, PruneError> {
        let read = self.index.read()?;
        let kept = bundle::list(&self.backups, &read.index, &self.targets)?.kept();
        let fates = fates(&kept, &self.retention, free_bytes.unwrap_or(u64::MAX), now);
        let backups = fates.into_iter().filter_map(|fate| {
            let kept = kept.iter().find(|kept| kept.id == fate.id)?;
            Some((kept.clone(), fate))
        });
        Ok(Plan {
            backups: backups.collect(),
            free_bytes,
            problems: read.problems,
        })
    }

    /// Removes what no rule keeps, oldest first, and says each removal to `removed` when it is
    /// done. First what a removal that was cut off left.
    ///
    /// # Errors
    /// The first removal that failed; those before it are done.
    pub fn prune(
        &self,
        now: Timestamp,
        removed: &mut dyn FnMut(Removed),
    ) -> Result<(), PruneError> {
        bundle::sweep(&self.backups)?;
        let mut free = free_bytes(&self.backups);
        loop {
            let plan = self.plan_with(free, now)?;
            let Some((kept, fate)) = plan.backups.iter().rfind(|(_, fate)| !fate.keep) else {
                return self.forget_gone();
            };
            removed(self.remove(&kept.id, Some(kept.bytes), &fate.reason)?);
            free = freed(free, kept.bytes);
        }
    }

    /// Removes the backups `ids` by hand; all are looked at before the first is removed. What must
    /// stay, and what is damaged, goes only by `force`.
    ///
    /// # Errors
    /// The first that must stay or is not there: nothing is removed then. Or the first removal that
    /// failed.
    pub fn remove_by_hand(
        &self,
        ids: &[BackupId],
        force: bool,
        now: Timestamp,
        removed: &mut dyn FnMut(Removed),
    ) -> Result<(), PruneError> {
        let found = self.by_hand(ids, force, now)?;
        for (id, bytes) in found {
            removed(self.remove(&id, bytes, "asked for")?);
        }
        Ok(())
    }

    /// Whether [`Self::remove_by_hand`] would do it: each with its size, `None` for a damaged one.
    ///
    /// # Errors
    /// As there, and nothing is removed.
    pub fn by_hand(
        &self,
        ids: &[BackupId],
        force: bool,
        now: Timestamp,
    ) -> Result<Vec<(BackupId, Option<u64>)>, PruneError> {
        let index = self.index.read()?.index;
        let listing = bundle::list(&self.backups, &index, &self.targets)?;
        let kept = listing.kept();
        let protected = protections(&kept, now);
        let mut found: Vec<(BackupId, Option<u64>)> = Vec::new();
        for id in ids {
            let whole = kept.iter().find(|kept| kept.id == *id);
            let stray = listing.strays.iter().find(|it| it.name == id.as_str());
            let (bytes, why) = match (whole, stray.map(|stray| &stray.kind)) {
                (Some(kept), _) => (Some(kept.bytes), protected.get(id).cloned()),
                (None, Some(StrayKind::Damaged(why))) => (None, Some(format!("damaged: {why}"))),
                _ => {
                    let backups = self.backups.clone();
                    let id = id.clone();
                    return Err(PruneError::NoSuch { id, backups });
                }
            };
            if let Some(reason) = why.filter(|_| !force) {
                let id = id.clone();
                return Err(PruneError::Protected { id, reason });
            }
            if !found.iter().any(|(other, _)| other == id) {
                found.push((id.clone(), bytes));
            }
        }
        Ok(found)
    }

    /// Makes room for a backup of about `estimated` bytes, if need be and if it can be made;
    /// nothing is removed in vain. Gives what it found at first.
    ///
    /// # Errors
    /// As [`Self::prune`].
    pub fn make_room(
        &self,
        estimated: u64,
        now: Timestamp,
        removed: &mut dyn FnMut(Removed),
    ) -> Result<Room, PruneError> {
        bundle::sweep(&self.backups)?;
        let mut first = None;
        let mut free = free_bytes(&self.backups);
        loop {
            let plan = self.plan_with(free, now)?;
            let kept: Vec<Kept> = plan.backups.into_iter().map(|(kept, _)| kept).collect();
            let there = free.unwrap_or(u64::MAX);
            let found = room(estimated, &kept, &self.retention, there, now);
            let next = match &found {
                Room::Prune(order) => order.first().cloned(),
                Room::Enough | Room::No { .. } => None,
            };
            let first = first.get_or_insert(found);
            let Some(id) = next else {
                return Ok(first.clone());
            };
            let bytes = kept.iter().find(|it| it.id == id).map(|it| it.bytes);
            removed(self.remove(&id, bytes, "room is needed for another")?);
            free = freed(free, bytes.unwrap_or(0));
        }
    }

    /// Forgets backups that are gone, where a removal was cut off before it said so.
    fn forget_gone(&self) -> Result<(), PruneError> {
        let dir = match Dir::open(&self.backups) {
            Ok(dir) => dir,
            Err(error) if error.is_absent() => return Ok(()),
            Err(error) => return Err(BundleError::from(error).into()),
        };
        // Not known to be gone: then it is still there.
        let gone = |id: &BackupId| matches!(dir.stat(id.as_str()), Ok(None));
        Ok(self.index.with(|index| {
            index
                .records
                .retain(|id, record| !record.copies.is_empty() || !gone(id));
        })?)
    }

    fn remove(
        &self,
        id: &BackupId,
        bytes: Option<u64>,
        reason: &str,
    ) -> Result<Removed, PruneError> {
        let failed = |source| PruneError::Remove {
            id: id.clone(),
            source,
        };
        let dir = Dir::open(&self.backups).map_err(|error| failed(error.into()))?;
        durable::discard(&dir, id.as_str(), &dir).map_err(failed)?;
        hit("prune.discarded");
        let forgotten = self.index.with(|index| {
            let record = index.records.get(id);
            // What is kept at a target stays known.
            if record.is_none_or(|record| record.copies.is_empty()) {
                index.records.remove(id);
            }
        });
        hit("prune.forgotten");
        Ok(Removed {
            id: id.clone(),
            reason: reason.to_owned(),
            bytes,
            // A record without its backup misleads nobody.
            notes: forgotten.err().iter().map(|error| chain(error)).collect(),
        })
    }
}

/// What is free once so many bytes are removed. Reckoned, not looked at again: a file system may
/// give room back late, and that must not cost another backup.
fn freed(free: Option<u64>, bytes: u64) -> Option<u64> {
    free.map(|free| free.saturating_add(bytes))
}

/// Bytes that are free for us where `dir` is or would be made; `None`: not known.
pub fn free_bytes(dir: &Path) -> Option<u64> {
    let there = dir.ancestors().find(|path| path.exists())?;
    let room = rustix::fs::statvfs(there).ok()?;
    room.f_bavail.checked_mul(room.f_frsize)
}
