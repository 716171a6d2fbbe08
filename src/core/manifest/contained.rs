//! The part of rendering that every static pod of ours goes through, checkpoint or recovered: the
//! spec without references, and its data as files.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::access::Users;
use super::findings::Findings;
use super::gathered::Gathered;
use super::references::api_references;
use super::render::Source;
use super::rendered::DataFile;
use super::tree::{DATA_LIMIT, Tree};
use super::{env, mounts, spec, volumes};

/// Annotations that change how a pod runs; all others are left out.
const KEPT_ANNOTATIONS: [&str; 5] = [
    "container.apparmor.security.beta.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/pod",
    "container.seccomp.security.alpha.kubernetes.io/",
    "kubernetes.io/ingress-bandwidth",
    "kubernetes.io/egress-bandwidth",
];

/// A pod that needs no API server, with its data.
#[derive(Debug, Clone, PartialEq)]
pub struct Contained {
    /// The pod. Data volumes are host paths below
    /// [`DATA_DIR_PLACEHOLDER`](super::rendered::DATA_DIR_PLACEHOLDER).
    pub pod: Pod,
    /// Files of the data volumes.
    pub files: Vec<DataFile>,
    /// Why it cannot run without an API server; empty for a good one.
    pub refused: Vec<String>,
    /// What was changed or left out that a reader should know.
    pub notes: Vec<String>,
}

/// Makes `pod` self-contained. Its name, namespace, labels and annotations are those that the
/// downward API tells; of them, labels and most annotations are not in the result. What
/// `gathered` does not hold at all is left out without a word: the caller has dealt with it.
#[must_use]
pub fn contained(pod: &Pod, gathered: &Gathered) -> Contained {
    let meta = &pod.metadata;
    let source = Source {
        pod,
        namespace: meta.namespace.as_deref().unwrap_or("default"),
        name: meta.name.as_deref().unwrap_or_default(),
        uid: meta.uid.as_deref().unwrap_or_default(),
        gathered,
    };
    let annotations = kept_annotations(meta);
    let mut made = Pod {
        metadata: ObjectMeta {
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..ObjectMeta::default()
        },
        spec: pod.spec.clone(),
        status: None,
    };
    let mut findings = Findings::default();
    let (files, _) = contain(&source, &mut made, &mut findings).into_parts();
    Contained {
        pod: made,
        files,
        refused: findings.refused,
        notes: findings.notes,
    }
}

/// The annotations of `meta` that a static pod keeps.
pub(super) fn kept_annotations(meta: &ObjectMeta) -> BTreeMap<String, String> {
    let mut annotations = meta.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| {
        KEPT_ANNOTATIONS
            .iter()
            .any(|kept| key == kept || kept.ends_with('/') && key.starts_with(kept))
    });
    annotations
}

/// Takes every reference out of `pod`, a copy of the source's with other metadata.
pub(super) fn contain(source: &Source<'_>, pod: &mut Pod, findings: &mut Findings) -> Tree {
    let mut tree = Tree::default();
    if let Some(pod_spec) = &mut pod.spec {
        let users = Users::of(pod_spec, findings);
        spec::sanitise(pod_spec, findings);
        let before = pod_spec.volumes.take().unwrap_or_default();
        let after = volumes::convert(source, &before, &users, &mut tree, findings);
        pod_spec.volumes = (!after.is_empty()).then_some(after);
        let mut bytes = tree.bytes();
        let init = pod_spec.init_containers.iter_mut().flatten();
        for container in init.chain(&mut pod_spec.containers) {
            bytes = bytes.saturating_add(env::convert(source, container, findings));
            mounts::convert(container, &mut tree, findings);
        }
        if bytes > DATA_LIMIT {
            findings.refuse(format!(
                "its data has {bytes} bytes, more than {DATA_LIMIT}"
            ));
        }
    } else {
        findings.refuse("it has no spec");
    }
    if findings.refused.is_empty() {
        for reference in api_references(pod) {
            findings.refuse(format!("{reference} would still need the API server"));
        }
    }
    tree
}
