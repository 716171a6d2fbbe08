//! Files of the host as one tar: by absolute path without the leading `/`, owners, modes, times
//! and links kept.
//!
//! No link is followed below a path that was named; what a link leads to is in the backup only
//! where that lies below a named path itself, and [`HostFiles::outside`] says where it does not.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};
use tar::{Builder, EntryType, Header};

use super::error::BundleError;
use super::sink::PartSink;
use crate::backup::Progress;
use crate::core::backup::manifest::Part;
use crate::store::dir::{Dir, ReadError};

/// Most bytes of files together: PKI, manifests and checkpoints are far below.
const BYTES_LIMIT: u64 = 512 << 20; // 512 MiB
/// Most files, directories and links together.
const ENTRIES_LIMIT: usize = 50_000;
/// Deepest directory below a named path.
const DEPTH_LIMIT: usize = 64;
/// Files up to this size are read whole before they are written, so that they may change meanwhile.
const IN_MEMORY: u64 = 1 << 20; // 1 MiB

/// A file or directory of the host to take.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPath {
    /// Absolute.
    pub path: PathBuf,
    /// That it is missing is a failure.
    pub required: bool,
}

/// What was taken of the host.
#[derive(Debug)]
pub struct HostFiles {
    /// For the manifest.
    pub part: Part,
    /// Files, directories and links.
    pub entries: usize,
    /// Named paths that are not there.
    pub missing: Vec<PathBuf>,
    /// Links that lead to something which is not in the backup, with where they lead.
    pub outside: Vec<(PathBuf, PathBuf)>,
    /// Sockets, pipes and devices, which are not taken.
    pub skipped: Vec<PathBuf>,
}

struct Packer<'a> {
    tar: Builder<PartSink>,
    progress: &'a Progress,
    bytes: u64,
    taken: BTreeSet<PathBuf>,
    links: Vec<(PathBuf, PathBuf)>,
    skipped: Vec<PathBuf>,
}

/// Packs `paths` into `sink`.
pub(super) fn pack(
    paths: &[HostPath],
    sink: PartSink,
    progress: &Progress,
) -> Result<HostFiles, BundleError> {
    progress.begin("packing files of the host", 0);
    let mut packer = Packer {
        tar: Builder::new(sink),
        progress,
        bytes: 0,
        taken: BTreeSet::new(),
        links: Vec::new(),
        skipped: Vec::new(),
    };
    let mut missing = Vec::new();
    let sorted: BTreeSet<&HostPath> = paths.iter().collect();
    for HostPath { path, required } in sorted {
        if !packer.named(path)? {
            if *required {
                let path = path.clone();
                return Err(BundleError::HostMissing { path });
            }
            missing.push(path.clone());
        }
    }
    let Packer {
        tar,
        taken,
        links,
        skipped,
        ..
    } = packer;
    let path = tar.get_ref().path().to_owned();
    let sink = tar.into_inner().map_err(|source| BundleError::Stream {
        doing: "write",
        path,
        source,
    })?;
    Ok(HostFiles {
        part: sink.finish()?,
        entries: taken.len(),
        missing,
        outside: outside(links, &taken),
        skipped,
    })
}

/// The links whose target is not among what was taken.
fn outside(links: Vec<(PathBuf, PathBuf)>, taken: &BTreeSet<PathBuf>) -> Vec<(PathBuf, PathBuf)> {
    let leads_out = |(link, target): &(PathBuf, PathBuf)| {
        let from = link.parent().unwrap_or(Path::new("/"));
        !taken.contains(&flat(&from.join(target)))
    };
    links.into_iter().filter(leads_out).collect()
}

/// The path without `.` and `..`.
pub(super) fn flat(path: &Path) -> PathBuf {
    let mut flat = PathBuf::from("/");
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => flat.push(name),
            std::path::Component::ParentDir => {
                flat.pop();
            }
            _ => {}
        }
    }
    flat
}

impl Packer<'_> {
    /// Takes a named path; false where it is not there.
    fn named(&mut self, path: &Path) -> Result<bool, BundleError> {
        let path = flat(path);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(too_much(&path, "a whole host".to_owned()));
        };
        let name = name.to_string_lossy();
        let dir = match Dir::open(parent) {
            Ok(dir) => dir,
            Err(error) if error.is_absent() => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        match dir.stat(&name)? {
            Some(stat) => self.entry(&dir, &name, &stat, 0).map(|()| true),
            None => Ok(false),
        }
    }

    fn entry(
        &mut self,
        dir: &Dir,
        name: &str,
        stat: &Stat,
        depth: usize,
    ) -> Result<(), BundleError> {
        let path = dir.path().join(name);
        if !self.taken.insert(path.clone()) {
            return Ok(());
        }
        if self.taken.len() > ENTRIES_LIMIT {
            return Err(too_much(&path, format!("{ENTRIES_LIMIT} files")));
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if depth > DEPTH_LIMIT => {
                Err(too_much(&path, format!("{DEPTH_LIMIT} directories deep")))
            }
            FileType::Directory => self.directory(dir, name, stat, depth),
            FileType::RegularFile => self.file(dir, name),
            FileType::Symlink => {
                let target = dir.read_link(name)?;
                let mut header = header(stat, EntryType::Symlink);
                let added = self.tar.append_link(&mut header, below(&path), &target);
                self.links.push((path, target));
                self.added(added)
            }
            _ => {
                self.taken.remove(&path);
                self.skipped.push(path);
                Ok(())
            }
        }
    }

    fn directory(
        &mut self,
        dir: &Dir,
        name: &str,
        stat: &Stat,
        depth: usize,
    ) -> Result<(), BundleError> {
        let opened = dir.sub(name)?;
        let mut header = header(stat, EntryType::Directory);
        let path = below(opened.path()).join("");
        let added = self.tar.append_data(&mut header, path, io::empty());
        self.added(added)?;
        for name in opened.names()? {
            match opened.stat(&name)? {
                Some(stat) => self.entry(&opened, &name, &stat, depth + 1)?,
                // A name that is no UTF-8 cannot be asked for.
                None if name.contains(char::REPLACEMENT_CHARACTER) => {
                    return Err(BundleError::HostName {
                        path: opened.path().join(name),
                    });
                }
                // It went away since the listing.
                None => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, dir: &Dir, name: &str) -> Result<(), BundleError> {
        let (file, stat) = match dir.open_file(name) {
            Ok(opened) => opened,
            Err(error) if error.is_absent() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let path = dir.path().join(name);
        let mut header = header(&stat, EntryType::Regular);
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let size = if size <= IN_MEMORY {
            let mut content = Vec::new();
            let read = file.take(2 * IN_MEMORY).read_to_end(&mut content);
            read.map_err(|source| ReadError::Read {
                path: path.clone(),
                source,
            })?;
            let size = content.len() as u64;
            self.grow(&path, size)?;
            header.set_size(size);
            let added = self
                .tar
                .append_data(&mut header, below(&path), content.as_slice());
            self.added(added)?;
            size
        } else {
            self.grow(&path, size)?;
            header.set_size(size);
            let mut exact = file.take(size);
            let added = self.tar.append_data(&mut header, below(&path), &mut exact);
            self.added(added)?;
            if exact.limit() > 0 {
                // The tar would be out of step.
                return Err(BundleError::HostChanged { path });
            }
            size
        };
        self.progress.advance(size);
        Ok(())
    }

    fn grow(&mut self, path: &Path, size: u64) -> Result<(), BundleError> {
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > BYTES_LIMIT {
            return Err(too_much(path, format!("{BYTES_LIMIT} bytes")));
        }
        Ok(())
    }

    fn added(&self, added: io::Result<()>) -> Result<(), BundleError> {
        added.map_err(|source| self.tar.get_ref().failed(source))
    }
}

fn too_much(path: &Path, limit: String) -> BundleError {
    let path = path.to_owned();
    BundleError::HostTooMuch { path, limit }
}

/// The name in the tar.
fn below(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}

fn header(stat: &Stat, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(u64::from(stat.st_uid));
    header.set_gid(u64::from(stat.st_gid));
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header.set_size(0);
    header
}
