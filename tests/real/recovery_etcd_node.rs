//! A master for tests of etcd's recovery: a real containerd, real etcds with TLS, the first of them
//! this node's static pod, and directories of its own.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Child;

use etcd_client::{Certificate, Client, ConnectOptions, GetOptions, Identity, TlsOptions};
use rekindle::backup::Progress;
use rekindle::config::{self, Settings};
use rekindle::core::recovery::etcd::{Replace, Restore, Source};
use rekindle::recovery::etcd::{Asked, Error, Replaced, Restored, replace, restore};
use tempfile::TempDir;

use crate::containerd_process::{Process, write};
use crate::etcd_cluster::{binaries, certificates, until};
use crate::recovery_etcd_keeper::{Keeper, spawn};

/// What is put under each key.
const PREFIX: &str = "/registry/test/";

pub struct Node {
    dir: TempDir,
    containerd_process: Process,
    keeper: Keeper,
    binaries: PathBuf,
    /// Client and peer port of each member.
    ports: Vec<(u16, u16)>,
    /// The members of other nodes.
    others: BTreeMap<usize, Child>,
    extra: Vec<String>,
}

impl Node {
    /// A cluster of `members`, all serving.
    pub async fn start(members: usize, extra: &[&str]) -> Self {
        let containerd = Process::start().await;
        let dir = tempfile::Builder::new()
            .prefix("rekindle-recovery-")
            .tempdir()
            .unwrap();
        certificates(dir.path());
        for made in ["manifests", "state"] {
            std::fs::create_dir(dir.path().join(made)).unwrap();
        }
        let manifest = dir.path().join("manifests/etcd.yaml");
        let mut node = Self {
            keeper: Keeper::start(manifest, dir.path().join("m0.log")),
            binaries: binaries("3.5"),
            ports: ports(members),
            others: BTreeMap::new(),
            extra: extra.iter().map(ToString::to_string).collect(),
            containerd_process: containerd,
            dir,
        };
        node.configure();
        for member in 1..members {
            node.revive(member);
        }
        let command = node.words(0);
        let data = node.path("m0");
        let pod = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "etcd", "namespace": "kube-system"},
            "spec": {
                "hostNetwork": true,
                "containers": [{
                    "name": "etcd", "image": "etcd:3.5", "command": command,
                    "volumeMounts": [{"name": "data", "mountPath": data}],
                }],
                "volumes": [{"name": "data", "hostPath": {"path": data}}],
            },
        });
        write(
            &node.manifest(),
            &serde_json::to_string_pretty(&pod).unwrap(),
        );
        for member in 0..members {
            node.serves(member).await;
        }
        node
    }

    fn configure(&self) {
        let dir = self.dir.path().display();
        let endpoints = (0..self.ports.len()).map(|member| self.endpoint(member));
        let endpoints: Vec<String> = endpoints.collect();
        let containerd = &self.containerd_process;
        let text = format!(
            "[node]\nname = \"master1\"\n[paths]\nstate_dir = \"{dir}/state\"\nmanifest_dir = \
             \"{dir}/manifests\"\nmanifest_staging_dir = \"{dir}/staging\"\n[containerd]\nsocket = \
             \"{}\"\nkubelet_namespace = \"{}\"\nengine_namespace = \"{}\"\n[etcd]\nendpoints = \
             {endpoints:?}\nca_file = \"{dir}/ca.crt\"\ncertificate_file = \
             \"{dir}/client.crt\"\nkey_file = \"{dir}/client.key\"\ncall_deadline_seconds = \
             3\ndata_dir = \"{dir}/m0\"\n[backup]\ndirectory = \"{dir}/backups\"\nmin_free_bytes = \
             0\netcdutl = \"{}\"\n",
            containerd.path("containerd.sock").display(),
            containerd.kubelets,
            containerd.ours,
            self.binaries.join("etcdutl").display(),
        );
        write(&self.path("config.toml"), &text);
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn manifest(&self) -> PathBuf {
        self.path("manifests/etcd.yaml")
    }

    pub fn settings(&self) -> Settings {
        settings(self.dir())
    }

    pub fn endpoint(&self, member: usize) -> String {
        format!("https://127.0.0.1:{}", self.ports[member].0)
    }

    fn words(&self, member: usize) -> Vec<String> {
        let file = |name: &str| self.path(name).display().to_string();
        let (client, peer) = self.ports[member];
        let cluster = self.ports.iter().enumerate();
        let cluster = cluster.map(|(at, (_, port))| format!("m{at}=https://127.0.0.1:{port}"));
        let cluster: Vec<String> = cluster.collect();
        let mut words = vec![
            self.binaries.join("etcd").display().to_string(),
            format!("--name=m{member}"),
            format!("--data-dir={}", file(&format!("m{member}"))),
            format!("--listen-client-urls=https://127.0.0.1:{client}"),
            format!("--advertise-client-urls=https://127.0.0.1:{client}"),
            format!("--listen-peer-urls=https://127.0.0.1:{peer}"),
            format!("--initial-advertise-peer-urls=https://127.0.0.1:{peer}"),
            format!("--initial-cluster={}", cluster.join(",")),
            "--client-cert-auth".to_owned(),
            "--peer-client-cert-auth".to_owned(),
        ];
        for (flag, name) in [
            ("trusted-ca-file", "ca.crt"),
            ("cert-file", "server.crt"),
            ("key-file", "server.key"),
            ("peer-trusted-ca-file", "ca.crt"),
            ("peer-cert-file", "server.crt"),
            ("peer-key-file", "server.key"),
        ] {
            words.push(format!("--{flag}={}", file(name)));
        }
        words.extend(self.extra.iter().cloned());
        words
    }

    /// Starts the member of another node.
    pub fn revive(&mut self, member: usize) {
        let log = self.path(&format!("m{member}.log"));
        self.others.insert(member, spawn(&self.words(member), &log));
    }

    /// Kills the member of another node.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut child) = self.others.remove(&member) {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// This node's member: SIGKILL, and it does not come back by itself.
    pub fn crash(&self) {
        self.keeper.crash();
    }

    /// This node's member is started again by itself.
    pub fn begin_anew(&self) {
        self.keeper.begin_anew();
    }

    pub async fn client(&self, member: usize) -> Client {
        let pem = |name: &str| std::fs::read(self.path(name)).unwrap();
        let tls = TlsOptions::new()
            .ca_certificate(Certificate::from_pem(pem("ca.crt")))
            .identity(Identity::from_pem(pem("client.crt"), pem("client.key")));
        let options = ConnectOptions::new().with_tls(tls);
        let endpoint = self.endpoint(member);
        Client::connect([endpoint], Some(options)).await.unwrap()
    }

    /// Waits until a member answers a linearizable read.
    pub async fn serves(&self, member: usize) {
        until(&format!("member {member} serves"), async || {
            let mut client = self.client(member).await;
            let asked = client.get("x", None);
            let limit = std::time::Duration::from_secs(3);
            matches!(tokio::time::timeout(limit, asked).await, Ok(Ok(_)))
        })
        .await;
    }

    /// Writes the keys of these numbers; every one is acknowledged.
    pub async fn put(&self, member: usize, numbers: std::ops::Range<u32>) {
        // A leader that was just killed takes an answer with it: the same again does no harm.
        self.answered(member, async |mut client| {
            for number in numbers.clone() {
                let (key, value) = (format!("{PREFIX}{number:05}"), format!("value {number}"));
                client.put(key, value, None).await?;
            }
            Ok(())
        })
        .await;
    }

    /// The keys of the numbers up to `count` are there with what was put, and no others.
    pub async fn holds(&self, member: usize, count: u32) {
        let options = GetOptions::new().with_prefix();
        let found = self
            .answered(member, async |mut client| {
                client.get(PREFIX, Some(options.clone())).await
            })
            .await;
        let texts = found.kvs().iter().map(|pair| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            (text(pair.key()), text(pair.value()))
        });
        let expected =
            (0..count).map(|number| (format!("{PREFIX}{number:05}"), format!("value {number}")));
        assert_eq!(texts.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }

    /// Cluster id and revision, as a member says.
    pub async fn stands(&self, member: usize) -> (u64, i64) {
        let status = self
            .answered(member, async |mut client| client.status().await)
            .await;
        let header = status.header().unwrap();
        (header.cluster_id(), header.revision())
    }

    /// What a member answers. Where what starts it was put back, the keeper, which has no container
    /// to be waited for, may end it once more in between.
    async fn answered<T>(
        &self,
        member: usize,
        ask: impl AsyncFn(Client) -> Result<T, etcd_client::Error>,
    ) -> T {
        let mut tries = 0;
        loop {
            match ask(self.client(member).await).await {
                Ok(answer) => return answer,
                Err(error) => assert!(tries < 20, "{error}"),
            }
            tries += 1;
            self.serves(member).await;
        }
    }

    pub async fn restore(&self, id: &str, source: Source) -> Result<Restored, Error> {
        restore_in(self.dir(), id, source).await
    }

    /// What the journal says last.
    pub fn journal(&self) -> Restore {
        serde_json::from_slice(&std::fs::read(self.path("journal.json")).unwrap()).unwrap()
    }

    /// The recovery is over.
    pub fn finish(&self) {
        std::fs::remove_file(self.path("journal.json")).ok();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for member in 1..self.ports.len() {
            self.kill(member);
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path("m0.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(8)..];
            eprintln!("etcd's log ends with\n{}", tail.join("\n"));
        }
    }
}

pub fn settings(dir: &Path) -> Settings {
    config::load(Some(&dir.join("config.toml")))
        .unwrap()
        .settings
}

/// Restores as the configuration in `dir` says, or goes on where its journal says.
pub async fn restore_in(dir: &Path, id: &str, source: Source) -> Result<Restored, Error> {
    let journal = dir.join("journal.json");
    let resumed = std::fs::read(&journal).ok();
    let resumed = resumed.map(|bytes| serde_json::from_slice(&bytes).unwrap());
    let mut record = |it: &Restore| {
        keep(&journal, &serde_json::to_vec(it).unwrap());
        Ok(())
    };
    let asked = Asked {
        id: id.to_owned(),
        source,
        high_water: None,
    };
    let mut say = |said: &str| println!("{said}");
    let progress = Progress::default();
    let settings = settings(dir);
    restore(&settings, &asked, resumed, &mut record, &mut say, &progress).await
}

/// The same for a replacement.
pub async fn replace_in(dir: &Path, id: &str) -> Result<Replaced, Error> {
    let journal = dir.join("journal.json");
    let resumed = std::fs::read(&journal).ok();
    let resumed = resumed.map(|bytes| serde_json::from_slice(&bytes).unwrap());
    let mut record = |it: &Replace| {
        keep(&journal, &serde_json::to_vec(it).unwrap());
        Ok(())
    };
    let mut say = |said: &str| println!("{said}");
    replace(&settings(dir), id, resumed, &mut record, &mut say).await
}

#[allow(clippy::disallowed_methods, reason = "a test's own file")]
fn keep(journal: &Path, bytes: &[u8]) {
    let temp = journal.with_extension("new");
    std::fs::write(&temp, bytes).unwrap();
    std::fs::rename(&temp, journal).unwrap();
}

/// Ports that are free now: all bound together, so that they differ.
fn ports(members: usize) -> Vec<(u16, u16)> {
    let bind = |_| TcpListener::bind("127.0.0.1:0").unwrap();
    let bound: Vec<_> = (0..members * 2).map(bind).collect();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let pairs = bound.chunks(2);
    pairs.map(|pair| (port(&pair[0]), port(&pair[1]))).collect()
}

/// Every file below `dir` with its content's digest.
pub fn content(dir: &Path) -> BTreeMap<PathBuf, String> {
    use sha2::{Digest, Sha256};
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let digest = Sha256::digest(std::fs::read(&path).unwrap());
                let digest = format!("{digest:x?}");
                found.insert(path.strip_prefix(dir).unwrap().to_owned(), digest);
            }
        }
    }
    found
}
