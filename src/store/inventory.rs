//! What a stored revision consists of, and the proof that it still does (C11).
//!
//! `revision.json` lists every file and directory with digest, size, owner and mode, and is itself
//! sealed. A revision is whole when everything listed is there exactly so. What is there beside it
//! is reported and does not make it unusable: a stray file must not cost a control plane.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use super::dir::{Dir, ReadError, is_name};
use super::durable::Attributes;
use super::sealed::{self, Format, SealError};
use crate::core::id::{CheckpointId, RevisionId};
use crate::core::manifest::rendered::Rendered;

/// Largest manifest stored: the bound of our own files in the static pod directory.
pub const MANIFEST_LIMIT: u64 = 1 << 20; // 1 MiB
/// Largest file of a data volume: above the 1 MiB that a Secret or ConfigMap may have.
pub const DATA_LIMIT: u64 = 4 << 20; // 4 MiB
/// Largest `revision.json`: some 20 000 entries.
const INVENTORY_LIMIT: u64 = 4 << 20; // 4 MiB
/// Deepest path below the data directory.
const DEPTH_LIMIT: usize = 16;

/// Name of the static pod's file in a revision. Its host paths still hold the placeholder.
pub const MANIFEST: &str = "manifest.json";
/// Name of the inventory's file in a revision.
pub const INVENTORY: &str = "revision.json";
/// Name of the data directory in a revision.
pub const DATA: &str = "data";

const FORMAT: Format = Format {
    kind: "rekindle revision",
    major: 1,
    minor: 0,
};

/// Everything a revision consists of, `revision.json` itself excepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Whose revision.
    pub checkpoint: CheckpointId,
    /// Which.
    pub revision: RevisionId,
    /// [`Rendered::notes`].
    pub notes: Vec<String>,
    /// Directories, each after its parent; the empty path is the revision's own.
    pub dirs: Vec<DirEntry>,
    /// Files.
    pub files: Vec<FileEntry>,
}

/// One directory of a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirEntry {
    /// Path below the revision's directory.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// One file of a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path below the revision's directory.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the content, lower-case hex.
    pub sha256: String,
}

/// Why a revision cannot be stored at all.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// A path leaves the data directory or fits no file system.
    #[error("{path:?} is no safe path below the data directory")]
    Path {
        /// The path, at most 200 characters of it.
        path: String,
    },
    /// Two entries for one path, or a file where a directory is needed.
    #[error("{path:?} is there twice")]
    Twice {
        /// The path.
        path: String,
    },
    /// Larger than its bound.
    #[error("{path:?} has more than {limit} bytes")]
    TooLarge {
        /// The path.
        path: String,
        /// The bound in bytes.
        limit: u64,
    },
    /// It cannot be written as JSON.
    #[error("it cannot be encoded")]
    Encode(#[source] SealError),
}

/// Why a stored revision is not whole. Never holds content.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// Something listed cannot be read or is not there.
    #[error("part of it cannot be read")]
    Read(#[from] ReadError),
    /// `revision.json` is damaged.
    #[error("{INVENTORY} cannot be used")]
    Inventory(#[source] SealError),
    /// `revision.json` lists a path that leaves the revision.
    #[error("{INVENTORY} lists an unsafe path")]
    UnsafePath,
    /// The inventory is that of another revision.
    #[error("{INVENTORY} belongs to revision {revision} of {checkpoint}")]
    Elsewhere {
        /// Whose it says it is.
        checkpoint: CheckpointId,
        /// Which it says it is.
        revision: RevisionId,
    },
    /// A file or directory is not as it was stored.
    #[error("{what} of {path} differs from what was stored")]
    Differs {
        /// Path below the revision's directory.
        path: String,
        /// `content`, `mode` or `owner`.
        what: &'static str,
    },
    /// The manifest is no pod that this binary understands.
    #[error("{MANIFEST} is not understood ({0})")]
    Manifest(String),
}

/// A revision that was found whole.
#[derive(Debug)]
pub struct Whole {
    /// The static pod, host paths with the placeholder.
    pub pod: Pod,
    /// What the revision consists of.
    pub inventory: Inventory,
    /// Paths of what stands there and is not listed.
    pub strays: Vec<String>,
}

impl Inventory {
    /// The inventory for a revision that is to be stored, with its manifest's bytes.
    pub fn of(rendered: &Rendered) -> Result<(Self, Vec<u8>), Unfit> {
        let ours = Attributes::ours(0o700);
        let mut dirs = BTreeMap::from([(String::new(), ours), (DATA.to_owned(), ours)]);
        for dir in &rendered.dirs {
            let attributes = Attributes {
                mode: dir.mode & 0o7777,
                uid: dir.uid,
                gid: dir.gid,
            };
            if dirs.insert(below_data(&dir.path)?, attributes).is_some() {
                return Err(Unfit::Twice {
                    path: dir.path.clone(),
                });
            }
        }
        let manifest = serde_json::to_vec(&rendered.pod)
            .map_err(|error| Unfit::Encode(SealError::NotJson(sealed::place(&error))))?;
        let mut files = vec![entry(
            MANIFEST.to_owned(),
            &manifest,
            Attributes::ours(0o600),
        )];
        for file in &rendered.files {
            let attributes = Attributes {
                mode: file.mode & 0o7777,
                uid: file.uid,
                gid: file.gid,
            };
            files.push(entry(below_data(&file.path)?, &file.content, attributes));
        }
        for path in dirs
            .keys()
            .chain(files.iter().map(|file| &file.path))
            .cloned()
            .collect::<Vec<_>>()
        {
            for (cut, _) in path.match_indices('/') {
                // A directory that rendering left out: passable, as the kubelet makes them.
                dirs.entry(path[..cut].to_owned())
                    .or_insert(Attributes::ours(0o755));
            }
        }
        let mut seen: BTreeSet<&str> = dirs.keys().map(String::as_str).collect();
        for file in &files {
            if !seen.insert(&file.path) {
                return Err(Unfit::Twice {
                    path: file.path.clone(),
                });
            }
            let limit = if file.path == MANIFEST {
                MANIFEST_LIMIT
            } else {
                DATA_LIMIT
            };
            if file.bytes > limit {
                return Err(Unfit::TooLarge {
                    path: file.path.clone(),
                    limit,
                });
            }
        }
        let dirs = dirs.into_iter().map(|(path, a)| DirEntry {
            path,
            mode: a.mode,
            uid: a.uid,
            gid: a.gid,
        });
        let inventory = Self {
            checkpoint: rendered.checkpoint.clone(),
            revision: rendered.revision.clone(),
            notes: rendered.notes.clone(),
            dirs: dirs.collect(),
            files,
        };
        Ok((inventory, manifest))
    }

    /// The sealed `revision.json`.
    pub fn seal(&self) -> Result<Vec<u8>, Unfit> {
        let bytes = sealed::seal(FORMAT, 1, self).map_err(Unfit::Encode)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > INVENTORY_LIMIT) {
            let path = INVENTORY.to_owned();
            return Err(Unfit::TooLarge {
                path,
                limit: INVENTORY_LIMIT,
            });
        }
        Ok(bytes)
    }
}

/// Reads the revision in `dir` and checks all of it.
///
/// # Errors
/// The first thing that is not as it was stored.
pub fn verify(dir: &Dir, id: &CheckpointId, revision: &RevisionId) -> Result<Whole, Damage> {
    let (bytes, stat) = dir.read(INVENTORY, INVENTORY_LIMIT)?;
    let (inventory, _): (Inventory, u64) =
        sealed::unseal(FORMAT, &bytes).map_err(Damage::Inventory)?;
    if stat.st_mode & 0o7777 != 0o600 {
        return Err(Damage::Differs {
            path: INVENTORY.to_owned(),
            what: "mode",
        });
    }
    if inventory.checkpoint != *id || inventory.revision != *revision {
        let Inventory {
            checkpoint,
            revision,
            ..
        } = inventory;
        return Err(Damage::Elsewhere {
            checkpoint,
            revision,
        });
    }
    let files = inventory.files.iter().map(|file| file.path.as_str());
    let dirs = inventory.dirs.iter().map(|dir| dir.path.as_str());
    let listed: BTreeSet<&str> = files.chain(dirs).chain([INVENTORY]).collect();
    let mut strays = Vec::new();
    for entry in &inventory.dirs {
        let opened = dir.walk(&entry.path)?;
        let stat = opened.stat_self()?;
        same(&entry.path, &stat, (entry.mode, entry.uid, entry.gid))?;
        strays.extend(unlisted(&opened, &entry.path, &listed)?);
    }
    let mut pod = None;
    for entry in &inventory.files {
        let (parent, name) = match entry.path.rsplit_once('/') {
            Some((parent, name)) => (dir.walk(parent)?, name),
            None => (dir.walk("")?, entry.path.as_str()),
        };
        if !is_name(name) {
            return Err(Damage::UnsafePath);
        }
        let (content, stat) = parent.read(name, entry.bytes.min(DATA_LIMIT))?;
        if sealed::hex_digest(&content) != entry.sha256 {
            let path = entry.path.clone();
            return Err(Damage::Differs {
                path,
                what: "content",
            });
        }
        same(&entry.path, &stat, (entry.mode, entry.uid, entry.gid))?;
        if entry.path == MANIFEST {
            let parsed = serde_json::from_slice::<Pod>(&content);
            pod = Some(parsed.map_err(|error| Damage::Manifest(sealed::place(&error)))?);
        }
    }
    match pod {
        Some(pod) => Ok(Whole {
            pod,
            inventory,
            strays,
        }),
        None => Err(Damage::Manifest("it is not listed".to_owned())),
    }
}

fn same(path: &str, stat: &rustix::fs::Stat, stored: (u32, u32, u32)) -> Result<(), Damage> {
    let (mode, uid, gid) = stored;
    let what = if stat.st_mode & 0o7777 != mode {
        "mode"
    } else if (stat.st_uid, stat.st_gid) != (uid, gid) {
        "owner"
    } else {
        return Ok(());
    };
    let path = if path.is_empty() {
        "its directory"
    } else {
        path
    };
    Err(Damage::Differs {
        path: path.to_owned(),
        what,
    })
}

fn unlisted(dir: &Dir, below: &str, listed: &BTreeSet<&str>) -> Result<Vec<String>, ReadError> {
    let paths = dir.names()?.into_iter().map(|name| match below {
        "" => name,
        below => format!("{below}/{name}"),
    });
    Ok(paths
        .filter(|path| !listed.contains(path.as_str()))
        .collect())
}

fn entry(path: String, content: &[u8], a: Attributes) -> FileEntry {
    FileEntry {
        path,
        mode: a.mode,
        uid: a.uid,
        gid: a.gid,
        bytes: u64::try_from(content.len()).unwrap_or(u64::MAX),
        sha256: sealed::hex_digest(content),
    }
}

/// `path` of a data volume as a path below the revision's directory, if it stays there.
fn below_data(path: &str) -> Result<String, Unfit> {
    let safe = path.len() <= 1024
        && path.split('/').count() <= DEPTH_LIMIT
        && path.split('/').all(is_name);
    if safe {
        return Ok(format!("{DATA}/{path}"));
    }
    let path = path.chars().take(200).collect();
    Err(Unfit::Path { path })
}
