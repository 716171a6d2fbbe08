//! A parent and its data become a checkpoint, or the reasons why not.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::contained::{contain, kept_annotations};
use super::digest::revision;
use super::findings::Findings;
use super::finish::label_value;
use super::gathered::Gathered;
use super::names::static_name;
use super::rendered::{DataDir, DataFile, Rendered};
use super::{ANNOTATION_CHECKPOINT_OF, ANNOTATION_ID, ANNOTATION_REVISION, LABEL_CHECKPOINT};
use crate::core::id::{CheckpointId, RevisionId};

/// Labels that controllers put on their pods to tell template versions apart: no Service selects
/// by them, and no controller shall count a mirror pod by them.
const CONTROLLER_LABELS: [&str; 3] = [
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
];

/// What rendering comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A whole checkpoint.
    Whole(Box<Rendered>),
    /// Data has not been read yet: what is missing.
    Waiting(String),
    /// It can be no checkpoint: all reasons.
    Refused(Vec<String>),
}

/// The parent as conversions see it.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) pod: &'a Pod,
    pub(super) namespace: &'a str,
    /// The pod's name and uid for the downward API: replaced by fixed ones for the digest.
    pub(super) name: &'a str,
    pub(super) uid: &'a str,
    pub(super) gathered: &'a Gathered,
}

/// Renders the checkpoint `id` of `parent` on the node `node_name`.
///
/// The revision is the same for every pod of one template with the same data: it depends neither
/// on the parent's name and uid nor on anything the kubelet or a controller adds to it. The
/// node's address is not written into the manifest: `status.hostIP` stays a reference, which the
/// kubelet resolves by itself, so that an address that changed while the node was down is right.
#[must_use]
pub fn render(
    parent: &Pod,
    id: &CheckpointId,
    node_name: &str,
    _node_address: Option<&str>,
    gathered: &Gathered,
) -> Outcome {
    let meta = &parent.metadata;
    let source = Source {
        pod: parent,
        namespace: meta.namespace.as_deref().unwrap_or("default"),
        name: meta.name.as_deref().unwrap_or_default(),
        uid: meta.uid.as_deref().unwrap_or_default(),
        gathered,
    };
    let mut findings = Findings::default();
    let draft = convert(&source, id, node_name, &mut findings);
    if !findings.refused.is_empty() {
        return Outcome::Refused(findings.refused);
    }
    if !findings.waiting.is_empty() {
        return Outcome::Waiting(findings.waiting.join("; "));
    }
    let nameless = Source {
        name: "parent",
        uid: "0",
        ..source
    };
    let template = convert(&nameless, id, node_name, &mut Findings::default());
    match revision(&template.pod, &template.files, &template.dirs) {
        Ok(revision) => Outcome::Whole(Box::new(
            draft.into_rendered(&source, id, revision, findings),
        )),
        Err(reason) => Outcome::Refused(vec![reason]),
    }
}

/// A checkpoint without the annotations that name its parent and revision.
struct Draft {
    pod: Pod,
    files: Vec<DataFile>,
    dirs: Vec<DataDir>,
}

impl Draft {
    fn into_rendered(
        mut self,
        source: &Source<'_>,
        id: &CheckpointId,
        revision: RevisionId,
        findings: Findings,
    ) -> Rendered {
        let annotations = self.pod.metadata.annotations.get_or_insert_default();
        annotations.insert(ANNOTATION_CHECKPOINT_OF.to_owned(), source.name.to_owned());
        annotations.insert(ANNOTATION_REVISION.to_owned(), revision.to_string());
        Rendered {
            checkpoint: id.clone(),
            revision,
            pod: self.pod,
            files: self.files,
            dirs: self.dirs,
            notes: findings.notes,
        }
    }
}

fn convert(
    source: &Source<'_>,
    id: &CheckpointId,
    node_name: &str,
    findings: &mut Findings,
) -> Draft {
    let mut pod = Pod {
        metadata: metadata(source, id, node_name, findings),
        spec: source.pod.spec.clone(),
        status: None,
    };
    let (files, dirs) = contain(source, &mut pod, findings).into_parts();
    Draft { pod, files, dirs }
}

fn metadata(
    source: &Source<'_>,
    id: &CheckpointId,
    node_name: &str,
    findings: &mut Findings,
) -> ObjectMeta {
    let name = static_name(id, node_name).unwrap_or_else(|reason| {
        findings.refuse(reason);
        String::new()
    });
    let meta = &source.pod.metadata;
    let mut labels = meta.labels.clone().unwrap_or_default();
    labels.retain(|key, _| !CONTROLLER_LABELS.contains(&key.as_str()));
    labels.insert(LABEL_CHECKPOINT.to_owned(), label_value(id));
    let mut annotations = kept_annotations(meta);
    annotations.insert(ANNOTATION_ID.to_owned(), id.to_string());
    ObjectMeta {
        name: Some(name),
        namespace: Some(source.namespace.to_owned()),
        labels: Some(labels),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    }
}
