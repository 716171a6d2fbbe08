//! Where the data directory will be, and the staging directory beside it: whatever ends a restore,
//! there is a whole data directory or none.

use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::error::RestoreError;
use crate::failpoints::hit;
use crate::store::dir::Dir;
use crate::store::durable::{self, DurableError};
use crate::store::lock::{self, Lock};

/// Stands in the name of a staging directory: `etcd.part-…`, or `restore.part-…` inside a data
/// directory that is a mounted file system.
const UNFINISHED: &str = ".part-";
/// Of a data directory that is a file system of its own.
const LOST: &str = "lost+found";

/// The data directory to be.
#[derive(Debug)]
pub(super) struct Place {
    /// Where the staging directory goes: the parent, or the data directory itself where that is a
    /// mount point, which nothing can be renamed over.
    around: Dir,
    /// The data directory's name in its parent; `None`: `around` is the data directory.
    name: Option<String>,
    target: PathBuf,
}

/// A staging directory, in use for as long as this lives; what is in it goes with it.
#[derive(Debug)]
pub(super) struct Staging<'a> {
    place: &'a Place,
    name: String,
    dir: Dir,
    _lock: Lock,
}

impl Place {
    /// Looks at where `data_dir` will be.
    ///
    /// # Errors
    /// Where there is something in it, or it cannot be made there.
    pub(super) fn of(data_dir: &Path) -> Result<Self, RestoreError> {
        let unfit = |why: &str| RestoreError::DataDir {
            path: data_dir.to_owned(),
            why: why.to_owned(),
        };
        if !data_dir.is_absolute() {
            return Err(unfit("give an absolute path"));
        }
        // A link to the real place: /var/lib/etcd to a data disk.
        let target = std::fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        let name = target.file_name().and_then(|name| name.to_str());
        let (Some(parent), Some(name)) = (target.parent(), name) else {
            return Err(unfit("it has no name"));
        };
        let parent = match Dir::open(parent) {
            Ok(parent) => parent,
            Err(error) if error.is_absent() => {
                return Err(unfit(
                    "the directory around it does not exist: make it first",
                ));
            }
            Err(error) => return Err(error.into()),
        };
        let Some(stat) = parent.stat(name)? else {
            let name = Some(name.to_owned());
            let around = parent;
            return Ok(Self {
                around,
                name,
                target,
            });
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(unfit("it is there and no directory"));
        }
        let there = parent.sub(name)?;
        let mounted = parent.stat_self()?.st_dev != stat.st_dev;
        let place = if mounted {
            Self {
                around: there.walk("")?,
                name: None,
                target,
            }
        } else {
            Self {
                around: parent,
                name: Some(name.to_owned()),
                target,
            }
        };
        let holds = there
            .names()?
            .into_iter()
            .find(|name| !(mounted && place.harmless(name)));
        if let Some(holds) = holds {
            let path = data_dir.to_owned();
            return Err(RestoreError::NotEmpty { path, holds });
        }
        Ok(place)
    }

    /// The data directory.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// A directory of the file system that the data directory will be on.
    pub(super) fn around(&self) -> &Dir {
        &self.around
    }

    fn prefix(&self) -> String {
        let name = self.name.as_deref().unwrap_or("restore");
        format!("{name}{UNFINISHED}")
    }

    /// What may be in a data directory that is a mount point.
    fn harmless(&self, name: &str) -> bool {
        name == LOST
            || name.starts_with(&self.prefix())
            || name.starts_with("rekindle-tmp-")
            // What `cleanup` set aside here because its quarantine is elsewhere.
            || name.starts_with(crate::core::cleanup::list::ASIDE)
    }

    /// Makes the staging directory, and removes those of restores that were cut off.
    pub(super) fn stage(&self, random: &str) -> Result<Staging<'_>, RestoreError> {
        for name in self.around.names()? {
            if !name.starts_with(&self.prefix()) {
                continue;
            }
            if let Ok(left) = self.around.sub(&name)
                && let Ok(_lock) = lock::hold_dir(left)
            {
                durable::discard(&self.around, &name, &self.around)?;
            }
        }
        durable::sweep(&self.around)?;
        let name = format!("{}{random}", self.prefix());
        let dir = durable::new_dir(&self.around, &name)?;
        let unlockable = |error: lock::LockError| RestoreError::DataDir {
            path: self.target.clone(),
            why: error.to_string(),
        };
        let lock = lock::hold_dir(dir.walk("")?).map_err(unlockable)?;
        hit("restore.staged");
        Ok(Staging {
            place: self,
            name,
            dir,
            _lock: lock,
        })
    }
}

impl Staging<'_> {
    /// Where the tool makes the data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Brings the finished data directory to the disk and gives it its name.
    pub(super) fn publish(&self) -> Result<(), RestoreError> {
        let data = self.dir.sub("data")?;
        durable::own(&data, &durable::Attributes::ours(0o700))?;
        durable::settle(&data)?;
        hit("restore.settled");
        match &self.place.name {
            Some(name) => durable::move_aside(&self.dir, "data", &self.place.around, name)?,
            None => durable::move_aside(&data, "member", &self.place.around, "member")?,
        }
        hit("restore.published");
        Ok(())
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next restore.
        let around = &self.place.around;
        let removed: Result<(), DurableError> = durable::discard(around, &self.name, around);
        let _ = removed;
    }
}
