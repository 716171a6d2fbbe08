//! Which keys of etcd are wanted.

use super::Want;

/// Where a self-hosted etcd's object is, below the prefix or without any.
const ETCD_CLUSTER: &str = "/etcd.database.coreos.com/etcdclusters/kube-system/kube-etcd";

/// What an object is, by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    Secret,
    ConfigMap,
    DaemonSet,
    Deployment,
    EtcdCluster,
}

impl Resource {
    /// Those of a namespace.
    pub(super) const ALL: [Self; 4] = [
        Self::Secret,
        Self::ConfigMap,
        Self::DaemonSet,
        Self::Deployment,
    ];

    /// As the API names it, its group left out.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::ConfigMap => "configmaps",
            Self::DaemonSet => "daemonsets",
            Self::Deployment => "deployments",
            Self::EtcdCluster => "etcd.database.coreos.com/etcdclusters",
        }
    }
}

/// The wanted keys.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// As `/registry/`.
    base: String,
    /// As `/registry/secrets/kube-system/`.
    ranges: Vec<(Resource, String)>,
    /// Single keys.
    single: [String; 3],
}

impl Wanted {
    pub(super) fn new(want: &Want) -> Self {
        let base = match want.prefix.trim_matches('/') {
            "" => "/".to_owned(),
            prefix => format!("/{prefix}/"),
        };
        let range = |resource: Resource| {
            let range = format!("{base}{}/{}/", resource.plural(), want.namespace);
            (resource, range)
        };
        Self {
            ranges: Resource::ALL.map(range).to_vec(),
            single: [
                format!("{}{ETCD_CLUSTER}", base.trim_end_matches('/')),
                ETCD_CLUSTER.to_owned(),
                ETCD_CLUSTER.trim_start_matches('/').to_owned(),
            ],
            base,
        }
    }

    /// The ranges of keys, each by what its keys begin with.
    pub(super) fn ranges(&self) -> &[(Resource, String)] {
        &self.ranges
    }

    /// Keys that are wanted by themselves, the best first.
    pub(super) fn single(&self) -> &[String] {
        &self.single
    }

    /// What is under the key, and its name; `None`: it is not wanted.
    pub(super) fn of<'k>(&self, key: &'k [u8]) -> Option<(Resource, &'k str)> {
        if key.starts_with(self.base.as_bytes()) {
            let below = |(resource, range): &(Resource, String)| {
                let name = key.strip_prefix(range.as_bytes())?;
                Some((*resource, name))
            };
            if let Some((resource, name)) = self.ranges.iter().find_map(below) {
                let name = std::str::from_utf8(name).ok()?;
                return (!name.is_empty() && !name.contains('/')).then_some((resource, name));
            }
        }
        let single = self.single.iter().any(|single| single.as_bytes() == key);
        single.then_some((Resource::EtcdCluster, "kube-etcd"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for prefix in ["/registry", "registry/", "/a/b", "", "/"] {
            let want = Want {
                prefix: prefix.to_owned(),
                ..Want::default()
            };
            let wanted = Wanted::new(&want);
            let below = |rest: &str| match prefix.trim_matches('/') {
                "" => format!("/{rest}"),
                prefix => format!("/{prefix}/{rest}"),
            };
            let found = |key: &str| wanted.of(key.as_bytes()).map(|(r, n)| (r, n.to_owned()));
            let secret = Some((Resource::Secret, "a".to_owned()));
            assert_eq!(found(&below("secrets/kube-system/a")), secret);
            assert_eq!(found(&below("secrets/kube-system/a/b")), None);
            assert_eq!(found(&below("secrets/kube-systemd/a")), None);
            assert_eq!(found(&below("secrets/kube-system/")), None);
            assert_eq!(found("/other/secrets/kube-system/a"), None);
            let cluster = Some((Resource::EtcdCluster, "kube-etcd".to_owned()));
            assert_eq!(found(&below(&ETCD_CLUSTER[1..])), cluster);
            assert_eq!(found(ETCD_CLUSTER), cluster);
            assert_eq!(found(&ETCD_CLUSTER[1..]), cluster);
        }
    }
}
