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
        /// The directory.
        path: PathBuf,
    },
    /// The directory cannot be made or opened.
    #[error("the directory to lock cannot be opened")]
    Open(#[from] DurableError),
    /// The file system does not lock.
    #[error("{} cannot be locked", path.display())]
    Lock {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Takes the lock of `state_dir`, which is made where it is missing. Never waits.
pub fn hold(state_dir: &Path) -> Result<Lock, LockError> {
    hold_dir(durable::ensure_root(state_dir)?)
}

/// Takes the lock of an open directory. Never waits.
///
/// # Errors
/// [`LockError::Held`] where somebody has it.
pub fn hold_dir(dir: Dir) -> Result<Lock, LockError> {
    take(dir, FlockOperation::NonBlockingLockExclusive)
}

/// Takes the lock of the directory `path`, which is made where it is missing, and waits for who
/// has it. Only for locks that nobody holds for longer than it takes to write a small file.
///
/// # Errors
/// Where the directory cannot be made or locked.
pub fn wait(path: &Path) -> Result<Lock, LockError> {
    take(durable::ensure_root(path)?, FlockOperation::LockExclusive)
}

/// [`hold_dir`] that waits for who has it: somebody who only looks.
///
/// # Errors
/// Where the file system does not lock.
pub fn wait_dir(dir: Dir) -> Result<Lock, LockError> {
    take(dir, FlockOperation::LockExclusive)
}

fn take(dir: Dir, how: FlockOperation) -> Result<Lock, LockError> {
    loop {
        let path = dir.path().to_owned();
        match rustix::fs::flock(dir.fd(), how) {
            Ok(()) => return Ok(Lock { _dir: dir }),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => return Err(LockError::Held { path }),
            Err(errno) => {
                let source = errno.into();
                return Err(LockError::Lock { path, source });
            }
        }
    }
}
