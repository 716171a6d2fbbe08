//! What decisions and our own engine need to know of a static pod.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::needs::all_containers;
use super::volumes::kinds;
use crate::core::observed::RevisionFacts;
use crate::core::recover::command::flag;
use crate::core::recover::component::Component;

/// kube-apiserver's, where it names none.
const SECURE_PORT: u16 = 6443;

/// Facts of a rendered or stored static pod on the node `node_name`.
#[must_use]
pub fn facts(static_pod: &Pod) -> RevisionFacts {
    let spec = static_pod.spec.as_ref();
    let images: BTreeSet<String> = spec
        .into_iter()
        .flat_map(all_containers)
        .filter_map(|container| container.image.clone())
        .collect();
    let reasons = spec.map_or_else(|| vec!["it has no spec".to_owned()], engine_refusals);
    RevisionFacts {
        host_network: spec.and_then(|spec| spec.host_network) == Some(true),
        shared_port: spec.and_then(|spec| spec.containers.iter().find_map(shared_port)),
        containers: spec
            .iter()
            .flat_map(|spec| spec.containers.iter())
            .map(|container| container.name.clone())
            .collect(),
        images: images.into_iter().collect(),
        engine_refusal: (!reasons.is_empty()).then(|| reasons.join("; ")),
    }
}

/// The port on which the container lets another process listen beside it (`SO_REUSEPORT`).
///
/// Source: kube-apiserver 1.20 and later, flags `--permit-port-sharing` and `--secure-port`.
fn shared_port(container: &Container) -> Option<u16> {
    let shares = flag(container, "permit-port-sharing");
    secure_port(container).filter(|_| matches!(shares.as_deref(), Some("" | "true")))
}

/// The container of a pod on the host's network that runs kube-apiserver, and the port that it
/// serves on.
#[must_use]
pub fn serving_port(pod: &Pod) -> Option<(String, u16)> {
    let spec = pod.spec.as_ref()?;
    let serves = |it: &&Container| Component::of(it) == Some(Component::ApiServer);
    let container = spec.containers.iter().find(serves)?;
    let port = secure_port(container).filter(|_| spec.host_network == Some(true))?;
    Some((container.name.clone(), port))
}

fn secure_port(container: &Container) -> Option<u16> {
    let given = flag(container, "secure-port");
    let port = given.map_or(Ok(SECURE_PORT), |port| port.parse());
    port.ok().filter(|port| *port != 0)
}

/// Every reason why our own engine does not run this pod.
fn engine_refusals(spec: &PodSpec) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut refuse = |unless: bool, reason: &str| {
        if !unless {
            reasons.push(reason.to_owned());
        }
    };
    let security = spec.security_context.as_ref();
    refuse(
        spec.host_network == Some(true),
        "it does not use the host's network",
    );
    refuse(
        spec.share_process_namespace != Some(true) || spec.containers.len() < 2,
        "its containers share a process namespace",
    );
    refuse(
        spec.host_users != Some(false),
        "it has a user namespace of its own",
    );
    refuse(!spec.containers.is_empty(), "it has no containers");
    refuse(
        security.is_none_or(|s| s.sysctls.as_ref().is_none_or(Vec::is_empty)),
        "it sets sysctls",
    );
    let windows = spec.os.as_ref().is_some_and(|os| os.name == "windows")
        || security.is_some_and(|s| s.windows_options.is_some());
    refuse(!windows, "it is made for Windows");
    for volume in spec.volumes.iter().flatten() {
        for kind in kinds(volume) {
            let known = matches!(kind.as_str(), "hostPath" | "emptyDir" | "downwardAPI");
            refuse(known, &format!("volume {} is of kind {kind}", volume.name));
        }
        let medium = volume
            .empty_dir
            .as_ref()
            .and_then(|dir| dir.medium.as_deref());
        refuse(
            matches!(medium, None | Some("" | "Memory")),
            &format!("volume {} is in huge pages", volume.name),
        );
    }
    for container in spec.init_containers.iter().flatten() {
        refuse(
            container.restart_policy.is_none(),
            &format!("init container {} runs beside the others", container.name),
        );
    }
    for container in all_containers(spec) {
        for reason in container_refusals(container) {
            refuse(false, &format!("container {} {reason}", container.name));
        }
    }
    reasons
}

fn container_refusals(container: &Container) -> Vec<&'static str> {
    let security = container.security_context.as_ref();
    let devices = container
        .volume_devices
        .as_ref()
        .is_some_and(|list| !list.is_empty());
    let windows = security.is_some_and(|s| s.windows_options.is_some());
    let unmasked = security.is_some_and(|s| s.proc_mount.as_deref() == Some("Unmasked"));
    let rules = container
        .restart_policy_rules
        .as_ref()
        .is_some_and(|list| !list.is_empty());
    let file = container.env.iter().flatten().any(|variable| {
        variable
            .value_from
            .as_ref()
            .is_some_and(|from| from.file_key_ref.is_some())
    });
    let reasons = [
        (devices, "uses block devices"),
        (windows, "is made for Windows"),
        (unmasked, "wants an unmasked /proc"),
        (rules, "has restart rules of its own"),
        (file, "takes environment variables from files"),
        (container.image.is_none(), "names no image"),
    ];
    reasons
        .into_iter()
        .filter(|(set, _)| *set)
        .map(|(_, reason)| reason)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(words: &[&str]) -> Option<u16> {
        let (command, args) = words.split_at(1);
        let owned = |words: &[&str]| Some(words.iter().map(ToString::to_string).collect());
        shared_port(&Container {
            command: owned(command),
            args: owned(args),
            ..Container::default()
        })
    }

    #[test]
    fn the_port_of_an_api_server_is_known_by_its_command() {
        let pod = |host_network: bool, command: &[&str]| Pod {
            spec: Some(PodSpec {
                host_network: Some(host_network),
                containers: vec![
                    Container::default(),
                    Container {
                        name: "a".to_owned(),
                        command: Some(command.iter().map(ToString::to_string).collect()),
                        ..Container::default()
                    },
                ],
                ..PodSpec::default()
            }),
            ..Pod::default()
        };
        let found = |port| Some(("a".to_owned(), port));
        let server = "/usr/local/bin/kube-apiserver";
        assert_eq!(serving_port(&pod(true, &[server])), found(6443));
        let other = pod(true, &[server, "--secure-port=443"]);
        assert_eq!(serving_port(&other), found(443));
        let two_words = pod(true, &[server, "--secure-port", "443"]);
        assert_eq!(serving_port(&two_words), found(443));
        let script = format!("exec {server} --secure-port=443 >/dev/log");
        assert_eq!(serving_port(&pod(true, &["sh", "-c", &script])), found(443));
        assert_eq!(serving_port(&pod(false, &[server])), None);
        assert_eq!(serving_port(&pod(true, &["kube-scheduler"])), None);
        assert_eq!(serving_port(&pod(true, &[server, "--secure-port=0"])), None);
    }

    #[test]
    fn a_port_is_shared_where_the_api_server_permits_it() {
        let permits = "--permit-port-sharing";
        assert_eq!(port(&["kube-apiserver", permits]), Some(6443));
        assert_eq!(
            port(&[
                "kube-apiserver",
                "--secure-port=443",
                "--permit-port-sharing=true"
            ]),
            Some(443)
        );
        assert_eq!(
            port(&["kube-apiserver", permits, "--secure-port", "443"]),
            Some(443)
        );
        assert_eq!(port(&["kube-apiserver", "--secure-port=443"]), None);
        assert_eq!(
            port(&["kube-apiserver", "--permit-port-sharing=false"]),
            None
        );
        assert_eq!(port(&["kube-apiserver", permits, "--secure-port=0"]), None);
        assert_eq!(port(&["kube-apiserver", permits, "--secure-port=x"]), None);
    }
}
