//! What lies in the backups directory: whole backups, and everything that looks like one and is
//! none (scenario B02).

use std::path::Path;

use super::error::BundleError;
use super::{Bundle, UNFINISHED, open};
use crate::core::backup::id::BackupId;
use crate::core::backup::manifest::Manifest;
use crate::core::backup::record::{Index, Kept};
use crate::core::reading::chain;
use crate::store::dir::Dir;
use crate::store::lock::{self, LockError};

/// The content of a backups directory.
#[derive(Debug, Default)]
pub struct Listing {
    /// Backups, oldest first by name, with their manifests.
    pub backups: Vec<(Kept, Manifest)>,
    /// What is none.
    pub strays: Vec<Stray>,
}

impl Listing {
    /// The backups as decisions need them.
    pub fn kept(&self) -> Vec<Kept> {
        self.backups.iter().map(|(kept, _)| kept.clone()).collect()
    }
}

/// Something in the backups directory that is no backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Its name there, control characters included.
    pub name: String,
    /// What it is.
    pub kind: StrayKind,
}

/// Why something is no backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StrayKind {
    /// One that is being taken now.
    BeingTaken,
    /// The rest of one that was cut off.
    CutOff,
    /// Named like a backup, and its manifest or a part is missing, unreadable or too short.
    Damaged(String),
    /// Nothing of ours.
    Foreign,
}

/// Lists the directory `backups`; one that is not there holds nothing. `index` says what is known
/// of each backup beside itself, `targets` where copies have to be. Reads manifests and lengths,
/// no content: a listed backup may still fail its verification.
///
/// # Errors
/// Where the directory is there and cannot be listed.
pub fn list(backups: &Path, index: &Index, targets: &[String]) -> Result<Listing, BundleError> {
    let mut listing = Listing::default();
    let dir = match Dir::open(backups) {
        Ok(dir) => dir,
        Err(error) if error.is_absent() => return Ok(listing),
        Err(error) => return Err(error.into()),
    };
    for name in dir.names()? {
        if name.starts_with('.') || name.starts_with("rekindle-tmp-") {
            continue;
        }
        match look(&dir, backups, &name) {
            Ok(bundle) => {
                let kept = kept(&bundle, index, targets);
                listing.backups.push((kept, bundle.manifest().clone()));
            }
            Err(kind) => listing.strays.push(Stray { name, kind }),
        }
    }
    Ok(listing)
}

fn look(dir: &Dir, backups: &Path, name: &str) -> Result<Bundle, StrayKind> {
    if let Some(id) = name.strip_suffix(UNFINISHED) {
        if BackupId::parse(id).is_err() {
            return Err(StrayKind::Foreign);
        }
        return match dir.sub(name).map(lock::hold_dir) {
            Ok(Err(LockError::Held { .. })) => Err(StrayKind::BeingTaken),
            _ => Err(StrayKind::CutOff),
        };
    }
    if BackupId::parse(name).is_err() {
        return Err(StrayKind::Foreign);
    }
    let damaged = |error: BundleError| StrayKind::Damaged(chain(&error));
    // A link would be opened where it leads to, under another name.
    dir.sub(name).map_err(|error| damaged(error.into()))?;
    let bundle = Bundle::open(&backups.join(name)).map_err(damaged)?;
    open::check_whole(&bundle).map_err(damaged)?;
    Ok(bundle)
}

fn kept(bundle: &Bundle, index: &Index, targets: &[String]) -> Kept {
    let manifest = bundle.manifest();
    let record = index.records.get(&manifest.id);
    let passed = |outcome: Option<&crate::core::backup::outcome::Outcome>| {
        outcome.is_some_and(crate::core::backup::outcome::Outcome::passed)
    };
    Kept {
        id: manifest.id.clone(),
        taken_at: manifest.taken_at,
        bytes: bundle.bytes(),
        verified: passed(record.and_then(|record| record.verified.as_ref())),
        rehearsed: passed(record.and_then(|record| record.rehearsed.as_ref())),
        copied: targets.iter().all(|target| {
            let copy = record.and_then(|record| record.copies.get(target));
            copy.is_some_and(|copy| copy.complete_at.is_some())
        }),
    }
}
