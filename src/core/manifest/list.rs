//! A kubelet's or API server's list of pods becomes facts for decisions. Every item is read
//! lightly; only parents are parsed whole. Size is bounded by whoever read the bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::parent::{Claim, Controller, LABEL_TEMPLATE_HASH, checkpoint_id};
use super::unknown::unknown_fields;
use crate::core::id::{BadId, CheckpointId, PodRef};
use crate::core::observed::PodSeen;

/// One pod of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedPod {
    /// The facts for decisions.
    pub seen: PodSeen,
    /// The whole pod, for parents only; without its managed fields, which are often the larger
    /// half of a pod and say nothing of how it runs.
    pub spec: Option<Arc<Pod>>,
    /// Set where the pod asks to be checkpointed and its names make no key; then `seen.parent_of`
    /// and `spec` are `None`.
    pub bad_id: Option<BadId>,
    /// Fields below `spec` that this build does not know, for parents read from JSON: they are
    /// missing in a checkpoint.
    pub unknown_fields: Vec<String>,
}

/// Why some bytes are no list of pods. A list is never shortened: one bad item fails it all.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// Not JSON, cut short, or with something after it.
    #[error("the pod list cannot be read as JSON")]
    Document(#[source] serde_json::Error),
    /// Another kind of document.
    #[error("the document is no PodList but {0:?}")]
    Kind(String),
    /// A `PodList` without `items`; an empty list says `null` or `[]`.
    #[error("the pod list has no items field")]
    NoItems,
    /// An item is no pod.
    #[error("item {index} of the pod list cannot be read as a pod")]
    Item {
        /// Position in the list, from 0.
        index: usize,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// An item has no name.
    #[error("item {0} of the pod list has no name")]
    NoName(usize),
}

/// Reads a `PodList` (or kubectl's `List`). Its items may lack `apiVersion` and `kind`, and may be
/// `null` altogether, as the kubelet writes them.
///
/// # Errors
/// See [`ListError`].
pub fn pod_list(bytes: &[u8]) -> Result<Vec<ListedPod>, ListError> {
    let items = pod_items(bytes)?.into_iter().enumerate();
    items.map(|(index, raw)| pod_item(index, raw)).collect()
}

/// The items of a list, not read yet: for who reads them one by one, by [`pod_item`].
///
/// # Errors
/// See [`ListError`]; never one of an item.
pub fn pod_items(bytes: &[u8]) -> Result<Vec<&RawValue>, ListError> {
    let document: Document<'_> = serde_json::from_slice(bytes).map_err(ListError::Document)?;
    let kind = document.kind.unwrap_or_default();
    if kind != "PodList" && kind != "List" {
        return Err(ListError::Kind(kind.chars().take(80).collect()));
    }
    match document.items {
        Items::Listed(items) => Ok(items),
        Items::Absent => Err(ListError::NoItems),
    }
}

/// The facts of a pod that came typed, from a watch.
#[must_use]
pub fn listed(pod: &Pod) -> ListedPod {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let phase = status.and_then(|status| status.phase.as_deref());
    let seen = PodSeen {
        pod: PodRef {
            namespace: pod
                .metadata
                .namespace
                .as_deref()
                .unwrap_or("default")
                .to_owned(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
        },
        parent_of: None,
        ready: conditions
            .into_iter()
            .flatten()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        finished: matches!(phase, Some("Succeeded" | "Failed")),
        deleting: pod.metadata.deletion_timestamp.is_some(),
    };
    assemble(seen, checkpoint_id(pod), || Ok((pod.clone(), Vec::new())))
        .unwrap_or_else(|never: std::convert::Infallible| match never {})
}

fn assemble<E>(
    mut seen: PodSeen,
    id: Option<Result<CheckpointId, BadId>>,
    whole: impl FnOnce() -> Result<(Pod, Vec<String>), E>,
) -> Result<ListedPod, E> {
    let mut pod = ListedPod {
        seen: seen.clone(),
        spec: None,
        bad_id: None,
        unknown_fields: Vec::new(),
    };
    match id {
        None => {}
        Some(Err(bad)) => pod.bad_id = Some(bad),
        Some(Ok(id)) => {
            let (mut spec, unknown) = whole()?;
            spec.metadata.managed_fields = None;
            seen.parent_of = Some(id);
            pod.seen = seen;
            pod.spec = Some(Arc::new(spec));
            pod.unknown_fields = unknown;
        }
    }
    Ok(pod)
}

/// Reads the item at `index` of a list, or the object of a watch.
///
/// # Errors
/// [`ListError::Item`] and [`ListError::NoName`].
pub fn pod_item(index: usize, raw: &RawValue) -> Result<ListedPod, ListError> {
    let unreadable = |source| ListError::Item { index, source };
    let item: Item<'_> = serde_json::from_str(raw.get()).map_err(unreadable)?;
    let meta = &item.metadata;
    if meta.name.is_empty() {
        return Err(ListError::NoName(index));
    }
    let status = item.status.unwrap_or_default();
    let phase = status.phase.as_deref();
    let seen = PodSeen {
        pod: PodRef {
            namespace: meta.namespace().to_owned(),
            name: meta.name.clone().into_owned(),
            uid: meta.uid.as_deref().unwrap_or_default().to_owned(),
        },
        parent_of: None,
        ready: status
            .conditions
            .iter()
            .flatten()
            .any(|condition| condition.of == "Ready" && condition.status == "True"),
        finished: matches!(phase, Some("Succeeded" | "Failed")),
        deleting: meta.deletion_timestamp.is_some(),
    };
    assemble(seen, meta.checkpoint_id(), || {
        let pod: Pod = serde_json::from_str(raw.get())?;
        let unknown = unknown_fields(raw.get(), &pod);
        Ok((pod, unknown))
    })
    .map_err(unreadable)
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    items: Items<'a>,
}

/// Tells `items: null` (empty) from no `items` (not a pod list).
#[derive(Default)]
enum Items<'a> {
    #[default]
    Absent,
    Listed(Vec<&'a RawValue>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items: Option<Vec<&'a RawValue>> = Option::deserialize(deserializer)?;
        Ok(Self::Listed(items.unwrap_or_default()))
    }
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    metadata: Meta<'a>,
    #[serde(borrow)]
    status: Option<Status<'a>>,
}

type Strings<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    uid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    annotations: Option<Strings<'a>>,
    #[serde(borrow)]
    labels: Option<Strings<'a>>,
    #[serde(borrow)]
    owner_references: Option<Vec<Owner<'a>>>,
    #[serde(borrow)]
    deletion_timestamp: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Owner<'a> {
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    controller: Option<bool>,
}

#[derive(Deserialize, Default)]
struct Status<'a> {
    #[serde(borrow)]
    phase: Option<Cow<'a, str>>,
    #[serde(borrow)]
    conditions: Option<Vec<Condition<'a>>>,
}

#[derive(Deserialize)]
struct Condition<'a> {
    #[serde(borrow, rename = "type")]
    of: Cow<'a, str>,
    #[serde(borrow, default)]
    status: Cow<'a, str>,
}

impl Meta<'_> {
    fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    fn checkpoint_id(&self) -> Option<Result<CheckpointId, BadId>> {
        let annotation = |key: &str| Some(self.annotations.as_ref()?.get(key)?.as_ref());
        let label = |key: &str| Some(self.labels.as_ref()?.get(key)?.as_ref());
        let mut owners = self.owner_references.iter().flatten();
        let controller = owners
            .find(|owner| owner.controller == Some(true))
            .map(|owner| Controller {
                api_version: &owner.api_version,
                kind: &owner.kind,
                name: &owner.name,
            });
        Claim {
            namespace: self.namespace(),
            name: &self.name,
            template_hash: label(LABEL_TEMPLATE_HASH),
            controller,
        }
        .id_where(annotation)
    }
}
