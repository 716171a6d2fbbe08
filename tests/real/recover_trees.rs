//! Recovery of the lab's real self-hosted cluster: every source gives the same tree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rekindle::backup::bundle::BundleWriter;
use rekindle::backup::signing::Signer;
use rekindle::core::backup::id::BackupId;
use rekindle::core::backup::manifest::{Content, EtcdFacts, FORMAT, Manifest, Trigger};
use tempfile::TempDir;

/// The lab's cluster, as its `env.sh` tells.
struct Cluster {
    variables: BTreeMap<String, String>,
    dir: TempDir,
}

impl Cluster {
    #[expect(
        clippy::disallowed_methods,
        reason = "the lab tells the tests by its environment"
    )]
    fn of_the_lab() -> Self {
        let file = std::env::var("REKINDLE_LAB_CLUSTER_ENV")
            .expect("REKINDLE_LAB_CLUSTER_ENV names no lab cluster: run by tests/run real");
        let text = std::fs::read_to_string(file).unwrap();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Self {
            variables: pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn get(&self, name: &str) -> &str {
        &self.variables[name]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a program in the node's network.
    fn run(&self, program: &str, args: &[&str]) -> Output {
        let output = Command::new("nsenter")
            .arg(format!("--net={}", self.get("LAB_NETNS")))
            .arg(program)
            .args(args)
            .env("ETCDCTL_API", "3")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{program} {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    /// Recovers into `name` with these options: every file with its content.
    fn recover(&self, name: &str, args: &[&str]) -> BTreeMap<String, Vec<u8>> {
        let target = self.path(name);
        let config = self.path("config.toml");
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(&config, self.config()).unwrap();
        let fixed = [
            "recover",
            "--recovery-dir",
            target.to_str().unwrap(),
            "--config",
            config.to_str().unwrap(),
            "--kubeconfig",
            self.get("LAB_ADMIN_KUBECONFIG"),
        ];
        let output = self.run(env!("CARGO_BIN_EXE_rekindle"), &[&fixed, args].concat());
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.starts_with("Attempting recovery using "), "{told}");
        // The certificates are this node's, and hold.
        assert!(!told.contains("--reissue-certificates"), "{told}");
        assert!(!told.contains("does not have"), "{told}");
        files(&target)
    }

    fn config(&self) -> String {
        let at = self.dir.path().display();
        format!(
            "[node]\nname = \"labnode\"\n[paths]\nstate_dir = \"{at}/state\"\n\
             manifest_dir = \"{at}/manifests\"\nmanifest_staging_dir = \"{at}/staging\"\n\
             [socket]\npath = \"{at}/socket\"\n"
        )
    }

    /// One of our backups, signed by this machine, with `snapshot` in it.
    fn bundle(&self, snapshot: &Path) -> PathBuf {
        let id = BackupId::parse("20261124T003000Z-labnode").unwrap();
        let signer = Signer::open_or_create(&self.path("state")).unwrap();
        let writer = BundleWriter::begin(&self.path("backups"), &id).unwrap();
        let mut sink = writer.snapshot_sink(3).unwrap();
        sink.push(&std::fs::read(snapshot).unwrap()).unwrap();
        let manifest = Manifest {
            format: FORMAT,
            id: id.clone(),
            taken_at: "2026-11-24T00:30:00Z".parse().unwrap(),
            node: "labnode".to_owned(),
            trigger: Trigger::Asked,
            etcd: EtcdFacts {
                version: "3.4.23".to_owned(),
                cluster_id: 1,
                member_id: 2,
                endpoint: "https://127.0.0.1:2379".to_owned(),
                revision: 12,
                high_water_revision: 40,
                raft_term: 2,
                members: vec![],
            },
            content: Content::default(),
            versions: [].into(),
            images: [].into(),
            marks: vec![],
            parts: vec![sink.finish().unwrap()],
        };
        let bundle = writer.seal(&manifest, &signer).unwrap();
        bundle.path().to_owned()
    }

    /// A copy of the member's database, as the seed's clean-up makes it. The member is stopped
    /// meanwhile: its pages are then whole at any moment, since it writes the root of them last.
    fn database(&self) -> PathBuf {
        let dir = Path::new(self.get("LAB_DIR"));
        let pid = std::fs::read_to_string(dir.join("run/etcd.pid")).unwrap();
        let pid = pid.split_whitespace().next().unwrap().to_owned();
        let signal = |signal: &str| Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(signal("-STOP").success());
        let copy = self.path("raw.db");
        let copied = std::fs::copy(dir.join("etcd/member/snap/db"), &copy);
        assert!(signal("-CONT").success());
        copied.unwrap();
        copy
    }
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(at) = open.pop() {
        if at.is_dir() {
            open.extend(
                std::fs::read_dir(&at)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else {
            let path = at.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            found.insert(path, std::fs::read(&at).unwrap());
        }
    }
    found
}

#[test]
fn every_source_of_a_real_cluster_gives_the_same_tree() {
    let cluster = Cluster::of_the_lab();
    let raw = cluster.database();
    let raw = cluster.recover("from-raw", &["--etcd-backup-file", raw.to_str().unwrap()]);
    for file in [
        "auth/kubeconfig",
        "bootstrap-manifests/bootstrap-kube-apiserver.yaml",
        "bootstrap-manifests/bootstrap-kube-controller-manager.yaml",
        "bootstrap-manifests/bootstrap-kube-scheduler.yaml",
        "tls/config-maps/kube-apiserver-config/audit-policy.yaml",
        "tls/secrets/kube-apiserver/apiserver.key",
        "tls/secrets/kube-controller-manager/kcm.kubeconfig",
        "tls/secrets/kube-scheduler/scheduler.kubeconfig",
    ] {
        assert!(raw.contains_key(file), "{file}");
    }
    let own = Path::new(cluster.get("LAB_TLS_DIR")).join("apiserver.key");
    assert_eq!(
        raw["tls/secrets/kube-apiserver/apiserver.key"],
        std::fs::read(own).unwrap()
    );

    let saved = cluster.path("snapshot.db");
    let file = saved.to_str().unwrap();
    let endpoint = cluster.get("LAB_ETCD_URL").to_owned();
    cluster.run(
        "etcdctl",
        &["--endpoints", &endpoint, "snapshot", "save", file],
    );
    let snapshot = cluster.recover("from-snapshot", &["--etcd-backup-file", file]);
    assert_eq!(raw, snapshot);
    let bundle = cluster.bundle(&saved);
    let bundle = bundle.to_str().unwrap();
    let bundle = cluster.recover("from-bundle", &["--etcd-backup-file", bundle]);
    assert_eq!(raw, bundle);

    let etcd = cluster.recover("from-etcd", &["--etcd-servers", "127.0.0.1:2379"]);
    assert_eq!(raw, etcd);
    let api = cluster.recover("from-api", &[]);
    assert_eq!(raw, api);
}
