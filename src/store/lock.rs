//! One daemon for each state directory: two would sweep each other's staging and commit over each
//! other's state.

use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::dir::Dir;
use super::durable::{self, DurableError};

/// Held for as long as this lives; the kernel lets go of it with the process, however that ends.
#[derive(Debug)]
pub struct Lock {
    _dir: Dir,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error("{} is in use by another rekindle process", path.display())]
    Held {
        /// The state directory.
        path: PathBuf,
    },
    /// The state directory cannot be made or opened.
    #[error("the state directory cannot be locked")]
    Open(#[from] DurableError),
    /// The file system does not lock.
    #[error("{} cannot be locked", path.display())]
    Lock {
        /// The state directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Takes the lock of `state_dir`, which is made where it is missing. Never waits.
pub fn hold(state_dir: &Path) -> Result<Lock, LockError> {
    let dir = durable::ensure_root(state_dir)?;
    let path = state_dir.to_owned();
    match rustix::fs::flock(dir.fd(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock { _dir: dir }),
        Err(Errno::WOULDBLOCK) => Err(LockError::Held { path }),
        Err(errno) => Err(LockError::Lock {
            path,
            source: errno.into(),
        }),
    }
}
