//! The file itself: opened to be read, measured, and seen not to change.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::digest::TRAILER;
use super::{Kind, VerifyError};

/// Opens the file `opened`, which people know as `path`, to be read only.
///
/// # Errors
/// Where it cannot be opened or is no regular file.
pub(crate) fn open(opened: &Path, path: &Path) -> Result<(File, Metadata), VerifyError> {
    let read = |source: io::Error| VerifyError::Read {
        path: path.into(),
        source,
    };
    // A pipe that nobody writes to shall not be waited for.
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(opened);
    let file = opened.map_err(read)?;
    let before = file.metadata().map_err(read)?;
    if !before.is_file() {
        return Err(VerifyError::NoFile { path: path.into() });
    }
    Ok((file, before))
}

/// Nobody wrote to the file since `before`.
///
/// # Errors
/// [`VerifyError::Changed`].
pub(crate) fn unchanged(path: &Path, file: &File, before: &Metadata) -> Result<(), VerifyError> {
    let after = file.metadata().map_err(|source| VerifyError::Read {
        path: path.into(),
        source,
    })?;
    if has_changed(before, &after) {
        return Err(VerifyError::Changed { path: path.into() });
    }
    Ok(())
}

/// What a file of `bytes` bytes is by its size, and how many of them are the database.
///
/// # Errors
/// Where it is compressed, or of no such size.
pub(crate) fn measure(path: &Path, file: &File, bytes: u64) -> Result<(Kind, u64), VerifyError> {
    let mut magic = [0; 4];
    if file.read_exact_at(&mut magic, 0).is_ok() && magic == [0x28, 0xB5, 0x2F, 0xFD] {
        return Err(VerifyError::Compressed { path: path.into() });
    }
    // As etcd tells them apart (`hasChecksum` of etcdutl).
    match bytes % 512 {
        TRAILER => Ok((Kind::Snapshot, bytes - TRAILER)),
        0 => Ok((Kind::RawDatabase, bytes)),
        _ => {
            let path = path.into();
            Err(VerifyError::Size { path, bytes })
        }
    }
}

/// Nobody has the database open to write to it. The lock is not held: an etcd that starts now
/// shall not wait for this.
///
/// # Errors
/// [`VerifyError::InUse`].
pub(crate) fn not_in_use(path: &Path, file: &File) -> Result<(), VerifyError> {
    if flock(file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK) {
        return Err(VerifyError::InUse { path: path.into() });
    }
    let _ = flock(file, FlockOperation::Unlock);
    Ok(())
}

/// The path names something that its writer never completed: itself or its directory ends in
/// `.part`, in any case of letters.
#[must_use]
pub fn is_unfinished(path: &Path) -> bool {
    let ends = |path: &Path| {
        let end = path.extension().unwrap_or_default();
        end.eq_ignore_ascii_case("part")
    };
    ends(path) || path.parent().is_some_and(ends)
}

fn has_changed(before: &Metadata, after: &Metadata) -> bool {
    let facts = |of: &Metadata| (of.len(), of.mtime(), of.mtime_nsec());
    facts(before) != facts(after)
}
