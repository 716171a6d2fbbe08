//! File systems mounted below a directory.
//!
//! Source: `proc_pid_mountinfo(5)`.

use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};

use super::error::CleanupError;

const MOUNTS: &str = "/proc/self/mountinfo";

/// Every mount point at or below `dir`, the deepest first.
///
/// # Errors
/// Where the kernel's list cannot be read.
pub(super) fn below(dir: &Path) -> Result<Vec<PathBuf>, io::Error> {
    // The kernel's paths have no links in them.
    let dir = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let text = std::fs::read(MOUNTS)?;
    let points = text.split(|byte| *byte == b'\n').filter_map(point);
    let mut found: Vec<PathBuf> = points.filter(|point| point.starts_with(&dir)).collect();
    found.sort_unstable_by(|one, other| other.cmp(one));
    Ok(found)
}

fn point(line: &[u8]) -> Option<PathBuf> {
    let field = line.split(|byte| *byte == b' ').nth(4)?;
    Some(PathBuf::from(std::ffi::OsString::from_vec(unescaped(
        field,
    ))))
}

/// Space, tab, newline and backslash are written as three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| {
            let text = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(text, 8).ok()
        });
        match (*byte, octal) {
            (b'\\', Some(value)) => {
                out.push(value);
                rest = after.get(3..).unwrap_or_default();
            }
            (byte, _) => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

/// Unmounts everything below `dir`, which itself may be a mount point and stays one.
///
/// # Errors
/// The first that cannot be unmounted, or one that is still there.
pub(super) fn unmount_below(dir: &Path) -> Result<(), CleanupError> {
    let real = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let inside = || -> Result<Vec<PathBuf>, CleanupError> {
        let mut all = below(&real).map_err(CleanupError::Mounts)?;
        all.retain(|point| *point != real);
        Ok(all)
    };
    for path in inside()? {
        // One that is busy though no container is left is detached: it goes with its last user.
        let done = unmount(&path, UnmountFlags::NOFOLLOW)
            .or_else(|_| unmount(&path, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH));
        if let Err(errno) = done {
            let source = errno.into();
            return Err(CleanupError::Unmount { path, source });
        }
    }
    match inside()?.into_iter().next() {
        None => Ok(()),
        Some(left) => Err(CleanupError::StillMounted(left)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::point;

    #[test]
    fn a_mount_point_is_read_with_its_odd_characters() {
        let line =
            br"36 35 98:0 /mnt1 /mnt/a\040b\134c\012 rw,noatime master:1 - ext3 /dev/root rw";
        assert_eq!(point(line), Some(PathBuf::from("/mnt/a b\\c\n")));
        assert_eq!(point(b""), None);
    }
}
