//! What in a pod would make some kubelet refuse it as a static pod, or wait for an API server.
//! The last check of rendering, and the store's before a manifest is written.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume};

use super::needs::all_containers;

/// Every reference to an API object in `pod`, by its path; empty for a good static pod.
///
/// More than the newest kubelet refuses: also what makes it wait for the API server (a
/// `RuntimeClass`) and what only the scheduler would do something about.
/// Source: Kubernetes 1.35 `pkg/api/pod/util.go`, `HasAPIObjectReference`, called for static pods
/// by `pkg/kubelet/config/common.go` since 1.34, without a way out since 1.37; 1.20
/// `plugin/pkg/admission/noderestriction`, which refuses such mirror pods.
#[must_use]
pub fn api_references(pod: &Pod) -> Vec<String> {
    let mut found = Vec::new();
    if pod
        .metadata
        .owner_references
        .iter()
        .flatten()
        .next()
        .is_some()
    {
        found.push("metadata.ownerReferences".to_owned());
    }
    let Some(spec) = &pod.spec else {
        return found;
    };
    for (path, set) in spec_fields(spec) {
        if set {
            found.push(format!("spec.{path}"));
        }
    }
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        found.extend(volume_fields(volume).map(|path| format!("spec.volumes[{index}].{path}")));
    }
    for container in all_containers(spec) {
        let fields = container_fields(container);
        found.extend(fields.map(|path| format!("spec container {}: {path}", container.name)));
    }
    found
}

fn some(text: Option<&String>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

fn filled<T>(list: Option<&Vec<T>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

fn spec_fields(spec: &PodSpec) -> [(&'static str, bool); 13] {
    [
        (
            "serviceAccountName",
            some(spec.service_account_name.as_ref()),
        ),
        ("serviceAccount", some(spec.service_account.as_ref())),
        ("imagePullSecrets", filled(spec.image_pull_secrets.as_ref())),
        ("resourceClaims", filled(spec.resource_claims.as_ref())),
        ("runtimeClassName", some(spec.runtime_class_name.as_ref())),
        ("schedulingGroup", spec.scheduling_group.is_some()),
        ("schedulingGates", filled(spec.scheduling_gates.as_ref())),
        (
            "ephemeralContainers",
            filled(spec.ephemeral_containers.as_ref()),
        ),
        ("nodeName", some(spec.node_name.as_ref())),
        (
            "nodeSelector",
            spec.node_selector
                .as_ref()
                .is_some_and(|map| !map.is_empty()),
        ),
        ("affinity", spec.affinity.is_some()),
        (
            "topologySpreadConstraints",
            filled(spec.topology_spread_constraints.as_ref()),
        ),
        (
            "evictionResponders",
            filled(spec.eviction_responders.as_ref()),
        ),
    ]
}

/// Fields of a volume that need the API server. Anything that is neither of the node nor filled
/// from the pod itself counts.
fn volume_fields(volume: &Volume) -> impl Iterator<Item = String> {
    let projected = volume
        .projected
        .iter()
        .flat_map(|p| p.sources.iter().flatten());
    let only_downward = projected.clone().all(|source| {
        source.secret.is_none()
            && source.config_map.is_none()
            && source.service_account_token.is_none()
            && source.cluster_trust_bundle.is_none()
            && source.pod_certificate.is_none()
    });
    super::volumes::kinds(volume)
        .into_iter()
        .filter(move |kind| match kind.as_str() {
            "hostPath" | "emptyDir" | "downwardAPI" | "image" => false,
            "projected" => !only_downward,
            _ => true,
        })
}

fn container_fields(container: &Container) -> impl Iterator<Item = String> {
    let from = container.env_from.iter().flatten();
    let from = from.map(|source| {
        let kind = if source.secret_ref.is_some() {
            "secretRef"
        } else {
            "configMapRef"
        };
        format!("envFrom {kind}")
    });
    let env = container.env.iter().flatten().filter_map(|variable| {
        let source = variable.value_from.as_ref()?;
        let kind = if source.secret_key_ref.is_some() {
            "secretKeyRef"
        } else if source.config_map_key_ref.is_some() {
            "configMapKeyRef"
        } else {
            return None;
        };
        Some(format!("env {} {kind}", variable.name))
    });
    let claims = container
        .resources
        .iter()
        .filter(|r| filled(r.claims.as_ref()));
    let claims = claims.map(|_| "resources.claims".to_owned());
    from.chain(env).chain(claims)
}
