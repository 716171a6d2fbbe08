//! Verifying what real etcds write: figures against etcd's own, through puts, deletions,
//! transactions, leases, large values, compactions, defragmentation and a kill.

use std::path::{Path, PathBuf};
use std::process::Command;

use etcd_client::{
    Certificate, Client, CompactionOptions, ConnectOptions, DeleteOptions, GetOptions, Identity,
    PutOptions, TlsOptions, Txn, TxnOp,
};
use rekindle::backup::Progress;
use rekindle::backup::verify::{Kind, Verified, VerifyError, verify};

use crate::etcd_cluster::Cluster;

async fn client(cluster: &Cluster) -> Client {
    let read = |name: &str| std::fs::read(cluster.path(name)).unwrap();
    let tls = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(read("ca.crt")))
        .identity(Identity::from_pem(read("client.crt"), read("client.key")));
    let options = ConnectOptions::new().with_tls(tls);
    Client::connect([cluster.endpoint(0)], Some(options))
        .await
        .unwrap()
}

/// What etcd itself counts below a prefix.
async fn count(client: &mut Client, prefix: &str) -> u64 {
    let options = GetOptions::new().with_prefix().with_count_only();
    let answer = client.get(prefix, Some(options)).await.unwrap();
    u64::try_from(answer.count()).unwrap()
}

/// As many operations in one transaction as etcd takes.
async fn put_all(client: &mut Client, puts: impl Iterator<Item = (String, String)>) {
    let puts: Vec<_> = puts.collect();
    for part in puts.chunks(100) {
        let ops = part.iter();
        let ops: Vec<_> = ops
            .map(|(key, value)| TxnOp::put(key.as_str(), value.as_str(), None))
            .collect();
        client.txn(Txn::new().and_then(ops)).await.unwrap();
    }
}

async fn compact(client: &mut Client, revision: i64) {
    let options = CompactionOptions::new().with_physical();
    client.compact(revision, Some(options)).await.unwrap();
}

fn save(cluster: &Cluster, name: &str) -> PathBuf {
    let path = cluster.path(name);
    cluster.ctl_of(0, &["snapshot", "save", path.to_str().unwrap()]);
    path
}

/// Compares everything that etcd can be asked.
async fn compare(client: &mut Client, cluster: &Cluster, path: &Path) -> Verified {
    let found = verify(path, &Progress::default()).unwrap();
    let status = client.status().await.unwrap();
    let revision = status.header().unwrap().revision();
    assert_eq!(found.content.revision, revision, "{}", path.display());
    assert!(!found.compacting, "{found:?}");
    // Nothing is odd about a healthy database.
    assert_eq!(found.remarks, Vec::<String>::new());
    assert_eq!(found.content.live_keys, count(client, "").await);
    for (resource, live) in &found.content.resources {
        if resource != "other" {
            let prefix = format!("/registry/{resource}/");
            assert_eq!(*live, count(client, &prefix).await, "{resource}");
        }
    }
    let (hash, keys) = snapshot_status(cluster.binaries(), path);
    assert_eq!((found.integrity, found.total_keys), (hash, keys));
    found
}

/// As etcd's own program sums it up.
fn snapshot_status(binaries: &Path, path: &Path) -> (u64, u64) {
    let newer = binaries.join("etcdutl");
    let program = if newer.exists() {
        newer
    } else {
        binaries.join("etcdctl")
    };
    let mut command = Command::new(program);
    command.env("ETCDCTL_API", "3");
    command.args(["snapshot", "status", "-w", "json"]).arg(path);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    (
        status["hash"].as_u64().unwrap(),
        status["totalKey"].as_u64().unwrap(),
    )
}

async fn etcd_agrees(version: &str) {
    let mut cluster = Cluster::start(version, 1).await;
    let mut client = client(&cluster).await;
    let mut etcd = client.clone();
    let fresh = save(&cluster, "fresh.db");
    let found = compare(&mut client, &cluster, &fresh).await;
    assert_eq!((found.content.revision, found.content.live_keys), (1, 0));

    let value = "v".repeat(300);
    let keys = |resource: &'static str, count: usize| {
        let value = value.clone();
        (0..count).map(move |n| (format!("/registry/{resource}/ns/{n:05}"), value.clone()))
    };
    put_all(&mut etcd, keys("pods", 4000)).await;
    put_all(&mut etcd, keys("secrets", 1500)).await;
    put_all(&mut etcd, keys("example.com/widgets", 250)).await;
    put_all(&mut etcd, keys("services/specs", 40)).await;
    for n in 0..3 {
        let large = "large ".repeat(200_000);
        etcd.put(format!("/registry/configmaps/ns/{n}"), large, None)
            .await
            .unwrap();
    }
    etcd.put("compact_rev_key", "7", None).await.unwrap();
    put_all(&mut etcd, keys("pods", 900)).await;
    let prefix = DeleteOptions::new().with_prefix();
    etcd.delete("/registry/pods/ns/001", Some(prefix.clone()))
        .await
        .unwrap();
    let lease = etcd.lease_grant(3600, None).await.unwrap().id();
    let leased = PutOptions::new().with_lease(lease);
    etcd.put("/registry/masterleases/10.0.0.1", "", Some(leased))
        .await
        .unwrap();
    let found = compare(&mut client, &cluster, &save(&cluster, "full.db")).await;
    assert_eq!(found.kind, Kind::Snapshot);
    assert_eq!(found.content.compacted_revision, 0);
    assert_eq!(found.content.resources["pods"], 3900);
    assert!(found.content.records > 6700);

    // Below the newest revision, between a deletion and what follows it.
    put_all(&mut etcd, keys("pods", 300)).await;
    let at = found.content.revision;
    compact(&mut etcd, at).await;
    let found = compare(&mut client, &cluster, &save(&cluster, "compacted.db")).await;
    assert_eq!(found.content.compacted_revision, at);
    etcd.delete("/registry/secrets/", Some(prefix))
        .await
        .unwrap();
    let found = compare(&mut client, &cluster, &save(&cluster, "deleted.db")).await;
    assert_eq!(found.content.resources.get("secrets"), None);
    restored_with_a_bump(&cluster, &found);
    let newest = found.content.revision;
    compact(&mut etcd, newest).await;
    compare(&mut client, &cluster, &save(&cluster, "all.db")).await;
    cluster.ctl_of(0, &["defrag"]);
    let found = compare(&mut client, &cluster, &save(&cluster, "small.db")).await;

    let database = cluster.data_dir(0).join("member/snap/db");
    let error = verify(&database, &Progress::default()).unwrap_err();
    assert!(matches!(error, VerifyError::InUse { .. }), "{error}");
    cluster.kill(0);
    let raw = verify(&database, &Progress::default()).unwrap();
    assert_eq!(raw.kind, Kind::RawDatabase);
    assert_eq!(raw.remarks.len(), 1, "{:?}", raw.remarks);
    // The last moments may be in the log of raft only.
    assert!(raw.content.revision <= found.content.revision);
}

/// A data directory as a restore leaves it, from a snapshot that ends with deletions.
fn restored_with_a_bump(cluster: &Cluster, snapshot: &Verified) {
    let program = cluster.binaries().join("etcdutl");
    if !program.exists() {
        return;
    }
    let into = cluster.path("restored");
    let mut command = Command::new(program);
    command.args(["snapshot", "restore"]);
    command.arg(cluster.path("deleted.db"));
    command.arg(format!("--data-dir={}", into.display()));
    command.args(["--bump-revision=1000000", "--mark-compacted"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let found = verify(&into.join("member/snap/db"), &Progress::default()).unwrap();
    assert_eq!(found.content.records, snapshot.content.records + 1);
    let bumped = snapshot.content.revision + 1_000_000;
    assert_eq!(found.content.revision, bumped);
    // Marked, and not carried out before etcd starts.
    assert!(found.compacting);
    assert!(found.content.live_keys >= snapshot.content.live_keys);
    assert!(
        found.remarks.iter().any(|remark| remark.contains("bumped")),
        "{:?}",
        found.remarks
    );
}

#[tokio::test]
async fn etcd_3_4_agrees_with_every_figure() {
    etcd_agrees("3.4").await;
}

#[tokio::test]
async fn etcd_3_5_agrees_with_every_figure() {
    etcd_agrees("3.5").await;
}

#[tokio::test]
async fn the_newest_etcd_agrees_with_every_figure() {
    let listed = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/etcd"))
        .arg("versions")
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    // Debian's newest may not run on this machine's libraries; the last that does stands for it.
    etcd_agrees(listed.lines().last().unwrap()).await;
}

/// Counting in one pass, against etcd, with deletions and re-creations around each compaction.
#[tokio::test]
async fn live_keys_are_counted_right_around_every_compaction() {
    let cluster = Cluster::start("3.5", 1).await;
    let mut client = client(&cluster).await;
    let mut etcd = client.clone();
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for round in 0..25 {
        let mut last = 0;
        for _ in 0..20 {
            let key = format!("/registry/pods/ns/{}", random(30));
            last = if random(3) == 0 {
                let answer = etcd.delete(key, None).await.unwrap();
                answer.header().unwrap().revision()
            } else {
                let answer = etcd.put(key, "x", None).await.unwrap();
                answer.header().unwrap().revision()
            };
        }
        let back = i64::try_from(random(12)).unwrap();
        compact(&mut etcd, last - back).await;
        let path = save(&cluster, &format!("round-{round}.db"));
        let found = compare(&mut client, &cluster, &path).await;
        assert_eq!(found.content.compacted_revision, last - back);
    }
}
