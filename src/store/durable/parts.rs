//! A durable file that is written in parts over several lives of the process.
//!
//! Until it is whole it has a name that begins with a dot and stays after a kill: that is its
//! purpose, so [`super::sweep`] leaves it alone. Each part is on the disk before its write returns.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::{Attributes, Dir, DurableError, named, set_attributes, sync, sync_file};
use crate::failpoints::hit;

/// A file in the making, open.
#[derive(Debug)]
pub struct PartialFile {
    dir: Dir,
    temp: String,
    file: File,
}

impl PartialFile {
    /// Opens the unfinished file `temp` of `dir` as it is.
    ///
    /// # Errors
    /// Where it is not there or cannot be opened.
    pub fn open(dir: &Dir, temp: &str) -> Result<Self, DurableError> {
        Self::with(dir, temp, OFlags::empty())
    }

    /// Begins the unfinished file `temp` of `dir` anew: what was in it is gone.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn begin(dir: &Dir, temp: &str) -> Result<Self, DurableError> {
        let partial = Self::with(dir, temp, OFlags::CREATE | OFlags::TRUNC)?;
        hit("parts.begun");
        sync(&partial.dir)?;
        Ok(partial)
    }

    fn with(dir: &Dir, temp: &str, more: OFlags) -> Result<Self, DurableError> {
        named(dir, temp)?;
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
        match rustix::fs::openat(dir.fd(), temp, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => Ok(Self {
                dir: dir.walk("")?,
                temp: temp.to_owned(),
                file: File::from(fd),
            }),
            Err(errno) => Err(DurableError::Create {
                path: dir.path().join(temp),
                source: errno.into(),
            }),
        }
    }

    /// Writes `bytes` at `offset` and brings them to the disk.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DurableError> {
        let path = self.dir.path().join(&self.temp);
        if let Err(source) = self.file.write_all_at(bytes, offset) {
            return Err(DurableError::Write { path, source });
        }
        hit("parts.written");
        sync_file(&self.file, &path)
    }

    /// Its length in bytes.
    ///
    /// # Errors
    /// Where it cannot be asked.
    pub fn length(&self) -> Result<u64, DurableError> {
        match self.file.metadata() {
            Ok(metadata) => Ok(metadata.len()),
            Err(source) => Err(DurableError::Write {
                path: self.dir.path().join(&self.temp),
                source,
            }),
        }
    }

    /// Gives it its name, if nothing has that name, and says whether; where something has, the
    /// unfinished file goes.
    ///
    /// # Errors
    /// The step that failed; the unfinished file is then still there.
    pub fn finish_new(self, name: &str) -> Result<bool, DurableError> {
        named(&self.dir, name)?;
        let path = self.dir.path().join(name);
        set_attributes(&self.file, &path, &Attributes::ours(0o600))?;
        sync_file(&self.file, &path)?;
        hit("parts.synced");
        let fd = self.dir.fd();
        // A link is the one way that file servers of every kind refuse to replace something by.
        let linked = match rustix::fs::linkat(fd, &self.temp, fd, name, AtFlags::empty()) {
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => {
                rustix::fs::renameat_with(fd, &self.temp, fd, name, RenameFlags::NOREPLACE)
            }
            other => other,
        };
        let is_new = match linked {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => {
                let from = self.dir.path().join(&self.temp);
                let (to, source) = (path, errno.into());
                return Err(DurableError::Rename { from, to, source });
            }
        };
        hit("parts.named");
        // Gone already where it was renamed; a leftover does no harm.
        let _ = rustix::fs::unlinkat(fd, &self.temp, AtFlags::empty());
        sync(&self.dir)?;
        hit("parts.finished");
        Ok(is_new)
    }
}
