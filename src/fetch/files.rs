//! Credential files: read within a bound, and seen to change without being read.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Largest credential file: far above any bundle of authorities.
pub const LIMIT: u64 = 4 * 1024 * 1024;

/// The state of some files; two equal stamps mean that nothing was replaced or written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stamp(Vec<(PathBuf, Option<[i64; 6]>)>);

impl Stamp {
    /// Looks at the files now. Missing ones are part of the stamp.
    pub fn of<P: Into<PathBuf>>(paths: impl IntoIterator<Item = P>) -> Self {
        let mut stamp = Self::default();
        stamp.extend(paths);
        stamp
    }

    /// Looks at more files now. To be done before they are read: one that is written meanwhile is
    /// then read once more.
    pub fn extend<P: Into<PathBuf>>(&mut self, paths: impl IntoIterator<Item = P>) {
        let state = |path: &Path| {
            let meta = std::fs::metadata(path).ok()?;
            Some([
                meta.ino().cast_signed(),
                meta.len().cast_signed(),
                meta.mtime(),
                meta.mtime_nsec(),
                meta.ctime(),
                meta.ctime_nsec(),
            ])
        };
        let paths = paths.into_iter().map(Into::into);
        self.0.extend(paths.map(|path| {
            let state = state(&path);
            (path, state)
        }));
    }

    /// The same files are unchanged.
    #[must_use]
    pub fn still_holds(&self) -> bool {
        *self == Self::of(self.0.iter().map(|(path, _)| path))
    }
}

/// Reads a regular file of at most [`LIMIT`] bytes.
///
/// # Errors
/// As opening and reading; also for something that is no regular file, and for a larger one.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut content = Vec::new();
    std::fs::File::open(path)?
        .take(LIMIT + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > LIMIT {
        return Err(io::Error::other(format!("it is larger than {LIMIT} bytes")));
    }
    Ok(content)
}
