//! A directory as a place for objects: an NFS mount, a second disk.
//!
//! Everything goes through the directory held open, after a look that it is the right one: what is
//! written can never land on the disk below a file system that is not mounted. Each operation runs
//! in a thread of its own with a deadline, because a file server that is gone hangs its clients.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use rustix::fs::{AtFlags, FileType, StatxAttributes, StatxFlags};

use super::settings::DirectorySettings;
use super::thread::{Lane, NoAnswer};
use super::{LISTED, Object, Put, StoreError};
use crate::store::dir::Dir;
use crate::store::durable::{self, DurableFile, PartialFile};

/// The file that marks a directory as a target, where no mount point is asked for.
pub const MARKER: &str = ".rekindle-target";
/// Bytes that are read at once.
const PIECE: usize = 256 << 10; // 256 KiB
/// Directories below each other that are listed: an object's directory, and one to spare.
const DEPTH: usize = 3;

/// A directory, not opened yet.
#[derive(Debug)]
pub(super) struct Directory {
    settings: DirectorySettings,
    lane: Lane,
}

/// An object that is being read.
#[derive(Debug)]
pub(super) struct DirectoryBody {
    pub(super) size: u64,
    file: Arc<File>,
    offset: u64,
}

impl Directory {
    pub(super) fn open(settings: &DirectorySettings) -> Self {
        Self {
            settings: settings.clone(),
            lane: Lane::new(),
        }
    }

    pub(super) fn place(&self) -> String {
        self.settings.directory.display().to_string()
    }

    /// Does `work` with the directory that was looked at.
    async fn with<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Dir) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let settings = self.settings.clone();
        self.run(doing, 1, move || work(&right(&settings)?)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        doing: &'static str,
        deadlines: u32,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let limit: Duration = self.settings.deadline.saturating_mul(deadlines);
        match self.lane.run(limit, work).await {
            Ok(answer) => answer,
            Err(NoAnswer::Taken) => Err(StoreError::Hangs {
                path: self.settings.directory.clone(),
            }),
            Err(NoAnswer::Late | NoAnswer::Lost) => Err(StoreError::Late {
                place: self.place(),
                doing,
                seconds: limit.as_secs(),
            }),
        }
    }

    pub(super) async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        only_new: bool,
    ) -> Result<Put, StoreError> {
        let name = name.to_owned();
        self.with("writing a file", move |root| {
            let (dir, name) = make_place(root, &name)?;
            if !only_new {
                let mut file = DurableFile::create_in(&dir, name, 0o600)?;
                file.write(&bytes)?;
                file.finish()?;
                return Ok(Put::Created);
            }
            if dir.stat(name)?.is_some() {
                return Ok(Put::Exists);
            }
            let file = PartialFile::begin(&dir, &unfinished(name))?;
            file.write_at(&bytes, 0)?;
            let is_new = file.finish_new(name)?;
            Ok(if is_new { Put::Created } else { Put::Exists })
        })
        .await
    }

    pub(super) async fn size(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let name = name.to_owned();
        let stat = self.with("asking for a file", move |root| {
            let (dir, name) = place(root, &name)?;
            Ok(dir.stat(name)?)
        });
        let stat = absent(stat.await)?.flatten();
        Ok(stat.map(|stat| u64::try_from(stat.st_size).unwrap_or(0)))
    }

    pub(super) async fn get(&self, name: &str) -> Result<Option<DirectoryBody>, StoreError> {
        let name = name.to_owned();
        let opened = self.with("opening a file", move |root| {
            let (dir, name) = place(root, &name)?;
            let (file, stat) = dir.open_file(name)?;
            Ok(DirectoryBody {
                size: u64::try_from(stat.st_size).unwrap_or(0),
                file: Arc::new(file),
                offset: 0,
            })
        });
        absent(opened.await)
    }

    pub(super) async fn next(&self, body: &mut DirectoryBody) -> Result<Option<Bytes>, StoreError> {
        let (file, offset) = (Arc::clone(&body.file), body.offset);
        let place = self.place();
        let piece = self.run("reading a file", 1, move || {
            let mut piece = vec![0; PIECE];
            let read = match file.read_at(&mut piece, offset) {
                Ok(read) => read,
                Err(error) => {
                    let said = error.to_string();
                    return Err(StoreError::Other { place, said });
                }
            };
            piece.truncate(read);
            Ok(piece)
        });
        let piece = piece.await?;
        body.offset = body.offset.saturating_add(piece.len() as u64);
        Ok((!piece.is_empty()).then(|| Bytes::from(piece)))
    }

    pub(super) async fn begin(&self, name: &str) -> Result<String, StoreError> {
        let name = name.to_owned();
        self.with("beginning a file", move |root| {
            let (dir, name) = make_place(root, &name)?;
            let temp = unfinished(name);
            PartialFile::begin(&dir, &temp)?;
            Ok(temp)
        })
        .await
    }

    pub(super) async fn put_part(
        &self,
        name: &str,
        upload: &str,
        offset: u64,
        bytes: Bytes,
    ) -> Result<String, StoreError> {
        let place = self.place();
        let (name, upload) = (name.to_owned(), upload.to_owned());
        self.with("writing a part", move |root| {
            let file = continued(root, &name, &upload, place)?;
            file.write_at(&bytes, offset)?;
            Ok(offset.to_string())
        })
        .await
    }

    pub(super) async fn complete(
        &self,
        name: &str,
        upload: &str,
        bytes: u64,
    ) -> Result<(), StoreError> {
        let at = self.place();
        let (name, upload) = (name.to_owned(), upload.to_owned());
        self.with("completing a file", move |root| {
            let file = continued(root, &name, &upload, at.clone())?;
            let length = file.length()?;
            let said = if length != bytes {
                format!("{name} has {length} bytes, not {bytes}")
            } else if file.finish_new(self::name(&name))? {
                return Ok(());
            } else {
                format!("{name} appeared meanwhile")
            };
            Err(StoreError::Other { place: at, said })
        })
        .await
    }

    pub(super) async fn abort(&self, name: &str, upload: &str) -> Result<(), StoreError> {
        let (name, upload) = (name.to_owned(), upload.to_owned());
        let gone = self.with("removing a file", move |root| {
            let (dir, _) = place(root, &name)?;
            Ok(durable::remove_in(&dir, &upload)?)
        });
        absent(gone.await).map(drop)
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let name = name.to_owned();
        let gone = self.with("removing a file", move |root| {
            let (dir, file) = place(root, &name)?;
            durable::remove_in(&dir, file)?;
            if let Some((parent, last)) = name
                .rsplit_once('/')
                .map(|(dirs, _)| dirs.rsplit_once('/').unwrap_or(("", dirs)))
            {
                durable::remove_if_empty(&root.walk(parent)?, last);
            }
            Ok(())
        });
        absent(gone.await).map(drop)
    }

    pub(super) async fn list(&self, under: &str) -> Result<Vec<Object>, StoreError> {
        let place = self.place();
        let under = under.to_owned();
        let listed = self.with("listing files", move |root| {
            let mut objects = Vec::new();
            let dir = root.walk(&under)?;
            walk(&dir, &under, DEPTH, &mut objects)?;
            if objects.len() >= LISTED {
                let said = format!("more than {LISTED} files");
                return Err(StoreError::Other { place, said });
            }
            Ok(objects)
        });
        Ok(absent(listed.await)?.unwrap_or_default())
    }
}

/// The directory, if it is what the settings say.
fn right(settings: &DirectorySettings) -> Result<Dir, StoreError> {
    let path = &settings.directory;
    let refuse = |why, hint| {
        let path = path.clone();
        Err(StoreError::NotTheTarget { path, why, hint })
    };
    let dir = match Dir::open(path) {
        Ok(dir) => dir,
        Err(error) if error.is_absent() => {
            let hint = format!("make {} and mount the target there", path.display());
            return refuse("there is no such directory", hint);
        }
        Err(error) => return Err(error.into()),
    };
    if settings.must_be_mountpoint {
        if is_mountpoint(&dir) {
            return Ok(dir);
        }
        let hint = format!("mount {}", path.display());
        return refuse("nothing is mounted there", hint);
    }
    match dir.stat(MARKER)? {
        Some(stat) if FileType::from_raw_mode(stat.st_mode).is_file() => Ok(dir),
        _ => {
            let marker = path.join(MARKER);
            let hint = format!("if it is the right one: touch {}", marker.display());
            refuse("it lacks the file .rekindle-target", hint)
        }
    }
}

/// Whether something is mounted exactly here. The kernel says so itself, bind mounts included
/// (statx(2), `STATX_ATTR_MOUNT_ROOT`, Linux 5.8).
fn is_mountpoint(dir: &Dir) -> bool {
    let asked = rustix::fs::statx(dir.fd(), "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS);
    asked.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The name of a file that is not whole yet.
fn unfinished(name: &str) -> String {
    format!(".{name}.unfinished")
}

fn place<'a>(root: &Dir, path: &'a str) -> Result<(Dir, &'a str), StoreError> {
    let (dirs, name) = path.rsplit_once('/').unwrap_or(("", path));
    Ok((root.walk(dirs)?, name))
}

/// [`place`], its directories made.
fn make_place<'a>(root: &Dir, path: &'a str) -> Result<(Dir, &'a str), StoreError> {
    let (dirs, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut dir = root.walk("")?;
    for part in dirs.split('/').filter(|part| !part.is_empty()) {
        dir = durable::ensure_dir(&dir, part, 0o700)?;
    }
    Ok((dir, name))
}

/// The unfinished file of an upload.
fn continued(root: &Dir, path: &str, upload: &str, at: String) -> Result<PartialFile, StoreError> {
    let opened = place(root, path).and_then(|(dir, _)| Ok(PartialFile::open(&dir, upload)?));
    match opened {
        Err(error) if error.is_absent() => Err(StoreError::UploadGone { place: at }),
        opened => opened,
    }
}

fn absent<T>(answer: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match answer {
        Err(error) if error.is_absent() => Ok(None),
        answer => answer.map(Some),
    }
}

fn walk(dir: &Dir, under: &str, depth: usize, objects: &mut Vec<Object>) -> Result<(), StoreError> {
    for name in dir.names()? {
        // Unfinished files, the marker, a file server's own.
        if name.starts_with('.') || objects.len() >= LISTED {
            continue;
        }
        let Some(stat) = dir.stat(&name)? else {
            continue;
        };
        let path = Path::new(under).join(&name).display().to_string();
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => objects.push(Object {
                name: path,
                bytes: u64::try_from(stat.st_size).unwrap_or(0),
            }),
            FileType::Directory if depth > 0 => walk(&dir.sub(&name)?, &path, depth - 1, objects)?,
            _ => {}
        }
    }
    Ok(())
}
