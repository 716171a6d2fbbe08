//! Free room (scenario B03): looked at before a backup is begun and while it grows, so that
//! somebody else's file system, and etcd's own above all, is never filled by a backup.

use std::path::{Path, PathBuf};

use super::{Request, TakeError};

/// Looked at again after so many bytes.
const EVERY: u64 = 64 << 20; // 64 MiB

/// Watches the free room while a snapshot is written.
#[derive(Debug)]
pub(super) struct Guard {
    backups: PathBuf,
    min_free: u64,
    /// At most so many bytes will be written.
    needed: u64,
    since: u64,
}

impl Guard {
    /// For a database of `db_bytes`.
    pub(super) fn new(request: &Request, db_bytes: u64) -> Self {
        // A compressed one is unpacked beside itself to be verified; how well it compresses is not
        // known before.
        let copies = if request.compression_level == 0 { 1 } else { 2 };
        Self {
            backups: request.backups.clone(),
            min_free: request.min_free_bytes,
            needed: db_bytes.saturating_mul(copies),
            since: 0,
        }
    }

    /// Whether it can be begun. Blocks.
    pub(super) fn before(&self) -> Result<(), TakeError> {
        self.check(self.needed)
    }

    /// So many bytes more were taken: whether to go on. Blocks.
    pub(super) fn written(&mut self, bytes: u64) -> Result<(), TakeError> {
        self.since = self.since.saturating_add(bytes);
        if self.since < EVERY {
            return Ok(());
        }
        self.since = 0;
        self.check(0)
    }

    fn check(&self, needed: u64) -> Result<(), TakeError> {
        let free = free(&self.backups)?;
        if free.saturating_sub(needed) >= self.min_free && free >= needed {
            return Ok(());
        }
        Err(TakeError::Room {
            path: self.backups.clone(),
            free,
            needed,
            min_free: self.min_free,
        })
    }
}

/// Bytes that may still be written to the file system of `path`, or of what will be its parent.
fn free(path: &Path) -> Result<u64, TakeError> {
    let mut place = path;
    loop {
        match (rustix::fs::statvfs(place), place.parent()) {
            (Ok(stat), _) => return Ok(stat.f_bavail.saturating_mul(stat.f_frsize)),
            (Err(rustix::io::Errno::NOENT), Some(parent)) => place = parent,
            (Err(errno), _) => {
                return Err(TakeError::RoomUnknown {
                    path: path.to_owned(),
                    source: errno.into(),
                });
            }
        }
    }
}
