//! Addresses that were right on another host, or before etcd moved.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, PodSpec, Probe};

use super::command::{change, flags};
use super::component::Component;
use super::kubeconfig::value_in;
use super::plan::{Bytes, Wanted};
use crate::core::manifest::expand::expand;

/// Flags whose value must be an address of the host.
/// Source: Kubernetes 1.20 `apiserver/pkg/server/options/serving.go`, `server_run_options.go`.
const OWN: [&str; 5] = [
    "advertise-address",
    "bind-address",
    "address",
    "insecure-bind-address",
    "public-address-override",
];
/// Where the API server finds etcd.
pub(super) const ETCD_SERVERS: &str = "etcd-servers";
const ETCD_OVERRIDES: &str = "etcd-servers-overrides";

/// What was changed, what should be, and the addresses that gave way.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub(super) changes: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) old: BTreeSet<String>,
}

/// Replaces the addresses of etcd, where the operator gave others (`predecessor.md` R7).
pub(super) fn etcd(container: &mut Container, wanted: &Wanted<'_>, moved: &mut Moved) {
    if wanted.etcd_endpoints.is_empty() {
        return;
    }
    let new = wanted.etcd_endpoints.join(",");
    let changed = change(container, ETCD_SERVERS, |_| Some(new.clone()));
    if changed.is_empty() {
        moved.warnings.push(format!(
            "{} has no --{ETCD_SERVERS} on its command line: --etcd-endpoint changes nothing",
            container.name
        ));
    }
    for (old, new) in changed {
        moved
            .changes
            .push(format!("--{ETCD_SERVERS} is {new}, was {old}"));
    }
    let servers = wanted.etcd_endpoints.join(";");
    let changed = change(container, ETCD_OVERRIDES, |value| {
        let groups = value.split(',').map(|entry| {
            let resource = entry
                .split_once('#')
                .map_or(entry, |(resource, _)| resource);
            format!("{resource}#{servers}")
        });
        Some(groups.collect::<Vec<_>>().join(","))
    });
    for (old, new) in changed {
        moved
            .changes
            .push(format!("--{ETCD_OVERRIDES} is {new}, was {old}"));
    }
}

/// Looks at addresses that should be this host's (R10); rewrites them where the operator gave one.
pub(super) fn host(
    spec: &mut PodSpec,
    component: Component,
    wanted: &Wanted<'_>,
    moved: &mut Moved,
) {
    for container in &mut spec.containers {
        let env: Vec<(String, String)> = container
            .env
            .iter()
            .flatten()
            .filter_map(|variable| Some((variable.name.clone(), variable.value.clone()?)))
            .collect();
        let value_of = |name: &str| {
            let found = env.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str())
        };
        for name in OWN {
            for (_, value) in flags(container).iter().filter(|(given, _)| given == name) {
                let address = expand(value, value_of);
                if !foreign(&address, wanted) {
                    continue;
                }
                let what = format!("--{name}={address}");
                let Some(new) = replacement(&what, &address, component, wanted, moved) else {
                    continue;
                };
                for (old, new) in change(container, name, |_| Some(new.clone())) {
                    moved.changes.push(format!("--{name} is {new}, was {old}"));
                }
            }
        }
        for probe in [
            &mut container.liveness_probe,
            &mut container.readiness_probe,
            &mut container.startup_probe,
        ]
        .into_iter()
        .flatten()
        {
            for host in probe_hosts(probe) {
                if !foreign(host, wanted) {
                    continue;
                }
                let what = format!("a probe of {host}");
                if let Some(new) = replacement(&what, host, component, wanted, moved) {
                    moved
                        .changes
                        .push(format!("a probe asks {new}, not {host}"));
                    *host = new;
                }
            }
        }
    }
}

fn probe_hosts(probe: &mut Probe) -> impl Iterator<Item = &mut String> {
    let http = probe.http_get.as_mut().and_then(|get| get.host.as_mut());
    let tcp = probe.tcp_socket.as_mut().and_then(|tcp| tcp.host.as_mut());
    http.into_iter().chain(tcp)
}

fn replacement(
    what: &str,
    address: &str,
    component: Component,
    wanted: &Wanted<'_>,
    moved: &mut Moved,
) -> Option<String> {
    moved.old.insert(address.to_owned());
    if wanted.node_address.is_none() {
        let mine: Vec<&str> = wanted.host_addresses.iter().map(String::as_str).collect();
        moved.warnings.push(format!(
            "{component}: {what} names an address that this host does not have (it has {}): \
             give --node-address to have it rewritten",
            mine.join(", ")
        ));
    }
    wanted.node_address.map(str::to_owned)
}

/// An address, and not one of this host. Every host has the loopback and the unspecified ones.
pub(super) fn foreign(text: &str, wanted: &Wanted<'_>) -> bool {
    let text = text.trim_start_matches('[').trim_end_matches(']');
    is_address(text)
        && !wanted.host_addresses.is_empty()
        && !text.starts_with("127.")
        && !["0.0.0.0", "::", "::1"].contains(&text)
        && !wanted
            .host_addresses
            .iter()
            .any(|own| own.eq_ignore_ascii_case(text))
        && wanted.node_address != Some(text)
}

/// Reads as an IP address; no name of a host does.
pub(super) fn is_address(text: &str) -> bool {
    let four =
        text.split('.').count() == 4 && text.split('.').all(|part| part.parse::<u8>().is_ok());
    let six = text.matches(':').count() >= 2
        && text
            .chars()
            .all(|c| c.is_ascii_hexdigit() || c == ':' || c == '.');
    four || six
}

/// Kubeconfigs among the files that lead to another host: those of the host that was lost lead
/// here now, of others is told. `Ok`: what was changed; `Err`: what may be wrong.
pub(super) fn follow_old(
    files: &mut BTreeMap<String, Bytes>,
    old: &BTreeSet<String>,
    wanted: &Wanted<'_>,
) -> Vec<Result<String, String>> {
    let mut told = Vec::new();
    for (path, bytes) in files.iter_mut() {
        let Some(text) = std::str::from_utf8(&bytes.0)
            .ok()
            .filter(|t| is_kubeconfig(t))
        else {
            continue;
        };
        let Some(server) = value_in(text, "server:") else {
            continue;
        };
        let host = host_of(&server);
        if !foreign(host, wanted) {
            continue;
        }
        match wanted.node_address.filter(|_| old.contains(host)) {
            Some(new) => {
                let bracketed = if new.contains(':') {
                    format!("[{new}]")
                } else {
                    new.to_owned()
                };
                let outer = if host.contains(':') {
                    format!("[{host}]")
                } else {
                    host.to_owned()
                };
                let replaced = server.replacen(&outer, &bracketed, 1);
                told.push(Ok(format!("{path} leads to {replaced}, not {server}")));
                *bytes = Bytes(text.replace(&server, &replaced).into_bytes());
            }
            None => told.push(Err(format!(
                "{path} leads to {server}, which is not this host: it must lead to \
                 this API server"
            ))),
        }
    }
    told
}

fn is_kubeconfig(text: &str) -> bool {
    text.contains("kind: Config") && text.contains("clusters:") && text.contains("server:")
}

/// The host of an URL, without brackets.
pub(super) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if let Some(six) = authority.strip_prefix('[') {
        return six.split(']').next().unwrap_or_default();
    }
    authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host)
}
