//! An operator's hold on the disk. What it means is decided in [`crate::core::operator_hold`].
//!
//! ```text
//! <state_dir>/hold/                 its own lock: held for the length of one look or write
//! <state_dir>/hold/hold.json        the hold: one sealed document
//! <state_dir>/hold/damaged-<n>      one that could not be read, moved aside
//! <state_dir>/hold/staging          unfinished writes
//! ```
//!
//! Written by the command as root, with or without a daemon; the daemon watches the directory. A
//! file that cannot be read is a hold of unknown length: the daemon holds back until somebody has
//! looked. Every function here blocks.

use std::path::Path;

use crate::core::operator_hold::OperatorHold;
use crate::core::reading::{Reading, Unseen, UnseenKind};
use crate::failpoints::hit;
use crate::store::dir::{Dir, ReadError};
use crate::store::durable::{self, Attributes, DurableError};
use crate::store::lock::{self, LockError};
use crate::store::sealed::{self, Format, SealError};

/// The directory below the state directory.
pub const PLACE: &str = "hold";
/// The file in it.
const FILE: &str = "hold.json";
const STAGING: &str = "staging";
/// Largest hold, in bytes.
const LIMIT: u64 = 64 << 10;

const FORMAT: Format = Format {
    kind: "rekindle hold",
    major: 1,
    minor: 0,
};

/// Why a hold cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// The file or its place cannot be read.
    #[error("whether this node is held cannot be read")]
    Read(#[from] ReadError),
    /// The file is damaged.
    #[error("the hold of this node is damaged: until when it lasts is not known")]
    Damaged(#[source] SealError),
    /// It is no JSON.
    #[error("the hold cannot be encoded")]
    Encode(#[source] SealError),
    /// The place cannot be locked.
    #[error("the place of holds cannot be locked")]
    Lock(#[from] LockError),
    /// It cannot be written.
    #[error("the hold cannot be written")]
    Write(#[from] DurableError),
}

/// The hold that is written down, ended or not.
///
/// # Errors
/// Where it cannot be read: then it is not known whether this node is held.
pub fn read(state_dir: &Path) -> Result<Option<OperatorHold>, HoldError> {
    let dir = match Dir::open(&state_dir.join(PLACE)) {
        Ok(dir) => dir,
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let _gate = lock::wait_dir(dir.walk("")?)?;
    held(&dir)
}

/// [`read`] as what a source says.
#[must_use]
pub fn look(state_dir: &Path) -> Reading<Option<OperatorHold>> {
    match read(state_dir) {
        Ok(hold) => Reading::Known(hold),
        Err(error) => Reading::Unknown(Unseen::because(UnseenKind::Unreadable, &error)),
    }
}

/// Writes `hold` down in place of another one, which is returned. On the disk when this returns. One
/// that cannot be read is moved aside.
///
/// # Errors
/// Where it cannot be written.
pub fn place(state_dir: &Path, hold: &OperatorHold) -> Result<Option<OperatorHold>, HoldError> {
    let dir = durable::ensure_root(&state_dir.join(PLACE))?;
    let _gate = lock::wait_dir(dir.walk("")?)?;
    let staging = durable::ensure_dir(&dir, STAGING, 0o700)?;
    durable::sweep(&staging)?;
    let before = match held(&dir) {
        Ok(before) => before,
        Err(HoldError::Damaged(_) | HoldError::Read(_)) => {
            keep_damaged(&dir)?;
            None
        }
        Err(error) => return Err(error),
    };
    let bytes = sealed::seal(FORMAT, 1, hold).map_err(HoldError::Encode)?;
    hit("hold.placing");
    let attributes = Attributes::ours(0o600);
    durable::write_in(&dir, FILE, &bytes, &attributes, &staging)?;
    hit("hold.placed");
    Ok(before)
}

/// Ends the hold, one that cannot be read too, which is moved aside. Says what there was: `None`
/// nothing, `Some(None)` one that could not be read.
///
/// # Errors
/// Where that cannot be done: the node is held on.
pub fn release(state_dir: &Path) -> Result<Option<Option<OperatorHold>>, HoldError> {
    let dir = match Dir::open(&state_dir.join(PLACE)) {
        Ok(dir) => dir,
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let _gate = lock::wait_dir(dir.walk("")?)?;
    match held(&dir) {
        Ok(None) => Ok(None),
        Ok(Some(hold)) => {
            durable::remove_in(&dir, FILE)?;
            hit("hold.released");
            Ok(Some(Some(hold)))
        }
        Err(HoldError::Damaged(_) | HoldError::Read(_)) => {
            keep_damaged(&dir)?;
            Ok(Some(None))
        }
        Err(error) => Err(error),
    }
}

/// Removes `hold`, which has ended, and no other that was placed meanwhile.
///
/// # Errors
/// Where it cannot be removed: it has ended all the same.
pub fn clear(state_dir: &Path, hold: &OperatorHold) -> Result<(), HoldError> {
    let dir = Dir::open(&state_dir.join(PLACE))?;
    let _gate = lock::wait_dir(dir.walk("")?)?;
    if held(&dir)?.as_ref() == Some(hold) {
        durable::remove_in(&dir, FILE)?;
    }
    Ok(())
}

/// Makes the place, so that it can be watched.
///
/// # Errors
/// Where it cannot be made.
pub fn prepare(state_dir: &Path) -> Result<(), DurableError> {
    durable::ensure_root(&state_dir.join(PLACE)).map(drop)
}

fn held(dir: &Dir) -> Result<Option<OperatorHold>, HoldError> {
    let bytes = match dir.read(FILE, LIMIT) {
        Ok((bytes, _)) => bytes,
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let (hold, _) = sealed::unseal(FORMAT, &bytes).map_err(HoldError::Damaged)?;
    Ok(Some(hold))
}

fn keep_damaged(dir: &Dir) -> Result<(), HoldError> {
    durable::set_aside(dir, FILE, "damaged-")?;
    Ok(())
}
