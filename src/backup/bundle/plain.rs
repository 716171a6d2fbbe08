//! A snapshot without its compression: as it lies there, or unpacked into a nameless file.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::digest::Summing;
use super::error::BundleError;
use super::open::{digest_fits, open_part};
use super::{CHUNK, SCRATCH};
use crate::backup::Progress;
use crate::core::backup::manifest::Part;
use crate::store::dir::Dir;
use crate::store::durable;

/// A snapshot as `etcdctl snapshot save` writes it, for as long as this lives.
#[derive(Debug)]
pub struct PlainSnapshot {
    path: PathBuf,
    /// Held open: the path is of this descriptor.
    file: Option<File>,
}

impl PlainSnapshot {
    /// Where it can be opened, by this process and by those it starts, while this lives.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It was unpacked, and its digest checked on the way.
    pub fn is_unpacked(&self) -> bool {
        self.file.is_some()
    }

    /// The file `path`, which needs no unpacking.
    pub fn lying_at(path: &Path) -> Self {
        let path = path.to_owned();
        Self { path, file: None }
    }
}

/// Gives the part of `dir` without compression, unpacked into a file of the directory `scratch`
/// where that is needed.
pub(super) fn unpack(
    dir: &Dir,
    part: &Part,
    scratch: &Dir,
    progress: &Progress,
) -> Result<PlainSnapshot, BundleError> {
    let path = dir.path().join(&part.name);
    let packed = open_part(dir, part)?;
    if !part.compressed {
        return Ok(PlainSnapshot { path, file: None });
    }
    // A twentieth more: for what the file system needs beside the bytes.
    room(
        scratch,
        part.plain_bytes.saturating_add(part.plain_bytes / 20),
    )?;
    let mut file = durable::nameless(scratch)?;
    progress.begin("unpacking", part.plain_bytes);
    let mut sink = Writing(&mut file, scratch.path());
    expand(packed, &path, part, &mut sink, progress)?;
    let rewound = file.rewind();
    rewound.map_err(|source| BundleError::Stream {
        doing: "read",
        path,
        source,
    })?;
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into();
    let file = Some(file);
    Ok(PlainSnapshot { path, file })
}

/// The directory of the backups directory `backups` for nameless files, made where it is missing.
pub(crate) fn scratch(backups: &Dir) -> Result<Dir, BundleError> {
    Ok(durable::ensure_dir(backups, SCRATCH, 0o700)?)
}

/// Where unpacked bytes go, and its path for messages.
struct Writing<'a>(&'a mut File, &'a Path);

/// Decompresses the file `packed` of `path` and compares all four figures of its part.
fn expand(
    packed: File,
    path: &Path,
    part: &Part,
    sink: &mut Writing<'_>,
    progress: &Progress,
) -> Result<(), BundleError> {
    let broken = |source| BundleError::Stream {
        doing: "decompress",
        path: path.to_owned(),
        source,
    };
    let reader = io::BufReader::with_capacity(CHUNK, Summing::new(packed));
    let decoder = zstd::stream::read::Decoder::with_buffer(reader).map_err(broken)?;
    let mut plain = Summing::new(decoder);
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = match plain.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            // What does not decompress was altered; the digest says it for sure.
            Err(source) if altered(path, part)? => {
                let why = format!("it does not decompress ({source}) and its SHA-256 differs");
                let path = path.to_owned();
                return Err(BundleError::Altered { path, why });
            }
            Err(source) => return Err(broken(source)),
        };
        if plain.sum.bytes() > part.plain_bytes {
            let why = format!("it unpacks to more than {} bytes", part.plain_bytes);
            let path = path.to_owned();
            return Err(BundleError::Altered { path, why });
        }
        let written = sink.0.write_all(buffer.get(..read).unwrap_or_default());
        written.map_err(|source| BundleError::Stream {
            doing: "write",
            path: sink.1.to_owned(),
            source,
        })?;
        progress.advance(read as u64);
    }
    let (plain_bytes, plain_sha256) = plain.sum.finish();
    let mut packed = plain.inner.finish();
    // What stands behind the last frame belongs to the file as well.
    io::copy(&mut packed, &mut io::sink()).map_err(broken)?;
    let (bytes, sha256) = packed.into_inner().sum.finish();
    digest_fits(path, part, bytes, &sha256)?;
    if (plain_bytes, &plain_sha256) != (part.plain_bytes, &part.plain_sha256) {
        let why = "it unpacks to something else than the manifest says".to_owned();
        let path = path.to_owned();
        return Err(BundleError::Altered { path, why });
    }
    Ok(())
}

fn altered(path: &Path, part: &Part) -> Result<bool, BundleError> {
    let opened = File::open(path).map_err(|source| BundleError::Stream {
        doing: "read",
        path: path.to_owned(),
        source,
    })?;
    let (bytes, sha256) = sum(opened, path, &Progress::default())?;
    Ok((bytes, sha256.as_str()) != (part.bytes, part.sha256.as_str()))
}

/// Length and digest of a whole file.
pub(super) fn sum(
    file: File,
    path: &Path,
    progress: &Progress,
) -> Result<(u64, String), BundleError> {
    let mut reader = Summing::new(file);
    let mut buffer = vec![0; CHUNK];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(reader.sum.finish()),
            Ok(read) => progress.advance(read as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                let (doing, path) = ("read", path.to_owned());
                return Err(BundleError::Stream {
                    doing,
                    path,
                    source,
                });
            }
        }
    }
}

/// Refuses where fewer than `needed` bytes are free for us.
pub(in crate::backup) fn room(dir: &Dir, needed: u64) -> Result<(), BundleError> {
    let path = dir.path().to_owned();
    match rustix::fs::fstatvfs(dir.fd()) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            if free < needed {
                return Err(BundleError::Space { path, needed, free });
            }
            Ok(())
        }
        Err(errno) => Err(BundleError::Stream {
            doing: "measure the room of",
            path,
            source: errno.into(),
        }),
    }
}
