//! An opened directory, and reading below it without ever following a symbolic link (D05).
//!
//! Only the directory that the configuration names may be a link itself; every name below it is
//! opened relative to its parent with `O_NOFOLLOW`. Writes nothing: see [`super::durable`].

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};

/// Largest number of entries read from one directory: far above anything of ours, and a bound.
const ENTRIES_LIMIT: usize = 50_000;

/// A directory held open: later renames of its path do not redirect what is done through it.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The directory cannot be opened, or is none.
    #[error("cannot open directory {}", path.display())]
    OpenDirectory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory cannot be listed.
    #[error("cannot list directory {}", path.display())]
    List {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be opened. A symbolic link fails with `ELOOP`.
    #[error("cannot open {}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is a directory, a device, a pipe or a socket.
    #[error("{} is no regular file", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// The file is larger than its bound.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The bound in bytes.
        limit: u64,
    },
    /// More entries than anybody can mean.
    #[error("{} has more than {ENTRIES_LIMIT} entries", path.display())]
    TooMany {
        /// Which.
        path: PathBuf,
    },
}

impl ReadError {
    /// The operating system's error, where there is one.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::OpenDirectory { source, .. }
            | Self::List { source, .. }
            | Self::Open { source, .. }
            | Self::Read { source, .. } => Some(source),
            Self::NotAFile { .. } | Self::TooLarge { .. } | Self::TooMany { .. } => None,
        }
    }

    /// There is nothing of that name.
    pub fn is_absent(&self) -> bool {
        self.io()
            .is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
    }
}

impl Dir {
    /// Opens the directory at `path`, which may be a link to one.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Self::open_at(CWD, path, path.to_owned(), OFlags::empty())
    }

    /// Opens the directory `name` in this one; a link to one is refused.
    pub fn sub(&self, name: &str) -> Result<Self, ReadError> {
        let path = self.path.join(name);
        if !is_name(name) {
            return Err(ReadError::OpenDirectory {
                path,
                source: io::ErrorKind::InvalidInput.into(),
            });
        }
        Self::open_at(self.fd.as_fd(), Path::new(name), path, OFlags::NOFOLLOW)
    }

    /// Opens the directory at the relative path `below`, component by component; empty means
    /// this one again.
    pub fn walk(&self, below: &str) -> Result<Self, ReadError> {
        let mut dir = Self::open_at(
            self.fd.as_fd(),
            Path::new("."),
            self.path.clone(),
            OFlags::empty(),
        )?;
        for name in below.split('/').filter(|_| !below.is_empty()) {
            dir = dir.sub(name)?;
        }
        Ok(dir)
    }

    fn open_at(
        at: BorrowedFd<'_>,
        name: &Path,
        path: PathBuf,
        flags: OFlags,
    ) -> Result<Self, ReadError> {
        let flags = flags | OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(at, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Self { fd, path }),
            Err(errno) => Err(ReadError::OpenDirectory {
                path,
                source: errno.into(),
            }),
        }
    }

    /// Where it was when it was opened: for messages and for the names in them.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open directory.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The names in it in byte order, `.` and `..` left out. A name that is no UTF-8 is given
    /// with replacement characters: no name of ours, and only shown.
    pub fn names(&self) -> Result<Vec<String>, ReadError> {
        let listing = |errno: rustix::io::Errno| ReadError::List {
            path: self.path.clone(),
            source: errno.into(),
        };
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd).map_err(listing)? {
            let name = entry
                .map_err(listing)?
                .file_name()
                .to_string_lossy()
                .into_owned();
            if name == "." || name == ".." {
                continue;
            }
            if names.len() >= ENTRIES_LIMIT {
                return Err(ReadError::TooMany {
                    path: self.path.clone(),
                });
            }
            names.push(name);
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What `name` is, links not followed; `None` where there is nothing.
    pub fn stat(&self, name: &str) -> Result<Option<Stat>, ReadError> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(errno) => Err(ReadError::Open {
                path: self.path.join(name),
                source: errno.into(),
            }),
        }
    }

    /// What this directory itself is.
    pub fn stat_self(&self) -> Result<Stat, ReadError> {
        rustix::fs::fstat(&self.fd).map_err(|errno| ReadError::List {
            path: self.path.clone(),
            source: errno.into(),
        })
    }

    /// Opens the regular file `name` for reading; says what it is.
    pub fn open_file(&self, name: &str) -> Result<(File, Stat), ReadError> {
        let path = self.path.join(name);
        if !is_name(name) {
            let source = io::ErrorKind::InvalidInput.into();
            return Err(ReadError::Open { path, source });
        }
        // Without O_NONBLOCK, opening a pipe would wait for its writer for ever.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = rustix::fs::openat(&self.fd, name, flags, Mode::empty())
            .and_then(|fd| Ok((rustix::fs::fstat(&fd)?, File::from(fd))));
        let (stat, file) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                let source = errno.into();
                return Err(ReadError::Open { path, source });
            }
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(ReadError::NotAFile { path });
        }
        Ok((file, stat))
    }

    /// Where the symbolic link `name` points to.
    pub fn read_link(&self, name: &str) -> Result<PathBuf, ReadError> {
        match rustix::fs::readlinkat(&self.fd, name, Vec::new()) {
            Ok(target) => Ok(PathBuf::from(OsString::from_vec(target.into_bytes()))),
            Err(errno) => Err(ReadError::Open {
                path: self.path.join(name),
                source: errno.into(),
            }),
        }
    }

    /// The content of the regular file `name`, at most `limit` bytes of it, and what it is.
    pub fn read(&self, name: &str, limit: u64) -> Result<(Vec<u8>, Stat), ReadError> {
        let path = self.path.join(name);
        let (file, stat) = self.open_file(name)?;
        let mut content = Vec::new();
        if let Err(source) = file.take(limit.saturating_add(1)).read_to_end(&mut content) {
            return Err(ReadError::Read { path, source });
        }
        if u64::try_from(content.len()).is_ok_and(|read| read > limit) {
            return Err(ReadError::TooLarge { path, limit });
        }
        Ok((content, stat))
    }
}

impl From<Dir> for OwnedFd {
    fn from(dir: Dir) -> Self {
        dir.fd
    }
}

/// Whether `name` is one name in a directory: not empty, not `.` or `..`, no `/`, no NUL, and
/// short enough for a file system.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= 255 && !name.contains(['/', '\0'])
}
