//! What a static pod needs on its host: without it, it is not put back.
//!
//! The kubelet makes a missing directory of type `DirectoryOrCreate`, and kubeadm's manifests have
//! that type: an etcd whose data directory was wiped would come up as a new, empty cluster.

use std::collections::BTreeSet;
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

/// Where etcd keeps a member's data, in its data directory.
const MEMBER: &str = "member";

/// What `pod` mounts of the host and is there now: what it only reads, where it is not empty, and
/// the data of an etcd member.
pub(super) fn needs(pod: &Pod) -> Vec<String> {
    let Some(spec) = &pod.spec else {
        return Vec::new();
    };
    let containers = spec.containers.iter();
    let containers = containers.chain(spec.init_containers.iter().flatten());
    let mounts = containers.flat_map(|container| container.volume_mounts.iter().flatten());
    let reads: BTreeSet<&str> = mounts
        .filter(|mount| mount.read_only == Some(true))
        .map(|mount| mount.name.as_str())
        .collect();
    let mut needs = BTreeSet::new();
    for volume in spec.volumes.iter().flatten() {
        let Some(host) = &volume.host_path else {
            continue;
        };
        if reads.contains(volume.name.as_str()) && is_there(&host.path) {
            needs.insert(host.path.clone());
        }
        let member = format!("{}/{MEMBER}", host.path.trim_end_matches('/'));
        if is_there(&member) {
            needs.insert(member);
        }
    }
    needs.into_iter().collect()
}

/// There is a file with content, a directory with entries, or something else, such as a socket.
pub(super) fn is_there(path: &str) -> bool {
    let path = Path::new(path);
    let Ok(found) = std::fs::metadata(path) else {
        return false;
    };
    if found.is_dir() {
        let entries = std::fs::read_dir(path);
        return entries.is_ok_and(|mut entries| entries.next().is_some());
    }
    !found.is_file() || found.len() > 0
}
