//! Figures of backups, on a real etcd 3.5 with TLS: `backup now` against `etcdctl snapshot save` in
//! turn, wall time and peak memory, and what both do to the latency of etcd's puts.
//!
//! `cargo bench --bench backup` prints one line for each figure with its goal. Arguments:
//! `-- MIB [ROUNDS]` (default 1024 and 5). Wants a quiet machine and four times MIB of disk.
#![allow(
    dead_code,
    missing_docs,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints, and fails by panicking; it uses a part of what the tests share"
)]

#[path = "../real/backup_binary.rs"]
mod backup_binary;
#[path = "../real/etcd_cluster.rs"]
mod etcd_cluster;
#[path = "../real/etcd_load.rs"]
mod etcd_load;
#[path = "../real/etcd_way.rs"]
mod etcd_way;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backup_binary::{Machine, Watched, watch};
use etcd_client::Client;
use etcd_cluster::Cluster;
use etcd_load::{client, noise, put_all};

/// Puts are begun so often, whether or not the ones before have ended: 100 a second, which one
/// master of a cluster of some hundred nodes sees.
const BETWEEN_PUTS: Duration = Duration::from_millis(10);

fn main() {
    let numbers = std::env::args().filter_map(|arg| arg.parse::<usize>().ok());
    let numbers: Vec<_> = numbers.collect();
    let mib = numbers.first().copied().unwrap_or(1024);
    let rounds = numbers.get(1).copied().unwrap_or(5);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(bench(mib, rounds));
}

async fn bench(mib: usize, rounds: usize) {
    let quota = format!("--quota-backend-bytes={}", 16_u64 << 30);
    let cluster = Arc::new(Cluster::start_with("3.5", 1, &[&quota]).await);
    let client = client(&cluster, 0).await;
    let keys = fill_like_kubernetes(&client, mib << 20).await;
    let size = client.clone().status().await.unwrap().db_size();
    println!("a database of {} MiB, {keys} keys", size >> 20);
    for level in [0, 1, 3] {
        let machine = Arc::new(Machine::new(&cluster, &[0], level));
        compare(&machine, &cluster, level, rounds);
    }
    latency(&cluster, &client, rounds).await;
}

/// Wall time and memory, in turn.
fn compare(machine: &Machine, cluster: &Cluster, level: u32, rounds: usize) {
    let (mut ours, mut theirs, mut peak) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        theirs.push(good(snapshot_save(machine, cluster)).wall);
        let ran = good(machine.backup());
        ours.push(ran.wall);
        peak = peak.max(ran.peak_kib);
    }
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    println!(
        "level {level}: `backup now` {:.2} s, `etcdctl snapshot save` {:.2} s, medians of {rounds}: \
         {ratio:.2} (goal 1.30{})",
        ours.as_secs_f64(),
        theirs.as_secs_f64(),
        if level == 0 { "" } else { " is for level 0" }
    );
    let peak = peak as f64 / 1024.0;
    println!("level {level}: peak resident memory {peak:.1} MiB (goal 40)");
}

/// 99 of 100 puts are faster than this, while nothing, a save, a backup runs.
async fn latency(cluster: &Arc<Cluster>, client: &Client, rounds: usize) {
    let machine = Arc::new(Machine::new(cluster, &[0], 0));
    let idle = Arc::new(AtomicBool::new(false));
    let (end, quiet) = (Arc::clone(&idle), puts(client.clone(), Arc::clone(&idle)));
    let wait = async {
        tokio::time::timeout(Duration::from_secs(10), std::future::pending::<()>())
            .await
            .ok();
        end.store(true, Ordering::SeqCst);
    };
    let (mut quiet, ()) = tokio::join!(quiet, wait);
    let (mut saving, mut backing_up) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        for ours in [false, true] {
            let end = Arc::new(AtomicBool::new(false));
            let (machine, cluster) = (Arc::clone(&machine), Arc::clone(cluster));
            let ended = Arc::clone(&end);
            let working = std::thread::spawn(move || {
                let ran = if ours {
                    machine.backup()
                } else {
                    snapshot_save(&machine, &cluster)
                };
                ended.store(true, Ordering::SeqCst);
                good(ran);
            });
            let work = puts(client.clone(), end).await;
            working.join().unwrap();
            if ours { &mut backing_up } else { &mut saving }.extend(work);
        }
    }
    let (quiet, saving, backing_up) = (p99(&mut quiet), p99(&mut saving), p99(&mut backing_up));
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "p99 of puts: {:.1} ms idle, {:.1} ms during `etcdctl snapshot save`, {:.1} ms during `backup \
         now`: {:.2} (goal 1.25)",
        ms(quiet),
        ms(saving),
        ms(backing_up),
        ms(backing_up) / ms(saving)
    );
}

/// How long each put takes, begun on time, until `end`.
async fn puts(client: Client, end: Arc<AtomicBool>) -> Vec<Duration> {
    let mut ticks = tokio::time::interval(BETWEEN_PUTS);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let mut running = tokio::task::JoinSet::new();
    while !end.load(Ordering::SeqCst) {
        ticks.tick().await;
        let mut client = client.clone();
        running.spawn(async move {
            let begun = Instant::now();
            let put = client.put("/registry/leases/bench", vec![1; 1024], None);
            put.await.unwrap();
            begun.elapsed()
        });
    }
    running.join_all().await
}

/// `etcdctl snapshot save`, onto the same file system.
fn snapshot_save(machine: &Machine, cluster: &Cluster) -> Watched {
    let target = machine.path("saved.db");
    std::fs::remove_file(&target).ok();
    let mut command = Command::new(cluster.binaries().join("etcdctl"));
    command.env("ETCDCTL_API", "3").args(["snapshot", "save"]);
    command.arg(target);
    command.arg(format!("--endpoints={}", cluster.endpoint(0)));
    for (flag, file) in [
        ("cacert", "ca.crt"),
        ("cert", "client.crt"),
        ("key", "client.key"),
    ] {
        command.arg(format!("--{flag}={}", cluster.path(file).display()));
    }
    watch(&mut command, &machine.path("stderr"))
}

/// Puts keys like those of a cluster until their values have `bytes` together: many small leases
/// and `ConfigMap`s, pods of some KiB, few large Secrets. Gives their number.
async fn fill_like_kubernetes(client: &Client, bytes: usize) -> usize {
    let one = |n: usize| {
        let (resource, size) = match n % 20 {
            0..=6 => ("leases/kube-node-lease", 500),
            7..=11 => ("configmaps/team-a", 2 << 10),
            12..=17 => ("pods/team-b", 7 << 10),
            18 => ("events/team-c", 1 << 10),
            _ => ("secrets/team-d", 24 << 10),
        };
        let key = format!("/registry/{resource}/application-{n:08}-7c9f4d5b6-x2x4z");
        (key, noise(n, size + n % 97))
    };
    let mut total = 0;
    let mut count = 0;
    let puts = std::iter::from_fn(|| {
        let (key, value) = (total < bytes).then(|| one(count))?;
        total += key.len() + value.len();
        count += 1;
        Some((key, value))
    });
    put_all(client, puts).await;
    count
}

#[track_caller]
fn good(ran: Watched) -> Watched {
    assert!(ran.success, "{}", ran.stderr);
    ran
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}
