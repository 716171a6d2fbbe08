//! The file below a database, and its page size.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::damage::BoltError;

/// A database in a file, which may go on behind it (a snapshot's trailer).
#[derive(Debug, Clone, Copy)]
pub struct Source<'f> {
    file: &'f File,
    bytes: u64,
}

impl<'f> Source<'f> {
    /// The first `bytes` bytes of `file`.
    pub fn new(file: &'f File, bytes: u64) -> Self {
        Self { file, bytes }
    }

    /// Size of the database's part of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// Where the file cannot be read, or ends before.
    pub fn fill(&self, offset: u64, buffer: &mut [u8]) -> Result<(), BoltError> {
        self.file
            .read_exact_at(buffer, offset)
            .map_err(|source| BoltError::Read {
                offset,
                length: buffer.len(),
                source,
            })
    }
}
