//! The common parent of our containers' cgroups. runc makes it and removes only what is below.

use std::fs;
use std::path::Path;

/// Removes the parent where it is empty, in every hierarchy (version 1) or the one (version 2).
/// The kernel refuses to remove one that is in use.
pub(super) fn remove_parent(parent: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let name = parent.trim_start_matches('/');
    if name.is_empty() {
        return;
    }
    fs::remove_dir(root.join(name)).ok();
    for hierarchy in fs::read_dir(root).into_iter().flatten().flatten() {
        if hierarchy.file_type().is_ok_and(|kind| kind.is_dir()) {
            fs::remove_dir(hierarchy.path().join(name)).ok();
        }
    }
}
