//! Mounts of data volumes: read-only, as the kubelet mounts the originals, and with every
//! `subPath` in place, because the kubelet would otherwise make it inside the stored data.

use k8s_openapi::api::core::v1::Container;

use super::findings::Findings;
use super::payload::{clean_path, shown};
use super::tree::Tree;

/// Adjusts the mounts of `container`.
/// Source: kubelet 1.20 `pkg/kubelet/kubelet_pods.go`, `makeMounts`.
pub(super) fn convert(container: &mut Container, tree: &mut Tree, findings: &mut Findings) {
    for mount in container.volume_mounts.iter_mut().flatten() {
        if !tree.has_volume(&mount.name) {
            continue;
        }
        mount.read_only = Some(true);
        let Some(path) = mount.sub_path.as_deref().filter(|path| !path.is_empty()) else {
            continue;
        };
        let reason = match clean_path(path) {
            Ok(path) if tree.is_file(&mount.name, &path) => continue,
            Ok(path) if tree.directory(&mount.name, &path) => continue,
            Ok(_) => "goes through a file",
            Err(cause) => cause,
        };
        findings.refuse(format!(
            "a mount of volume {} has a subPath that {reason}: {}",
            mount.name,
            shown(path)
        ));
    }
}
