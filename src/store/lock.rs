//! One daemon for each state directory: two would sweep each other's staging and commit over each
//! other's state.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::dir::Dir;
use super::durable::{self, DurableError};

/// Held for as long as this lives; the kernel lets go of it with the process, however that ends.
#[derive(Debug)]
pub struct Lock {
    _held: OwnedFd,
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

/// Takes the lock of the file `name` in `dir`, which is made where it is missing. Never waits.
/// Unlike that of a directory its end can be noticed: the file is then closed after having been
/// open for writing.
///
/// # Errors
/// [`LockError::Held`] where somebody has it.
pub fn hold_file(dir: &Dir, name: &str) -> Result<Lock, LockError> {
    let file = durable::lock_file(dir, name)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock { _held: file.into() }),
        Err(errno) => Err(failed(errno, dir.path().join(name))),
    }
}

/// Whether somebody has the lock of the file `name` in `dir`. Has it itself for a moment where not:
/// only where whoever takes it is known not to try meanwhile.
///
/// # Errors
/// Where it cannot be told.
pub fn is_held(dir: &Dir, name: &str) -> Result<bool, LockError> {
    let file = match dir.open_file(name) {
        Ok((file, _)) => file,
        Err(error) if error.is_absent() => return Ok(false),
        Err(error) => return Err(DurableError::from(error).into()),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(errno) => Err(failed(errno, dir.path().join(name))),
    }
}

fn flock(fd: impl std::os::fd::AsFd, how: FlockOperation) -> Result<(), Errno> {
    loop {
        match rustix::fs::flock(&fd, how) {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

fn failed(errno: Errno, path: PathBuf) -> LockError {
    if errno == Errno::WOULDBLOCK {
        return LockError::Held { path };
    }
    let source = errno.into();
    LockError::Lock { path, source }
}

fn take(dir: Dir, how: FlockOperation) -> Result<Lock, LockError> {
    match flock(dir.fd(), how) {
        Ok(()) => Ok(Lock { _held: dir.into() }),
        Err(errno) => Err(failed(errno, dir.path().to_owned())),
    }
}
