//! Lists, writes and removes our manifests in the static pod directory.
//!
//! Ours are the files named `rekindle-<checkpoint id>.json`. Everything else is somebody else's:
//! named, never opened, never touched. Names that begin with a dot are not even named, since the
//! kubelet leaves them out too (1.20 pkg/kubelet/config/file.go, glob `[^.]*`).

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use rustix::fs::FileType;

use crate::core::id::{CheckpointId, RevisionId};
use crate::core::manifest::{ANNOTATION_ID, ANNOTATION_REVISION};
use crate::core::observed::ManifestsView;
use crate::core::reading::{Reading, Unseen, UnseenKind};
use crate::failpoints::hit;
use crate::store::dir::{Dir, ReadError};
use crate::store::durable::{self, Attributes, DurableError};

/// Largest manifest of ours, read or written.
pub const LIMIT: u64 = 1 << 20; // 1 MiB

const PREFIX: &str = "rekindle-";
const SUFFIX: &str = ".json";

/// The static pod directory, and a directory beside it for what is not whole yet.
#[derive(Debug, Clone)]
pub struct ManifestDir {
    dir: PathBuf,
    staging: PathBuf,
}

/// Why the directory could not be listed or changed. Never holds content.
#[derive(Debug, thiserror::Error)]
pub enum ManifestsError {
    /// It cannot be listed; what it holds is unknown.
    #[error("the static pod directory cannot be read")]
    List(#[source] ReadError),
    /// A manifest cannot be encoded.
    #[error("the manifest of {checkpoint} cannot be encoded")]
    Encode {
        /// Whose.
        checkpoint: CheckpointId,
        /// Why.
        source: serde_json::Error,
    },
    /// A manifest is larger than [`LIMIT`].
    #[error("the manifest of {checkpoint} has more than {LIMIT} bytes")]
    TooLarge {
        /// Whose.
        checkpoint: CheckpointId,
    },
    /// A manifest cannot be put in place.
    #[error("the manifest of {checkpoint} cannot be written")]
    Write {
        /// Whose.
        checkpoint: CheckpointId,
        /// Which step.
        source: DurableError,
    },
    /// A file of ours cannot be removed.
    #[error("{file} cannot be removed")]
    Remove {
        /// Its name.
        file: String,
        /// Which step.
        source: DurableError,
    },
    /// The name is not one of ours.
    #[error("{file:?} is not ours to remove")]
    NotOurs {
        /// The name.
        file: String,
    },
}

impl ManifestDir {
    /// The directory `dir`, which may be a link to one, with `staging` on the same file system
    /// and not inside it.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, staging: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            staging: staging.into(),
        }
    }

    /// The directory as configured.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Makes the staging directory and removes what an interrupted process left there. For a
    /// start, while nothing else writes. Does not make the static pod directory: the kubelet's.
    pub fn prepare(&self) -> Result<(), DurableError> {
        durable::sweep(&durable::ensure_root(&self.staging)?)
    }

    /// What stands in the directory.
    ///
    /// # Errors
    /// Where it is missing or cannot be read: unknown, never an empty list.
    pub fn list(&self) -> Result<ManifestsView, ManifestsError> {
        let dir = Dir::open(&self.dir).map_err(ManifestsError::List)?;
        let mut view = ManifestsView::default();
        for name in dir.names().map_err(ManifestsError::List)? {
            let kind = dir.stat(&name).map_err(ManifestsError::List)?;
            let kind = kind.map(|stat| FileType::from_raw_mode(stat.st_mode));
            match (ours(&name), kind) {
                // Removed since the names were read.
                (_, None) => {}
                (None, _) if name.starts_with('.') => {}
                // A directory is nothing to the kubelet, and nothing that we ever made.
                (None, _) | (Some(_), Some(FileType::Directory)) => {
                    view.foreign.insert(name);
                }
                (Some(id), Some(FileType::RegularFile)) => match revision(&dir, &name, &id) {
                    Ok(Some(revision)) => {
                        view.ours.insert(id, revision);
                    }
                    Ok(None) => {
                        view.damaged.insert(name);
                    }
                    Err(error) if error.is_absent() => {}
                    Err(error) => return Err(ManifestsError::List(error)),
                },
                (Some(_), Some(_)) => {
                    view.damaged.insert(name);
                }
            }
        }
        Ok(view)
    }

    /// [`ManifestDir::list`] as what a source says.
    #[must_use]
    pub fn reading(&self) -> Reading<ManifestsView> {
        match self.list() {
            Ok(view) => Reading::Known(view),
            Err(error) => Reading::Unknown(Unseen::from(&error)),
        }
    }

    /// Puts a manifest in place, as a whole, in place of an older one: JSON, 0600.
    pub fn write(&self, id: &CheckpointId, pod: &Pod) -> Result<(), ManifestsError> {
        let checkpoint = id.clone();
        let bytes = match serde_json::to_vec_pretty(pod) {
            Ok(bytes) => bytes,
            Err(source) => return Err(ManifestsError::Encode { checkpoint, source }),
        };
        if u64::try_from(bytes.len()).is_ok_and(|length| length > LIMIT) {
            return Err(ManifestsError::TooLarge { checkpoint });
        }
        let target = self.dir.join(file_name(id));
        match durable::write(&target, &bytes, &Attributes::ours(0o600), &self.staging) {
            Ok(()) => hit("manifest.written"),
            Err(source) => return Err(ManifestsError::Write { checkpoint, source }),
        }
        Ok(())
    }

    /// Removes a checkpoint's manifest; that there is none is fine, that there is no directory
    /// is not.
    pub fn remove(&self, id: &CheckpointId) -> Result<(), ManifestsError> {
        self.remove_file(file_name(id))
    }

    /// Removes a file that [`ManifestDir::list`] named as damaged.
    ///
    /// # Errors
    /// [`ManifestsError::NotOurs`] for any other name, with the directory untouched.
    pub fn remove_damaged(&self, name: &str) -> Result<(), ManifestsError> {
        let file = name.to_owned();
        if ours(name).is_none() {
            return Err(ManifestsError::NotOurs { file });
        }
        self.remove_file(file)
    }

    fn remove_file(&self, file: String) -> Result<(), ManifestsError> {
        match durable::remove(&self.dir.join(&file)) {
            Ok(()) => hit("manifest.removed"),
            Err(source) => return Err(ManifestsError::Remove { file, source }),
        }
        Ok(())
    }
}

/// Name of a checkpoint's manifest. Injective, since the id is (C15).
#[must_use]
pub fn file_name(id: &CheckpointId) -> String {
    format!("{PREFIX}{id}{SUFFIX}")
}

/// The checkpoint whose manifest has this name.
fn ours(name: &str) -> Option<CheckpointId> {
    let id = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    CheckpointId::parse(id).ok()
}

/// The revision that a file of ours asks for; `None` where it is damaged.
fn revision(dir: &Dir, name: &str, id: &CheckpointId) -> Result<Option<RevisionId>, ReadError> {
    let bytes = match dir.read(name, LIMIT) {
        Ok((bytes, _)) => bytes,
        Err(ReadError::TooLarge { .. } | ReadError::NotAFile { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Ok(pod) = serde_json::from_slice::<Pod>(&bytes) else {
        return Ok(None);
    };
    let annotations = pod.metadata.annotations.unwrap_or_default();
    let named = annotations.get(ANNOTATION_ID).map(String::as_str) == Some(id.as_str());
    let revision = annotations.get(ANNOTATION_REVISION).filter(|_| named);
    Ok(revision.and_then(|text| RevisionId::parse(text).ok()))
}

impl From<&ManifestsError> for Unseen {
    fn from(error: &ManifestsError) -> Self {
        let kind = match error {
            ManifestsError::List(ReadError::TooMany { .. }) => UnseenKind::TooLarge,
            ManifestsError::List(read) => match read.io().map(std::io::Error::kind) {
                Some(std::io::ErrorKind::NotFound) => UnseenKind::Unreachable,
                Some(std::io::ErrorKind::PermissionDenied) => UnseenKind::Denied,
                _ => UnseenKind::Unreadable,
            },
            _ => UnseenKind::Unreadable,
        };
        Self::new(kind, crate::store::chain(error))
    }
}
