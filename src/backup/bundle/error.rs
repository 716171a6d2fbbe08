//! Why a bundle cannot be written, read or trusted.

use std::io;
use std::path::PathBuf;

use crate::backup::signing::SignatureError;
use crate::backup::verify::VerifyError;
use crate::core::backup::id::BadBackupId;
use crate::store::dir::ReadError;
use crate::store::durable::DurableError;
use crate::store::lock::LockError;

/// A failure with a bundle. Never holds content.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Something cannot be read.
    #[error("the backup cannot be read")]
    Read(#[from] ReadError),
    /// Something cannot be written.
    #[error("the backup cannot be written")]
    Write(#[from] DurableError),
    /// A stream of bytes broke: reading, decompressing, compressing.
    #[error("cannot {doing} {}", path.display())]
    Stream {
        /// `read`, `decompress`, `compress`, `unpack`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process works on it.
    #[error("the backup is in use")]
    Lock(#[from] LockError),
    /// There is one of this name.
    #[error("{} is there already", path.display())]
    AlreadyThere {
        /// Where.
        path: PathBuf,
    },
    /// A directory whose name is no backup's.
    #[error("{} is not named like a backup", path.display())]
    Name {
        /// Which.
        path: PathBuf,
        /// Why.
        source: BadBackupId,
    },
    /// A backup that was never finished.
    #[error("{} is the rest of a backup that was not finished, and no backup", path.display())]
    Unfinished {
        /// Which.
        path: PathBuf,
    },
    /// Its manifest is missing or says what no manifest may say.
    #[error("{} is no backup: {why}", path.display())]
    NotABundle {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Written by a later version.
    #[error("{} has format {format}, which this version of rekindle does not read", path.display())]
    UnknownFormat {
        /// Which.
        path: PathBuf,
        /// The format it claims.
        format: u32,
    },
    /// The signature does not count.
    #[error("{} is not trusted", path.display())]
    Signature {
        /// Which.
        path: PathBuf,
        /// Why.
        source: SignatureError,
    },
    /// A part is not what the manifest says.
    #[error("{} is damaged or was altered: {why}", path.display())]
    Altered {
        /// The part's file.
        path: PathBuf,
        /// What differs.
        why: String,
    },
    /// The snapshot is no whole database.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The snapshot is not the one that the manifest describes.
    #[error("the snapshot in {} is damaged: {why}", path.display())]
    Content {
        /// The bundle.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// No room to unpack it.
    #[error(
        "{} has {free} bytes free, and {needed} are needed to unpack the snapshot",
        path.display()
    )]
    Space {
        /// A directory of that file system.
        path: PathBuf,
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A file of the host that must be in the backup is not there.
    #[error("{} is to be in the backup and is not there", path.display())]
    HostMissing {
        /// Which.
        path: PathBuf,
    },
    /// A file of the host changed each time it was read.
    #[error("{} changed while it was read", path.display())]
    HostChanged {
        /// Which.
        path: PathBuf,
    },
    /// A name that no manifest or message could give.
    #[error("{} is named in something else than UTF-8", path.display())]
    HostName {
        /// Which, with replacement characters.
        path: PathBuf,
    },
    /// More of the host than anybody can mean to back up.
    #[error("the files of the host are more than {limit}: {} was the first over it", path.display())]
    HostTooMuch {
        /// Where the limit was passed.
        path: PathBuf,
        /// The limit in words.
        limit: String,
    },
}

impl BundleError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Signature { source, .. } => Some(source.hint()),
            Self::Verify(error) => Some(error.hint().to_owned()),
            Self::Unfinished { .. } => Some(
                "`rekindle backup list` shows the whole ones; the rest is removed by itself before \
                 the next backup"
                    .to_owned(),
            ),
            Self::UnknownFormat { .. } => {
                Some("use the version of rekindle that took it, or a later one".to_owned())
            }
            Self::Altered { .. } | Self::Content { .. } | Self::NotABundle { .. } => Some(
                "take another backup (`rekindle backup list`), or another copy of this one"
                    .to_owned(),
            ),
            Self::Space { .. } => Some(
                "free some room; `rekindle backup prune --dry-run` says which backups could go"
                    .to_owned(),
            ),
            Self::HostTooMuch { .. } => {
                Some("name fewer or smaller paths of the host to back up".to_owned())
            }
            Self::Read(_)
            | Self::Write(_)
            | Self::Stream { .. }
            | Self::Lock(_)
            | Self::AlreadyThere { .. }
            | Self::Name { .. }
            | Self::HostMissing { .. }
            | Self::HostName { .. }
            | Self::HostChanged { .. } => None,
        }
    }

    /// The disk or the quota is full.
    pub fn is_full(&self) -> bool {
        let full = |kind: io::ErrorKind| {
            matches!(
                kind,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        };
        match self {
            Self::Write(error) => error.is_full(),
            Self::Stream { source, .. } => full(source.kind()),
            Self::Space { .. } => true,
            _ => false,
        }
    }
}
