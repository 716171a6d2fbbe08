//! What must be different in a pod that the kubelet runs by itself from files that only root reads.

use k8s_openapi::api::core::v1::{Container, PodSpec, SecurityContext};

use super::component::Component;
use super::kubeconfig::uses_service_account;
use super::pod::Notes;

/// Prepares a template's spec before references are taken out of it.
pub(super) fn prepare(spec: &mut PodSpec, component: Component, notes: &mut Notes) {
    as_root(spec, notes);
    on_the_host(spec, notes);
    without_tokens(spec, component, notes);
    for (field, set) in [
        ("nodeSelector", spec.node_selector.is_some()),
        ("affinity", spec.affinity.is_some()),
    ] {
        if set {
            // A fresh or relabelled node would not fit, and the kubelet would refuse the pod (R1).
            notes.change(format!("{field} is left out: it runs on this host"));
        }
    }
    let account = spec.service_account_name.as_deref().unwrap_or_default();
    if !account.is_empty() {
        notes.change(format!("service account {account} is left out"));
    }
}

/// The files are root's. An image may name a user of its own, so it is said, not left unsaid.
fn as_root(spec: &mut PodSpec, notes: &mut Notes) {
    let mut changed = false;
    let mut clear = |security: &mut SecurityContext| {
        let user = security.run_as_user.take();
        let non_root = security.run_as_non_root.take();
        changed |= user.is_some_and(|user| user != 0) || non_root == Some(true);
    };
    let init = spec.init_containers.iter_mut().flatten();
    for container in init.chain(&mut spec.containers) {
        if let Some(security) = &mut container.security_context {
            clear(security);
        }
    }
    let pod = spec.security_context.get_or_insert_default();
    changed |= pod.run_as_user.is_some_and(|user| user != 0) || pod.run_as_non_root == Some(true);
    pod.run_as_non_root = None;
    pod.run_as_user = Some(0);
    // These would only change groups and modes of volumes that are host paths now.
    pod.fs_group = None;
    pod.fs_group_change_policy = None;
    if changed {
        notes.change("it runs as root, who alone can read the recovered files".to_owned());
    }
}

fn on_the_host(spec: &mut PodSpec, notes: &mut Notes) {
    if spec.host_network != Some(true) {
        spec.host_network = Some(true);
        notes.change("it uses the host's network: there is no other yet".to_owned());
        let init = spec.init_containers.iter_mut().flatten();
        for container in init.chain(&mut spec.containers) {
            ports(container);
        }
    }
    if spec.dns_policy.as_deref() == Some("ClusterFirstWithHostNet") {
        spec.dns_policy = Some("Default".to_owned());
        notes.change("names are resolved as the host does: the cluster's DNS is not up".to_owned());
    }
}

/// On the host's network both must be the same.
/// Source: Kubernetes 1.20 `pkg/apis/core/validation`, `ValidateHostNetwork`.
fn ports(container: &mut Container) {
    for port in container.ports.iter_mut().flatten() {
        if port.host_port.is_some_and(|host| host != 0) {
            port.host_port = Some(port.container_port);
        }
    }
}

/// Tokens of service accounts are issued by an API server, for pods that it knows: there is
/// neither.
fn without_tokens(spec: &mut PodSpec, component: Component, notes: &mut Notes) {
    for volume in spec.volumes.iter_mut().flatten() {
        let Some(sources) = volume.projected.as_mut().and_then(|p| p.sources.as_mut()) else {
            continue;
        };
        let before = sources.len();
        for source in sources.iter_mut() {
            source.service_account_token = None;
        }
        sources.retain(|source| {
            source.secret.is_some()
                || source.config_map.is_some()
                || source.downward_api.is_some()
                || source.cluster_trust_bundle.is_some()
                || source.pod_certificate.is_some()
        });
        if sources.len() < before {
            let instead = if spec.containers.iter().any(uses_service_account)
                && component != Component::ApiServer
            {
                "; it gets a kubeconfig instead"
            } else {
                ""
            };
            notes.warn(format!(
                "{component}: the service account's token in volume {} is left out, since no API \
                 server can issue it{instead}",
                volume.name
            ));
        }
    }
}
