//! The names of a data directory: in use, being made, and taken out of use.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What etcd keeps below its data directory.
const MEMBER: &str = "member";

/// A data directory and what a recovery makes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The recovery's id: a part of the names.
    pub id: String,
    /// It is the root of a file system, over which nothing can be renamed: what is in it changes
    /// places instead.
    pub mounted: bool,
    /// There was data in it at the beginning.
    pub had_data: bool,
    /// Owner, group and mode of what had the data.
    pub owner: Option<Owner>,
}

/// Owner and permission bits of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

impl Place {
    /// Of a data directory that was not looked at yet.
    #[must_use]
    pub fn new(data_dir: PathBuf, id: &str) -> Self {
        Self {
            data_dir,
            id: id.to_owned(),
            mounted: false,
            had_data: false,
            owner: None,
        }
    }

    /// What changes places: the data directory, or `member` in it.
    #[must_use]
    pub fn current(&self) -> PathBuf {
        if self.mounted {
            return self.data_dir.join(MEMBER);
        }
        self.data_dir.clone()
    }

    /// Where the old one is kept, under a name that nothing starts.
    #[must_use]
    pub fn aside(&self) -> PathBuf {
        suffixed(&self.current(), ".before-", &self.id)
    }

    /// The data directory that a restore makes, on the same file system.
    #[must_use]
    pub fn fresh(&self) -> PathBuf {
        suffixed(&self.current(), ".new-", &self.id)
    }

    /// What of [`Place::fresh`] takes the place of [`Place::current`].
    #[must_use]
    pub fn fresh_current(&self) -> PathBuf {
        if self.mounted {
            return self.fresh().join(MEMBER);
        }
        self.fresh()
    }
}

fn suffixed(path: &Path, word: &str, id: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(word);
    name.push(id);
    path.with_file_name(name)
}

/// What the two renames of a swap have come to, by what stands where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// Nothing was renamed: the old one goes aside first.
    MoveOld,
    /// The new one takes its place.
    MoveNew,
    /// Both are done.
    Done,
    /// The new one is gone and was not put in place: nothing may be started.
    Lost,
    /// Something new stands where the old one was.
    InTheWay,
}

/// Decides [`Swap`]. `had_data`: there was an old one.
#[must_use]
#[expect(
    clippy::fn_params_excessive_bools,
    reason = "each is whether something stands at a place"
)]
pub fn swap(had_data: bool, current: bool, aside: bool, fresh: bool) -> Swap {
    match (had_data, current, aside, fresh) {
        (true, true, false, true) => Swap::MoveOld,
        (true, false, true, true) | (false, false, false, true) => Swap::MoveNew,
        (true, true, true, false) | (false, true, false, false) => Swap::Done,
        (_, true, _, true) => Swap::InTheWay,
        _ => Swap::Lost,
    }
}
