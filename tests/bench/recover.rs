//! Reading a control plane out of a snapshot against the predecessor's way with the same file:
//! `etcdctl snapshot restore`, then an etcd on what it made until that is healthy.
//!
//! `cargo bench --bench recover [-- KEYS]` (default 330 000 of about 2.5 KB, 1.1 GiB) fills a real
//! etcd 3.5, saves a snapshot of it, reads it in turns, and prints the figures; then the memory
//! that a file of four times the size takes. The file is in the page cache for both.
#![allow(
    dead_code,
    missing_docs,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking; it uses a part of what the tests share"
)]

#[path = "../real/etcd_cluster.rs"]
mod etcd_cluster;
#[path = "../real/etcd_load.rs"]
mod etcd_load;
#[path = "../real/etcd_way.rs"]
mod etcd_way;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use etcd_cluster::{Cluster, until};
use etcd_load::{client, noise, put_all};
use rekindle::recover::{Source, Want, read};
use serde_json::json;

const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(file) = arguments.iter().find(|arg| arg.ends_with(".snapshot")) {
        return recover(Path::new(file));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let keys = arguments.iter().find_map(|arg| arg.parse().ok());
    runtime.block_on(bench(keys.unwrap_or(330_000)));
}

/// In a process of its own, so that time and memory are its alone.
fn recover(file: &Path) {
    let (peak, end) = (AtomicU64::new(0), AtomicBool::new(false));
    let found = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !end.load(Ordering::Relaxed) {
                peak.fetch_max(anonymous_kib(), Ordering::Relaxed);
                std::thread::park_timeout(Duration::from_millis(2));
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let source = Source::File(file.to_owned());
        let found = runtime.unwrap().block_on(read(&source, &Want::default()));
        peak.fetch_max(anonymous_kib(), Ordering::Relaxed);
        end.store(true, Ordering::Relaxed);
        found.unwrap()
    });
    println!(
        "{} {} {} {}",
        found.daemon_sets.len() + found.deployments.len(),
        found.secrets.len(),
        found.config_maps.len(),
        peak.load(Ordering::Relaxed)
    );
}

async fn bench(keys: usize) {
    for (keys, whole) in [(keys, true), (4 * keys, false)] {
        let quota = format!("--quota-backend-bytes={}", 16_u64 << 30);
        let cluster = Cluster::start_with("3.5", 1, &[&quota]).await;
        let client = client(&cluster, 0).await;
        put_all(&client, control_plane().chain((0..keys).map(pod))).await;
        let file = cluster.path("saved.snapshot");
        save(&cluster, &file);
        let bytes = std::fs::metadata(&file).unwrap().len();
        println!(
            "a snapshot of {} MiB, {keys} keys and a control plane",
            bytes >> 20
        );
        if whole {
            compare(&cluster, &file).await;
        } else {
            let (took, peak) = ours(&file);
            told(took, peak);
        }
    }
}

/// Without a time limit.
fn save(cluster: &Cluster, file: &Path) {
    let mut command = Command::new(cluster.binaries().join("etcdctl"));
    command.env("ETCDCTL_API", "3").args(["snapshot", "save"]);
    command.arg(file);
    command.arg(format!("--endpoints={}", cluster.endpoint(0)));
    for (flag, file) in [
        ("cacert", "ca.crt"),
        ("cert", "client.crt"),
        ("key", "client.key"),
    ] {
        command.arg(format!("--{flag}={}", cluster.path(file).display()));
    }
    let saved = command.stderr(Stdio::null()).output().unwrap();
    assert!(saved.status.success(), "{saved:?}");
}

/// In turns.
async fn compare(cluster: &Cluster, file: &Path) {
    let (mut own, mut theirs, mut peak) = (Vec::new(), Vec::new(), 0);
    for round in 0..ROUNDS {
        let (took, memory) = ours(file);
        own.push(took);
        peak = peak.max(memory);
        let (restored, healthy) = predecessor(cluster, file, round).await;
        println!(
            "  {:.3} s; etcdctl snapshot restore {:.2} s, etcd on it until healthy {:.2} s",
            took.as_secs_f64(),
            restored.as_secs_f64(),
            healthy.as_secs_f64()
        );
        theirs.push(restored + healthy);
    }
    let (own, theirs) = (median(own), median(theirs));
    told(own, peak);
    println!(
        "the predecessor's way {:.2} s, medians of {ROUNDS}: 1/{:.1} of it (goal 1/15)",
        theirs.as_secs_f64(),
        theirs.as_secs_f64() / own.as_secs_f64()
    );
}

fn told(took: Duration, peak_kib: u64) {
    println!(
        "reading it: {:.3} s, peak of anonymous memory {:.1} MiB (goal 64)",
        took.as_secs_f64(),
        peak_kib as f64 / 1024.0
    );
}

/// Wall time of the whole process, and its anonymous memory.
fn ours(file: &Path) -> (Duration, u64) {
    let this = std::env::current_exe().unwrap();
    let begun = Instant::now();
    let output = Command::new(this).arg(file).output().unwrap();
    let took = begun.elapsed();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<u64> = text
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    assert_eq!(numbers[..3], [3, 20, 5], "not all of the control plane");
    (took, numbers[3])
}

async fn predecessor(cluster: &Cluster, file: &Path, round: usize) -> (Duration, Duration) {
    let dir = cluster.path(&format!("restored-{round}"));
    let port = || {
        let bound = TcpListener::bind("127.0.0.1:0").unwrap();
        bound.local_addr().unwrap().port()
    };
    let (client, peer) = (port(), port());
    let (client, peer) = (
        format!("http://127.0.0.1:{client}"),
        format!("http://127.0.0.1:{peer}"),
    );
    let begun = Instant::now();
    let restored = Command::new(cluster.binaries().join("etcdctl"))
        .env("ETCDCTL_API", "3")
        .args(["snapshot", "restore"])
        .arg(file)
        .arg(format!("--data-dir={}", dir.display()))
        .arg("--name=recovery-etcd")
        .arg(format!("--initial-cluster=recovery-etcd={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg("--skip-hash-check=true")
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(restored.success());
    let took = begun.elapsed();
    let begun = Instant::now();
    let mut etcd = Command::new(cluster.binaries().join("etcd"))
        .arg(format!("--data-dir={}", dir.display()))
        .arg("--name=recovery-etcd")
        .arg(format!("--listen-client-urls={client}"))
        .arg(format!("--advertise-client-urls={client}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=recovery-etcd={peer}"))
        .arg(format!("--quota-backend-bytes={}", 16_u64 << 30))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the restored etcd is healthy", async || {
        let client = etcd_client::Client::connect([&client], None).await;
        match client {
            Ok(mut client) => client.get("/", None).await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
    let healthy = begun.elapsed();
    etcd.kill().unwrap();
    etcd.wait().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    (took, healthy)
}

fn pod(number: usize) -> (String, Vec<u8>) {
    let key = format!("/registry/pods/team-b/application-{number:08}-7c9f4d5b6-x2x4z");
    (key, noise(number, 2500 + number % 97))
}

/// Three controllers, 20 Secrets and 5 `ConfigMaps` of kube-system.
fn control_plane() -> impl Iterator<Item = (String, Vec<u8>)> {
    let object = |version: &str, kind: &str, resource: &str, name: String, rest| {
        let mut object = json!({
            "apiVersion": version,
            "kind": kind,
            "metadata": {"name": name, "namespace": "kube-system"},
        });
        let own = object.as_object_mut().unwrap();
        own.extend(serde_json::Map::clone(
            serde_json::Value::as_object(&rest).unwrap(),
        ));
        let key = format!("/registry/{resource}/kube-system/{name}");
        (key, serde_json::to_vec(&object).unwrap())
    };
    let pods = json!({"spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"spec": {"containers": [{"name": "main", "image": "a:1"}]}},
    }});
    let controllers = [
        ("DaemonSet", "daemonsets", "kube-apiserver"),
        ("Deployment", "deployments", "kube-controller-manager"),
        ("Deployment", "deployments", "kube-scheduler"),
    ];
    let controllers = controllers.map(|(kind, resource, name)| {
        object("apps/v1", kind, resource, name.to_owned(), pods.clone())
    });
    let data = |kind, resource, count| {
        (0..count).map(move |number| {
            let data = json!({"data": {"key": "dmFsdWU="}});
            object("v1", kind, resource, format!("{resource}-{number}"), data)
        })
    };
    let secrets = data("Secret", "secrets", 20);
    let maps = data("ConfigMap", "configmaps", 5);
    let all: Vec<_> = controllers.into_iter().chain(secrets).chain(maps).collect();
    all.into_iter()
}

fn anonymous_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.map_or(0, |number| number.parse().unwrap())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
