//! Every key: name, meaning, default and range, in the order of the configuration file. This is
//! the only list of them; `systemd/config.toml` and the README's table are compared with it.

mod backup;
mod checkpoint;
mod etcd;
mod names;
mod recovery;
mod sources;
mod targets;

use std::path::Path;

use super::kinds::quoted;
use super::reader::{Key, Reader};
use super::settings::{Engine, Log, Metrics, Node, Paths, Probe, Settings, Socket};
use super::show::InForce;
use crate::core::policy::{Policy, handover_spread};

const MIB: u64 = 1024 * 1024;

/// Every key with its default, for a host of this name.
#[must_use]
pub fn table(hostname: &str) -> Vec<InForce> {
    let mut reader = Reader::new(vec![targets::example()]);
    let _ = read(&mut reader, hostname);
    reader.finish().0
}

const fn key(name: &'static str, meaning: &'static str) -> Key {
    Key { name, meaning }
}

/// Reads every key. Mistakes stay in the reader; where there are none the settings are valid
/// each on its own (combinations: [`super::checks`]).
pub fn read(r: &mut Reader, hostname: &str) -> Settings {
    let node = node(r, hostname);
    let paths = paths(r);
    let socket = socket(r);
    let metrics = metrics(r);
    let containerd = sources::containerd(r);
    let kubelet = sources::kubelet(r);
    let apiserver = sources::apiserver(r);
    let policy = checkpoint::policy(r, &node.name);
    let engine = engine(r);
    let probe = probe(r);
    let etcd::Etcd {
        settings: etcd,
        data_dir: etcd_data_dir,
        unit: etcd_unit,
    } = etcd::etcd(r);
    let backup = backup::backup(r, etcd_data_dir.clone());
    let recovery = recovery::recovery(r);
    Settings {
        log: log(r),
        policy: Policy {
            engine_enabled: engine.enabled,
            handover_spread: handover_spread(&node.name, &recovery.policy.other_masters),
            ..policy
        },
        node,
        paths,
        socket,
        metrics,
        containerd,
        kubelet,
        apiserver,
        probe,
        engine,
        etcd,
        etcd_unit,
        etcd_data_dir,
        backup,
        recovery,
    }
}

fn node(r: &mut Reader, hostname: &str) -> Node {
    r.section("node");
    let name = r.text(
        key(
            "name",
            "Name under which the kubelet registers; empty: the host name, lower case.",
        ),
        "a DNS name (lower-case letters, digits, `-` and `.`), or \"\" for the host name",
        hostname,
        |text| {
            if text.is_empty() {
                Ok(())
            } else {
                names::dns(text)
            }
        },
    );
    Node {
        name: if name.is_empty() {
            hostname.to_owned()
        } else {
            name
        },
        address: r.address(key(
            "address",
            "Address of host-network pods; empty: taken from the kubelet's hostIP.",
        )),
    }
}

fn paths(r: &mut Reader) -> Paths {
    r.section("paths");
    let state_dir = r.path(
        key("state_dir", "State file and stored revisions."),
        "/var/lib/rekindle",
    );
    let manifest_dir = r.path(
        key(
            "manifest_dir",
            "The kubelet's static pod directory (staticPodPath).",
        ),
        "/etc/kubernetes/manifests",
    );
    let sibling = manifest_dir
        .parent()
        .unwrap_or(Path::new("/"))
        .join(".rekindle-staging");
    Paths {
        manifest_staging_dir: r.path(
            key(
                "manifest_staging_dir",
                "Where manifests are written before their rename: beside manifest_dir, same file system.",
            ),
            sibling,
        ),
        bootstrap_secrets_dir: r.path(
            key(
                "bootstrap_secrets_dir",
                "Where `start` puts the keys of the temporary control plane.",
            ),
            "/etc/kubernetes/bootstrap-secrets",
        ),
        pod_log_dir: r.path(
            key("pod_log_dir", "Logs of the pods that our own engine runs."),
            "/var/log/pods",
        ),
        container_log_dir: r.path(
            key(
                "container_log_dir",
                "The kubelet's links to logs of containers: `cleanup` archives them.",
            ),
            "/var/log/containers",
        ),
        quarantine_dir: r.path(
            key(
                "quarantine_dir",
                "Where `cleanup` moves what it takes off the node; best on the same file system.",
            ),
            "/var/lib/rekindle/quarantine",
        ),
        boot_id_file: r.path(
            key("boot_id_file", "Where the kernel says which boot this is."),
            "/proc/sys/kernel/random/boot_id",
        ),
        state_dir,
        manifest_dir,
    }
}

fn socket(r: &mut Reader) -> Socket {
    r.section("socket");
    Socket {
        path: r.path(
            key(
                "path",
                "The local socket, where systemd does not hand one over.",
            ),
            "/run/rekindle/rekindle.sock",
        ),
        group: r.text(
            key(
                "group",
                "Members of this group may read status and metrics.",
            ),
            "a group name, at most 32 characters",
            "rekindle",
            names::group,
        ),
        request_limit_bytes: r.bytes(
            key("request_limit_bytes", "Largest request body."),
            64 * 1024,
            1024..=MIB,
        ),
        request_deadline: r.seconds(
            key(
                "request_deadline_seconds",
                "Time for a client to send a whole request.",
            ),
            10,
            1..=300,
        ),
    }
}

fn metrics(r: &mut Reader) -> Metrics {
    r.section("metrics");
    Metrics {
        listen_address: r.listen_address(key(
            "listen_address",
            "Also serve /metrics over TCP here, without authentication; empty: off.",
        )),
    }
}

fn engine(r: &mut Reader) -> Engine {
    r.section("engine");
    Engine {
        enabled: r.truth(
            key(
                "enabled",
                "Run checkpoints through containerd when the kubelet cannot.",
            ),
            true,
        ),
        cgroup_parent: r.text(
            key("cgroup_parent", "Parent of our own engine's cgroups."),
            "an absolute cgroup path, at most 200 characters",
            "/rekindle",
            names::cgroup,
        ),
    }
}

fn probe(r: &mut Reader) -> Probe {
    r.section("probe");
    Probe {
        period: r.milliseconds(
            key(
                "period_milliseconds",
                "Between two probes of a pod that is waited for.",
            ),
            500,
            50..=60_000,
        ),
        timeout: r.seconds(
            key(
                "timeout_seconds",
                "Upper bound of one probe; a pod's own shorter one stands.",
            ),
            15,
            1..=300,
        ),
    }
}

fn log(r: &mut Reader) -> Log {
    r.section("log");
    Log {
        level: r.text(
            key(
                "level",
                "Least level that is logged, for one target `TARGET=LEVEL`, with commas.",
            ),
            "error, warn, info, debug, trace or off, or such for targets",
            "info",
            |text| {
                text.parse::<tracing_subscriber::filter::Targets>()
                    .map(|_| ())
                    .map_err(|error| format!("{}: {error}", quoted(text)))
            },
        ),
    }
}
