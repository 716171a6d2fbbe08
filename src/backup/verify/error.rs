//! Why a file is not a good database.

use std::io;
use std::path::{Path, PathBuf};

use crate::bolt::{BoltError, Damage};

/// Why a file was not found to be whole.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be opened or read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be read somewhere.
    #[error("cannot read {path}")]
    ReadAt {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: BoltError,
    },
    /// A directory, a socket, …
    #[error("{path} is no regular file")]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// Something unfinished: the writer renames it when it is whole.
    #[error(
        "{path} is unfinished: its name ends in `.part`, so whoever wrote it never completed it"
    )]
    Unfinished {
        /// The path.
        path: PathBuf,
    },
    /// zstd.
    #[error("{path} is compressed with zstd, and no database as it is")]
    Compressed {
        /// The path.
        path: PathBuf,
    },
    /// A snapshot whose trailer is missing (scenario B02): its two meta pages are those of a copy.
    /// A `member/snap/db` that was copied to another name can look the same.
    #[error(
        "{path} is a snapshot without its trailer: the SHA-256 that `etcdctl snapshot save` writes \
         behind the database is missing, so the end of the transfer was not reached"
    )]
    NoTrailer {
        /// The path.
        path: PathBuf,
    },
    /// Its size is neither a snapshot's nor a database's.
    #[error(
        "{path} has {bytes} bytes, which is neither a database of whole pages nor one with a \
         trailer of 32 bytes: something is missing or added at its end"
    )]
    Size {
        /// The path.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// etcd has it open.
    #[error("{path} is in use: another process holds its lock, as a running etcd does")]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Somebody wrote to it meanwhile.
    #[error("{path} changed while it was read")]
    Changed {
        /// The path.
        path: PathBuf,
    },
    /// The SHA-256 is not that of the trailer.
    #[error(
        "{path} is damaged: the SHA-256 of its {bytes} bytes is {computed}, its trailer says \
         {stored}; {place}"
    )]
    Digest {
        /// The path.
        path: PathBuf,
        /// Bytes of the database.
        bytes: u64,
        /// Of the content.
        computed: String,
        /// In the trailer.
        stored: String,
        /// Where the damage is, as far as the structure shows it.
        place: Place,
    },
    /// Its structure or content is not what etcd writes.
    #[error("{path} is damaged: {damage}")]
    Damaged {
        /// The path.
        path: PathBuf,
        /// Where and what.
        damage: Damage,
    },
}

/// Where the damage is that a digest found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(pub Option<Damage>);

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(damage) => write!(f, "{damage}"),
            None => f.write_str(
                "its structure is whole, so the damage is inside a value, in unused space, or in \
                 the trailer itself",
            ),
        }
    }
}

impl VerifyError {
    /// It was read, and it is not whole: not a matter of access.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        !matches!(
            self,
            Self::Read { .. } | Self::ReadAt { .. } | Self::NoFile { .. } | Self::InUse { .. }
        )
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Read { .. } | Self::ReadAt { .. } => {
                "run it as root, and look for disk errors in the kernel's log"
            }
            Self::NoFile { .. } => "give a snapshot, a database, or the directory of a backup",
            Self::Unfinished { .. } => {
                "use an earlier backup: `rekindle backup list`; an unfinished one proves nothing"
            }
            Self::Compressed { .. } => {
                "give the backup's directory, or decompress it first: `zstd -d FILE`"
            }
            Self::NoTrailer { .. } => {
                "copy it again from where it was taken, or use another: `rekindle backup list`; if \
                 it is the `member/snap/db` of a stopped etcd under another name, say --raw"
            }
            Self::Size { .. } => {
                "copy it again from where it was taken, or use another: `rekindle backup list`"
            }
            Self::InUse { .. } | Self::Changed { .. } => {
                "of a running etcd, verify a snapshot: `rekindle backup now`"
            }
            Self::Digest { .. } | Self::Damaged { .. } => {
                "do not restore from it; use another: `rekindle backup list`"
            }
        }
    }
}

impl VerifyError {
    /// What walking a database met.
    pub(crate) fn of_bolt(path: &Path, error: BoltError) -> Self {
        match error {
            BoltError::Damaged(damage) => Self::Damaged {
                path: path.into(),
                damage,
            },
            source @ BoltError::Read { .. } => Self::ReadAt {
                path: path.into(),
                source,
            },
        }
    }
}
