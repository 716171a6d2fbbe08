//! A durable file whose content comes in pieces and is too large to hold in memory.
//!
//! It is written under a temporary name in its own directory, and takes its name only when it is
//! whole and on the disk. What a kill leaves is a temporary name, for [`super::sweep`]. Also here:
//! files for the length of one piece of work, which have no name at all.

mod append;

use std::fs::File;
use std::io::{self, Write};

use rustix::fs::AtFlags;
use rustix::io::Errno;

pub use self::append::{append_in, cut_in};
use super::behind::Behind;
use super::{
    Attributes, Dir, DurableError, named, rename, set_attributes, sync, sync_file, temporary_file,
};
use crate::failpoints::hit;

/// A file that is being written. Dropped unfinished, it was never there.
#[derive(Debug)]
pub struct DurableFile {
    dir: Dir,
    name: String,
    temp: String,
    file: File,
    mode: u32,
    named: bool,
    behind: Behind,
}

impl DurableFile {
    /// Begins the file `name` of `dir`, to be ours with the permission bits `mode`. What has that
    /// name now keeps it until [`DurableFile::finish`].
    ///
    /// # Errors
    /// Where it cannot be created.
    pub fn create_in(dir: &Dir, name: &str, mode: u32) -> Result<Self, DurableError> {
        named(dir, name)?;
        let dir = dir.walk("")?;
        let (temp, file) = temporary_file(&dir)?;
        hit("stream.created");
        Ok(Self {
            dir,
            name: name.to_owned(),
            temp,
            file,
            mode,
            named: false,
            behind: Behind::new(),
        })
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// Where they cannot be written: the disk is full, say.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), DurableError> {
        self.write_all(bytes)
            .map_err(|source| self.failed_write(source))
    }

    /// What a failure of [`Write`] on this file is.
    pub fn failed_write(&self, source: io::Error) -> DurableError {
        let path = self.dir.path().join(&self.name);
        DurableError::Write { path, source }
    }

    /// Brings it to the disk and gives it its name.
    ///
    /// # Errors
    /// The step that failed; nothing is left behind then.
    pub fn finish(mut self) -> Result<(), DurableError> {
        let path = self.dir.path().join(&self.name);
        hit("stream.written");
        let settled = self.behind.settle();
        settled.map_err(|source| self.failed_write(source))?;
        set_attributes(&self.file, &path, &Attributes::ours(self.mode))?;
        sync_file(&self.file, &path)?;
        hit("stream.synced");
        rename(&self.dir, &self.temp, &self.dir, &self.name)?;
        self.named = true;
        hit("stream.renamed");
        sync(&self.dir)?;
        hit("stream.rename-synced");
        Ok(())
    }
}

impl Write for DurableFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        hit("stream.chunk-written");
        self.behind.wrote(&self.file, written)?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for DurableFile {
    fn drop(&mut self) {
        if !self.named {
            // A leftover is swept at the next start.
            let _ = rustix::fs::unlinkat(self.dir.fd(), &self.temp, AtFlags::empty());
        }
    }
}

/// A file on the file system of `dir` without a name, for reading and writing: the kernel takes
/// its room back with the last descriptor, however the process ends.
///
/// # Errors
/// Where it cannot be created.
pub fn nameless(dir: &Dir) -> Result<File, DurableError> {
    let (temp, file) = temporary_file(dir)?;
    hit("stream.nameless-created");
    let opened = reopen(&file);
    let path = dir.path().join(&temp);
    match rustix::fs::unlinkat(dir.fd(), &temp, AtFlags::empty()) {
        // Somebody swept it: the name, not the file.
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => {
            let source = errno.into();
            return Err(DurableError::Remove { path, source });
        }
    }
    opened.map_err(|source| DurableError::Create { path, source })
}

/// The same file for reading too: what is created durably is only written.
fn reopen(file: &File) -> io::Result<File> {
    use std::os::fd::AsRawFd;
    File::options()
        .read(true)
        .write(true)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Brings everything that was written to the file system of `dir` to the disk: for what another
/// program wrote.
///
/// # Errors
/// Where the disk fails.
pub fn settle(dir: &Dir) -> Result<(), DurableError> {
    rustix::fs::syncfs(dir.fd()).map_err(|errno| DurableError::Sync {
        path: dir.path().to_owned(),
        source: errno.into(),
    })
}

/// Gives a directory its owner and mode.
///
/// # Errors
/// Where they cannot be set.
pub fn own(dir: &Dir, attributes: &Attributes) -> Result<(), DurableError> {
    set_attributes(dir.fd(), dir.path(), attributes)
}
