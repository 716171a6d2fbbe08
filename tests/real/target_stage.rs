//! A node with one backup of a size that needs several parts, and targets for it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rekindle::backup::Progress;
use rekindle::backup::bundle::{Bundle, BundleWriter, HostPath};
use rekindle::backup::index::IndexFile;
use rekindle::backup::signing::Signer;
use rekindle::backup::targets::{CopyResult, Target, TargetSettings, copy_once, uploads_dir};
use rekindle::core::backup::id::BackupId;
use rekindle::core::backup::manifest::{Content, EtcdFacts, FORMAT, Manifest, Trigger};
use rekindle::objectstore::{DirectorySettings, Place, S3Settings};
use tempfile::TempDir;

/// Bytes of a part.
pub const PART: u64 = 5 << 20;
/// Parts of the snapshot; the last is short.
pub const PARTS: usize = 5;

pub struct Stage {
    pub dir: TempDir,
    pub bundle: PathBuf,
    pub id: BackupId,
}

pub fn id(second: u32) -> BackupId {
    BackupId::parse(&format!("20261124T0030{second:02}Z-master1")).unwrap()
}

impl Stage {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("rekindle-targets-")
            .tempdir()
            .unwrap();
        let id = id(0);
        let bundle = take(dir.path(), &id, 1);
        Self { dir, bundle, id }
    }

    /// With a snapshot of so many bytes.
    pub fn of(bytes: u64) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("rekindle-targets-")
            .tempdir()
            .unwrap();
        let id = id(0);
        let bundle = take_of(dir.path(), &id, 1, bytes);
        Self { dir, bundle, id }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub fn backups(&self) -> PathBuf {
        self.path("backups")
    }

    pub fn uploads(&self) -> PathBuf {
        uploads_dir(&self.state())
    }

    pub fn index(&self) -> IndexFile {
        IndexFile::new(&self.state(), &self.backups())
    }

    pub async fn copy(&self, settings: &TargetSettings) -> CopyResult {
        let target = Target::open(settings)?;
        copy_once(&target, &self.bundle, &self.uploads(), &Progress::default()).await
    }

    /// Every file of the local backups and their digests: what no target may change.
    pub fn local(&self) -> Vec<(PathBuf, String)> {
        let mut files = Vec::new();
        for file in std::fs::read_dir(&self.bundle).unwrap() {
            let path = file.unwrap().path();
            let digest = rekindle::store::sealed::hex_digest(&std::fs::read(&path).unwrap());
            files.push((path, digest));
        }
        files.sort();
        files
    }
}

/// Takes a backup with a snapshot of some 22 MiB without compression; another `seed`, another
/// content.
pub fn take(dir: &Path, id: &BackupId, seed: u64) -> PathBuf {
    take_of(dir, id, seed, PART * (PARTS as u64 - 1) + 1_234_567)
}

fn take_of(dir: &Path, id: &BackupId, seed: u64, bytes: u64) -> PathBuf {
    let secret = dir.join("ca.key");
    put(&secret, b"a key of the host");
    let writer = BundleWriter::begin(&dir.join("backups"), id).unwrap();
    let mut sink = writer.snapshot_sink(0).unwrap();
    let mut state = seed;
    let mut block: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    })
    .take(65_536)
    .collect();
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left.min(65_536)).unwrap();
        // No two blocks are the same.
        block[..8].copy_from_slice(&left.to_be_bytes());
        sink.push(&block[..length]).unwrap();
        left -= length as u64;
    }
    let snapshot = sink.finish().unwrap();
    let host = [HostPath {
        path: secret,
        required: true,
    }];
    let host = writer.host_tar(&host, &Progress::default()).unwrap();
    let signer = Signer::open_or_create(&dir.join("state")).unwrap();
    let manifest = Manifest {
        format: FORMAT,
        id: id.clone(),
        taken_at: "2026-11-24T00:30:00Z".parse().unwrap(),
        node: "master1".to_owned(),
        trigger: Trigger::Asked,
        etcd: EtcdFacts {
            version: "3.5.16".to_owned(),
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
        parts: vec![snapshot, host.part],
    };
    let bundle: Bundle = writer.seal(&manifest, &signer).unwrap();
    bundle.path().to_owned()
}

/// Writes a file of a test.
pub fn put(path: &Path, bytes: &[u8]) {
    let mut options = std::fs::File::options();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .unwrap();
    file.write_all(bytes).unwrap();
}

pub fn target(place: Place) -> TargetSettings {
    TargetSettings {
        name: "far".to_owned(),
        place,
        recipients: vec![],
        bandwidth: 0,
        prune: false,
    }
}

pub fn s3(settings: S3Settings) -> TargetSettings {
    target(Place::S3(settings))
}

pub fn directory(path: &Path, must_be_mountpoint: bool) -> TargetSettings {
    target(Place::Directory(DirectorySettings {
        directory: path.to_owned(),
        must_be_mountpoint,
        deadline: Duration::from_secs(10),
    }))
}
