//! Which pods are parents, and the key of a parent's checkpoint. Reads metadata only: whether the
//! pod runs, is finished or is being deleted is `decide`'s business.

use k8s_openapi::api::core::v1::Pod;

use super::{ANNOTATION_CHECKPOINT_OF, ANNOTATION_PARENT};
use crate::core::id::{BadId, CheckpointId};

/// Where the kubelet got a pod from: `api`, `file` or `http`.
/// Source: kubelet 1.20 `pkg/kubelet/types/pod_update.go`, `ConfigSourceAnnotationKey`.
const ANNOTATION_SOURCE: &str = "kubernetes.io/config.source";
/// Marks the API server's shadow of a static pod.
/// Source: kubelet 1.20 `pkg/kubelet/types/pod_update.go`, `ConfigMirrorAnnotationKey`.
const ANNOTATION_MIRROR: &str = "kubernetes.io/config.mirror";
/// Label that a Deployment puts on its `ReplicaSet`s and their pods; the `ReplicaSet`'s name ends
/// in it. Source: Kubernetes 1.20 `pkg/controller/deployment/sync.go`, `getNewReplicaSet`.
pub(super) const LABEL_TEMPLATE_HASH: &str = "pod-template-hash";
/// API groups whose kinds need no group in a checkpoint's key.
const BUILT_IN_GROUPS: [&str; 4] = ["", "apps", "batch", "extensions"];

/// The key of the checkpoint of `pod`, or `None` where it is no parent.
///
/// A parent carries [`ANNOTATION_PARENT`] with exactly `true`, is neither a static pod nor the
/// mirror of one, and is no checkpoint itself. Its key is its controller's; see
/// [`CheckpointId`]. A pod of a `ReplicaSet` made by a Deployment has the Deployment's key, so
/// that a rolling update does not leave one behind; a pod of a `StatefulSet` has its own name in
/// the key, because such pods are not interchangeable. Kinds outside Kubernetes' own API groups
/// carry their group, so that a foreign `DaemonSet` shares no key with the built-in one.
///
/// # Errors
/// Where the names of the pod or its controller make no key: [`BadId`].
#[must_use]
pub fn checkpoint_id(pod: &Pod) -> Option<Result<CheckpointId, BadId>> {
    let annotation = |key: &str| {
        let found = pod.metadata.annotations.as_ref()?.get(key)?;
        Some(found.as_str())
    };
    let label = |key: &str| Some(pod.metadata.labels.as_ref()?.get(key)?.as_str());
    let owners = pod.metadata.owner_references.iter().flatten();
    let controller = owners
        .filter(|owner| owner.controller == Some(true))
        .map(|owner| Controller {
            api_version: &owner.api_version,
            kind: &owner.kind,
            name: &owner.name,
        })
        .next();
    Claim {
        namespace: pod.metadata.namespace.as_deref().unwrap_or("default"),
        name: pod.metadata.name.as_deref().unwrap_or_default(),
        template_hash: label(LABEL_TEMPLATE_HASH),
        controller,
    }
    .id_where(annotation)
}

/// What decides on a parent's key, borrowed from a typed or a half-read pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) template_hash: Option<&'a str>,
    pub(super) controller: Option<Controller<'a>>,
}

/// The owner reference with `controller: true`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Controller<'a> {
    pub(super) api_version: &'a str,
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
}

impl Claim<'_> {
    /// The key, where the annotations make the pod a parent.
    pub(super) fn id_where<'b>(
        &self,
        annotation: impl Fn(&str) -> Option<&'b str>,
    ) -> Option<Result<CheckpointId, BadId>> {
        let parent = annotation(ANNOTATION_PARENT) == Some("true")
            && annotation(ANNOTATION_CHECKPOINT_OF).is_none()
            && annotation(ANNOTATION_MIRROR).is_none()
            && annotation(ANNOTATION_SOURCE) != Some("file");
        parent.then(|| self.id())
    }

    fn id(&self) -> Result<CheckpointId, BadId> {
        let Some(controller) = &self.controller else {
            return CheckpointId::new("pod", self.namespace, self.name);
        };
        match controller.kind {
            "ReplicaSet" => {
                let deployment = self
                    .template_hash
                    .filter(|hash| !hash.is_empty())
                    .and_then(|hash| controller.name.strip_suffix(hash)?.strip_suffix('-'))
                    .filter(|name| !name.is_empty());
                match deployment {
                    Some(name) => CheckpointId::new("deployment", self.namespace, name),
                    None => CheckpointId::new("replicaset", self.namespace, controller.name),
                }
            }
            "StatefulSet" => CheckpointId::new(&controller.qualified(), self.namespace, self.name),
            _ => CheckpointId::new(&controller.qualified(), self.namespace, controller.name),
        }
    }
}

impl Controller<'_> {
    /// Kind, followed by the API group where that is not one of Kubernetes' own. `-` is doubled
    /// before dots become `-`, so that two groups never read alike.
    fn qualified(&self) -> String {
        let group = self.api_version.split_once('/').map_or("", |pair| pair.0);
        if BUILT_IN_GROUPS.contains(&group) {
            return self.kind.to_owned();
        }
        let group = group.replace('-', "--").replace('.', "-");
        format!("{}-{group}", self.kind)
    }
}
