//! Directories that containers need, made and removed through the one module that writes files.

use std::path::Path;

use super::spec::Refusal;
use crate::store::dir::Dir;
use crate::store::durable::{self, DurableError};

/// The directory `path`, made with `mode`, with its parents, where there is none.
pub(super) fn make_dirs(path: &Path, mode: u32) -> Result<Dir, Refusal> {
    let failed = |error: DurableError| Refusal::written(path, &error);
    match Dir::open(path) {
        Ok(dir) => return Ok(dir),
        Err(error) if error.is_absent() => {}
        Err(error) => return Err(failed(error.into())),
    }
    let name = path.file_name().and_then(|name| name.to_str());
    let (Some(parent), Some(name)) = (path.parent(), name) else {
        return Err(Refusal::io(path, "this is no name for a directory"));
    };
    let parent = make_dirs(parent, mode)?;
    durable::ensure_dir(&parent, name, mode).map_err(failed)
}

/// Removes the common parent of our containers' cgroups where it is empty, in every hierarchy
/// (version 1) or the one (version 2). runc makes it and removes only what is below; the kernel
/// refuses to remove one that is in use.
pub(super) fn remove_cgroup_parent(parent: &str) {
    let parent = Path::new(parent.trim_start_matches('/'));
    let Some(name) = parent.file_name().and_then(|name| name.to_str()) else {
        return;
    };
    let above = parent.parent().unwrap_or(Path::new(""));
    let Ok(root) = Dir::open(Path::new("/sys/fs/cgroup")) else {
        return;
    };
    let hierarchies = root.names().unwrap_or_default();
    let hierarchies = hierarchies.iter().map(|name| root.path().join(name));
    for hierarchy in hierarchies.chain([root.path().to_owned()]) {
        if let Ok(dir) = Dir::open(&hierarchy.join(above)) {
            durable::remove_if_empty(&dir, name);
        }
    }
}
