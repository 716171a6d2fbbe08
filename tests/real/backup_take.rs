//! Backups of a real etcd with TLS: taken whole, refused where they would be bad, and nothing left
//! of what failed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rekindle::backup::Progress;
use rekindle::backup::bundle::{self, Checks, Depth, HostPath};
use rekindle::backup::signing::Trust;
use rekindle::backup::take::{Request, TakeError, Taken, take};
use rekindle::core::backup::manifest::Trigger;
use rekindle::core::backup::record::Index;
use rekindle::core::reading::chain;
use rekindle::etcd::{Allow, Etcd, EtcdError, Settings};
use tempfile::TempDir;

use crate::etcd_cluster::Cluster;
use crate::etcd_load::{client, fill};

/// Where backups of a test go.
pub struct Place {
    pub dir: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("rekindle-take-").tempdir();
        Self { dir: dir.unwrap() }
    }

    pub fn backups(&self) -> PathBuf {
        self.dir.path().join("backups")
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn request(&self) -> Request {
        Request {
            backups: self.backups(),
            state_dir: self.state(),
            node: "master1".to_owned(),
            trigger: Trigger::Asked,
            allow: Allow::default(),
            prefix: "/registry/".to_owned(),
            compression_level: 0,
            min_free_bytes: 0,
            host_paths: Vec::new(),
            versions: BTreeMap::new(),
            images: BTreeMap::new(),
        }
    }

    /// Names in the directory of backups.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.backups()).into_iter().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".scratch")
            .collect();
        names.sort();
        names
    }
}

pub fn settings(cluster: &Cluster, endpoints: &[usize]) -> Settings {
    Settings {
        endpoints: endpoints.iter().map(|m| cluster.endpoint(*m)).collect(),
        ca_file: cluster.path("ca.crt"),
        cert_file: Some(cluster.path("client.crt")),
        key_file: Some(cluster.path("client.key")),
        deadline: Duration::from_secs(2),
        chunk_deadline: Duration::from_secs(3),
    }
}

pub async fn etcd(cluster: &Cluster, endpoints: &[usize]) -> Etcd {
    Etcd::connect(&settings(cluster, endpoints)).await.unwrap()
}

pub async fn taken(etcd: &Etcd, request: &Request) -> Taken {
    let taken = take(etcd, request, &Progress::default()).await;
    taken.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// What `etcdutl` or `etcdctl snapshot status` says of a snapshot.
fn status_by_etcd(cluster: &Cluster, snapshot: &Path) -> serde_json::Value {
    let utl = cluster.binaries().join("etcdutl");
    let tool = if utl.exists() {
        utl
    } else {
        cluster.binaries().join("etcdctl")
    };
    let output = std::process::Command::new(tool)
        .env("ETCDCTL_API", "3")
        .args(["snapshot", "status", "-w", "json"])
        .arg(snapshot)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A backup of each version, not compressed and compressed, is what etcd's own tool says it is.
async fn is_whole(version: &str) {
    let cluster = Cluster::start(version, 1).await;
    fill(&client(&cluster, 0).await, 500, 300).await;
    cluster.ctl(&["del", "/registry/pods/default/p00000007"]);
    let etcd = etcd(&cluster, &[0]).await;
    let place = Place::new();
    std::fs::create_dir(place.dir.path().join("pki")).unwrap();
    for (level, file) in [(0, "snapshot.db"), (3, "snapshot.db.zst")] {
        let request = Request {
            compression_level: level,
            host_paths: vec![HostPath {
                path: place.dir.path().join("pki"),
                required: true,
            }],
            ..place.request()
        };
        let taken = taken(&etcd, &request).await;
        let manifest = taken.bundle.manifest();
        assert!(manifest.marks.is_empty(), "{:?}", manifest.marks);
        assert_eq!(manifest.parts[0].name, file);
        assert_eq!(manifest.content.live_keys, 499);
        assert_eq!(manifest.content.resources["pods"], 499);
        assert_eq!(manifest.etcd.revision, manifest.etcd.high_water_revision);
        assert_eq!(manifest.etcd.members.len(), 1);
        assert!(taken.verified.passed());
        let trust = Trust::of(&place.state(), &[]).unwrap();
        let checks = Checks {
            depth: Depth::Content,
            trust: Some(&trust),
            scratch: None,
        };
        let outcome = bundle::verify(&taken.bundle, &checks, &Progress::default());
        assert_eq!(outcome.failure, None);
        if level == 0 {
            let status = status_by_etcd(&cluster, &taken.bundle.path().join(file));
            assert_eq!(status["revision"], manifest.etcd.revision);
        }
    }
    assert_eq!(place.names().len(), 2, "{:?}", place.names());
    let listing = bundle::list(&place.backups(), &Index::default(), &[]).unwrap();
    assert_eq!((listing.backups.len(), listing.strays.len()), (2, 0));
}

#[tokio::test]
async fn a_backup_of_etcd_3_4_is_whole() {
    is_whole("3.4").await;
}

#[tokio::test]
async fn a_backup_of_etcd_3_5_is_whole() {
    is_whole("3.5").await;
}

#[tokio::test]
async fn a_backup_of_the_newest_etcd_is_whole() {
    is_whole("newest").await;
}

#[tokio::test]
async fn two_backups_never_run_at_once_and_a_second_gets_names_of_its_own() {
    let cluster = Cluster::start("3.5", 1).await;
    let etcd = etcd(&cluster, &[0]).await;
    let place = Place::new();
    let request = place.request();
    let progress = Progress::default();
    let (first, second) = tokio::join!(
        take(&etcd, &request, &progress),
        take(&etcd, &request, &progress)
    );
    let refused = [&first, &second].into_iter().filter(|end| end.is_err());
    let refused: Vec<_> = refused.map(|end| format!("{end:?}")).collect();
    assert_eq!(refused, ["Err(Busy)"]);
    for _ in 0..3 {
        taken(&etcd, &request).await;
    }
    assert_eq!(place.names().len(), 4);
}

#[tokio::test]
async fn b03_a_backup_that_would_fill_the_disk_is_not_begun() {
    let cluster = Cluster::start("3.5", 1).await;
    let etcd = etcd(&cluster, &[0]).await;
    let place = Place::new();
    taken(&etcd, &place.request()).await;
    let before = place.names();
    let request = Request {
        min_free_bytes: u64::MAX / 2,
        ..place.request()
    };
    let error = take(&etcd, &request, &Progress::default())
        .await
        .unwrap_err();
    assert!(matches!(error, TakeError::Room { .. }), "{error:?}");
    assert!(error.to_string().contains("bytes free"), "{error}");
    assert!(error.is_full());
    assert_eq!(place.names(), before);
}

#[tokio::test]
async fn a_dead_endpoint_and_a_foreign_authority_are_named_with_a_hint() {
    let mut cluster = Cluster::start("3.5", 1).await;
    let foreign = Cluster::start("3.5", 1).await;
    let wrong = Settings {
        ca_file: foreign.path("ca.crt"),
        ..settings(&cluster, &[0])
    };
    let error = Etcd::connect(&wrong)
        .await
        .unwrap()
        .choose(Allow::default())
        .await
        .unwrap_err();
    let (text, hint) = (error.to_string(), error.hint().unwrap());
    assert!(text.contains(&cluster.endpoint(0)), "{text}");
    assert!(text.contains("certificate"), "{text}");
    assert!(hint.contains("etcd.ca_file"), "{hint}");
    let etcd = etcd(&cluster, &[0]).await;
    etcd.choose(Allow::default()).await.unwrap();
    cluster.kill(0);
    let error = etcd.choose(Allow::default()).await.unwrap_err();
    assert!(matches!(error, EtcdError::Unreachable { .. }), "{error:?}");
    cluster.restart(0).await;
    etcd.choose(Allow::default()).await.unwrap();
    let missing = Settings {
        key_file: Some("/nowhere/client.key".into()),
        ..settings(&cluster, &[0])
    };
    let error = Etcd::connect(&missing).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/client.key"), "{error}");
}
