//! SHA-256 and length of what flows by.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

use crate::store::sealed::hex;

/// Length and digest so far.
#[derive(Clone, Default)]
pub(super) struct Sum {
    bytes: u64,
    hasher: Sha256,
}

impl Sum {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        self.hasher.update(bytes);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Length, and SHA-256 in lower-case hexadecimal.
    pub(super) fn finish(self) -> (u64, String) {
        (self.bytes, hex(self.hasher.finalize().as_slice()))
    }
}

/// A writer that sums what it passes on.
pub(super) struct Summing<W> {
    pub(super) inner: W,
    pub(super) sum: Sum,
}

impl<W> Summing<W> {
    pub(super) fn new(inner: W) -> Self {
        let sum = Sum::default();
        Self { inner, sum }
    }
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.add(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Summing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.sum.add(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// Whether this is a SHA-256 as this program writes it.
pub(super) fn is_hex(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
