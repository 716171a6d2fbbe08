//! What a rehearsal costs the etcd that serves meanwhile: the 99th percentile of puts on a live
//! member during `rekindle backup rehearse`, against during `etcdctl snapshot save` in a loop, and
//! against doing nothing. The goal is at most 1.25 times the second.
//!
//! `cargo bench --bench rehearsal`, on a quiet machine; `REKINDLE_BENCH_MIB` (512) is the size of
//! the database, `REKINDLE_BENCH_ROUNDS` (3) how often each is measured in turn.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    missing_docs,
    reason = "a benchmark prints its figures; the fixtures have more than it needs"
)]

#[path = "../real/etcd_cluster.rs"]
mod etcd_cluster;
#[path = "../real/etcd_way.rs"]
mod etcd_way;
#[path = "../real/rehearsal.rs"]
mod rehearsal;

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use etcd_client::Client;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::etcd_cluster::Cluster;
use crate::rehearsal::{Flaw, Node};

/// Bytes of each object: typical for pods with their managed fields.
const OBJECT: usize = 4 << 10;
/// Between two puts: 200 in a second.
const PACE: Duration = Duration::from_millis(5);
/// Each measurement lasts at least so long; what is measured beside is begun again.
const LEAST: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Beside {
    Nothing,
    Snapshot,
    Rehearsal,
}

fn number(name: &str, default: usize) -> usize {
    let given = std::env::var_os(name).and_then(|text| text.into_string().ok());
    given.map_or(default, |text| text.parse().unwrap())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mib = number("REKINDLE_BENCH_MIB", 512);
    let rounds = number("REKINDLE_BENCH_ROUNDS", 3);
    let cluster = Cluster::start_with("3.5", 1, &["--quota-backend-bytes=8589934592"]).await;
    fill(&cluster, mib << 20).await;
    let node = Node::with_backup(&cluster, None, 1, &Flaw::default());
    println!("database of {mib} MiB, a put every {PACE:?}, {rounds} rounds of at least {LEAST:?}");
    let each = [Beside::Nothing, Beside::Snapshot, Beside::Rehearsal];
    let mut all: Vec<Vec<Duration>> = vec![Vec::new(); each.len()];
    for round in 1..=rounds {
        for (place, beside) in each.into_iter().enumerate() {
            let (times, runs) = measure(&cluster, &node, beside).await;
            println!(
                "round {round}: {beside:?} {runs} times: {}",
                figures(&times)
            );
            all[place].extend(times);
        }
    }
    for (beside, times) in each.iter().zip(&all) {
        println!("{beside:?}: {}", figures(times));
    }
    let ratio = p99(&all[2]).as_secs_f64() / p99(&all[1]).as_secs_f64();
    let met = if ratio <= 1.25 { "met" } else { "MISSED" };
    println!("p99 during a rehearsal / during snapshot save: {ratio:.3} (goal 1.25: {met})");
}

async fn fill(cluster: &Cluster, bytes: usize) {
    let mut tasks = JoinSet::new();
    let writers = 16;
    for writer in 0..writers {
        let mut client = rehearsal::client(cluster).await;
        tasks.spawn(async move {
            for number in 0..bytes / OBJECT / writers {
                let name = format!("m{writer}-{number}");
                put(&mut client, &format!("configmaps/default/{name}"), &name).await;
            }
        });
    }
    tasks.join_all().await;
}

async fn put(client: &mut Client, place: &str, name: &str) {
    let value = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"x":"{}"}}}}"#,
        name.repeat(OBJECT / name.len())
    );
    let key = format!("/registry/{place}");
    client.put(key, value, None).await.unwrap();
}

/// Times of puts while something goes on beside them, and how often it was done.
async fn measure(cluster: &Cluster, node: &Node, beside: Beside) -> (Vec<Duration>, usize) {
    let over = Arc::new(AtomicBool::new(false));
    let mut client = rehearsal::client(cluster).await;
    let until = Arc::clone(&over);
    let puts = tokio::spawn(async move {
        let mut times = Vec::new();
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !until.load(Ordering::Relaxed) {
            ticks.tick().await;
            let begun = Instant::now();
            let name = format!("e{}", times.len() % 1000);
            put(&mut client, &format!("events/default/{name}"), &name).await;
            times.push(begun.elapsed());
        }
        times
    });
    let begun = Instant::now();
    let mut runs = 0;
    while begun.elapsed() < LEAST {
        runs += 1;
        let mut command: Command = match beside {
            Beside::Nothing => {
                let mut ticks = interval(LEAST);
                ticks.tick().await;
                ticks.tick().await;
                continue;
            }
            Beside::Snapshot => save(cluster, node).into(),
            Beside::Rehearsal => node.rehearse(&[]).into(),
        };
        let output = command.stdin(Stdio::null()).output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    over.store(true, Ordering::Relaxed);
    (puts.await.unwrap(), runs)
}

fn save(cluster: &Cluster, node: &Node) -> std::process::Command {
    let file = |name: &str| cluster.path(name).display().to_string();
    let mut command = std::process::Command::new(cluster.binaries().join("etcdctl"));
    command
        .env("ETCDCTL_API", "3")
        .arg(format!("--endpoints={}", cluster.endpoint(0)))
        .arg(format!("--cacert={}", file("ca.crt")))
        .arg(format!("--cert={}", file("client.crt")))
        .arg(format!("--key={}", file("client.key")))
        .args(["snapshot", "save"])
        .arg(node.path("saved.db"));
    command
}

fn p99(times: &[Duration]) -> Duration {
    percentile(times, 99)
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

fn figures(times: &[Duration]) -> String {
    let ms = |percent| percentile(times, percent).as_secs_f64() * 1000.0;
    format!(
        "{} puts, p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, largest {:.2} ms",
        times.len(),
        ms(50),
        ms(90),
        ms(99),
        ms(100)
    )
}
