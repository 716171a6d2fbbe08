//! What the parents render to, remembered until a parent or its data changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use crate::apiserver::Wanted;
use crate::core::id::{CheckpointId, PodRef};
use crate::core::manifest::gathered::Gathered;
use crate::core::manifest::list::listed;
use crate::core::manifest::needs::needs;
use crate::core::manifest::render::{Outcome, render};
use crate::core::manifest::rendered::Rendered;
use crate::core::observed::Rendering;

/// The parents and what they render to.
#[derive(Debug, Default)]
pub struct Renderings {
    parents: Vec<Arc<Pod>>,
    gathered: Arc<Gathered>,
    node_address: Option<String>,
    /// The result, for [`crate::core::observed::Observed`].
    pub current: BTreeMap<PodRef, Rendering>,
    /// What the parents need, for the API source.
    pub wanted: Wanted,
}

impl Renderings {
    /// Renders again where parents, data or the node's address are not the ones of last time.
    pub fn update(
        &mut self,
        parents: &[Arc<Pod>],
        gathered: &Arc<Gathered>,
        node_name: &str,
        node_address: Option<&str>,
    ) {
        let same_parents = self.parents.len() == parents.len()
            && self
                .parents
                .iter()
                .zip(parents)
                .all(|(one, other)| Arc::ptr_eq(one, other));
        let same_address = self.node_address.as_deref() == node_address;
        if same_parents && same_address && Arc::ptr_eq(&self.gathered, gathered) {
            return;
        }
        self.parents = parents.to_vec();
        self.gathered = Arc::clone(gathered);
        self.node_address = node_address.map(str::to_owned);
        self.current.clear();
        let (mut objects, mut tokens) = (BTreeSet::new(), BTreeSet::new());
        for parent in &self.parents {
            let needs = needs(parent);
            objects.extend(needs.objects.into_keys());
            tokens.extend(needs.tokens);
            let seen = listed(parent).seen;
            let Some(id) = &seen.parent_of else { continue };
            let rendering = match render(parent, id, node_name, node_address, gathered) {
                Outcome::Whole(rendered) => Rendering::Whole(rendered.revision),
                Outcome::Waiting(what) => Rendering::Waiting(what),
                Outcome::Refused(reasons) => Rendering::Refused(reasons),
            };
            self.current.insert(seen.pod, rendering);
        }
        self.wanted = Wanted { objects, tokens };
    }

    /// The whole rendering of one parent: made again, so that no secret is kept in memory.
    pub fn whole(&self, parent: &PodRef, id: &CheckpointId, node_name: &str) -> Option<Rendered> {
        let pod = self.parent(parent)?;
        match render(
            pod,
            id,
            node_name,
            self.node_address.as_deref(),
            &self.gathered,
        ) {
            Outcome::Whole(rendered) => Some(*rendered),
            Outcome::Waiting(_) | Outcome::Refused(_) => None,
        }
    }

    /// The spec of a parent.
    pub fn parent(&self, parent: &PodRef) -> Option<&Arc<Pod>> {
        self.parents.iter().find(|pod| {
            pod.metadata.uid.as_deref() == Some(parent.uid.as_str())
                && pod.metadata.name.as_deref() == Some(parent.name.as_str())
        })
    }
}
