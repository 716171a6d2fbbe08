//! Pods after a restore: those of nodes that do not exist are deleted, others only told.
//!
//! A pod that runs here and is not in the restored data is ended by the kubelet itself once it has
//! synced with the API server; a pod in the data that does not run here is started by it. Doing
//! either for the kubelet could only hit a pod that it is just starting.

use std::collections::BTreeSet;

use super::facts::{Facts, Look, Pod};
use super::{Act, Planned, apart, unseen};
use crate::core::reading::Reading;
use crate::core::recovery::policy::Hygiene;

pub(super) fn pods(facts: &Facts) -> Vec<Planned> {
    let kind = Hygiene::Pods;
    let look = &facts.second;
    let (Reading::Known(pods), Reading::Known(nodes)) = (&look.pods, &look.nodes) else {
        return unseen(kind, "pods", &look.pods)
            .or(unseen(kind, "nodes of the pods", &look.nodes))
            .into_iter()
            .collect();
    };
    let mut all = Vec::new();
    // An answer without this node is no answer to delete anything by.
    let plausible = nodes.iter().any(|node| node.name == facts.node);
    let before = missing(&facts.first).unwrap_or_default();
    for pod in missing(look).unwrap_or_default() {
        let Pod {
            namespace,
            name,
            uid,
            node,
        } = pod;
        all.push(Planned {
            kind,
            what: format!("pod {namespace}/{name} is bound to {node}, which is no node any more"),
            act: if !plausible {
                Err("this node itself is not among the nodes".to_owned())
            } else if !apart(facts) || !before.contains(&pod) {
                Err("it was not watched for long enough".to_owned())
            } else {
                Ok(Act::DeletePod {
                    namespace: namespace.clone(),
                    name: name.clone(),
                    uid: uid.clone(),
                })
            },
        });
    }
    if let Reading::Known(running) = &look.running {
        let known: BTreeSet<(&str, &str)> = pods
            .iter()
            .map(|pod| (pod.namespace.as_str(), pod.name.as_str()))
            .collect();
        let phantoms = running
            .iter()
            .filter(|(namespace, name)| !known.contains(&(namespace.as_str(), name.as_str())));
        all.extend(phantoms.map(|(namespace, name)| Planned {
            kind,
            what: format!("pod {namespace}/{name} runs here and is not in the restored data"),
            act: Err(
                "the kubelet ends it by itself, unless it is a static pod that is not registered yet"
                    .to_owned(),
            ),
        }));
    }
    all
}

/// Pods of the API that are bound to a node that does not exist.
fn missing(look: &Look) -> Option<Vec<&Pod>> {
    let (pods, nodes) = (look.pods.known()?, look.nodes.known()?);
    let names: BTreeSet<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let lost = pods.iter().filter(|pod| !names.contains(pod.node.as_str()));
    Some(lost.collect())
}

pub(super) fn any_on_a_missing_node(facts: &Facts) -> bool {
    missing(&facts.first).is_some_and(|pods| !pods.is_empty())
}
