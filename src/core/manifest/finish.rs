//! The last step before a manifest is written: real paths and the number of the activation.

use k8s_openapi::api::core::v1::Pod;

use super::ANNOTATION_ACTIVATION;
use super::names::key_digest;
use super::rendered::DATA_DIR_PLACEHOLDER;
use crate::core::id::CheckpointId;

/// The manifest for one activation: host paths below the placeholder point into `data_dir`
/// (absolute, no trailing slash), and the activation's number makes the pod's uid its own.
#[must_use]
pub fn finish(mut pod: Pod, data_dir: &str, activation: u64) -> Pod {
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(ANNOTATION_ACTIVATION.to_owned(), activation.to_string());
    let volumes = pod
        .spec
        .iter_mut()
        .flat_map(|spec| spec.volumes.iter_mut().flatten());
    for host in volumes.filter_map(|volume| volume.host_path.as_mut()) {
        if let Some(below) = host.path.strip_prefix(DATA_DIR_PLACEHOLDER)
            && (below.is_empty() || below.starts_with('/'))
        {
            host.path = format!("{data_dir}{below}");
        }
    }
    pod
}

/// The value of [`super::LABEL_CHECKPOINT`]: 16 hex digits of the SHA-256 of the key.
#[must_use]
pub fn label_value(id: &CheckpointId) -> String {
    key_digest(id, 16)
}
