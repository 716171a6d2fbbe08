//! One part of a bundle while it is written: compressed or not, both digests on the fly.

use std::io::{self, Write};
use std::path::PathBuf;

use zstd::stream::write::Encoder;

use super::digest::{Sum, Summing};
use super::error::BundleError;
use crate::core::backup::manifest::{Part, PartKind};
use crate::failpoints::hit;
use crate::store::dir::Dir;
use crate::store::durable::DurableFile;

/// Takes a part's content and makes its file and its line in the manifest. Dropped unfinished, it
/// leaves nothing.
pub struct PartSink {
    name: String,
    kind: PartKind,
    path: PathBuf,
    plain: Sum,
    out: Output,
}

enum Output {
    Plain(DurableFile),
    Packed(Box<Encoder<'static, Summing<DurableFile>>>),
}

impl std::fmt::Debug for PartSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartSink")
            .field("path", &self.path)
            .field("plain_bytes", &self.plain.bytes())
            .finish_non_exhaustive()
    }
}

impl PartSink {
    /// Begins the part of which `plain_name` is the name where it is not compressed; `level`: of
    /// zstd, 1 to 19, or 0 for none.
    pub(super) fn create(
        dir: &Dir,
        plain_name: &str,
        kind: PartKind,
        level: i32,
    ) -> Result<Self, BundleError> {
        let name = if level == 0 {
            plain_name.to_owned()
        } else {
            format!("{plain_name}.zst")
        };
        let path = dir.path().join(&name);
        let file = DurableFile::create_in(dir, &name, 0o600)?;
        let out = if level == 0 {
            Output::Plain(file)
        } else {
            match Encoder::new(Summing::new(file), level) {
                Ok(encoder) => Output::Packed(Box::new(encoder)),
                Err(source) => {
                    let doing = "compress";
                    return Err(BundleError::Stream {
                        doing,
                        path,
                        source,
                    });
                }
            }
        };
        Ok(Self {
            name,
            kind,
            path,
            plain: Sum::default(),
            out,
        })
    }

    /// Appends `bytes`. Blocks; best in pieces of 64 KiB to 1 MiB.
    ///
    /// # Errors
    /// Where they cannot be written; the part is then to be dropped.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        self.write_all(bytes).map_err(|source| self.failed(source))
    }

    /// Where the part will be.
    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Bytes taken so far, before compression.
    pub fn taken(&self) -> u64 {
        self.plain.bytes()
    }

    /// The failure that an error of [`Write`] on this is.
    pub(super) fn failed(&self, source: io::Error) -> BundleError {
        let (doing, path) = ("write", self.path.clone());
        BundleError::Stream {
            doing,
            path,
            source,
        }
    }

    /// Brings it to the disk under its name.
    ///
    /// # Errors
    /// The step that failed; nothing is left behind then.
    pub fn finish(self) -> Result<Part, BundleError> {
        let (plain_bytes, plain_sha256) = self.plain.finish();
        let (bytes, sha256, compressed) = match self.out {
            Output::Plain(file) => {
                file.finish()?;
                (plain_bytes, plain_sha256.clone(), false)
            }
            Output::Packed(encoder) => {
                let path = self.path;
                let packed = encoder.finish().map_err(|source| BundleError::Stream {
                    doing: "write",
                    path,
                    source,
                })?;
                packed.inner.finish()?;
                let (bytes, sha256) = packed.sum.finish();
                (bytes, sha256, true)
            }
        };
        hit("bundle.part-finished");
        Ok(Part {
            name: self.name,
            kind: self.kind,
            bytes,
            sha256,
            plain_bytes,
            plain_sha256,
            compressed,
        })
    }
}

impl Write for PartSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.out {
            Output::Plain(file) => Write::write(file, bytes)?,
            Output::Packed(encoder) => encoder.write(bytes)?,
        };
        self.plain.add(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
