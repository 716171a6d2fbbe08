//! A quarantine: what was taken off the node, and the way back.

use std::path::Path;

use jiff::Timestamp;
use rustix::fs::FileType;

use super::error::CleanupError;
use crate::core::cleanup::list::{ASIDE, Entry, List};
use crate::failpoints::hit;
use crate::store::dir::{Dir, ReadError};
use crate::store::durable::{self, Attributes, DurableError};

const LIST: &str = "list.json";
const MOVED: &str = "moved";
/// Largest list that is read, bytes: some 50 000 entries.
const LIMIT: u64 = 16 << 20; // 16 MiB

/// A quarantine that is open. Only one process has one: the operation's lock.
#[derive(Debug)]
pub struct Quarantine {
    dir: Dir,
    moved: Dir,
    list: List,
}

/// Whose quarantine it becomes where there is none yet.
#[derive(Debug, Clone)]
pub struct Origin {
    /// When the clean-up was begun.
    pub began: Timestamp,
    /// Which node.
    pub node: String,
    /// Why a control plane that served was taken down.
    pub force_reason: Option<String>,
}

/// The id of a quarantine that is made at `now`.
#[must_use]
pub fn new_id(quarantine_dir: &Path, now: Timestamp) -> String {
    let id = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let taken = |id: &str| quarantine_dir.join(id).exists();
    if !taken(&id) {
        return id;
    }
    let numbered = (2u32..).map(|number| format!("{id}-{number}"));
    numbered.into_iter().find(|id| !taken(id)).unwrap_or(id)
}

/// Every quarantine's list, the oldest first, and what could not be read.
///
/// # Errors
/// Where the directory is there and cannot be read.
pub fn all(quarantine_dir: &Path) -> Result<(Vec<List>, Vec<String>), CleanupError> {
    let dir = match Dir::open(quarantine_dir) {
        Ok(dir) => dir,
        Err(error) if error.is_absent() => return Ok((Vec::new(), Vec::new())),
        Err(error) => return Err(error.into()),
    };
    let (mut lists, mut problems) = (Vec::new(), Vec::new());
    for name in dir.names()? {
        match dir
            .sub(&name)
            .map_err(CleanupError::from)
            .and_then(|sub| read(&sub, &name))
        {
            Ok(list) => lists.push(list),
            Err(error) => problems.push(format!("{name}: {}", crate::store::chain(&error))),
        }
    }
    Ok((lists, problems))
}

fn read(dir: &Dir, id: &str) -> Result<List, CleanupError> {
    let (bytes, _) = dir.read(LIST, LIMIT)?;
    let list: List = serde_json::from_slice(&bytes).map_err(|error| CleanupError::List {
        id: id.to_owned(),
        why: error.to_string(),
    })?;
    if list.id != id {
        let (id, why) = (id.to_owned(), format!("it is of {}", list.id));
        return Err(CleanupError::List { id, why });
    }
    Ok(list)
}

impl Quarantine {
    /// Opens the quarantine `id`, made where there is none.
    ///
    /// # Errors
    /// Where it cannot be made, or its list is damaged.
    pub fn open(quarantine_dir: &Path, id: &str, origin: &Origin) -> Result<Self, CleanupError> {
        let root = durable::ensure_root(quarantine_dir)?;
        let dir = durable::ensure_dir(&root, id, 0o700)?;
        durable::sweep(&dir)?;
        let moved = durable::ensure_dir(&dir, MOVED, 0o700)?;
        if dir.stat(LIST)?.is_some() {
            let list = read(&dir, id)?;
            return Ok(Self { dir, moved, list });
        }
        let list = List {
            id: id.to_owned(),
            began: origin.began,
            node: origin.node.clone(),
            force_reason: origin.force_reason.clone(),
            entries: Vec::new(),
            undone: None,
        };
        let made = Self { dir, moved, list };
        made.write()?;
        Ok(made)
    }

    /// Opens one that is there.
    ///
    /// # Errors
    /// Where there is none, or its list is damaged.
    pub fn existing(quarantine_dir: &Path, id: &str) -> Result<Self, CleanupError> {
        let absent = |error: ReadError| {
            if error.is_absent() {
                CleanupError::NoQuarantine(id.to_owned())
            } else {
                error.into()
            }
        };
        let dir = Dir::open(quarantine_dir)
            .and_then(|root| root.sub(id))
            .map_err(absent)?;
        let list = read(&dir, id)?;
        durable::sweep(&dir)?;
        let moved = durable::ensure_dir(&dir, MOVED, 0o700)?;
        Ok(Self { dir, moved, list })
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// What it holds.
    #[must_use]
    pub fn list(&self) -> &List {
        &self.list
    }

    fn write(&self) -> Result<(), CleanupError> {
        let told = |error: serde_json::Error| CleanupError::List {
            id: self.list.id.clone(),
            why: error.to_string(),
        };
        let mut bytes = serde_json::to_vec_pretty(&self.list).map_err(told)?;
        bytes.push(b'\n');
        let attributes = Attributes::ours(0o600);
        durable::write_in(&self.dir, LIST, &bytes, &attributes, &self.dir)?;
        hit("cleanup.listed");
        Ok(())
    }

    /// Moves `names` of `from_dir` here, as `what`. Those that are gone already stay so.
    ///
    /// # Errors
    /// The first that cannot be moved; the list is on the disk before anything is.
    pub fn take(
        &mut self,
        what: &str,
        from_dir: &Path,
        names: &[String],
    ) -> Result<(), CleanupError> {
        let from = Dir::open(from_dir)?;
        self.note_gone(&from, from_dir)?;
        let mut indexes = Vec::new();
        for name in names {
            if let Some(index) = self.enter(what, &from, from_dir, name)? {
                indexes.push(index);
            }
        }
        self.write()?;
        for index in indexes {
            self.carry(&from, index)?;
            hit("cleanup.taken");
        }
        Ok(())
    }

    /// What was listed by a run that was cut off, and went away by itself before it was moved.
    fn note_gone(&mut self, from: &Dir, from_dir: &Path) -> Result<(), CleanupError> {
        for index in 0..self.list.entries.len() {
            let Some(entry) = self.list.entries.get(index) else {
                continue;
            };
            let ours = entry.from_dir == from_dir && entry.aside.is_none();
            let gone = ours && from.stat(&entry.name)?.is_none() && self.at(&entry.to)?.is_none();
            if let (true, Some(entry)) = (gone, self.list.entries.get_mut(index)) {
                entry.gone = true;
            }
        }
        Ok(())
    }

    /// The entry that `name` is moved by: one of a run that was cut off, or a new one.
    fn enter(
        &mut self,
        what: &str,
        from: &Dir,
        from_dir: &Path,
        name: &str,
    ) -> Result<Option<usize>, CleanupError> {
        let Some(stat) = from.stat(name)? else {
            return Ok(None);
        };
        for (index, entry) in self.list.entries.iter().enumerate() {
            let same = entry.from_dir == from_dir && entry.name == name;
            // An original that was set aside is done; a copy without that is made again.
            let open = match &entry.aside {
                Some(aside) => from.stat(aside)?.is_none(),
                None => self.at(&entry.to)?.is_none(),
            };
            if same && open {
                if let Some(entry) = self.list.entries.get_mut(index) {
                    entry.gone = false;
                }
                return Ok(Some(index));
            }
        }
        let mut number = 1;
        let mut to = format!("{what}/{name}");
        while self.list.entries.iter().any(|entry| entry.to == to) || self.at(&to)?.is_some() {
            number += 1;
            to = format!("{what}.{number}/{name}");
        }
        self.list.entries.push(Entry {
            from_dir: from_dir.to_owned(),
            name: name.to_owned(),
            to,
            aside: None,
            gone: false,
            kind: kind(stat.st_mode).to_owned(),
            mode: format!("{:o}", stat.st_mode & 0o7777),
            uid: stat.st_uid,
            gid: stat.st_gid,
        });
        Ok(Some(self.list.entries.len() - 1))
    }

    /// The directory and the name of a path in the quarantine, where the directory is there.
    fn split(&self, to: &str) -> Result<Option<(Dir, String)>, CleanupError> {
        let (dir, name) = to.split_once('/').unwrap_or(("", to));
        match self.moved.walk(dir) {
            Ok(dir) => Ok(Some((dir, name.to_owned()))),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn at(&self, to: &str) -> Result<Option<rustix::fs::Stat>, CleanupError> {
        match self.split(to)? {
            Some((dir, name)) => Ok(dir.stat(&name)?),
            None => Ok(None),
        }
    }

    fn carry(&mut self, from: &Dir, index: usize) -> Result<(), CleanupError> {
        let Some(entry) = self.list.entries.get(index).cloned() else {
            return Ok(());
        };
        if from.stat(&entry.name)?.is_none() {
            return Ok(());
        }
        let (dir, name) = entry.to.split_once('/').unwrap_or(("", &entry.to));
        let to = durable::ensure_dir(&self.moved, dir, 0o700)?;
        match durable::move_new(from, &entry.name, &to, name) {
            Ok(()) => return Ok(()),
            Err(DurableError::OtherFileSystem { .. }) => {}
            // The copy of a run that was cut off before the original was set aside.
            Err(DurableError::Rename { .. }) if entry.aside.is_some() => {}
            Err(error) => return Err(error.into()),
        }
        durable::discard(&to, name, &self.dir)?;
        let aside = format!("{ASIDE}{}.{}", self.list.id, index);
        if let Some(entry) = self.list.entries.get_mut(index) {
            entry.aside = Some(aside.clone());
        }
        self.write()?;
        durable::sweep(&to)?;
        let _sockets = durable::copy_in(from, &entry.name, &to, name)?;
        hit("cleanup.copied");
        durable::move_new(from, &entry.name, from, &aside)?;
        Ok(())
    }

    /// Whether everything could be put back now. Changes nothing.
    ///
    /// # Errors
    /// What [`Quarantine::put_back`] would refuse for.
    pub fn look_back(&self) -> Result<(), CleanupError> {
        self.ways_back().map(drop)
    }

    /// The entries that are to be put back, the last one first, each with the directory that it
    /// came from.
    fn ways_back(&self) -> Result<Vec<(usize, Dir)>, CleanupError> {
        let (mut way, mut lost) = (Vec::new(), Vec::new());
        let mut back = Vec::new();
        let moved = self.list.entries.iter().enumerate().rev();
        for (index, entry) in moved.filter(|(_, entry)| !entry.gone) {
            let shown = entry.from().display().to_string();
            let from = match Dir::open(&entry.from_dir) {
                Ok(from) => from,
                Err(error) => {
                    lost.push(format!("{shown} ({})", crate::store::chain(&error)));
                    continue;
                }
            };
            let here = from.stat(&entry.name)?.is_some();
            let kept = match &entry.aside {
                Some(aside) => from.stat(aside)?.is_some(),
                None => self.at(&entry.to)?.is_some(),
            };
            match (kept, here) {
                (true, false) => back.push((index, from)),
                (true, true) => way.push(shown),
                (false, true) => {}
                // A name that was listed and gone before it could be moved, too.
                (false, false) => lost.push(shown),
            }
        }
        let double = doubles(&self.list, &back);
        way.extend(double);
        if !way.is_empty() {
            return Err(CleanupError::InTheWay(way));
        }
        if !lost.is_empty() {
            return Err(CleanupError::Lost(lost));
        }
        Ok(back)
    }

    /// Puts everything back where it came from, the last one first; what is back already stays.
    ///
    /// # Errors
    /// Where something new is in the way, or something is nowhere: then nothing is put back.
    pub fn put_back(&mut self, now: Timestamp) -> Result<usize, CleanupError> {
        let back = self.ways_back()?;
        let count = back.len();
        for (index, from) in back {
            let Some(entry) = self.list.entries.get(index) else {
                continue;
            };
            match &entry.aside {
                Some(aside) => durable::move_new(&from, aside, &from, &entry.name)?,
                None => {
                    if let Some((dir, name)) = self.split(&entry.to)? {
                        durable::move_new(&dir, &name, &from, &entry.name)?;
                    }
                }
            }
            hit("cleanup.put-back");
        }
        self.list.undone = Some(now);
        self.write()?;
        Ok(count)
    }
}

/// Two things that came from one place, one after the other: only one can go back.
fn doubles(list: &List, back: &[(usize, Dir)]) -> Vec<String> {
    let mut paths: Vec<_> = back
        .iter()
        .filter_map(|(index, _)| list.entries.get(*index))
        .map(Entry::from)
        .collect();
    paths.sort_unstable();
    let pairs = paths.windows(2).filter(|pair| pair.first() == pair.last());
    pairs
        .filter_map(|pair| Some(format!("{} (moved twice)", pair.first()?.display())))
        .collect()
}

fn kind(mode: u32) -> &'static str {
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "link",
        _ => "other",
    }
}
