//! The one writer: creates, renames and removes files so that a kill or a power cut at any instant
//! leaves the old or the new, whole (C11, invariant 12).
//!
//! The order is always: a new file in a staging directory on the same file system, all bytes, then
//! owner and mode, fsync, rename, fsync of the target's directory. The staging directory itself
//! is not fsynced: what a power cut leaves there is unfinished by definition, and [`sweep`] removes
//! it. Nothing below an opened [`Dir`] is reached through a symbolic link; a link that stands where
//! a file is to be is replaced, never followed.

mod behind;
mod copy;
mod error;
mod fresh;
mod parts;
mod stream;
mod tree;

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

pub use self::copy::copy_in;
pub use self::error::DurableError;
pub use self::fresh::write_new_in;
pub use self::parts::PartialFile;
pub use self::stream::{DurableFile, append_in, cut_in, nameless, own, settle};
pub use self::tree::{Tree, TreeDir, TreeFile, new_dir, own_tree, write_tree};
use super::dir::{Dir, is_name};
use crate::failpoints::hit;

/// Owner and permission bits of what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits, `0..=0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Attributes {
    /// `mode`, owned by the user the process runs as: root, except in tests.
    #[must_use]
    pub fn ours(mode: u32) -> Self {
        Self {
            mode,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }
}

/// Writes `bytes` to `target` as a whole, by way of the directory `staging`.
///
/// # Errors
/// The step that failed; the old content is then still there and nothing is left behind.
pub fn write(
    target: &Path,
    bytes: &[u8],
    attributes: &Attributes,
    staging: &Path,
) -> Result<(), DurableError> {
    let (dir, name) = place(target)?;
    write_in(&dir, &name, bytes, attributes, &Dir::open(staging)?)
}

/// [`write`], in directories that are already open.
pub fn write_in(
    dir: &Dir,
    name: &str,
    bytes: &[u8],
    attributes: &Attributes,
    staging: &Dir,
) -> Result<(), DurableError> {
    named(dir, name)?;
    let (temp, file) = temporary_file(staging)?;
    let written = fill(&file, &staging.path().join(&temp), bytes, attributes)
        .and_then(|()| rename(staging, &temp, dir, name));
    if let Err(error) = written {
        // The first error is the one to report; a leftover is swept at the next start.
        let _ = rustix::fs::unlinkat(staging.fd(), &temp, AtFlags::empty());
        return Err(error);
    }
    hit("durable.renamed");
    sync(dir)?;
    hit("durable.rename-synced");
    Ok(())
}

/// Removes the file or link `target`; that there is none is fine.
///
/// # Errors
/// The step that failed.
pub fn remove(target: &Path) -> Result<(), DurableError> {
    let (dir, name) = place(target)?;
    remove_in(&dir, &name)
}

/// [`remove`], in a directory that is already open.
pub fn remove_in(dir: &Dir, name: &str) -> Result<(), DurableError> {
    named(dir, name)?;
    hit("durable.unlinking");
    match rustix::fs::unlinkat(dir.fd(), name, AtFlags::empty()) {
        // Synced even so: an earlier removal may have been cut off before its fsync.
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => {
            let path = dir.path().join(name);
            let source = errno.into();
            return Err(DurableError::Remove { path, source });
        }
    }
    hit("durable.unlinked");
    sync(dir)?;
    hit("durable.unlink-synced");
    Ok(())
}

/// Opens the directory `name` in `parent`, made with `mode` for us alone where there is none.
pub fn ensure_dir(parent: &Dir, name: &str, mode: u32) -> Result<Dir, DurableError> {
    named(parent, name)?;
    match rustix::fs::mkdirat(parent.fd(), name, Mode::from_raw_mode(mode)) {
        Ok(()) => {
            hit("durable.directory-made");
            sync(parent)?;
            hit("durable.directory-synced");
        }
        Err(Errno::EXIST) => {}
        Err(errno) => {
            let path = parent.path().join(name);
            let source = errno.into();
            return Err(DurableError::Create { path, source });
        }
    }
    Ok(parent.sub(name)?)
}

/// Opens the directory `path`, made (0700, with its parents) where there is none.
pub fn ensure_root(path: &Path) -> Result<Dir, DurableError> {
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    match made {
        Ok(()) => Ok(Dir::open(path)?),
        Err(source) => Err(DurableError::Create {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Gives the file `from` the further name `to`, in place of what had that name.
pub fn link_over(dir: &Dir, from: &str, to: &str, staging: &Dir) -> Result<(), DurableError> {
    named(dir, from)?;
    named(dir, to)?;
    let temp = temporary_name();
    if let Err(errno) = rustix::fs::linkat(dir.fd(), from, staging.fd(), &temp, AtFlags::empty()) {
        let path = staging.path().join(&temp);
        let source = errno.into();
        return Err(DurableError::Create { path, source });
    }
    hit("durable.link-made");
    let renamed = rename(staging, &temp, dir, to);
    // Renaming a file over another name of itself does nothing, says POSIX: both names remain.
    let _ = rustix::fs::unlinkat(staging.fd(), &temp, AtFlags::empty());
    renamed?;
    hit("durable.link-renamed");
    Ok(())
}

/// Moves the file or directory `name` of `from` to `to_name` in `to`, where nothing may stand
/// but what a rename can replace (a file, an empty directory).
pub fn move_aside(from: &Dir, name: &str, to: &Dir, to_name: &str) -> Result<(), DurableError> {
    named(from, name)?;
    named(to, to_name)?;
    rename(from, name, to, to_name)?;
    hit("durable.moved");
    sync(to)?;
    sync(from)?;
    hit("durable.move-synced");
    Ok(())
}

/// [`move_aside`] to where nothing stands, checked by the kernel in the same step.
///
/// # Errors
/// [`DurableError::Rename`] with `AlreadyExists` where something stands there,
/// [`DurableError::OtherFileSystem`] where it would have to be copied.
pub fn move_new(from: &Dir, name: &str, to: &Dir, to_name: &str) -> Result<(), DurableError> {
    named(from, name)?;
    named(to, to_name)?;
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    let renamed = rustix::fs::renameat_with(from.fd(), name, to.fd(), to_name, flags);
    if let Err(errno) = renamed {
        let (from, to) = (from.path().join(name), to.path().join(to_name));
        if errno == Errno::XDEV {
            return Err(DurableError::OtherFileSystem { from, to });
        }
        let source = errno.into();
        return Err(DurableError::Rename { from, to, source });
    }
    hit("move.renamed");
    sync(to)?;
    sync(from)?;
    hit("move.synced");
    Ok(())
}

/// Moves the file `name` out of the way within `dir`: to the first free name of `prefix` and a
/// number from 1. Gives that name.
///
/// # Errors
/// The step that failed.
pub fn set_aside(dir: &Dir, name: &str, prefix: &str) -> Result<String, DurableError> {
    let mut number: u32 = 1;
    loop {
        let aside = format!("{prefix}{number}");
        if dir.stat(&aside)?.is_none() {
            move_aside(dir, name, dir, &aside)?;
            return Ok(aside);
        }
        number = number.saturating_add(1);
    }
}

/// Removes `name`, whatever it is, with everything in it: out of `dir` in one step, then for good.
/// That there is none is fine.
pub fn discard(dir: &Dir, name: &str, staging: &Dir) -> Result<(), DurableError> {
    named(dir, name)?;
    if dir.stat(name)?.is_none() {
        return Ok(());
    }
    let temp = temporary_name();
    move_aside(dir, name, staging, &temp)?;
    hit("durable.discard-moved");
    remove_for_good(staging, &temp)?;
    hit("durable.discarded");
    Ok(())
}

/// Removes the directory `name` if it is empty; nothing is said where it is not.
pub fn remove_if_empty(dir: &Dir, name: &str) {
    let _ = rustix::fs::unlinkat(dir.fd(), name, AtFlags::REMOVEDIR);
}

/// Removes everything in the directory `staging`: leftovers of a process that was cut off. Only
/// for a start, while nothing else writes.
pub fn sweep(staging: &Dir) -> Result<(), DurableError> {
    for name in staging.names()? {
        if name.starts_with(TEMPORARY) {
            remove_for_good(staging, &name)?;
        }
    }
    Ok(())
}

const TEMPORARY: &str = "rekindle-tmp-";

fn temporary_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{TEMPORARY}{}-{number}", std::process::id())
}

/// A new, empty file that nobody else can read, with its name in `staging`.
fn temporary_file(staging: &Dir) -> Result<(String, File), DurableError> {
    loop {
        let temp = temporary_name();
        match create(staging, &temp) {
            // A leftover of an earlier process with our id.
            Err(Errno::EXIST) => {}
            Ok(file) => {
                hit("durable.temp-created");
                return Ok((temp, file));
            }
            Err(errno) => {
                let path = staging.path().join(temp);
                let source = errno.into();
                return Err(DurableError::Create { path, source });
            }
        }
    }
}

fn create(dir: &Dir, name: &str) -> Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir.fd(), name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

/// Opens the file `name` of `dir` to be locked, made where there is none: it never has content.
///
/// # Errors
/// Where it cannot be opened; a symbolic link is refused.
pub fn lock_file(dir: &Dir, name: &str) -> Result<File, DurableError> {
    named(dir, name)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(dir.fd(), name, flags, Mode::RUSR | Mode::WUSR);
    opened
        .map(File::from)
        .map_err(|errno| DurableError::Create {
            path: dir.path().join(name),
            source: errno.into(),
        })
}

/// Content, owner, mode, fsync, in this order: nobody reads a secret before it has its mode.
fn fill(file: &File, path: &Path, bytes: &[u8], a: &Attributes) -> Result<(), DurableError> {
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let mut writer: &File = file;
    let written = writer.write_all(first).and_then(|()| {
        hit("durable.temp-half-written");
        writer.write_all(rest)
    });
    if let Err(source) = written {
        let path = path.to_owned();
        return Err(DurableError::Write { path, source });
    }
    hit("durable.temp-written");
    set_attributes(file, path, a)?;
    hit("durable.temp-attributed");
    sync_file(file, path)?;
    hit("durable.temp-synced");
    Ok(())
}

/// Owner before mode: a change of owner takes set-id bits away.
fn set_attributes(fd: impl AsFd, path: &Path, a: &Attributes) -> Result<(), DurableError> {
    let set = fchown(&fd, Some(a.uid), Some(a.gid)).and_then(|()| {
        let mode = Mode::from_raw_mode(Permissions::from_mode(a.mode & 0o7777).mode());
        rustix::fs::fchmod(&fd, mode).map_err(io::Error::from)
    });
    set.map_err(|source| DurableError::Attributes {
        path: path.to_owned(),
        source,
    })
}

fn sync_file(fd: impl AsFd, path: &Path) -> Result<(), DurableError> {
    rustix::fs::fsync(fd).map_err(|errno| DurableError::Sync {
        path: path.to_owned(),
        source: errno.into(),
    })
}

/// Brings a directory's names to the disk.
pub(super) fn sync(dir: &Dir) -> Result<(), DurableError> {
    sync_file(dir.fd(), dir.path())
}

fn rename(from: &Dir, name: &str, to: &Dir, to_name: &str) -> Result<(), DurableError> {
    let Err(errno) = rustix::fs::renameat(from.fd(), name, to.fd(), to_name) else {
        return Ok(());
    };
    let (from, to) = (from.path().join(name), to.path().join(to_name));
    if errno == Errno::XDEV {
        return Err(DurableError::OtherFileSystem { from, to });
    }
    let source = errno.into();
    Err(DurableError::Rename { from, to, source })
}

/// Removes a tree. `remove_dir_all` does not follow links and resists their being swapped in.
fn remove_for_good(dir: &Dir, name: &str) -> Result<(), DurableError> {
    let path = dir.path().join(name);
    let removed = match rustix::fs::unlinkat(dir.fd(), name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => std::fs::remove_dir_all(&path),
        other => other.map_err(io::Error::from),
    };
    match removed {
        // Somebody else swept it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|source| DurableError::Remove { path, source }),
    }
}

fn named(dir: &Dir, name: &str) -> Result<(), DurableError> {
    if is_name(name) {
        return Ok(());
    }
    let path: PathBuf = dir.path().join(name);
    Err(DurableError::NotAName { path })
}

/// The opened directory of `target` and its name there.
fn place(target: &Path) -> Result<(Dir, String), DurableError> {
    let name = target.file_name().and_then(|name| name.to_str());
    match (target.parent(), name) {
        (Some(parent), Some(name)) => Ok((Dir::open(parent)?, name.to_owned())),
        _ => Err(DurableError::NotAName {
            path: target.to_owned(),
        }),
    }
}
