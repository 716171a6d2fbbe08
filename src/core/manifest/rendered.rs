//! The result of rendering: plain data, written by `store`, read by both engines.

use k8s_openapi::api::core::v1::Pod;

use crate::core::id::{CheckpointId, RevisionId};

/// A whole checkpoint in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// Its key.
    pub checkpoint: CheckpointId,
    /// Digest of everything below.
    pub revision: RevisionId,
    /// The static pod. Data volumes are host paths below [`DATA_DIR_PLACEHOLDER`], which the store
    /// replaces by the revision's real `data` directory when it writes the manifest.
    pub pod: Pod,
    /// Files of the data volumes.
    pub files: Vec<DataFile>,
    /// Directories of the data volumes.
    pub dirs: Vec<DataDir>,
    /// What was changed or left out that a reader should know, one sentence each.
    pub notes: Vec<String>,
}

/// Stands in host paths of a [`Rendered`] pod for the revision's data directory, so that a
/// revision's digest does not depend on where it is stored.
pub const DATA_DIR_PLACEHOLDER: &str = "/REKINDLE-DATA";

/// One file of a data volume. `Debug` hides the content (invariant 13).
#[derive(Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Path below the data directory: `<volume>/<path>`, no `..`, not absolute.
    pub path: String,
    /// Content.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl std::fmt::Debug for DataFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataFile")
            .field("path", &self.path)
            .field("bytes", &self.content.len())
            .field("mode", &format_args!("{:o}", self.mode))
            .field("uid", &self.uid)
            .field("gid", &self.gid)
            .finish_non_exhaustive()
    }
}

/// One directory of a data volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir {
    /// Path below the data directory.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}
