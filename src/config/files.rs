//! Which files are read, in which order, and their bounds.
//!
//! The main file `/etc/rekindle/config.toml` first, then the drop-ins `config.d/*.toml` of
//! `/usr/lib/rekindle`, `/run/rekindle` and `/etc/rekindle`, sorted by file name whatever their
//! directory. A file in a later directory replaces one of the same name in an earlier one; a
//! symbolic link to `/dev/null` masks it. A later value of a key wins. (The order of systemd,
//! `systemd.unit(5)`.)

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::mistake::Mistake;

/// A configuration file may have 1 MiB.
const FILE_LIMIT: u64 = 1024 * 1024;
/// Drop-ins read at most.
const DROP_IN_LIMIT: usize = 256;
/// Directories of drop-ins, the last one wins.
const DROP_IN_DIRS: [&str; 3] = [
    "usr/lib/rekindle/config.d",
    "run/rekindle/config.d",
    "etc/rekindle/config.d",
];

/// The files that make up one configuration.
#[derive(Debug, Clone)]
pub struct Files {
    main: PathBuf,
    main_may_be_missing: bool,
    drop_in_dirs: Vec<PathBuf>,
}

impl Files {
    /// Exactly one file, which must be there.
    #[must_use]
    pub fn one(file: PathBuf) -> Self {
        Self {
            main: file,
            main_may_be_missing: false,
            drop_in_dirs: Vec::new(),
        }
    }

    /// The installed configuration below `root` (`/`).
    #[must_use]
    pub fn installed(root: &Path) -> Self {
        Self {
            main: root.join("etc/rekindle/config.toml"),
            main_may_be_missing: true,
            drop_in_dirs: DROP_IN_DIRS.iter().map(|dir| root.join(dir)).collect(),
        }
    }

    /// The texts in the order in which they apply, and the files that cannot be read.
    #[must_use]
    pub fn read(&self) -> (Vec<(PathBuf, String)>, Vec<Mistake>) {
        let mut texts = Vec::new();
        let mut mistakes = Vec::new();
        let mut add = |path: PathBuf, may_be_missing: bool| match read_bounded(&path) {
            Ok(text) => texts.push((path, text)),
            Err(error) if may_be_missing && error.kind() == ErrorKind::NotFound => {}
            Err(error) => mistakes.push(unreadable(path, &error)),
        };
        add(self.main.clone(), self.main_may_be_missing);
        let mut drop_ins: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        let mut unlisted = Vec::new();
        for dir in &self.drop_in_dirs {
            match list(dir) {
                Ok(files) => drop_ins.extend(files),
                Err(error) => unlisted.push(unreadable(dir.clone(), &error)),
            }
        }
        let count = drop_ins.len();
        if count > DROP_IN_LIMIT {
            let cause = format!("{count} drop-ins, at most {DROP_IN_LIMIT} are read");
            unlisted.extend(drop_ins.values().next().map(|path| Mistake {
                file: path.parent().map(Path::to_owned),
                line: 0,
                key: String::new(),
                cause,
                hint: None,
            }));
        }
        for path in drop_ins.into_values().take(DROP_IN_LIMIT) {
            let masked = std::fs::read_link(&path).is_ok_and(|to| to == Path::new("/dev/null"));
            if !masked {
                add(path, false);
            }
        }
        mistakes.extend(unlisted);
        (texts, mistakes)
    }
}

/// The `*.toml` files of a directory that may be missing, hidden ones left out.
fn list(dir: &Path) -> std::io::Result<Vec<(OsString, PathBuf)>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().map(OsString::from) else {
            continue;
        };
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if !hidden
            && path
                .extension()
                .is_some_and(|extension| extension == "toml")
        {
            files.push((name, path));
        }
    }
    Ok(files)
}

/// Reads a regular file of at most [`FILE_LIMIT`] bytes of UTF-8.
fn read_bounded(path: &Path) -> std::io::Result<String> {
    // A pipe or a device in the place of a file must not block the start.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::new(
            ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(FILE_LIMIT + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(std::io::Error::new(
            ErrorKind::InvalidData,
            "it is larger than 1 MiB",
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        std::io::Error::new(
            ErrorKind::InvalidData,
            format!("it is not UTF-8 at byte {valid}"),
        )
    })
}

fn unreadable(path: PathBuf, error: &std::io::Error) -> Mistake {
    Mistake {
        hint: (error.kind() == ErrorKind::NotFound)
            .then(|| "without `--config` the installed files are read".to_owned()),
        file: Some(path),
        line: 0,
        key: String::new(),
        cause: format!("cannot be read: {error}"),
    }
}
