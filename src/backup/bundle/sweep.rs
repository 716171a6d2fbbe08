//! Clearing away what cut-off work left in the backups directory.

use std::path::Path;

use super::error::BundleError;
use super::{SCRATCH, UNFINISHED};
use crate::core::backup::id::BackupId;
use crate::store::dir::Dir;
use crate::store::durable;
use crate::store::lock;

/// Removes unfinished backups that nobody works on any more, and leftovers of removals; gives the
/// names of the former. Whole backups are not touched. Safe at any time, beside any other process.
///
/// # Errors
/// Where something cannot be removed; what can be is removed first.
pub fn sweep(backups: &Path) -> Result<Vec<String>, BundleError> {
    let dir = match Dir::open(backups) {
        Ok(dir) => dir,
        Err(error) if error.is_absent() => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut swept = Vec::new();
    let mut failed = None;
    for name in dir.names()? {
        let id = name.strip_suffix(UNFINISHED);
        if id.is_none_or(|id| BackupId::parse(id).is_err()) {
            continue;
        }
        let Ok(part) = dir.sub(&name) else { continue };
        // Held until it is gone, so that nobody begins to work on it meanwhile.
        let Ok(_lock) = lock::hold_dir(part) else {
            continue;
        };
        match durable::discard(&dir, &name, &dir) {
            Ok(()) => swept.push(name),
            Err(error) => failed = Some(error),
        }
    }
    durable::sweep(&dir)?;
    if let Ok(scratch) = dir.sub(SCRATCH) {
        durable::sweep(&scratch)?;
    }
    match failed {
        None => Ok(swept),
        Some(error) => Err(error.into()),
    }
}
