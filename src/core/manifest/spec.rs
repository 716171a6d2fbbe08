//! The pod spec without everything that only an API server or a scheduler could resolve.

use k8s_openapi::api::core::v1::{Container, PodSpec, Toleration};

use super::findings::Findings;
use super::needs::all_containers;
use super::payload::shown;

/// Priority classes that every cluster has, with their values. A static pod may keep them: the
/// kubelet resolves no class, treats every static pod as critical, and with `system-node-critical`
/// also protects it from the kernel's out-of-memory killer; the API server lets the mirror pod in
/// only where class and value agree.
/// Source: Kubernetes 1.20 `pkg/kubelet/types/pod_update.go`, `IsCriticalPod` and
/// `IsNodeCriticalPod`; `plugin/pkg/admission/priority`; kubernetes/kubernetes#80491, #133535.
const SYSTEM_CLASSES: [(&str, i32); 2] = [
    ("system-node-critical", 2_000_001_000),
    ("system-cluster-critical", 2_000_000_000),
];

/// Takes the references out of `spec`, all but volumes and environments.
pub(super) fn sanitise(spec: &mut PodSpec, findings: &mut Findings) {
    refuse(spec, findings);
    note(spec, findings);
    spec.service_account_name = None;
    spec.service_account = None;
    spec.automount_service_account_token = Some(false);
    spec.image_pull_secrets = None;
    spec.node_name = None;
    spec.node_selector = None;
    spec.affinity = None;
    spec.topology_spread_constraints = None;
    spec.scheduling_gates = None;
    spec.scheduling_group = None;
    spec.scheduler_name = None;
    spec.eviction_responders = None;
    spec.ephemeral_containers = None;
    spec.readiness_gates = None;
    spec.resource_claims = None;
    spec.runtime_class_name = None;
    spec.overhead = None;
    // Each is checked against the class when the mirror pod is made; without, it is filled in.
    spec.preemption_policy = None;
    let class = spec.priority_class_name.take();
    let class = SYSTEM_CLASSES
        .iter()
        .find(|(name, _)| class.as_deref() == Some(name));
    spec.priority_class_name = class.map(|(name, _)| (*name).to_owned());
    spec.priority = class.map(|(_, value)| *value);
    tolerate_everything(spec);
    let init = spec.init_containers.iter_mut().flatten();
    init.chain(&mut spec.containers).for_each(container);
}

fn refuse(spec: &PodSpec, findings: &mut Findings) {
    if let Some(class) = spec
        .runtime_class_name
        .as_deref()
        .filter(|class| !class.is_empty())
    {
        findings.refuse(format!(
            "its runtimeClassName {} is resolved through the API server",
            shown(class)
        ));
    }
    let claims = spec
        .resource_claims
        .as_ref()
        .is_some_and(|claims| !claims.is_empty());
    let used = all_containers(spec)
        .filter_map(|container| container.resources.as_ref()?.claims.as_ref())
        .any(|claims| !claims.is_empty());
    if claims || used {
        findings.refuse("it uses resource claims, which are allocated through the API server");
    }
}

fn note(spec: &PodSpec, findings: &mut Findings) {
    if spec
        .image_pull_secrets
        .as_ref()
        .is_some_and(|list| !list.is_empty())
    {
        findings.note("imagePullSecrets are left out: the images must be on the node");
    }
    if spec
        .ephemeral_containers
        .as_ref()
        .is_some_and(|list| !list.is_empty())
    {
        findings.note("ephemeral containers are left out");
    }
    if spec
        .readiness_gates
        .as_ref()
        .is_some_and(|list| !list.is_empty())
    {
        findings.note("readiness gates are left out: only the API server could open them");
    }
    if let Some(class) = &spec.priority_class_name
        && !class.is_empty()
        && !SYSTEM_CLASSES.iter().any(|(name, _)| name == class)
    {
        findings.note(format!(
            "priority class {} is left out: a static pod is critical to the kubelet without it",
            shown(class)
        ));
    }
    let labelled = spec
        .security_context
        .as_ref()
        .is_some_and(|s| s.se_linux_options.is_some())
        || all_containers(spec)
            .filter_map(|container| container.security_context.as_ref())
            .any(|security| security.se_linux_options.is_some());
    if labelled {
        findings.note("SELinux options are set: the kubelet does not relabel data from host paths");
    }
}

/// Without this a `NoExecute` taint would have the mirror pod deleted again and again.
fn tolerate_everything(spec: &mut PodSpec) {
    let everything = Toleration {
        operator: Some("Exists".to_owned()),
        ..Toleration::default()
    };
    let tolerations = spec.tolerations.get_or_insert_default();
    if !tolerations.contains(&everything) {
        tolerations.push(everything);
    }
}

fn container(container: &mut Container) {
    if container.image_pull_policy.as_deref() != Some("Never") {
        // `Always`, also by default for the tag `latest`, would ask a registry that may be gone.
        container.image_pull_policy = Some("IfNotPresent".to_owned());
    }
    if let Some(resources) = &mut container.resources {
        resources.claims = None;
    }
}
