//! Whether `kubeadm` is at work on this node: what it does to manifests is meant.
//!
//! An upgrade replaces each manifest, waits up to five minutes for its pod and puts the old one back
//! by itself where that fails; a reset removes them all.
//! Source: kubeadm 1.20 `cmd/kubeadm/app/phases/upgrade/staticpods.go`, `upgradeComponent`,
//! `UpgradeManifestTimeout`.

use std::path::Path;

use crate::core::reading::{Reading, Unseen, UnseenKind};

/// The name of its processes.
const NAME: &str = "kubeadm";

/// Whether a process of that name is in `proc` (`/proc`). Blocking.
#[must_use]
pub fn at_work(proc: &Path) -> Reading<bool> {
    let entries = match std::fs::read_dir(proc) {
        Ok(entries) => entries,
        Err(error) => {
            return Reading::Unknown(Unseen::because(UnseenKind::Unreadable, &error));
        }
    };
    let mut processes = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        name.to_str()
            .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    });
    Reading::Known(processes.any(|entry| {
        // One that has ended meanwhile is none.
        std::fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.trim() == NAME)
    }))
}
