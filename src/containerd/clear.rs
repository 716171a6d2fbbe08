//! Taking Kubernetes' containers off the node, and only those: by the labels that containerd's CRI
//! plugin and our own engine put on what they make. Images stay.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::listing::Record;
use super::view::{KIND, POD_NAME, POD_NAMESPACE, POD_UID};
use super::{Containerd, Error};
use crate::core::observed::TaskState;

/// Rounds of looking and removing: what something starts anew meanwhile is found again.
const ROUNDS: usize = 20;

/// Whose a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The kubelet's.
    Kubernetes,
    /// Our own engine's.
    Ours,
    /// Somebody else's: left alone.
    Foreign,
}

/// One container or sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// containerd's namespace.
    pub namespace: String,
    /// containerd's id.
    pub id: String,
    /// Whose it is.
    pub owner: Owner,
    /// A pod's sandbox: goes after its containers.
    pub sandbox: bool,
    /// `namespace/name` of its pod; empty where no label says so.
    pub pod: String,
    /// The process of its task; 0: none.
    pub pid: u32,
    /// It has a task.
    task: bool,
}

impl Containerd {
    /// Everything in the kubelet's namespace and in our engine's, whose containers have the label
    /// `engine_label`.
    pub async fn found(&self, engine_label: &str) -> Result<Vec<Found>, Error> {
        let config = self.config();
        let mut all = Vec::new();
        for (namespace, ours) in [
            (&config.cri_namespace, false),
            (&config.engine_namespace, true),
        ] {
            let listing = self.list(namespace).await?;
            all.extend(listing.into_iter().map(|(id, record)| {
                let labelled = if ours {
                    !record.label(engine_label).is_empty()
                } else {
                    !record.label(POD_UID).is_empty()
                        || matches!(record.label(KIND), "sandbox" | "container")
                };
                Found {
                    namespace: namespace.clone(),
                    owner: match (labelled, ours) {
                        (false, _) => Owner::Foreign,
                        (true, true) => Owner::Ours,
                        (true, false) => Owner::Kubernetes,
                    },
                    sandbox: record.label(KIND) == "sandbox",
                    pod: pod_of(&record),
                    pid: record.pid,
                    task: record.task != TaskState::None,
                    id,
                }
            }));
        }
        Ok(all)
    }

    /// Stops and removes all of Kubernetes and of our engine: SIGTERM, SIGKILL after `grace`,
    /// then task, container and writable layer. Returns when none is listed any more.
    ///
    /// # Errors
    /// Where containerd does not answer, a task does not end, or something starts them anew
    /// faster than they go.
    pub async fn clear(&self, engine_label: &str, grace: Duration) -> Result<(), Error> {
        for _ in 0..ROUNDS {
            let mut left = self.found(engine_label).await?;
            left.retain(|found| found.owner != Owner::Foreign);
            if left.is_empty() {
                return Ok(());
            }
            // Containers first: a sandbox holds their network.
            let (sandboxes, containers): (Vec<_>, Vec<_>) =
                left.iter().partition(|found| found.sandbox);
            try_join_all(containers.iter().map(|found| self.take_off(found, grace))).await?;
            let none = Duration::ZERO;
            try_join_all(sandboxes.iter().map(|found| self.take_off(found, none))).await?;
        }
        Err(Error::unreadable(
            "Containers.List",
            format!("containers came back {ROUNDS} times: something starts them again"),
        ))
    }

    async fn take_off(&self, found: &Found, grace: Duration) -> Result<(), Error> {
        let (ns, id) = (found.namespace.as_str(), found.id.as_str());
        if found.task {
            if found.pid != 0 {
                self.end_task(ns, id, grace).await?;
            }
            self.delete_task(ns, id).await?;
        }
        let record = self.container(ns, id).await?;
        self.delete_container(ns, id).await?;
        // Another snapshotter's layer goes by containerd's own collection.
        if let Some(record) = record
            && record.snapshotter == super::images::SNAPSHOTTER
            && !record.snapshot_key.is_empty()
        {
            self.remove_snapshot(ns, &record.snapshot_key).await?;
        }
        Ok(())
    }
}

fn pod_of(record: &Record) -> String {
    let (namespace, name) = (record.label(POD_NAMESPACE), record.label(POD_NAME));
    if name.is_empty() {
        String::new()
    } else {
        format!("{namespace}/{name}")
    }
}
