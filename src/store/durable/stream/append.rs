//! Files that only grow at their end. What was appended and acknowledged stays; a kill or a power
//! cut leaves at most a torn piece behind it, which the owner finds and has cut off.

use std::fs::File;
use std::io::Write;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::super::{Attributes, Dir, DurableError, named, set_attributes, sync, sync_file};
use crate::failpoints::hit;

/// Appends `bytes` to the file `name` of `dir`, made ours with the permission bits `mode` where
/// there is none, and brings them to the disk. Callers hold a lock: two writers at once could
/// tear each other's bytes.
///
/// # Errors
/// The step that failed; what could be written of `bytes` is taken back then, where the disk
/// lets us.
pub fn append_in(dir: &Dir, name: &str, bytes: &[u8], mode: u32) -> Result<(), DurableError> {
    let path = dir.path().join(name);
    let (file, made) = open(dir, name)?;
    if made {
        set_attributes(&file, &path, &Attributes::ours(mode))?;
        sync(dir)?;
    }
    let write_error = |source| DurableError::Write {
        path: path.clone(),
        source,
    };
    let before = file.metadata().map_err(write_error)?.len();
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let mut writer: &File = &file;
    let written = writer.write_all(first).and_then(|()| {
        hit("append.half-written");
        writer.write_all(rest)
    });
    if let Err(source) = written {
        // The first error is the one to report; a torn piece is found by the next append.
        let _ = rustix::fs::ftruncate(&file, before);
        return Err(write_error(source));
    }
    hit("append.written");
    sync_file(&file, &path)?;
    hit("append.synced");
    Ok(())
}

/// Cuts the file `name` of `dir` down to its first `length` bytes.
///
/// # Errors
/// The step that failed.
pub fn cut_in(dir: &Dir, name: &str, length: u64) -> Result<(), DurableError> {
    let path = dir.path().join(name);
    let (file, _) = open(dir, name)?;
    rustix::fs::ftruncate(&file, length).map_err(|errno| DurableError::Write {
        path: path.clone(),
        source: errno.into(),
    })?;
    hit("append.cut");
    sync_file(&file, &path)
}

/// Opens it for appending; whether it was made.
fn open(dir: &Dir, name: &str) -> Result<(File, bool), DurableError> {
    named(dir, name)?;
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match rustix::fs::openat(dir.fd(), name, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            let mode = Mode::RUSR | Mode::WUSR;
            let flags = flags | OFlags::CREATE | OFlags::EXCL;
            rustix::fs::openat(dir.fd(), name, flags, mode).map(|fd| (fd, true))
        }
        opened => opened.map(|fd| (fd, false)),
    };
    match opened {
        Ok((fd, made)) => Ok((File::from(fd), made)),
        Err(errno) => Err(DurableError::Create {
            path: dir.path().join(name),
            source: errno.into(),
        }),
    }
}
