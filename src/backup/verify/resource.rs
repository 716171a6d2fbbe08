//! Which Kubernetes resource a key belongs to.

/// Longer keys are nobody's objects.
const LONGEST: usize = 4096;

/// The resource under which `key` is counted: the first word below the API server's `prefix`
/// (which ends in `/`), or the first two where the first is a group (it has a dot) or `services`,
/// as `pods`, `services/specs` or `example.com/widgets`. `None`: the key is outside the prefix.
#[must_use]
pub fn of<'k>(key: &'k [u8], prefix: &[u8]) -> Option<&'k str> {
    let below = key.strip_prefix(prefix)?;
    if below.is_empty() || below.len() > LONGEST {
        return None;
    }
    let mut words = below.split(|byte| *byte == b'/');
    let first = words.next()?;
    let second = words.next();
    let two = first.contains(&b'.') || first == b"services";
    let end = match second {
        Some(second) if two && words.next().is_some() => first.len() + 1 + second.len(),
        _ => first.len(),
    };
    std::str::from_utf8(below).ok()?.get(..end)
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
            ("/registry/health", Some("health")),
            ("/registry/", None),
            ("/registryx/pods/ns/a", None),
            ("compact_rev_key", None),
            ("", None),
        ];
        for (key, resource) in cases {
            assert_eq!(of(key.as_bytes(), b"/registry/"), resource, "{key}");
        }
    }
}
