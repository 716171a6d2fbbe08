//! The revision: a digest over everything that a checkpoint is made of.

use k8s_openapi::api::core::v1::Pod;
use sha2::{Digest, Sha256};

use super::names::hex;
use super::rendered::{DataDir, DataFile};
use crate::core::id::RevisionId;

/// Largest manifest. A kubelet reads no more than 10 MiB of one.
/// Source: kubelet 1.20 `pkg/kubelet/config/common.go`, `maxConfigLength`.
pub(super) const MANIFEST_LIMIT: usize = 8 << 20;

/// Digest of a manifest and its data. Each part is preceded by its length, so that no two
/// different contents are written alike.
///
/// # Errors
/// A sentence, where the manifest cannot be written or is larger than [`MANIFEST_LIMIT`].
pub(super) fn revision(
    pod: &Pod,
    files: &[DataFile],
    dirs: &[DataDir],
) -> Result<RevisionId, String> {
    let manifest = serde_json::to_vec(pod).map_err(|error| error.to_string())?;
    if manifest.len() > MANIFEST_LIMIT {
        return Err(format!("the manifest would have {} bytes", manifest.len()));
    }
    let mut digest = Sha256::new();
    let mut part = |bytes: &[u8]| {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        digest.update(length.to_be_bytes());
        digest.update(bytes);
    };
    part(b"rekindle revision 1");
    part(&manifest);
    for file in files {
        part(b"file");
        part(file.path.as_bytes());
        part(&numbers(file.mode, file.uid, file.gid));
        part(&file.content);
    }
    for dir in dirs {
        part(b"directory");
        part(dir.path.as_bytes());
        part(&numbers(dir.mode, dir.uid, dir.gid));
    }
    let mut text = hex(&digest.finalize());
    text.truncate(16);
    RevisionId::parse(&text).map_err(|bad| bad.to_string())
}

fn numbers(mode: u32, uid: u32, gid: u32) -> Vec<u8> {
    [mode, uid, gid]
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect()
}
