//! What is at a target.

use std::collections::BTreeMap;

use super::catalog;
use super::{CopyError, Target};
use crate::core::backup::id::BackupId;

/// A copy at a target.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Remote {
    /// The backup.
    pub id: BackupId,
    /// Bytes of all objects of it.
    pub bytes: u64,
    /// Its catalog is there, which is put last.
    pub complete: bool,
    /// Its objects are encrypted.
    pub encrypted: bool,
}

/// Copies at the target, of every node, oldest first by name.
///
/// # Errors
/// As the store says.
pub async fn list(target: &Target) -> Result<Vec<Remote>, CopyError> {
    let mut copies = BTreeMap::new();
    for object in target.store.list("").await? {
        let Some((dir, name)) = object.name.split_once('/') else {
            continue;
        };
        // Something foreign below our prefix is nobody's backup.
        let Ok(id) = BackupId::parse(dir) else {
            continue;
        };
        let copy = copies.entry(id.clone()).or_insert(Remote {
            id,
            bytes: 0,
            complete: false,
            encrypted: false,
        });
        copy.bytes = copy.bytes.saturating_add(object.bytes);
        copy.complete |= catalog::is_catalog(name);
        copy.encrypted |= name.ends_with(catalog::AGE);
    }
    Ok(copies.into_values().collect())
}
