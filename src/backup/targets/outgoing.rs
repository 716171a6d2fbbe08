//! A file on its way out: read, encrypted where that is wanted, cut into parts, summed.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::CopyError;
use super::seal::{CHUNK, SealKey, Sealer};
use crate::store::sealed::hex;

/// Reads a file from its beginning and gives what leaves the node, part by part. Memory: one part.
pub(super) struct Outgoing {
    path: PathBuf,
    file: File,
    plain_total: u64,
    read: u64,
    chunk: u64,
    ended: bool,
    sealer: Option<Sealer>,
    plain: Sha256,
    sent: Sha256,
    pending: Vec<u8>,
}

/// Digests of a file that has been read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Digests {
    /// Of the file, in hexadecimal.
    pub(super) plain: String,
    /// Of what left the node.
    pub(super) sent: String,
}

impl Outgoing {
    pub(super) fn open(path: &Path, seal: Option<&SealKey>) -> Result<Self, CopyError> {
        let failed = |source: io::Error| CopyError::Source {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let plain_total = file.metadata().map_err(failed)?.len();
        let sealer = seal.map(SealKey::sealer).transpose()?;
        let pending = sealer.as_ref().map(|sealer| sealer.header.clone());
        let pending = pending.unwrap_or_default();
        Ok(Self {
            path: path.to_owned(),
            file,
            plain_total,
            read: 0,
            chunk: 0,
            ended: false,
            sealer,
            plain: Sha256::new(),
            sent: Sha256::new(),
            pending,
        })
    }

    /// Bytes that leave the node in all.
    pub(super) fn total(&self) -> u64 {
        match &self.sealer {
            Some(sealer) => sealer.sealed_length(self.plain_total),
            None => self.plain_total,
        }
    }

    /// The next `size` bytes, fewer only at the end; `None` after it.
    pub(super) fn part(&mut self, size: usize) -> Result<Option<Vec<u8>>, CopyError> {
        while self.pending.len() < size && !self.ended {
            self.fill()?;
        }
        if self.pending.is_empty() {
            return Ok(None);
        }
        let rest = self.pending.split_off(size.min(self.pending.len()));
        let part = std::mem::replace(&mut self.pending, rest);
        self.sent.update(&part);
        Ok(Some(part))
    }

    fn fill(&mut self) -> Result<(), CopyError> {
        let left = self.plain_total.saturating_sub(self.read);
        let length = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        let mut chunk = vec![0; length];
        if let Err(source) = self.file.read_exact(&mut chunk) {
            let path = self.path.clone();
            return Err(CopyError::Source { path, source });
        }
        self.plain.update(&chunk);
        self.read = self.read.saturating_add(length as u64);
        self.ended = self.read >= self.plain_total;
        if let Some(sealer) = &self.sealer {
            sealer.seal(self.chunk, self.ended, &mut chunk)?;
        }
        self.chunk = self.chunk.saturating_add(1);
        self.pending.append(&mut chunk);
        Ok(())
    }

    /// The digests; only after the last part.
    pub(super) fn digests(self) -> Digests {
        Digests {
            plain: hex(self.plain.finalize().as_slice()),
            sent: hex(self.sent.finalize().as_slice()),
        }
    }
}
