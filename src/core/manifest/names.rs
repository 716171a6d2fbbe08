//! Names of the static pod: short enough for every place that puts them into a file name.

use sha2::{Digest, Sha256};

use super::payload::shown;
use crate::core::id::CheckpointId;

/// Hex digits of the key's digest in a name. Six could be made to collide within seconds.
const HASH_DIGITS: usize = 10;
/// Longest name of a pod. Source: Kubernetes 1.20 `apimachinery` `DNS1123SubdomainMaxLength`.
const POD_NAME_LIMIT: usize = 253;
/// Longest file name, into which the kubelet puts `<namespace>_<name>_<uid>` for the pod's logs.
/// Source: kubelet 1.20 `pkg/kubelet/kuberuntime/helpers.go`, `BuildPodLogsDirectory`.
const FILE_NAME_LIMIT: usize = 255;
/// Longest pod uid.
const UID_LENGTH: usize = 36;

/// First `digits` hex digits of the SHA-256 of the key.
pub(super) fn key_digest(id: &CheckpointId, digits: usize) -> String {
    let mut text = hex(&Sha256::digest(id.as_str().as_bytes()));
    text.truncate(digits);
    text
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.collect()
}

/// The name that the kubelet gives a static pod: it appends the node's name.
/// Source: kubelet 1.20 `pkg/kubelet/config/common.go`, `generatePodName`.
#[must_use]
pub fn mirror_name(static_name: &str, node_name: &str) -> String {
    format!("{static_name}-{}", node_name.to_lowercase())
}

/// The name in the manifest: `<controller>-checkpoint-<digest>`, the same for the same key. The
/// controller's name is shortened until the whole fits.
///
/// # Errors
/// A sentence, where the node's name leaves no room.
pub fn static_name(id: &CheckpointId, node_name: &str) -> Result<String, String> {
    let (_, namespace, controller) = id.parts();
    let ending = format!("checkpoint-{}", key_digest(id, HASH_DIGITS));
    let logs = FILE_NAME_LIMIT.saturating_sub(namespace.len() + UID_LENGTH + 2);
    let room = POD_NAME_LIMIT.min(logs);
    let room = room.checked_sub(ending.len() + 1 + node_name.len() + 1);
    let room = room.filter(|room| *room > 0).ok_or_else(|| {
        let node = shown(node_name);
        format!("no static pod name fits beside the node name {node} and namespace {namespace}")
    })?;
    let plain: String = controller
        .chars()
        .map(|c| if c == '.' { '-' } else { c })
        .skip_while(|c| *c == '-')
        .take(room)
        .collect();
    let plain = plain.trim_end_matches('-');
    let plain = if plain.is_empty() { "x" } else { plain };
    Ok(format!("{plain}-{ending}"))
}
