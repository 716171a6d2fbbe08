//! Image references as containerd's CRI plugin names them.

/// The full form of an image reference: `busybox` becomes `docker.io/library/busybox:latest`. A
/// reference with a digest loses its tag; an image id (`sha256:…`) stays as it is.
///
/// Source: containerd 1.6 `reference/docker/normalize.go`, `ParseDockerRef`.
#[must_use]
pub fn normalised(reference: &str) -> String {
    if reference.starts_with("sha256:") {
        return reference.to_owned();
    }
    let (name, digest) = match reference.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (reference, None),
    };
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    };
    let has_domain = name.split_once('/').is_some_and(|(first, _)| {
        first.contains(['.', ':'])
            || first == "localhost"
            || first.bytes().any(|b| b.is_ascii_uppercase())
    });
    let name = if !has_domain && name.contains('/') {
        format!("docker.io/{name}")
    } else if !has_domain {
        format!("docker.io/library/{name}")
    } else if let Some(rest) = name.strip_prefix("index.docker.io/") {
        format!("docker.io/{rest}")
    } else {
        name.to_owned()
    };
    match digest {
        Some(digest) => format!("{name}@{digest}"),
        None => format!("{name}:{}", tag.unwrap_or("latest")),
    }
}
