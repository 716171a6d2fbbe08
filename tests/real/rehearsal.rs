//! Backups to rehearse: bundles of snapshots of a real etcd that holds objects as an API server
//! stores them, and whether anything is left of a rehearsal.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use k8s_openapi::ByteString;
use rekindle::backup::Progress;
use rekindle::backup::bundle::{BundleWriter, HostPath};
use rekindle::backup::signing::Signer;
use rekindle::backup::verify;
use rekindle::core::backup::id::BackupId;
use rekindle::core::backup::manifest::{EtcdFacts, FORMAT, Manifest, Trigger};
use serde::Deserialize;
use tempfile::TempDir;

use crate::etcd_cluster::Cluster;

/// The configuration that the vectors were made with.
pub const CONFIGURATION: &str = include_str!("../fixtures/encryption/configuration.yaml");
const VECTORS: &str = include_str!("../fixtures/encryption/vectors.json");
pub const ID: &str = "20261124T003000Z-master1";

#[derive(Deserialize)]
struct Stored {
    key: ByteString,
    value: ByteString,
}

/// A client of the first member.
pub async fn client(cluster: &Cluster) -> Client {
    let read = |name: &str| std::fs::read(cluster.path(name)).unwrap();
    let tls = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(read("ca.crt")))
        .identity(Identity::from_pem(read("client.crt"), read("client.key")));
    let options = ConnectOptions::new().with_tls(tls);
    Client::connect([cluster.endpoint(0)], Some(options))
        .await
        .unwrap()
}

/// Puts objects into the cluster: config maps of `size` bytes, a plain Secret, one that is gone
/// again, keys that are no objects; `encrypted`: those that an API server has encrypted.
pub async fn fill(cluster: &Cluster, objects: usize, size: usize, encrypted: bool) {
    let mut client = client(cluster).await;
    for number in 0..objects {
        let name = format!("m{number}");
        let key = format!("/registry/configmaps/default/{name}");
        let value = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "default"}, "data": {"x": "y".repeat(size)}});
        client.put(key, value.to_string(), None).await.unwrap();
    }
    // Protobuf, by hand: runtime.Unknown with TypeMeta and a Secret that has a name.
    let meta = [b"\x0a\x05\x0a\x03web".as_slice()].concat();
    let unknown = [
        b"k8s\0\x0a\x0c\x0a\x02v1\x12\x06Secret\x12\x07".as_slice(),
        &meta,
    ]
    .concat();
    client
        .put("/registry/secrets/default/web", unknown.clone(), None)
        .await
        .unwrap();
    client
        .put("/registry/secrets/default/gone", unknown, None)
        .await
        .unwrap();
    client
        .delete("/registry/secrets/default/gone", None)
        .await
        .unwrap();
    client.put("compact_rev_key", "7", None).await.unwrap();
    let lease = client.lease_grant(3600, None).await.unwrap().id();
    let leased = etcd_client::PutOptions::new().with_lease(lease);
    let event = r#"{"apiVersion":"v1","kind":"Event","metadata":{"name":"e"}}"#;
    client
        .put("/registry/events/default/e", event, Some(leased))
        .await
        .unwrap();
    if encrypted {
        let vectors: Vec<Stored> = serde_json::from_str(VECTORS).unwrap();
        for stored in vectors {
            client
                .put(stored.key.0, stored.value.0, None)
                .await
                .unwrap();
        }
    }
}

/// A node with one backup.
pub struct Node {
    pub dir: TempDir,
    binaries: PathBuf,
}

/// How the backup differs from a good one.
#[derive(Default)]
pub struct Flaw {
    /// The snapshot's bytes before they are packed.
    pub snapshot: Option<fn(&mut Vec<u8>)>,
    /// The manifest before it is sealed.
    pub manifest: Option<fn(&mut Manifest)>,
}

impl Node {
    /// Takes a snapshot with etcd's own tool, and bundles it with an encryption configuration.
    pub fn with_backup(
        cluster: &Cluster,
        configuration: Option<&str>,
        level: i32,
        flaw: &Flaw,
    ) -> Self {
        let node = Self::new(cluster.binaries());
        let saved = node.path("snapshot.db");
        cluster.ctl_of(0, &["snapshot", "save", saved.to_str().unwrap()]);
        let status = cluster.ctl_of(0, &["endpoint", "status", "-w", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let version = status[0]["Status"]["version"].as_str().unwrap();
        node.bundle(version, configuration, level, flaw);
        node
    }

    /// A node without a backup, and the directory of its etcd tools.
    pub fn new(binaries: &Path) -> Self {
        Self {
            dir: tempfile::Builder::new()
                .prefix("rekindle-rehearsal-")
                .tempdir()
                .unwrap(),
            binaries: binaries.to_owned(),
        }
    }

    /// Bundles `snapshot.db`, of an etcd of that version.
    pub fn bundle(&self, version: &str, configuration: Option<&str>, level: i32, flaw: &Flaw) {
        let node = self;
        let saved = node.path("snapshot.db");
        let content = verify::verify(&saved, &Progress::default())
            .unwrap()
            .content;
        let signer = Signer::open_or_create(&node.path("state")).unwrap();
        let id = BackupId::parse(ID).unwrap();
        let writer = BundleWriter::begin(&node.backups(), &id).unwrap();
        let mut sink = writer.snapshot_sink(level).unwrap();
        let mut file = File::open(&saved).unwrap();
        match flaw.snapshot {
            Some(damage) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).unwrap();
                damage(&mut bytes);
                sink.push(&bytes).unwrap();
            }
            None => {
                std::io::copy(&mut file, &mut sink).unwrap();
            }
        }
        std::fs::remove_file(&saved).unwrap();
        let mut parts = vec![sink.finish().unwrap()];
        let etc = node.path("etc");
        std::fs::create_dir(&etc).unwrap();
        put(&etc.join("something.conf"), b"x = 1\n");
        if let Some(text) = configuration {
            put(&etc.join("at-rest.yaml"), text.as_bytes());
        }
        let host = [HostPath {
            path: etc,
            required: true,
        }];
        let host = writer.host_tar(&host, &Progress::default()).unwrap();
        parts.push(host.part);
        let mut manifest = manifest(version, id, content);
        manifest.parts = parts;
        if let Some(change) = flaw.manifest {
            change(&mut manifest);
        }
        writer.seal(&manifest, &signer).unwrap();
        put(
            &node.path("config.toml"),
            format!(
                "[paths]\nstate_dir = \"{}\"\n",
                node.path("state").display()
            )
            .as_bytes(),
        );
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub fn backups(&self) -> PathBuf {
        self.path("backups")
    }

    pub fn scratch(&self) -> PathBuf {
        self.path("scratch")
    }

    /// `rekindle backup rehearse` with the cluster's own tools.
    pub fn rehearse(&self, extra: &[&str]) -> Command {
        let tools = self.binaries.clone();
        self.rehearse_with(&tools, extra)
    }

    /// The same with other tools.
    pub fn rehearse_with(&self, tools: &Path, extra: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
        command
            .args(["backup", "rehearse", ID, "-o", "json"])
            .arg("--config")
            .arg(self.path("config.toml"))
            .arg("--backups-dir")
            .arg(self.backups())
            .arg("--scratch")
            .arg(self.scratch())
            .arg("--tools-dir")
            .arg(tools)
            .args(extra);
        command
    }

    /// A directory of tools: etcd's own, but for the script `name`.
    pub fn tools_with(&self, name: &str, script: &str) -> PathBuf {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let tools = self.path("tools");
        std::fs::create_dir(&tools).unwrap();
        for entry in std::fs::read_dir(&self.binaries).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() != name {
                symlink(entry.path(), tools.join(entry.file_name())).unwrap();
            }
        }
        put(&tools.join(name), script.as_bytes());
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(tools.join(name), mode).unwrap();
        tools
    }

    /// Nothing runs in the scratch directory and nothing lies there.
    pub fn leftovers(&self) -> Vec<String> {
        let scratch = self.scratch();
        let entries = std::fs::read_dir(&scratch).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path().display().to_string());
        files.chain(self.processes()).collect()
    }

    /// The helper that waits for our end.
    pub fn reaper(&self) -> Option<rustix::process::Pid> {
        let scratch = self.scratch().display().to_string();
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let reaper = all.filter_map(|process| {
            let words = std::fs::read_to_string(process.path().join("cmdline")).ok()?;
            let ours = words.contains("rekindle-reaper") && words.contains(&scratch);
            ours.then(|| process.file_name().to_str()?.parse().ok())?
        });
        reaper.into_iter().find_map(rustix::process::Pid::from_raw)
    }

    fn processes(&self) -> Vec<String> {
        let scratch = self.scratch();
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let works = all.filter(|process| {
            let cwd = std::fs::read_link(process.path().join("cwd"));
            cwd.is_ok_and(|cwd| cwd.starts_with(&scratch))
        });
        works
            .map(|process| {
                let name = std::fs::read_to_string(process.path().join("comm"));
                format!("{} {name:?}", process.path().display())
            })
            .collect()
    }
}

/// The answer of `rekindle backup rehearse -o json`.
pub fn answer(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

pub fn put(path: &Path, bytes: &[u8]) {
    File::create(path).unwrap().write_all(bytes).unwrap();
}

fn manifest(
    version: &str,
    id: BackupId,
    content: rekindle::core::backup::manifest::Content,
) -> Manifest {
    Manifest {
        format: FORMAT,
        id,
        taken_at: "2026-11-24T00:30:00Z".parse().unwrap(),
        node: "master1".to_owned(),
        trigger: Trigger::Asked,
        etcd: EtcdFacts {
            version: version.to_owned(),
            cluster_id: 1,
            member_id: 2,
            endpoint: "https://127.0.0.1:2379".to_owned(),
            revision: content.revision,
            high_water_revision: content.revision,
            raft_term: 2,
            members: vec![],
        },
        content,
        versions: [].into(),
        images: [].into(),
        marks: vec![],
        parts: vec![],
    }
}
