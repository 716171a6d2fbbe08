//! The programs of etcd on this host.

use std::path::{Path, PathBuf};

use super::error::RehearseError;

/// Where programs are looked for, whatever `PATH` says.
const PLACES: [&str; 5] = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"];

/// etcd and the tool that restores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// The server.
    pub etcd: PathBuf,
    /// `etcdutl`, or `etcdctl` before etcd 3.5.
    pub restore: PathBuf,
}

impl Tools {
    /// Looks in `first`, then in the usual directories.
    ///
    /// # Errors
    /// [`RehearseError::NoTool`].
    pub fn find(first: Option<&Path>) -> Result<Self, RehearseError> {
        let missing = |program| {
            let usual = PLACES.map(str::to_owned);
            let first = first.map(|dir| dir.display().to_string());
            let places = first.into_iter().chain(usual).collect();
            RehearseError::NoTool { program, places }
        };
        let etcd = program(first, "etcd").ok_or_else(|| missing("etcd"))?;
        // Beside the server first: tools of another version may not know its format.
        let beside = etcd.parent().map(Path::to_owned);
        let beside = first.map(Path::to_owned).or(beside);
        let restore = program(beside.as_deref(), "etcdutl")
            .or_else(|| program(beside.as_deref(), "etcdctl"))
            .ok_or_else(|| missing("etcdutl or etcdctl"))?;
        Ok(Self { etcd, restore })
    }
}

/// A program by name.
pub(super) fn program(first: Option<&Path>, name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let places = first.into_iter().chain(PLACES.map(Path::new));
    places.map(|place| place.join(name)).find(|path| {
        std::fs::metadata(path)
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// The number in what `--version` prints, as `3.5.16`.
pub(super) fn version(printed: &str) -> Option<String> {
    let words = printed.lines().next()?.split_whitespace();
    words
        .map(|word| word.trim_start_matches('v'))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
        .map(str::to_owned)
}

/// `3.5` of `3.5.16`.
pub(super) fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    let major = parts.next()?.parse().ok()?;
    Some((major, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{minor, version};

    #[test]
    fn versions() {
        for (text, expected) in [
            ("etcd Version: 3.4.23\nGit SHA: x", "3.4.23"),
            ("etcdutl version: 3.5.16\nAPI version: 3.5", "3.5.16"),
        ] {
            assert_eq!(version(text).as_deref(), Some(expected));
        }
        assert_eq!(minor("3.5.16"), Some((3, 5)));
        assert_eq!(version(""), None);
    }
}
