//! Why a file could not be written, moved or removed: one variant for each step.

use std::io;
use std::path::PathBuf;

use crate::store::dir::ReadError;

/// A step of a durable write that failed. Never holds content.
#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    /// A directory on the way cannot be opened.
    #[error("the place for it cannot be opened")]
    Place(#[source] ReadError),
    /// The path does not end in a usable file name.
    #[error("{} names no file", path.display())]
    NotAName {
        /// The path as given.
        path: PathBuf,
    },
    /// A file, link or directory cannot be created.
    #[error("cannot create {}", path.display())]
    Create {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The content cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Owner, group or mode cannot be set.
    #[error("cannot set owner and mode of {}", path.display())]
    Attributes {
        /// Of what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be brought to the disk.
    #[error("cannot fsync {}", path.display())]
    Sync {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The new content cannot take its name.
    #[error("cannot rename {} to {}", from.display(), to.display())]
    Rename {
        /// From.
        from: PathBuf,
        /// To.
        to: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The staging directory is on another file system than the target.
    #[error(
        "{} and {} are on different file systems, so nothing can be renamed from one to the other; \
         hint: configure a staging directory on the target's file system",
        from.display(),
        to.display()
    )]
    OtherFileSystem {
        /// In the staging directory.
        from: PathBuf,
        /// The target.
        to: PathBuf,
    },
    /// It cannot be removed.
    #[error("cannot remove {}", path.display())]
    Remove {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl DurableError {
    /// The operating system's error, where there is one.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Place(error) => error.io(),
            Self::Create { source, .. }
            | Self::Write { source, .. }
            | Self::Attributes { source, .. }
            | Self::Sync { source, .. }
            | Self::Rename { source, .. }
            | Self::Remove { source, .. } => Some(source),
            Self::NotAName { .. } | Self::OtherFileSystem { .. } => None,
        }
    }

    /// The disk or the quota is full.
    pub fn is_full(&self) -> bool {
        self.io().is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        })
    }

    /// The file system is mounted read-only.
    pub fn is_read_only(&self) -> bool {
        self.io()
            .is_some_and(|error| error.kind() == io::ErrorKind::ReadOnlyFilesystem)
    }
}

impl From<ReadError> for DurableError {
    fn from(error: ReadError) -> Self {
        Self::Place(error)
    }
}
