//! What the parents render to, remembered until a parent or its data changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use crate::apiserver::Wanted;
use crate::core::id::{CheckpointId, PodRef};
use crate::core::manifest::gathered::Gathered;
use crate::core::manifest::list::listed;
use crate::core::manifest::needs::{Needs, needs};
use crate::core::manifest::render::{Outcome, render};
use crate::core::manifest::rendered::Rendered;
use crate::core::observed::Rendering;

/// The parents and what they render to.
#[derive(Debug, Default)]
pub struct Renderings {
    parents: Vec<Parent>,
    gathered: Arc<Gathered>,
    node_address: Option<String>,
    /// The result, for [`crate::core::observed::Observed`].
    pub current: BTreeMap<PodRef, Rendering>,
    /// What the parents need, for the API source.
    pub wanted: Wanted,
}

/// One parent, and what came of it.
#[derive(Debug)]
struct Parent {
    pod: Arc<Pod>,
    needs: Needs,
    rendering: Option<(PodRef, Rendering)>,
}

impl Renderings {
    /// Renders again what is not as it was last time: a parent that changed, and all of them where
    /// their data or the node's address did.
    pub fn update(
        &mut self,
        parents: &[Arc<Pod>],
        gathered: &Arc<Gathered>,
        node_name: &str,
        node_address: Option<&str>,
    ) {
        let same_data =
            self.node_address.as_deref() == node_address && Arc::ptr_eq(&self.gathered, gathered);
        let pods = self.parents.iter().map(|parent| &parent.pod);
        if same_data && pods.len() == parents.len() && pods.zip(parents).all(same) {
            return;
        }
        let mut before = std::mem::take(&mut self.parents);
        if !same_data {
            before.clear();
        }
        for pod in parents {
            let found = before.iter().position(|it| Arc::ptr_eq(&it.pod, pod));
            self.parents.push(match found {
                Some(index) => before.remove(index),
                None => Parent::of(pod, gathered, node_name, node_address),
            });
        }
        self.gathered = Arc::clone(gathered);
        self.node_address = node_address.map(str::to_owned);
        self.current = { self.parents.iter() }
            .filter_map(|parent| parent.rendering.clone())
            .collect();
        let (mut objects, mut tokens) = (BTreeSet::new(), BTreeSet::new());
        for parent in &self.parents {
            objects.extend(parent.needs.objects.keys().cloned());
            tokens.extend(parent.needs.tokens.iter().cloned());
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
        let mut pods = self.parents.iter().map(|parent| &parent.pod);
        pods.find(|pod| {
            pod.metadata.uid.as_deref() == Some(parent.uid.as_str())
                && pod.metadata.name.as_deref() == Some(parent.name.as_str())
        })
    }
}

impl Parent {
    fn of(
        pod: &Arc<Pod>,
        gathered: &Gathered,
        node_name: &str,
        node_address: Option<&str>,
    ) -> Self {
        let seen = listed(pod).seen;
        let rendering = seen.parent_of.map(|id| {
            let rendering = match render(pod, &id, node_name, node_address, gathered) {
                Outcome::Whole(rendered) => Rendering::Whole(rendered.revision),
                Outcome::Waiting(what) => Rendering::Waiting(what),
                Outcome::Refused(reasons) => Rendering::Refused(reasons),
            };
            (seen.pod, rendering)
        });
        Self {
            pod: Arc::clone(pod),
            needs: needs(pod),
            rendering,
        }
    }
}

fn same((one, other): (&Arc<Pod>, &Arc<Pod>)) -> bool {
    Arc::ptr_eq(one, other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` parents of a captured answer of a kubelet, each of its own controller.
    fn parents(count: usize) -> Vec<Arc<Pod>> {
        let captured = include_bytes!("../../tests/fixtures/kubelet/pods-33-parent-recovered.json");
        let listed = crate::core::manifest::list::pod_list(captured).unwrap();
        let parent = listed.into_iter().find_map(|pod| pod.spec).unwrap();
        let named = |number: usize| {
            let mut pod = Pod::clone(&parent);
            pod.metadata.uid = Some(format!("uid-{number}"));
            pod.metadata.name = Some(format!("pod-{number}"));
            Arc::new(pod)
        };
        (0..count).map(named).collect()
    }

    fn fresh(parents: &[Arc<Pod>], gathered: &Arc<Gathered>, address: &str) -> Renderings {
        let mut all = Renderings::default();
        all.update(parents, gathered, "node", Some(address));
        all
    }

    #[test]
    fn what_is_rendered_bit_by_bit_is_what_is_rendered_at_once() {
        let gathered = Arc::new(Gathered::default());
        let mut all = fresh(&[], &gathered, "192.0.2.1");
        let mut pods = parents(5);
        let mut check = |pods: &[Arc<Pod>], gathered: &Arc<Gathered>, address: &str| {
            all.update(pods, gathered, "node", Some(address));
            let fresh = fresh(pods, gathered, address);
            assert_eq!(all.current, fresh.current);
            assert_eq!(all.wanted, fresh.wanted);
            all.current.len()
        };
        assert_eq!(check(&pods, &gathered, "192.0.2.1"), 5);
        let host_ip = Pod::clone(&pods[3]);
        pods[3] = Arc::new(Pod {
            status: None,
            ..host_ip
        });
        assert_eq!(check(&pods, &gathered, "192.0.2.1"), 5);
        pods.remove(1);
        pods.rotate_left(2);
        assert_eq!(check(&pods, &gathered, "192.0.2.1"), 4);
        assert_eq!(check(&pods, &gathered, "192.0.2.2"), 4);
        assert_eq!(check(&pods, &Arc::new(Gathered::default()), "192.0.2.2"), 4);
        assert_eq!(check(&[], &gathered, "192.0.2.2"), 0);
    }

    #[test]
    fn a_parent_that_did_not_change_is_not_rendered_again() {
        let gathered = Arc::new(Gathered::default());
        let mut pods = parents(3);
        let mut all = fresh(&pods, &gathered, "192.0.2.1");
        // Where it would be rendered again, this would be gone.
        for parent in &mut all.parents {
            parent.rendering = None;
        }
        pods[2] = Arc::new(Pod::clone(&pods[2]));
        all.update(&pods, &gathered, "node", Some("192.0.2.1"));
        let rendered: Vec<&str> = all.current.keys().map(|pod| pod.name.as_str()).collect();
        assert_eq!(rendered, ["pod-2"]);
    }
}
