//! The index of backups on disk: results of verifications and rehearsals, copies, runs. Shared by
//! the daemon and by commands, each change under a lock and whole.
//!
//! It may be lost, the bundles may not: a damaged index is moved aside and begun anew with the
//! backups that are there, without their results. Nothing of that is silent: [`Read::problems`]
//! says it, for as long as the damaged file is kept.

use std::path::{Path, PathBuf};

use super::bundle::{self, BundleError};
use super::{LOCK, STATE};
use crate::core::backup::record::{Index, Record};
use crate::core::reading::chain;
use crate::failpoints::hit;
use crate::store::dir::{Dir, ReadError};
use crate::store::durable::{self, Attributes, DurableError};
use crate::store::lock::{self, LockError};
use crate::store::sealed::{self, Format, SealError};

/// Its file in `backup/` of the state directory.
pub const INDEX: &str = "index.json";
const DAMAGED: &str = "index.damaged-";

/// Version of the index: see [`crate::store::sealed`] for what a change of it means.
pub const FORMAT: Format = Format {
    kind: "rekindle backup index",
    major: 1,
    minor: 0,
};

/// Largest index that is read: some ten thousand backups with their results.
const LIMIT: u64 = 64 << 20; // 64 MiB

/// Where the index is, and where the backups are that it is rebuilt from.
#[derive(Debug, Clone)]
pub struct IndexFile {
    place: PathBuf,
    backups: PathBuf,
}

/// What was read.
#[derive(Debug)]
pub struct Read {
    /// The index, whole or begun anew.
    pub index: Index,
    /// What of it was lost, one sentence each.
    pub problems: Vec<String>,
}

/// Why the index cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Its directory cannot be made or locked.
    #[error("the index of backups cannot be locked")]
    Lock(#[from] LockError),
    /// It is there and cannot be read: what it holds is unknown.
    #[error("the index of backups cannot be read")]
    Read(#[from] ReadError),
    /// It cannot be rebuilt.
    #[error("the index of backups was lost, and the backups cannot be listed to begin it anew")]
    Rebuild(#[source] BundleError),
    /// It was written by a version that is not this one's neighbour.
    #[error("{} is of another version of rekindle", path.display())]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Which.
        source: SealError,
    },
    /// It cannot be encoded.
    #[error("the index of backups cannot be encoded")]
    Encode(#[from] SealError),
    /// It cannot be written; the one before is intact.
    #[error("the index of backups cannot be written")]
    Write(#[from] DurableError),
}

impl IndexError {
    /// The disk is full or read-only.
    pub fn is_disk(&self) -> bool {
        matches!(self, Self::Write(error) if error.is_full() || error.is_read_only())
    }
}

/// The file as it was found.
enum Found {
    Whole(Index, u64),
    Absent,
    Damaged(String),
}

impl IndexFile {
    /// The index of `state_dir`, for the backups in `backups`. Touches nothing.
    pub fn new(state_dir: &Path, backups: &Path) -> Self {
        Self {
            place: state_dir.join(STATE),
            backups: backups.to_owned(),
        }
    }

    /// Reads it and changes nothing on disk. Blocks.
    ///
    /// # Errors
    /// Where it is there and cannot be read.
    pub fn read(&self) -> Result<Read, IndexError> {
        let dir = match Dir::open(&self.place) {
            Ok(dir) => dir,
            Err(error) if error.is_absent() => {
                let index = self.rebuilt()?;
                let problems = lost(&index, "it is missing").into_iter().collect();
                return Ok(Read { index, problems });
            }
            Err(error) => return Err(error.into()),
        };
        let mut problems = kept_aside(&dir)?;
        let index = match find(&dir)? {
            Found::Whole(index, _) => index,
            Found::Absent => {
                let index = self.rebuilt()?;
                problems.extend(lost(&index, "it is missing"));
                index
            }
            Found::Damaged(why) => {
                problems.push(format!("{INDEX} is unusable: {why}"));
                let index = self.rebuilt()?;
                problems.extend(lost(&index, "it is damaged"));
                index
            }
        };
        Ok(Read { index, problems })
    }

    /// Changes it by `change`, which must be quick: other processes wait. On return the change is
    /// on the disk. Blocks.
    ///
    /// # Errors
    /// Where it cannot be read or written; it is then as it was before.
    pub fn with<T>(&self, change: impl FnOnce(&mut Index) -> T) -> Result<T, IndexError> {
        let _lock = lock::wait(&self.place.join(LOCK))?;
        let dir = durable::ensure_root(&self.place)?;
        let (before, generation) = match find(&dir)? {
            Found::Whole(index, generation) => (Some(index), generation),
            Found::Absent => (None, 0),
            Found::Damaged(why) => {
                let aside = durable::set_aside(&dir, INDEX, DAMAGED)?;
                hit("index.damaged-moved");
                tracing::error!(
                    why,
                    aside,
                    "the index of backups was damaged and is begun anew"
                );
                (None, 0)
            }
        };
        let mut index = match &before {
            Some(index) => index.clone(),
            None => self.rebuilt()?,
        };
        let answer = change(&mut index);
        if before.as_ref() != Some(&index) {
            let bytes = sealed::seal(FORMAT, generation.saturating_add(1), &index)?;
            durable::write_in(&dir, INDEX, &bytes, &Attributes::ours(0o600), &dir)?;
            hit("index.updated");
        }
        Ok(answer)
    }

    /// Removes what cut-off writes left. For the start of the daemon.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn sweep(&self) -> Result<(), IndexError> {
        let _lock = lock::wait(&self.place.join(LOCK))?;
        let dir = durable::ensure_root(&self.place)?;
        Ok(durable::sweep(&dir)?)
    }

    /// An index of the backups that are there, without results.
    fn rebuilt(&self) -> Result<Index, IndexError> {
        let listing = bundle::list(&self.backups, &Index::default(), &[]);
        let listing = listing.map_err(IndexError::Rebuild)?;
        let records = listing.backups.into_iter();
        Ok(Index {
            records: records
                .map(|(kept, _)| (kept.id, Record::default()))
                .collect(),
            ..Index::default()
        })
    }
}

/// What it means that there was no index, where there are backups.
fn lost(index: &Index, why: &str) -> Option<String> {
    let count = index.records.len();
    (count > 0).then(|| {
        format!("the index of backups: {why}; {count} backup(s) are known without their results")
    })
}

/// Damaged ones that are kept aside.
fn kept_aside(dir: &Dir) -> Result<Vec<String>, ReadError> {
    let names = dir.names()?.into_iter();
    Ok(names
        .filter(|name| name.starts_with(DAMAGED))
        .map(|name| {
            let path = dir.path().join(name);
            format!(
                "an index of backups was damaged, and results of before were lost: it is kept as \
                 {}; remove it when it is not needed",
                path.display()
            )
        })
        .collect())
}

fn find(dir: &Dir) -> Result<Found, IndexError> {
    let bytes = match dir.read(INDEX, LIMIT) {
        Ok((bytes, _)) => bytes,
        Err(error) if error.is_absent() => return Ok(Found::Absent),
        // Not a file, or absurdly large: not ours.
        Err(error @ (ReadError::NotAFile { .. } | ReadError::TooLarge { .. })) => {
            return Ok(Found::Damaged(chain(&error)));
        }
        Err(error) => return Err(error.into()),
    };
    match sealed::unseal(FORMAT, &bytes) {
        Ok((index, generation)) => Ok(Found::Whole(index, generation)),
        // Another version's is no damage: it must not be replaced.
        Err(source @ (SealError::OtherVersion(_) | SealError::NotUnderstood(_))) => {
            let path = dir.path().join(INDEX);
            Err(IndexError::OtherVersion { path, source })
        }
        Err(error) => Ok(Found::Damaged(chain(&error))),
    }
}
