//! A file that only takes room, given back when the disk is full, so that the state can still be
//! committed and recovery is not stopped by somebody's log file (D02). The state has one, and the
//! engine's pods have one of their own.

use super::dir::Dir;
use super::durable::{self, Attributes, DurableError};
use crate::failpoints::hit;

const RESERVE: &str = "reserve";
/// Room for several states and manifests.
const SIZE: usize = 256 << 10; // 256 KiB

/// Gives the room back. `false` where there was none.
pub(crate) fn release(root: &Dir) -> Result<bool, DurableError> {
    if root.stat(RESERVE)?.is_none() {
        return Ok(false);
    }
    durable::remove_in(root, RESERVE)?;
    hit("state.reserve-released");
    tracing::warn!(directory = %root.path().display(), "disk full: reserve released");
    Ok(true)
}

/// Takes the room again, if there is any. Failing to is no failure: the disk is still full.
pub(crate) fn keep(root: &Dir, staging: &Dir) {
    if matches!(root.stat(RESERVE), Ok(None)) {
        // Not zeros: a file system may store those in no room at all.
        let filler: Vec<u8> = (0..=250).cycle().take(SIZE).collect();
        let _ = durable::write_in(root, RESERVE, &filler, &Attributes::ours(0o600), staging);
    }
}
