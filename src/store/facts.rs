//! Stand-in for `core::manifest::facts` until that is merged.

use k8s_openapi::api::core::v1::Pod;

use crate::core::observed::RevisionFacts;

/// What decisions need to know of a stored static pod.
#[must_use]
pub fn facts(pod: &Pod, node_name: &str) -> RevisionFacts {
    let spec = pod.spec.clone().unwrap_or_default();
    let containers = spec.containers.iter();
    let all = containers
        .clone()
        .chain(spec.init_containers.iter().flatten());
    let mut images: Vec<String> = all
        .filter_map(|container| container.image.clone())
        .collect();
    images.sort_unstable();
    images.dedup();
    RevisionFacts {
        static_pod: (
            pod.metadata.namespace.clone().unwrap_or_default(),
            format!(
                "{}-{node_name}",
                pod.metadata.name.clone().unwrap_or_default()
            ),
        ),
        host_network: spec.host_network.unwrap_or_default(),
        containers: containers.map(|container| container.name.clone()).collect(),
        images,
        shares_ports: false,
        engine_refusal: None,
    }
}
