//! The pods in a listing, from the labels that containerd's CRI plugin puts on containers.

use std::collections::BTreeMap;

use super::listing::{Listing, Record};
use super::{Containerd, Error};
use crate::core::id::PodRef;
use crate::core::manifest::LABEL_CHECKPOINT;
use crate::core::observed::{ContainerSeen, RuntimeView, Sandbox, TaskState};

/// Source: containerd 1.6 `pkg/cri/server/helpers.go`.
pub(super) const KIND: &str = "io.cri-containerd.kind";
/// Source: kubelet 1.20 `pkg/kubelet/types/labels.go`, here and below.
pub(super) const POD_UID: &str = "io.kubernetes.pod.uid";
pub(super) const POD_NAME: &str = "io.kubernetes.pod.name";
pub(super) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
const CONTAINER_NAME: &str = "io.kubernetes.container.name";

impl Containerd {
    /// What the kubelet's namespace holds now.
    pub async fn view(&self) -> Result<RuntimeView, Error> {
        let namespace = &self.config().cri_namespace;
        Ok(pods_of(&self.list(namespace).await?))
    }
}

/// Groups containers by sandbox, in the order of their ids. A container whose sandbox is not
/// listed is shown in one of the same id that does not run: what runs is never left out.
pub(super) fn pods_of(listing: &Listing) -> RuntimeView {
    let mut sandboxes: BTreeMap<&str, Sandbox> = BTreeMap::new();
    for (id, record) in listing {
        if record.label(KIND) == "sandbox" {
            let running = matches!(record.task, TaskState::Running | TaskState::Paused);
            sandboxes.insert(id, sandbox(id, record, running));
        }
    }
    for (id, record) in listing {
        if record.label(KIND) == "sandbox" || record.label(POD_UID).is_empty() {
            continue;
        }
        let seen = ContainerSeen {
            id: id.clone(),
            name: record.label(CONTAINER_NAME).to_owned(),
            task: record.task,
            pid: record.pid,
        };
        let uid = record.label(POD_UID);
        let by_uid = sandboxes.values().find(|known| known.pod.uid == uid);
        let by_uid = by_uid.and_then(|known| listing.get_key_value(&known.id));
        let home = record.sandbox.as_deref();
        let home = home.or(by_uid.map(|(id, _)| id.as_str())).unwrap_or(uid);
        let home = sandboxes
            .entry(home)
            .or_insert_with(|| sandbox(home, record, false));
        home.containers.push(seen);
    }
    RuntimeView {
        sandboxes: sandboxes.into_values().collect(),
    }
}

fn sandbox(id: &str, record: &Record, running: bool) -> Sandbox {
    Sandbox {
        id: id.to_owned(),
        pod: PodRef {
            namespace: record.label(POD_NAMESPACE).to_owned(),
            name: record.label(POD_NAME).to_owned(),
            uid: record.label(POD_UID).to_owned(),
        },
        running,
        checkpoint: record.labels.get(LABEL_CHECKPOINT).cloned(),
        containers: Vec::new(),
    }
}
