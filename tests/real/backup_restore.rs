//! Restoring on real etcd: bundles of real snapshots become data directories that real members of
//! one and of three start on, with their revisions above everything that was seen.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rekindle::backup::bundle::{Bundle, BundleWriter};
use rekindle::backup::signing::Signer;
use rekindle::core::backup::id::BackupId;
use rekindle::core::backup::manifest::{Content, EtcdFacts, FORMAT, Manifest, Member, Trigger};
use tempfile::TempDir;

use crate::etcd_cluster::{Cluster, binaries};

const ID: &str = "20261124T003000Z-master1";

/// A cluster that had a backup taken, lost what came after, and then everything.
struct Lost {
    cluster: Cluster,
    version: &'static str,
    dir: TempDir,
    /// Revision of the cluster when it was lost.
    seen: i64,
    config: String,
}

impl Lost {
    async fn new(version: &'static str, members: usize, level: i32) -> Self {
        let mut cluster = Cluster::start(version, members).await;
        for number in 0..50 {
            cluster.ctl(&["put", &format!("/registry/pods/a/p{number}"), "value"]);
        }
        cluster.ctl(&["del", "/registry/pods/a/p0"]);
        let dir = tempfile::tempdir().unwrap();
        let snapshot = dir.path().join("snapshot.db");
        cluster.ctl_of(0, &["snapshot", "save", snapshot.to_str().unwrap()]);
        let at = revision(&cluster);
        bundle(dir.path(), &snapshot, at, level, &cluster);
        cluster.ctl(&["put", "/registry/pods/a/lost", "value"]);
        let seen = revision(&cluster);
        assert_eq!(seen, at + 1);
        // A member that is killed has the last moments in its log only; this brings them to its
        // database.
        let again = dir.path().join("again.db");
        for member in 0..members {
            cluster.ctl_of(member, &["snapshot", "save", again.to_str().unwrap()]);
        }
        for member in 0..members {
            cluster.kill(member);
            let data = cluster.data_dir(member);
            #[expect(clippy::disallowed_methods, reason = "a test's own file")]
            std::fs::rename(&data, data.with_extension("old")).unwrap();
        }
        let config = dir.path().join("config.toml");
        let state = dir.path().display();
        let text = format!(
            "[paths]\nstate_dir = \"{state}\"\n[backup]\ndirectory = \"{state}/backups\"\n"
        );
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(&config, text).unwrap();
        let config = config.to_str().unwrap().to_owned();
        Self {
            cluster,
            version,
            dir,
            seen,
            config,
        }
    }

    fn command(&self, backup: &str, data_dir: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
        command
            .args(["backup", "restore", backup, "--data-dir"])
            .arg(data_dir)
            .args(["--config", &self.config])
            .args(args)
            .env("PATH", binaries(self.version));
        command
    }

    fn restore(&self, member: usize, args: &[&str]) -> Output {
        let data_dir = self.cluster.data_dir(member);
        self.command(ID, &data_dir, args).output().unwrap()
    }

    fn peers(&self, member: usize) -> String {
        format!("m{member}={}", self.cluster.peer_url(member))
    }

    /// What was in the backup is there, and nothing else.
    fn holds_what_was_backed_up(&self) {
        let keys = self
            .cluster
            .ctl(&["get", "/registry/", "--prefix", "--keys-only"]);
        let keys: Vec<&str> = keys.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(keys.len(), 49, "{keys:?}");
        assert!(!keys.contains(&"/registry/pods/a/lost"));
        let value = self.cluster.ctl(&["get", "/registry/pods/a/p49"]);
        assert_eq!(value, "/registry/pods/a/p49\nvalue\n");
    }

    /// Whoever goes on from a revision of before is told to begin afresh.
    fn old_revisions_are_compacted(&self) {
        let rev = format!("--rev={}", self.seen);
        let get = self
            .cluster
            .try_ctl(&self.cluster.endpoint(0), &["get", "/registry/", &rev]);
        assert!(get.unwrap_err().contains("has been compacted"));
        // Ends by itself: a watch that cannot begin is cancelled.
        let args = ["watch", "/registry/", "--prefix", &rev];
        let watch = self.cluster.try_ctl(&self.cluster.endpoint(0), &args);
        let said = watch.unwrap_or_else(|error| error);
        assert!(said.contains("has been compacted"), "{said}");
    }
}

fn revision(cluster: &Cluster) -> i64 {
    let text = cluster.ctl_of(0, &["endpoint", "status", "-w", "json"]);
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    status[0]["Status"]["header"]["revision"].as_i64().unwrap()
}

fn bundle(state: &Path, snapshot: &Path, revision: i64, level: i32, cluster: &Cluster) {
    let id = BackupId::parse(ID).unwrap();
    let signer = Signer::open_or_create(state).unwrap();
    let writer = BundleWriter::begin(&state.join("backups"), &id).unwrap();
    let mut sink = writer.snapshot_sink(level).unwrap();
    let bytes = std::fs::read(snapshot).unwrap();
    sink.push(&bytes).unwrap();
    let part = sink.finish().unwrap();
    let manifest = Manifest {
        format: FORMAT,
        id,
        taken_at: "2026-11-24T00:30:00Z".parse().unwrap(),
        node: "master1".to_owned(),
        trigger: Trigger::Asked,
        etcd: EtcdFacts {
            version: "3".to_owned(),
            cluster_id: 1,
            member_id: 2,
            endpoint: cluster.endpoint(0),
            revision,
            high_water_revision: revision,
            raft_term: 2,
            members: vec![Member {
                id: 2,
                name: "m0".to_owned(),
                peer_urls: vec![cluster.peer_url(0)],
                client_urls: vec![],
                learner: false,
            }],
        },
        content: Content {
            database_bytes: bytes.len() as u64 - 32,
            revision,
            live_keys: 49,
            records: 51,
            ..Content::default()
        },
        versions: [].into(),
        images: [].into(),
        marks: vec![],
        parts: vec![part],
    };
    drop(writer.seal(&manifest, &signer).unwrap());
}

#[track_caller]
fn said(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}\n{errors}");
    said
}

#[track_caller]
fn refused(output: &Output, why: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(why), "{why} is not in {errors}");
}

/// What lies around a data directory beside the cluster's own files.
fn left(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.parent().unwrap()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.contains(".part-") || name.starts_with("rekindle-tmp-")
        })
        .collect()
}

#[tokio::test]
async fn one_member_comes_back_above_what_clients_have_seen() {
    let mut lost = Lost::new("3.5", 1, 3).await;
    let data_dir = lost.cluster.data_dir(0);
    let planned = said(&lost.restore(0, &["--dry-run"]));
    assert!(planned.contains("nothing was done"), "{planned}");
    assert!(!data_dir.exists(), "a dry run does nothing");
    assert_eq!(left(&data_dir), Vec::<PathBuf>::new());
    let text = said(&lost.restore(0, &["-o", "json"]));
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["bump_revision"], 1_000_000_000);
    assert_eq!(report["name"], "m0");
    assert_eq!(left(&data_dir), Vec::<PathBuf>::new());
    refused(&lost.restore(0, &[]), "is not empty");
    lost.cluster.restart_all().await;
    lost.holds_what_was_backed_up();
    let now = revision(&lost.cluster);
    assert!(now >= lost.seen + 1_000_000_000 - 1, "{now}");
    lost.old_revisions_are_compacted();
    lost.cluster.ctl(&["put", "/registry/pods/a/new", "value"]);
}

#[tokio::test]
async fn a_named_set_of_three_comes_back_as_one_cluster() {
    let mut lost = Lost::new("3.5", 3, 0).await;
    let set = [0, 1, 2].map(|member| lost.peers(member)).join(",");
    let cluster = ["--initial-cluster", &set, "-o", "json"];
    let text = said(&lost.restore(0, &[&cluster[..], &["--name", "m0"]].concat()));
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let token = report["initial_cluster_token"].as_str().unwrap();
    let bump = report["bump_revision"].to_string();
    let steps = report["next_steps"].to_string();
    assert!(steps.contains(token) && steps.contains(&bump), "{steps}");
    for member in [1, 2] {
        let name = format!("m{member}");
        let joined = ["--name", &name, "--initial-cluster-token", token];
        let args = [&cluster[..], &joined[..]].concat();
        let unraised = lost.restore(member, &args);
        assert_eq!(unraised.status.code(), Some(2), "its bump must be said");
        said(&lost.restore(member, &[&args[..], &["--bump-revision", &bump]].concat()));
    }
    lost.cluster.restart_all().await;
    lost.holds_what_was_backed_up();
    lost.old_revisions_are_compacted();
    lost.cluster.ctl(&["put", "/registry/pods/a/new", "value"]);
    // Each member has the same history.
    let hashes = lost.cluster.ctl(&["endpoint", "hashkv", "-w", "json"]);
    let hashes: serde_json::Value = serde_json::from_str(&hashes).unwrap();
    let hash = |member: usize| hashes[member]["HashKV"]["hash"].as_u64().unwrap();
    assert_eq!((hash(0), hash(0)), (hash(1), hash(2)), "{hashes}");
}

#[tokio::test]
async fn an_etcd_that_cannot_raise_the_revision_is_refused_without_a_word() {
    let mut lost = Lost::new("3.4", 1, 3).await;
    refused(&lost.restore(0, &[]), "cannot raise the revision");
    assert!(!lost.cluster.data_dir(0).exists());
    let text = said(&lost.restore(0, &["--no-revision-bump"]));
    assert!(text.contains("NOT raised"), "{text}");
    lost.cluster.restart_all().await;
    lost.holds_what_was_backed_up();
    assert!(revision(&lost.cluster) <= lost.seen);
}

#[tokio::test]
async fn a_newer_etcdutl_raises_the_revision_for_an_older_etcd() {
    let mut lost = Lost::new("3.4", 1, 3).await;
    let tool = binaries("3.5").join("etcdutl");
    said(&lost.restore(0, &["--tool", tool.to_str().unwrap()]));
    lost.cluster.restart_all().await;
    lost.holds_what_was_backed_up();
    assert!(revision(&lost.cluster) > lost.seen);
    lost.old_revisions_are_compacted();
}

#[tokio::test]
async fn a_bare_database_is_restored_only_when_told_to() {
    let mut lost = Lost::new("3.5", 1, 3).await;
    let data_dir = lost.cluster.data_dir(0);
    let raw = data_dir.with_extension("old").join("member/snap/db");
    let bare = |args: &[&str]| {
        let raw = raw.to_str().unwrap();
        lost.command(raw, &data_dir, args).output().unwrap()
    };
    refused(&bare(&[]), "it has no signature");
    let peer = lost.cluster.peer_url(0);
    let member = ["--name", "m0", "--initial-advertise-peer-urls", &peer];
    let text = said(&bare(&[&member[..], &["--allow-unsigned"]].concat()));
    assert!(text.contains("write-ahead log"), "{text}");
    lost.cluster.restart_all().await;
    // A member's own database holds what came after the backup as well.
    let kept = lost.cluster.ctl(&["get", "/registry/pods/a/lost"]);
    assert_eq!(kept, "/registry/pods/a/lost\nvalue\n");
    assert!(revision(&lost.cluster) > lost.seen);
}

#[tokio::test]
async fn a_plain_etcdutl_restores_the_snapshot_of_a_bundle() {
    let mut lost = Lost::new("3.5", 1, 3).await;
    let bundle = Bundle::open(&lost.dir.path().join("backups").join(ID)).unwrap();
    let packed = bundle.path().join("snapshot.db.zst");
    let plain = lost.dir.path().join("plain.db");
    let mut out = std::fs::File::create(&plain).unwrap();
    zstd::stream::copy_decode(std::fs::File::open(packed).unwrap(), &mut out).unwrap();
    let output = Command::new(binaries("3.5").join("etcdutl"))
        .args(["snapshot", "restore"])
        .arg(&plain)
        .arg("--data-dir")
        .arg(lost.cluster.data_dir(0))
        .args(["--name", "m0", "--initial-cluster", &lost.peers(0)])
        .args(["--initial-advertise-peer-urls", &lost.cluster.peer_url(0)])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    lost.cluster.restart_all().await;
    lost.holds_what_was_backed_up();
}
