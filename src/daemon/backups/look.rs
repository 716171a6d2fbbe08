//! What lies on the disk: index, backups, room. Blocking; everything that says how backups stand
//! begins here.

use std::path::{Path, PathBuf};

use crate::backup::bundle::{self, Listing, StrayKind};
use crate::backup::index::IndexFile;
use crate::config::Settings;
use crate::core::backup::manifest::Manifest;
use crate::core::backup::record::{Index, Kept};
use crate::core::backup::report::Backup;
use crate::store::chain;

/// What was found.
#[derive(Debug)]
pub struct Look {
    /// The index.
    pub index: Index,
    /// The directory of backups.
    pub listing: Listing,
    /// What of the index was lost, one sentence each.
    pub problems: Vec<String>,
    /// Free bytes of the backups' file system.
    pub free_bytes: Option<u64>,
}

/// The index of these settings.
#[must_use]
pub fn index_file(settings: &Settings) -> IndexFile {
    IndexFile::new(&settings.paths.state_dir, &settings.backup.dir)
}

/// Reads everything and changes nothing.
///
/// # Errors
/// Why the index or the directory cannot be read, with its causes.
pub fn look(settings: &Settings) -> Result<Look, String> {
    let read = index_file(settings).read().map_err(|error| chain(&error))?;
    let targets = target_names(settings);
    let listing = bundle::list(&settings.backup.dir, &read.index, &targets);
    Ok(Look {
        listing: listing.map_err(|error| chain(&error))?,
        index: read.index,
        problems: read.problems,
        free_bytes: free_bytes(&settings.backup.dir),
    })
}

/// The configured targets.
#[must_use]
pub fn target_names(settings: &Settings) -> Vec<String> {
    let targets = settings.backup.targets.iter();
    targets.map(|target| target.name.clone()).collect()
}

/// Bytes that are free for us where `dir` is or would be made; `None`: not known.
#[must_use]
pub fn free_bytes(dir: &Path) -> Option<u64> {
    let there = dir.ancestors().find(|path| path.exists())?;
    let room = rustix::fs::statvfs(there).ok()?;
    room.f_bavail.checked_mul(room.f_frsize)
}

impl Look {
    /// The newest backup of those that `wanted` takes.
    pub fn newest(&self, wanted: impl Fn(&Kept) -> bool) -> Option<&(Kept, Manifest)> {
        let all = self.listing.backups.iter();
        all.filter(|(kept, _)| wanted(kept))
            .max_by(|(a, _), (b, _)| (a.taken_at, &a.id).cmp(&(b.taken_at, &b.id)))
    }

    /// The same as the report tells it.
    #[must_use]
    pub fn newest_backup(&self, wanted: impl Fn(&Kept) -> bool) -> Option<Backup> {
        self.newest(wanted).map(|(kept, _)| Backup {
            id: kept.id.clone(),
            taken_at: kept.taken_at,
            bytes: kept.bytes,
        })
    }

    /// What lies among the backups and is none, one sentence each. One that is being taken is
    /// no such thing.
    #[must_use]
    pub fn damaged(&self, dir: &Path) -> Vec<String> {
        let strays = self.listing.strays.iter();
        strays
            .filter_map(|stray| {
                let path: PathBuf = dir.join(&stray.name);
                let path = path.display();
                match &stray.kind {
                    StrayKind::BeingTaken | StrayKind::Foreign => None,
                    StrayKind::CutOff => Some(format!(
                        "{path} is the rest of a backup that was not finished, and no backup"
                    )),
                    StrayKind::Damaged(why) => Some(format!("{path} is damaged: {why}")),
                }
            })
            .collect()
    }
}
