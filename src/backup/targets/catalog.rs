//! Objects of a copy, and the two that are about the copy itself.
//!
//! ```text
//! <prefix>/<id>/claim.json           whose copy this is to be, put first and only once
//! <prefix>/<id>/snapshot.db.zst      the parts; with recipients each object ends in `.age`
//! <prefix>/<id>/host.tar.zst
//! <prefix>/<id>/manifest.sig
//! <prefix>/<id>/manifest.json
//! <prefix>/<id>/upload.json          every object with length and SHA-256, put last: now it is whole
//! ```
//!
//! `upload.json` holds nothing secret: whoever has no key can still check that a copy is whole.

use serde::{Deserialize, Serialize};

use super::CopyError;
use crate::core::backup::id::BackupId;

/// End of the name of an encrypted object.
pub(super) const AGE: &str = ".age";
const CLAIM: &str = "claim.json";
const CATALOG: &str = "upload.json";
const FORMAT: u32 = 1;
/// Largest of the two.
pub(super) const LIMIT: u64 = 1 << 20;

/// The first object: who may write the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    pub(super) format: u32,
    pub(super) id: BackupId,
    /// SHA-256 of the plain manifest: the backup's identity.
    pub(super) manifest_sha256: String,
}

/// The last object: what the copy consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Catalog {
    pub(super) format: u32,
    pub(super) id: BackupId,
    /// The node that took the backup.
    pub(super) node: String,
    /// SHA-256 of the plain manifest.
    pub(super) manifest_sha256: String,
    /// Whether the objects are encrypted.
    pub(super) encrypted: bool,
    /// Every object but the claim and this.
    pub(super) objects: Vec<Entry>,
}

/// One object of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its name in the copy, as `snapshot.db.zst.age`.
    pub(super) name: String,
    /// Its length there.
    pub(super) bytes: u64,
    /// Its SHA-256 there.
    pub(super) sha256: String,
}

impl Claim {
    pub(super) fn new(id: &BackupId, manifest_sha256: &str) -> Self {
        Self {
            format: FORMAT,
            id: id.clone(),
            manifest_sha256: manifest_sha256.to_owned(),
        }
    }
}

impl Catalog {
    pub(super) fn new(
        id: &BackupId,
        node: &str,
        manifest_sha256: &str,
        encrypted: bool,
        objects: Vec<Entry>,
    ) -> Self {
        Self {
            format: FORMAT,
            id: id.clone(),
            node: node.to_owned(),
            manifest_sha256: manifest_sha256.to_owned(),
            encrypted,
            objects,
        }
    }
}

/// The claim's object name.
pub(super) fn claim_of(id: &BackupId) -> String {
    format!("{id}/{CLAIM}")
}

/// The catalog's object name.
pub(super) fn catalog_of(id: &BackupId) -> String {
    format!("{id}/{CATALOG}")
}

/// Whether this is the name of a catalog, without its directory.
pub(super) fn is_catalog(name: &str) -> bool {
    name == CATALOG
}

/// Reads one of the two.
pub(super) fn parse<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    object: &str,
    place: &str,
) -> Result<T, CopyError> {
    serde_json::from_slice(bytes).map_err(|error| CopyError::Garbled {
        place: place.to_owned(),
        object: object.to_owned(),
        why: error.to_string(),
    })
}
