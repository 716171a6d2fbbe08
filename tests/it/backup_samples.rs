//! Backups to look at: a real snapshot of a small etcd, bundled.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rekindle::backup::Progress;
use rekindle::backup::bundle::{
    Bundle, BundleError, BundleWriter, Checked, Checks, Depth, HostPath, check,
};
use rekindle::backup::signing::{Signer, Trust};
use rekindle::core::backup::id::BackupId;
use rekindle::core::backup::manifest::{
    Content, EtcdFacts, FORMAT, Manifest, Member, Part, Trigger,
};
use tempfile::TempDir;

/// Stands in a file of the host: must never come out in a message.
pub const SECRET: &str = "hunter2-the-secret-value";

/// What `etcdctl snapshot save` of etcd 3.4 wrote: 11 revisions, 9 live keys, revision 12.
pub fn snapshot() -> Vec<u8> {
    let packed = include_bytes!("../fixtures/backup/etcd-3.4-snapshot.db.zst");
    zstd::stream::decode_all(packed.as_slice()).unwrap()
}

pub fn backup_id(second: u32) -> BackupId {
    BackupId::parse(&format!("20261124T0030{second:02}Z-master1")).unwrap()
}

pub fn manifest(id: &BackupId, parts: Vec<Part>) -> Manifest {
    Manifest {
        format: FORMAT,
        id: id.clone(),
        taken_at: "2026-11-24T00:30:00Z".parse().unwrap(),
        node: "master1".to_owned(),
        trigger: Trigger::Asked,
        etcd: EtcdFacts {
            version: "3.4.23".to_owned(),
            cluster_id: 1,
            member_id: 2,
            endpoint: "https://127.0.0.1:2379".to_owned(),
            revision: 12,
            high_water_revision: 40,
            raft_term: 2,
            members: vec![Member {
                id: 2,
                name: "default".to_owned(),
                peer_urls: vec!["http://127.0.0.1:2380".to_owned()],
                client_urls: vec![],
                learner: false,
            }],
        },
        content: Content {
            database_bytes: 20480,
            revision: 12,
            live_keys: 9,
            records: 11,
            ..Content::default()
        },
        versions: [("rekindle".to_owned(), "0.1.0".to_owned())].into(),
        images: [].into(),
        marks: vec![],
        parts,
    }
}

/// A node with a directory for backups, state, and files of the host.
pub struct Node {
    pub dir: TempDir,
}

impl Node {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = Self { dir };
        let pki = node.path("etc/kubernetes/pki");
        std::fs::create_dir_all(&pki).unwrap();
        put(&pki.join("ca.key"), SECRET.as_bytes());
        put(&pki.join("ca.crt"), b"certificate");
        std::os::unix::fs::symlink("ca.crt", pki.join("current.crt")).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", pki.join("outside")).unwrap();
        node
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub fn backups(&self) -> PathBuf {
        self.path("backups")
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub fn signer(&self) -> Signer {
        Signer::open_or_create(&self.state()).unwrap()
    }

    pub fn trust(&self) -> Trust {
        Trust::of(&self.state(), &[]).unwrap()
    }

    pub fn host(&self) -> Vec<HostPath> {
        let named = |below: &str| HostPath {
            path: self.path(below),
            required: false,
        };
        vec![named("etc/kubernetes"), named("etc/not-there")]
    }

    /// Takes a whole backup; `level` 0: not compressed.
    pub fn take(&self, id: &BackupId, level: i32) -> Result<Bundle, BundleError> {
        take(&self.backups(), &self.signer(), id, level, &self.host())
    }

    /// Everything of it checked by this node's key.
    pub fn check(&self, bundle: &Bundle) -> Result<Checked, BundleError> {
        check(
            bundle,
            &Checks {
                depth: Depth::Content,
                trust: Some(&self.trust()),
                scratch: None,
            },
            &Progress::default(),
        )
    }
}

pub fn take(
    backups: &Path,
    signer: &Signer,
    id: &BackupId,
    level: i32,
    host: &[HostPath],
) -> Result<Bundle, BundleError> {
    let writer = BundleWriter::begin(backups, id)?;
    let mut sink = writer.snapshot_sink(level)?;
    for chunk in snapshot().chunks(7000) {
        sink.push(chunk)?;
    }
    let snapshot = sink.finish()?;
    let host = writer.host_tar(host, &Progress::default())?;
    writer.seal(&manifest(id, vec![snapshot, host.part]), signer)
}

pub fn put(path: &Path, bytes: &[u8]) {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .unwrap();
    file.write_all(bytes).unwrap();
}

/// Flips a bit of the byte at `at`.
pub fn flip(path: &Path, at: u64) {
    let mut options = OpenOptions::new();
    let mut file = options.read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
}
