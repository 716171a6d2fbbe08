//! A whole directory of files, built in staging, every file and directory fsynced, then put in
//! place by one rename.

use super::{
    Attributes, Dir, DurableError, create, fill, named, remove_for_good, rename, set_attributes,
    sync, temporary_name,
};
use crate::failpoints::hit;
use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid};

/// What to build.
#[derive(Debug)]
pub struct Tree<'a> {
    /// Owner and mode of the top directory.
    pub top: Attributes,
    /// Directories below it, each after its parent.
    pub dirs: Vec<TreeDir<'a>>,
    /// Files, whose directories are all in `dirs`.
    pub files: Vec<TreeFile<'a>>,
}

/// One directory of a [`Tree`].
#[derive(Debug)]
pub struct TreeDir<'a> {
    /// Path below the top: names separated by `/`.
    pub path: &'a str,
    /// Owner and mode.
    pub attributes: Attributes,
}

/// One file of a [`Tree`]. No content in `Debug`.
pub struct TreeFile<'a> {
    /// Path below the top: names separated by `/`.
    pub path: &'a str,
    /// Content.
    pub bytes: &'a [u8],
    /// Owner and mode.
    pub attributes: Attributes,
}

impl std::fmt::Debug for TreeFile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TreeFile")
            .field("path", &self.path)
            .field("attributes", &self.attributes)
            .finish_non_exhaustive()
    }
}

/// Builds `tree` and puts it at `name` in `parent`, where nothing may stand.
///
/// # Errors
/// The step that failed; nothing is left behind then.
pub fn write_tree(
    parent: &Dir,
    name: &str,
    tree: &Tree<'_>,
    staging: &Dir,
) -> Result<(), DurableError> {
    named(parent, name)?;
    let temp = temporary_name();
    let built = build(staging, &temp, tree).and_then(|()| rename(staging, &temp, parent, name));
    if let Err(error) = built {
        // The first error is the one to report; a leftover is swept at the next start.
        let _ = remove_for_good(staging, &temp);
        return Err(error);
    }
    hit("durable.tree-renamed");
    sync(parent)?;
    hit("durable.tree-rename-synced");
    Ok(())
}

fn build(staging: &Dir, temp: &str, tree: &Tree<'_>) -> Result<(), DurableError> {
    let top = make_dir(staging, temp)?;
    hit("durable.tree-begun");
    for dir in &tree.dirs {
        let (parent, name) = split(&top, dir.path)?;
        make_dir(&parent, name)?;
    }
    for file in &tree.files {
        let (parent, name) = split(&top, file.path)?;
        named(&parent, name)?;
        let path = parent.path().join(name);
        match create(&parent, name) {
            Ok(opened) => fill(&opened, &path, file.bytes, &file.attributes)?,
            Err(errno) => {
                let source = errno.into();
                return Err(DurableError::Create { path, source });
            }
        }
        hit("durable.tree-file-made");
    }
    // Children before parents: a directory may take its owner's right to enter it away from us.
    for dir in tree.dirs.iter().rev() {
        let opened = top.walk(dir.path)?;
        set_attributes(opened.fd(), opened.path(), &dir.attributes)?;
        sync(&opened)?;
        hit("durable.tree-directory-synced");
    }
    set_attributes(top.fd(), top.path(), &tree.top)?;
    sync(&top)?;
    hit("durable.tree-synced");
    Ok(())
}

/// Makes the directory `name` in `parent`, where nothing may stand, for us alone (0700).
///
/// # Errors
/// The step that failed.
pub fn new_dir(parent: &Dir, name: &str) -> Result<Dir, DurableError> {
    let made = make_dir(parent, name)?;
    sync(parent)?;
    Ok(made)
}

fn make_dir(parent: &Dir, name: &str) -> Result<Dir, DurableError> {
    named(parent, name)?;
    if let Err(errno) = rustix::fs::mkdirat(parent.fd(), name, Mode::RWXU) {
        let path = parent.path().join(name);
        let source = errno.into();
        return Err(DurableError::Create { path, source });
    }
    Ok(parent.sub(name)?)
}

/// The opened directory of `path` and the last name in it.
fn split<'p>(top: &Dir, path: &'p str) -> Result<(Dir, &'p str), DurableError> {
    match path.rsplit_once('/') {
        Some((parent, name)) => Ok((top.walk(parent)?, name)),
        None => Ok((top.walk("")?, path)),
    }
}

/// Gives everything in `dir` that another program made to a user and a group; links are not
/// followed.
///
/// # Errors
/// Where something cannot be listed or given.
pub fn own_tree(dir: &Dir, uid: u32, gid: u32) -> Result<(), DurableError> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    for name in dir.names()? {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let given = rustix::fs::chownat(dir.fd(), &name, Some(user), Some(group), flags);
        given.map_err(|errno| DurableError::Attributes {
            path: dir.path().join(&name),
            source: errno.into(),
        })?;
        let mode = dir.stat(&name)?.map(|stat| stat.st_mode);
        if mode.map(FileType::from_raw_mode) == Some(FileType::Directory) {
            own_tree(&dir.sub(&name)?, uid, gid)?;
        }
    }
    Ok(())
}
