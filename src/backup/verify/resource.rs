//! Which Kubernetes resource a key belongs to.

/// Longest name of a resource, in bytes; DNS names end at 253.
const LONGEST: usize = 512;

/// The resource of `key`: what stands between the API server's `prefix` and the object's
/// namespace and name, as `pods`, `services/specs` or `example.com/widgets`. `None`: the key is
/// outside the prefix, or not of this form.
///
/// The API server stores its own resources as `PREFIX RESOURCE/[NAMESPACE/]NAME`, custom and some
/// others as `PREFIX GROUP/RESOURCE/[NAMESPACE/]NAME`, where a group has a dot; services and their
/// endpoints have two segments (`pkg/registry/core/rest`).
#[must_use]
pub fn of<'k>(key: &'k [u8], prefix: &[u8]) -> Option<&'k str> {
    let rest = key.strip_prefix(prefix)?;
    let first = rest.iter().position(|byte| *byte == b'/')?;
    let (name, object) = rest.split_at_checked(first)?;
    let object = object.get(1..)?;
    let two = name.contains(&b'.') || name == b"services";
    let second = two
        .then(|| object.iter().position(|byte| *byte == b'/'))
        .flatten();
    let end = match second {
        Some(second) => first + 1 + second,
        None => first,
    };
    let named = |part: &&[u8]| {
        let part = *part;
        let plain = part
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'/'));
        plain && !part.is_empty() && part.len() <= LONGEST
    };
    let name = rest.get(..end).filter(named)?;
    std::str::from_utf8(name).ok()
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn keys_of_a_cluster() {
        let cases = [
            ("/registry/pods/default/web", Some("pods")),
            ("/registry/minions/master1", Some("minions")),
            (
                "/registry/services/specs/default/web",
                Some("services/specs"),
            ),
            (
                "/registry/services/endpoints/default/web",
                Some("services/endpoints"),
            ),
            (
                "/registry/example.com/widgets/default/w",
                Some("example.com/widgets"),
            ),
            (
                "/registry/apiregistration.k8s.io/apiservices/v1.apps",
                Some("apiregistration.k8s.io/apiservices"),
            ),
            ("/registry/health", None),
            ("/registry//x", None),
            ("/registry/\u{1b}[2J/x", None),
            ("compact_rev_key", None),
            ("", None),
        ];
        for (key, resource) in cases {
            assert_eq!(of(key.as_bytes(), b"/registry/"), resource, "{key}");
        }
    }
}
