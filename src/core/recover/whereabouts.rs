//! Where a path in a container leads: into the recovered tree, to the host, or to the image.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::plan::SECRETS_DIR;

/// What stands at a path of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// A path in the recovered tree.
    Tree(String),
    /// A path of the host.
    Host(String),
    /// Only the image has it.
    Image,
}

/// Follows `path` in `container` of the finished static pod `spec`.
pub(super) fn follow(spec: &PodSpec, container: &Container, path: &str) -> Whereabouts {
    let below = |mount: &str| {
        let mount = mount.trim_end_matches('/');
        let rest = path.strip_prefix(mount)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
    };
    let mounts = container.volume_mounts.iter().flatten();
    let deepest = mounts
        .filter_map(|mount| Some((mount, below(&mount.mount_path)?)))
        .max_by_key(|(mount, _)| mount.mount_path.len());
    let Some((mount, rest)) = deepest else {
        return Whereabouts::Image;
    };
    let volume = spec
        .volumes
        .iter()
        .flatten()
        .find(|v| v.name == mount.name)
        .and_then(|volume| volume.host_path.as_ref());
    let Some(host) = volume else {
        return Whereabouts::Image;
    };
    let sub = mount.sub_path.as_deref().unwrap_or_default();
    let sub = if sub.is_empty() {
        String::new()
    } else {
        format!("/{}", sub.trim_matches('/'))
    };
    let full = format!("{}{sub}{rest}", host.path.trim_end_matches('/'));
    match full.strip_prefix(SECRETS_DIR) {
        Some("/kubeconfig") => Whereabouts::Tree("auth/kubeconfig".to_owned()),
        Some(rest) if rest.starts_with('/') => Whereabouts::Tree(format!("tls{rest}")),
        _ => Whereabouts::Host(full),
    }
}
