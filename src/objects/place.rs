//! What an etcd key says of the object under it.
//!
//! Source: Kubernetes `apiserver/pkg/registry/generic/registry/store.go` (`NamespaceKeyFunc`) and
//! `kubernetes/pkg/kubeapiserver/default_storage_factory_builder.go` (`SpecialDefaultResourcePrefixes`):
//!
//! ```text
//! /registry/pods/NAMESPACE/NAME                   built in, in a namespace
//! /registry/clusterroles/NAME                     built in, of the cluster
//! /registry/services/specs/NAMESPACE/NAME         a service; endpoints: services/endpoints
//! /registry/example.com/widgets/NAMESPACE/NAME    of a group that the key names: custom resources,
//!                                                 definitions and API services
//! /registry/ranges/serviceips                     one of a kind
//! ```

/// The API server's default `--etcd-prefix`.
pub const REGISTRY: &str = "/registry";

/// Keys with other bytes or longer ones are nobody's objects.
const LONGEST: usize = 4096;

/// What a key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// API group; `None`: the key does not say it, as with everything built in.
    pub group: Option<&'a str>,
    /// Resource as the API names it: `nodes`, `services`, `widgets`.
    pub resource: &'a str,
    /// Namespace, where it has one.
    pub namespace: Option<&'a str>,
    /// Name of the object; of one that has none (`ranges/serviceips`), the last word.
    pub name: &'a str,
}

impl Place<'_> {
    /// `secrets`, or `example.com/widgets`.
    pub fn full_resource(&self) -> String {
        match self.group {
            Some(group) => format!("{group}/{}", self.resource),
            None => self.resource.to_owned(),
        }
    }
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ", self.full_resource())?;
        if let Some(namespace) = self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(self.name)
    }
}

/// The object's place of a key below `prefix` (the API server's `--etcd-prefix`, with or without
/// slashes at its ends); `None`: another key.
pub fn place<'a>(key: &'a [u8], prefix: &str) -> Option<Place<'a>> {
    let words = below(key, prefix)?;
    let mut words = words.split('/');
    let first = words.next()?;
    let (group, resource) = if first.contains('.') {
        (Some(first), words.next()?)
    } else {
        (None, first)
    };
    let rest: Vec<&str> = words.take(4).collect();
    let (resource, rest) = match (group, resource, rest.as_slice()) {
        (None, "services", ["specs", rest @ ..]) => ("services", rest),
        (None, "services", ["endpoints", rest @ ..]) => ("endpoints", rest),
        (None, "minions", rest) => ("nodes", rest),
        (None, "controllers", rest) => ("replicationcontrollers", rest),
        (None, "ingress", rest) => ("ingresses", rest),
        (None, "podsecuritypolicy", rest) => ("podsecuritypolicies", rest),
        (_, resource, rest) => (resource, rest),
    };
    let (namespace, name) = match rest {
        [name] => (None, *name),
        [namespace, name] => (Some(*namespace), *name),
        _ => return None,
    };
    let named = [group, Some(resource), namespace, Some(name)];
    let place = Place {
        group,
        resource,
        namespace,
        name,
    };
    (!named.contains(&Some(""))).then_some(place)
}

fn below<'a>(key: &'a [u8], prefix: &str) -> Option<&'a str> {
    let prefix = prefix.trim_matches('/').as_bytes();
    let rest = key.strip_prefix(b"/")?.strip_prefix(prefix)?;
    let rest = rest.strip_prefix(b"/")?;
    let rest = std::str::from_utf8(rest).ok()?;
    (!rest.is_empty() && rest.len() <= LONGEST).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn keys_of_a_cluster() {
        let cases = [
            ("/registry/pods/ns/a", Some("pods ns/a")),
            ("/registry/minions/n1", Some("nodes n1")),
            ("/registry/services/specs/ns/a", Some("services ns/a")),
            ("/registry/services/endpoints/ns/a", Some("endpoints ns/a")),
            (
                "/registry/example.com/widgets/ns/a",
                Some("example.com/widgets ns/a"),
            ),
            (
                "/registry/apiregistration.k8s.io/apiservices/v1.apps",
                Some("apiregistration.k8s.io/apiservices v1.apps"),
            ),
            ("/registry/ranges/serviceips", Some("ranges serviceips")),
            (
                "/registry/masterleases/10.0.0.1",
                Some("masterleases 10.0.0.1"),
            ),
            ("/registry/health", None),
            ("/registry/pods/ns/", None),
            ("/registry/a/b/c/d/e/f", None),
            ("/registryx/pods/ns/a", None),
            ("compact_rev_key", None),
            ("/registry/", None),
        ];
        for (key, object) in cases {
            let found = place(key.as_bytes(), "/registry").map(|place| place.to_string());
            assert_eq!(found.as_deref(), object, "{key}");
        }
        for prefix in ["/a/b/", "a/b", "/a/b"] {
            let other = place(b"/a/b/secrets/ns/x", prefix).unwrap();
            assert_eq!(other.to_string(), "secrets ns/x");
        }
        assert_eq!(place(b"/registry/pods/ns/\xff", "/registry"), None);
    }
}
