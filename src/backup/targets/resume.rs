//! How far the upload of one backup to one target is, on disk: it survives a kill at any instant.
//!
//! `backup/uploads/TARGET.ID.json` of the state directory, for us alone (0600): with recipients, it
//! holds the keys of this copy until the copy is complete.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::CopyError;
use super::seal::SealKey;
use crate::core::backup::id::BackupId;
use crate::failpoints::hit;
use crate::store::dir::Dir;
use crate::store::durable::{self, Attributes};

/// Largest state that is read: ten thousand parts for each object.
const LIMIT: u64 = 16 << 20; // 16 MiB
/// End of the names.
const END: &str = ".json";

/// The state of one upload.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    /// The target's place when it was begun.
    pub(super) place: String,
    /// The recipients.
    pub(super) recipients: Vec<String>,
    /// SHA-256 of the local manifest.
    pub(super) manifest_sha256: String,
    /// By object name.
    pub(super) objects: BTreeMap<String, ObjectState>,
}

/// How far one object is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ObjectState {
    /// Its key, where it is encrypted.
    pub(super) seal: Option<SealKey>,
    /// The store's name for the upload in parts, once it is begun.
    pub(super) upload: Option<String>,
    /// Parts that the store has, from the first.
    pub(super) parts: Vec<SentPart>,
    /// The object is there.
    pub(super) done: Option<Done>,
}

/// A part that the store has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SentPart {
    /// The store's name for it.
    pub(super) id: String,
    /// Its SHA-256.
    pub(super) sha256: String,
}

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    /// Its length in bytes.
    pub(super) bytes: u64,
    /// Its SHA-256.
    pub(super) sha256: String,
}

/// The file of one upload's state.
#[derive(Debug)]
pub(super) struct Resume {
    dir: Dir,
    name: String,
    pub(super) state: State,
}

impl Resume {
    /// Reads the state of an upload, or begins it. One that cannot be understood is begun anew:
    /// it costs an upload, no backup.
    pub(super) fn open(uploads: &Path, target: &str, id: &BackupId) -> Result<Self, CopyError> {
        let dir = durable::ensure_root(uploads)?;
        let name = format!("{target}.{id}{END}");
        let state = match dir.read(&name, LIMIT) {
            Ok((bytes, _)) => serde_json::from_slice(&bytes).unwrap_or_else(|_| {
                tracing::warn!(upload = name, "the state of an upload is not understood");
                State::default()
            }),
            Err(error) if error.is_absent() => State::default(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { dir, name, state })
    }

    /// Brings the state to the disk.
    pub(super) fn save(&self) -> Result<(), CopyError> {
        let bytes = serde_json::to_vec(&self.state).unwrap_or_default();
        let ours = Attributes::ours(0o600);
        durable::write_in(&self.dir, &self.name, &bytes, &ours, &self.dir)?;
        hit("upload.noted");
        Ok(())
    }

    /// Forgets it.
    pub(super) fn remove(self) -> Result<(), CopyError> {
        Ok(durable::remove_in(&self.dir, &self.name)?)
    }

    /// The object's state.
    pub(super) fn object(&mut self, name: &str) -> &mut ObjectState {
        self.state.objects.entry(name.to_owned()).or_default()
    }
}

/// Uploads of `target` that have a state.
pub(super) fn begun(uploads: &Path, target: &str) -> Result<Vec<BackupId>, CopyError> {
    noted(uploads, target, END)
}

/// Backups of which there is a note `<target>.<id><end>`.
pub(super) fn noted(uploads: &Path, target: &str, end: &str) -> Result<Vec<BackupId>, CopyError> {
    let dir = match Dir::open(uploads) {
        Ok(dir) => dir,
        Err(error) if error.is_absent() => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let names = dir.names()?;
    let ids = names.iter().filter_map(|name| {
        let rest = name.strip_prefix(target)?.strip_prefix('.')?;
        BackupId::parse(rest.strip_suffix(end)?).ok()
    });
    Ok(ids.collect())
}
