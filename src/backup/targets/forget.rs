//! Deleting copies whose local backup retention has pruned, where the target is configured so.
//!
//! The wish is a file, `backup/uploads/TARGET.ID.forget`: a target that cannot be reached when the
//! local backup goes is asked later.

use std::path::Path;

use super::{CopyError, Target, TargetSettings, resume};
use crate::core::backup::id::BackupId;
use crate::store::durable::{self, Attributes};

const END: &str = ".forget";

/// Notes that the copies of a backup that was just pruned are to go from those targets that are
/// configured with `prune`. Blocks.
///
/// # Errors
/// Where the note cannot be written; the copy then stays.
pub fn intend_to_forget(
    uploads: &Path,
    targets: &[TargetSettings],
    id: &BackupId,
) -> Result<(), CopyError> {
    for target in targets.iter().filter(|target| target.prune) {
        let dir = durable::ensure_root(uploads)?;
        let name = format!("{}.{id}{END}", target.name);
        durable::write_in(&dir, &name, b"", &Attributes::ours(0o600), &dir)?;
    }
    Ok(())
}

/// Copies that are to go from this target.
pub(super) fn intended(uploads: &Path, target: &str) -> Result<Vec<BackupId>, CopyError> {
    resume::noted(uploads, target, END)
}

/// Deletes one copy, its catalog first, so that what is left of a deletion that is cut off does not
/// look complete. Then the note goes.
///
/// # Errors
/// As the store says: a bucket may refuse.
pub async fn forget(target: &Target, id: &BackupId, uploads: &Path) -> Result<(), CopyError> {
    target.store.delete(&super::catalog::catalog_of(id)).await?;
    for object in target.store.list(id.as_str()).await? {
        target.store.delete(&object.name).await?;
    }
    let name = format!("{}.{id}{END}", target.name());
    Ok(durable::remove_in(&durable::ensure_root(uploads)?, &name)?)
}
