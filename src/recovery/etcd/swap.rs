//! The data directory as it stands, and the renames that put a new one in its place. The old one is
//! kept, under a name that nothing starts. All of it blocks.

use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::Error;
use crate::core::recovery::etcd::place::{Swap, swap};
use crate::core::recovery::etcd::{Owner, Place};
use crate::failpoints::hit;
use crate::store::dir::{Dir, ReadError};
use crate::store::durable;

/// Looks at a data directory that is in use.
pub(super) fn look(data_dir: PathBuf, id: &str) -> Result<Place, Error> {
    // A link to the real place: /var/lib/etcd to a data disk.
    let real = std::fs::canonicalize(&data_dir).unwrap_or(data_dir);
    let mut place = Place::new(real, id);
    let (parent, name) = split(&place.data_dir)?;
    let Some(stat) = parent.stat(&name)? else {
        return Ok(place);
    };
    place.mounted = parent.stat_self()?.st_dev != stat.st_dev;
    let current = place.current();
    let (parent, name) = split(&current)?;
    let Some(stat) = parent.stat(&name)? else {
        return Ok(place);
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        let why = "it is no directory".to_owned();
        return Err(Error::InTheWay { path: current, why });
    }
    place.had_data = true;
    place.owner = Some(Owner {
        uid: stat.st_uid,
        gid: stat.st_gid,
        mode: stat.st_mode & 0o7777,
    });
    Ok(place)
}

/// Gives the new directory its owner, then lets the two change places. Twice is once.
pub(super) fn change(place: &Place) -> Result<(), Error> {
    loop {
        let stands = |path: &Path| -> Result<bool, Error> {
            let (parent, name) = match split(path) {
                Ok(split) => split,
                Err(Error::Read(error)) if error.is_absent() => return Ok(false),
                Err(error) => return Err(error),
            };
            Ok(parent.stat(&name)?.is_some())
        };
        let (current, aside, fresh) = (place.current(), place.aside(), place.fresh_current());
        let found = swap(
            place.had_data,
            stands(&current)?,
            stands(&aside)?,
            stands(&fresh)?,
        );
        match found {
            Swap::MoveOld => {
                rename(&current, &aside)?;
                hit("recovery-etcd.old-aside");
            }
            Swap::MoveNew => {
                if let Some(owner) = place.owner {
                    let (parent, name) = split(&fresh)?;
                    durable::own_tree(&parent.sub(&name)?, owner.uid, owner.gid)?;
                    let dir = parent.sub(&name)?;
                    let attributes = durable::Attributes {
                        mode: owner.mode,
                        uid: owner.uid,
                        gid: owner.gid,
                    };
                    durable::own(&dir, &attributes)?;
                    durable::settle(&dir)?;
                }
                rename(&fresh, &current)?;
                hit("recovery-etcd.new-in-place");
            }
            Swap::Done => {
                if place.mounted {
                    let (parent, name) = split(&place.fresh())?;
                    durable::remove_if_empty(&parent, &name);
                }
                return Ok(());
            }
            Swap::InTheWay => {
                let why = "it appeared since the recovery began".to_owned();
                return Err(Error::InTheWay { path: current, why });
            }
            Swap::Lost => {
                return Err(Error::NoSource(format!(
                    "{} is gone; the old data is {}",
                    fresh.display(),
                    aside.display()
                )));
            }
        }
    }
}

/// Moves the data aside, where there is any; an empty directory with the same owner is left.
pub(super) fn empty(place: &Place) -> Result<(), Error> {
    let (parent, name) = split(&place.current())?;
    let (aside_parent, aside) = split(&place.aside())?;
    if parent.stat(&name)?.is_some() && aside_parent.stat(&aside)?.is_none() && place.had_data {
        rename(&place.current(), &place.aside())?;
        hit("recovery-etcd.member-aside");
    }
    if place.mounted {
        return Ok(());
    }
    let dir = durable::ensure_dir(&parent, &name, 0o700)?;
    if let Some(holds) = dir.names()?.into_iter().next() {
        let why = format!("it holds {holds:?}, which appeared since the recovery began");
        return Err(Error::InTheWay {
            path: place.current(),
            why,
        });
    }
    let owner = place.owner.unwrap_or(Owner {
        uid: 0,
        gid: 0,
        mode: 0o700,
    });
    let attributes = durable::Attributes {
        mode: owner.mode,
        uid: owner.uid,
        gid: owner.gid,
    };
    Ok(durable::own(&dir, &attributes)?)
}

/// Puts back what [`empty`] moved aside. Twice is once.
pub(super) fn refill(place: &Place) -> Result<(), Error> {
    let (parent, name) = split(&place.aside())?;
    if parent.stat(&name)?.is_none() {
        return Ok(());
    }
    let (current_parent, current) = split(&place.current())?;
    durable::remove_if_empty(&current_parent, &current);
    rename(&place.aside(), &place.current())
}

/// Removes what a restore that was cut off made.
pub(super) fn discard_fresh(place: &Place) -> Result<(), Error> {
    let (parent, name) = split(&place.fresh())?;
    Ok(durable::discard(&parent, &name, &parent)?)
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    let ((from, name), (to, to_name)) = (split(from)?, split(to)?);
    Ok(durable::move_new(&from, &name, &to, &to_name)?)
}

/// The opened parent directory and the name in it.
fn split(path: &Path) -> Result<(Dir, String), Error> {
    let name = path.file_name().and_then(|name| name.to_str());
    match (path.parent(), name) {
        (Some(parent), Some(name)) => Ok((Dir::open(parent)?, name.to_owned())),
        _ => Err(Error::Read(ReadError::NotAFile {
            path: path.to_owned(),
        })),
    }
}
