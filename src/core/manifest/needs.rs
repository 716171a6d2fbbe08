//! What must be read from the API server before a parent can be rendered. Says which objects and
//! keys; reading them is `apiserver`'s work.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::api::core::v1::{
    Container, KeyToPath, Pod, PodSpec, ServiceAccountTokenProjection, Volume, VolumeProjection,
};

/// The two kinds of objects that hold data for pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A Secret.
    Secret,
    /// A `ConfigMap`.
    ConfigMap,
}

impl ObjectKind {
    /// The kind as Kubernetes writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }
}

/// Names one Secret or `ConfigMap`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// Which of the two.
    pub kind: ObjectKind,
    /// The pod's namespace: pods can use no other.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.word(), self.namespace, self.name)
    }
}

/// Names one bound service-account token, as the kubelet would request it for the pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenRef {
    /// The pod's namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
    /// Audience; `None` leaves it to the API server.
    pub audience: Option<String>,
    /// Lifetime asked for, in seconds.
    pub expiration_seconds: Option<i64>,
    /// The pod it is bound to.
    pub pod_name: String,
    /// Uid of the pod it is bound to.
    pub pod_uid: String,
}

impl fmt::Display for TokenRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let audience = self.audience.as_deref().unwrap_or("of the API server");
        write!(
            f,
            "token of service account {}/{} for audience {audience}",
            self.namespace, self.service_account
        )
    }
}

/// Which keys of an object are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// Every key there is.
    All,
    /// These.
    Named(BTreeSet<String>),
}

/// How an object is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Which keys.
    pub keys: Keys,
    /// Every reference to it says that it may be missing.
    pub optional: bool,
}

/// Everything a pod takes from the API server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// Secrets and `ConfigMap`s.
    pub objects: BTreeMap<ObjectRef, Need>,
    /// Bound service-account tokens.
    pub tokens: BTreeSet<TokenRef>,
}

/// What rendering `pod` needs.
#[must_use]
pub fn needs(pod: &Pod) -> Needs {
    let mut needs = Needs::default();
    for reference in references(pod) {
        let named = |key: Option<String>| key.map_or(Keys::All, |k| Keys::Named([k].into()));
        match needs.objects.get_mut(&reference.object) {
            None => {
                let need = Need {
                    keys: named(reference.key),
                    optional: reference.optional,
                };
                needs.objects.insert(reference.object, need);
            }
            Some(need) => {
                need.optional &= reference.optional;
                match (&mut need.keys, reference.key) {
                    (Keys::Named(keys), Some(key)) => {
                        keys.insert(key);
                    }
                    (keys, None) => *keys = Keys::All,
                    (Keys::All, Some(_)) => {}
                }
            }
        }
    }
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    for projection in volumes.flat_map(projections) {
        if let Some(token) = &projection.service_account_token {
            needs.tokens.insert(token_ref(pod, token));
        }
    }
    needs
}

/// One use of one object; `key` is `None` where all keys are used.
pub(crate) struct Reference {
    pub(crate) object: ObjectRef,
    pub(crate) key: Option<String>,
    pub(crate) optional: bool,
}

/// Every use of a Secret or `ConfigMap` in volumes and environments, in the order of the spec.
pub(crate) fn references(pod: &Pod) -> Vec<Reference> {
    let mut found = Found {
        namespace: pod.metadata.namespace.as_deref().unwrap_or("default"),
        list: Vec::new(),
    };
    let Some(spec) = &pod.spec else {
        return found.list;
    };
    spec.volumes
        .iter()
        .flatten()
        .for_each(|volume| found.volume(volume));
    all_containers(spec).for_each(|container| found.container(container));
    found.list
}

/// Init containers, then containers. Ephemeral containers never are part of a checkpoint.
pub(crate) fn all_containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    let init = spec.init_containers.iter().flatten();
    init.chain(spec.containers.iter())
}

fn projections(volume: &Volume) -> impl Iterator<Item = &VolumeProjection> {
    let projected = volume.projected.iter();
    projected.flat_map(|projected| projected.sources.iter().flatten())
}

/// The token that the kubelet would request for this projection.
/// Source: kubelet 1.20 `pkg/volume/projected/projected.go`, `collectData`.
pub(crate) fn token_ref(pod: &Pod, token: &ServiceAccountTokenProjection) -> TokenRef {
    TokenRef {
        namespace: pod
            .metadata
            .namespace
            .as_deref()
            .unwrap_or("default")
            .to_owned(),
        service_account: service_account(pod).to_owned(),
        audience: token
            .audience
            .clone()
            .filter(|audience| !audience.is_empty()),
        expiration_seconds: token.expiration_seconds,
        pod_name: pod.metadata.name.clone().unwrap_or_default(),
        pod_uid: pod.metadata.uid.clone().unwrap_or_default(),
    }
}

/// The pod's service account; the API server sets `default` where a pod names none.
pub(crate) fn service_account(pod: &Pod) -> &str {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| {
        spec.service_account_name
            .as_deref()
            .or(spec.service_account.as_deref())
    })
    .filter(|name| !name.is_empty())
    .unwrap_or("default")
}

struct Found<'a> {
    namespace: &'a str,
    list: Vec<Reference>,
}

impl Found<'_> {
    fn add(&mut self, kind: ObjectKind, name: &str, key: Option<&str>, optional: Option<bool>) {
        if name.is_empty() {
            return; // no object at all: rendering refuses it
        }
        self.list.push(Reference {
            object: ObjectRef {
                kind,
                namespace: self.namespace.to_owned(),
                name: name.to_owned(),
            },
            key: key.map(str::to_owned),
            optional: optional == Some(true),
        });
    }

    fn items(
        &mut self,
        kind: ObjectKind,
        name: &str,
        items: Option<&Vec<KeyToPath>>,
        optional: Option<bool>,
    ) {
        match items.filter(|items| !items.is_empty()) {
            None => self.add(kind, name, None, optional),
            Some(items) => {
                for item in items {
                    self.add(kind, name, Some(&item.key), optional);
                }
            }
        }
    }

    fn volume(&mut self, volume: &Volume) {
        if let Some(secret) = &volume.secret {
            let name = secret.secret_name.as_deref().unwrap_or_default();
            self.items(
                ObjectKind::Secret,
                name,
                secret.items.as_ref(),
                secret.optional,
            );
        }
        if let Some(map) = &volume.config_map {
            self.items(
                ObjectKind::ConfigMap,
                &map.name,
                map.items.as_ref(),
                map.optional,
            );
        }
        for source in projections(volume) {
            if let Some(secret) = &source.secret {
                let items = secret.items.as_ref();
                self.items(ObjectKind::Secret, &secret.name, items, secret.optional);
            }
            if let Some(map) = &source.config_map {
                self.items(
                    ObjectKind::ConfigMap,
                    &map.name,
                    map.items.as_ref(),
                    map.optional,
                );
            }
        }
    }

    fn container(&mut self, container: &Container) {
        for source in container.env_from.iter().flatten() {
            if let Some(secret) = &source.secret_ref {
                self.add(ObjectKind::Secret, &secret.name, None, secret.optional);
            }
            if let Some(map) = &source.config_map_ref {
                self.add(ObjectKind::ConfigMap, &map.name, None, map.optional);
            }
        }
        for variable in container.env.iter().flatten() {
            let Some(from) = &variable.value_from else {
                continue;
            };
            if let Some(key) = &from.secret_key_ref {
                self.add(ObjectKind::Secret, &key.name, Some(&key.key), key.optional);
            }
            if let Some(key) = &from.config_map_key_ref {
                self.add(
                    ObjectKind::ConfigMap,
                    &key.name,
                    Some(&key.key),
                    key.optional,
                );
            }
        }
    }
}
