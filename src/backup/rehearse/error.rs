//! Why nothing was learnt about a backup, and why it did not pass: two different things.

use std::path::PathBuf;

use crate::backup::bundle::BundleError;
use crate::store::dir::ReadError;
use crate::store::durable::DurableError;
use crate::store::lock::LockError;

/// Why a rehearsal could not be made. It says nothing about the backup.
#[derive(Debug, thiserror::Error)]
pub enum RehearseError {
    /// Another one is under way.
    #[error("another rehearsal is under way")]
    Busy(#[source] LockError),
    /// The backup cannot be opened as one.
    #[error("the backup cannot be rehearsed")]
    Bundle(#[source] BundleError),
    /// A program is missing on this host.
    #[error("{program} is not on this host (looked in {})", places.join(", "))]
    NoTool {
        /// `etcd`, `etcdutl or etcdctl`, `sh`.
        program: &'static str,
        /// Where it was looked for.
        places: Vec<String>,
    },
    /// The scratch directory cannot be made or entered.
    #[error("the scratch directory cannot be used")]
    Scratch(#[from] DurableError),
    /// The same, reading.
    #[error("the scratch directory cannot be used")]
    ScratchRead(#[from] ReadError),
    /// Something in the scratch directory cannot be done.
    #[error("cannot {doing} {}", path.display())]
    Place {
        /// What.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no room.
    #[error("{} has {free} bytes free, and {needed} are needed for the rehearsal", path.display())]
    Space {
        /// The scratch directory.
        path: PathBuf,
        /// Bytes that have to be free, those that shall stay so included.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The path of the socket would be longer than the kernel takes.
    #[error("{} is too long for a Unix socket in it", path.display())]
    LongPath {
        /// The scratch directory.
        path: PathBuf,
    },
    /// A program cannot be started.
    #[error("cannot start {program}")]
    Start {
        /// Which.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// A task of our own ended without an answer.
    #[error("the rehearsal was cut off")]
    CutOff,
}

impl RehearseError {
    /// What a person may do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoTool { .. } => Some(
                "install etcd and its tools (Debian: etcd-server and etcd-client), at least of \
                 the version that the backup comes from",
            ),
            Self::Space { .. } => Some("make room, or rehearse on another file system"),
            Self::Busy(_) => Some("wait for it; `rekindle status` shows it"),
            _ => None,
        }
    }
}

/// Why a step did not go on: the backup's fault, or not.
#[derive(Debug)]
pub(super) enum Stop {
    /// The rehearsal failed, for this reason.
    Failed(String),
    /// It could not be made.
    Error(RehearseError),
}

impl<E: Into<RehearseError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// A failure of the rehearsal.
pub(super) fn failed<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Failed(why.into()))
}
