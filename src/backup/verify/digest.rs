//! SHA-256 of the file in one sequential reading: of the database alone, which the trailer of a
//! snapshot holds, and of the whole file.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};

use crate::backup::progress::Progress;

/// Bytes read at one time.
const CHUNK: usize = 256 << 10;
/// Bytes of the trailer: a SHA-256.
pub(super) const TRAILER: u64 = 32;

/// The digests.
#[derive(Debug)]
pub(super) struct Digests {
    /// Of the first bytes, up to the trailer.
    pub(super) database: [u8; 32],
    /// Of all bytes.
    pub(super) file: [u8; 32],
    /// What stands behind the database; zeros where nothing does.
    pub(super) trailer: [u8; 32],
}

/// Reads `file`, whose first `database` bytes are the database and which has `bytes` in all.
pub(super) fn digests(
    file: &File,
    database: u64,
    bytes: u64,
    progress: &Progress,
) -> io::Result<Digests> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    while at < database {
        let left = usize::try_from(database - at).unwrap_or(usize::MAX);
        let part = buffer.get_mut(..left.min(CHUNK)).unwrap_or_default();
        file.read_exact_at(part, at)?;
        hasher.update(&*part);
        let read = part.len() as u64;
        at += read;
        progress.advance(read);
    }
    let before_trailer = hasher.clone();
    let mut trailer = [0; 32];
    if bytes == database + TRAILER {
        file.read_exact_at(&mut trailer, database)?;
        hasher.update(trailer);
        progress.advance(TRAILER);
    }
    Ok(Digests {
        database: before_trailer.finalize().into(),
        file: hasher.finalize().into(),
        trailer,
    })
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
