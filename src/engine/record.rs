//! What the engine remembers on disk: which pods it was asked to run, in which boot. What runs is
//! containerd's to say.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Config;
use crate::core::id::{CheckpointId, RevisionId};
use crate::core::manifest::names::hex;
pub(super) use crate::core::reading::chain;
use crate::store::dir::Dir;
use crate::store::durable::{self, Attributes, DurableError};
use crate::store::reserve;

/// One pod that the engine was asked to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) boot_id: String,
    pub(super) checkpoint: CheckpointId,
    pub(super) revision: RevisionId,
    pub(super) pod: Box<Pod>,
}

/// Short name of a checkpoint in ids and paths: containerd takes at most 76 characters.
pub(super) fn key(id: &CheckpointId) -> String {
    let digest = Sha256::digest(id.as_str().as_bytes());
    hex(&digest[..8])
}

impl Config {
    /// The pod's own directory on disk.
    pub(super) fn dir(&self, id: &CheckpointId) -> PathBuf {
        self.state_dir.join(key(id))
    }

    /// The pod's own directory in memory.
    pub(super) fn memory(&self, id: &CheckpointId) -> PathBuf {
        self.memory_dir.join(key(id))
    }

    /// Where files begin, on the file system of both.
    pub(super) fn staging(&self) -> PathBuf {
        self.state_dir.join("staging")
    }
}

/// Writes a record, durably; on a full disk in the room of the reserve (D02).
pub(super) fn save(config: &Config, record: &Record) -> Result<(), String> {
    let write = || -> Result<(), DurableError> {
        let root = durable::ensure_root(&config.state_dir)?;
        durable::ensure_dir(&root, "staging", 0o700)?;
        durable::ensure_dir(&root, &key(&record.checkpoint), 0o700)?;
        let bytes = serde_json::to_vec(record).unwrap_or_default();
        let path = config.dir(&record.checkpoint).join("record.json");
        durable::write(&path, &bytes, &Attributes::ours(0o600), &config.staging())
    };
    in_reserve(config, DurableError::is_full, write).map_err(|error| chain(&error))
}

/// Does it, and once more in the room of the reserve where the disk `is_full`.
pub(super) fn in_reserve<T, E>(
    config: &Config,
    is_full: impl Fn(&E) -> bool,
    work: impl Fn() -> Result<T, E>,
) -> Result<T, E> {
    match work() {
        Err(error) if is_full(&error) && release_reserve(config) => work(),
        done => done,
    }
}

/// Gives back the room that was kept; false where there was none.
fn release_reserve(config: &Config) -> bool {
    let root = durable::ensure_root(&config.state_dir);
    root.and_then(|root| reserve::release(&root))
        .unwrap_or_else(|error| {
            tracing::warn!(error = chain(&error), "the reserve is not given back");
            false
        })
}

/// Removes what writes that were cut off have left. Only while nothing else writes here.
pub(super) fn sweep(config: &Config) {
    let staging = match Dir::open(&config.staging()) {
        Ok(staging) => staging,
        Err(error) if error.is_absent() => return,
        Err(error) => return tracing::warn!(error = chain(&error), "nothing is swept"),
    };
    if let Err(error) = durable::sweep(&staging) {
        tracing::warn!(error = chain(&error), "not all is swept");
    }
}

/// Takes room for what some pods need on the disk to start, where there is any. Failing to is no
/// failure.
pub(super) fn keep_reserve(config: &Config) {
    let keep = || -> Result<(), DurableError> {
        let root = durable::ensure_root(&config.state_dir)?;
        let staging = durable::ensure_dir(&root, "staging", 0o700)?;
        reserve::keep(&root, &staging);
        Ok(())
    };
    if let Err(error) = keep() {
        tracing::warn!(
            error = chain(&error),
            "no room is kept for pods of our own engine"
        );
    }
}

/// Every record that can be read. One that cannot is reported and left; its containers carry a
/// copy.
pub(super) fn all(config: &Config) -> Result<Vec<Record>, String> {
    let entries = match std::fs::read_dir(&config.state_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{}: {error}", config.state_dir.display())),
    };
    let mut records = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| error.to_string())?;
        let path = entry.path().join("record.json");
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        match serde_json::from_slice(&bytes) {
            Ok(record) => records.push(record),
            Err(error) => tracing::warn!(path = %path.display(), %error, "record is damaged"),
        }
    }
    Ok(records)
}

/// Removes all that is the pod's own on disk and in memory.
pub(super) fn remove(config: &Config, id: &CheckpointId) -> Result<(), String> {
    for place in [&config.state_dir, &config.memory_dir] {
        if !place.exists() {
            continue;
        }
        let remove = || -> Result<(), DurableError> {
            let root = durable::ensure_root(place)?;
            let staging = durable::ensure_dir(&root, "staging", 0o700)?;
            durable::discard(&root, &key(id), &staging)
        };
        remove().map_err(|error| chain(&error))?;
    }
    // Taken again, where starting the pod took it.
    keep_reserve(config);
    Ok(())
}
