//! What is fuzzed, and what must hold for any input.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rekindle::bolt::{Metas, Source as Database, Walk};
use rekindle::encryption::{EncryptionConfiguration, Scheme};
use rekindle::objects::{REGISTRY, Value, place};
use rekindle::recover::decode::{config_map, daemon_set, deployment, json, secret};
use rekindle::recover::{Source, Want, read};
use secrecy::ExposeSecret;

use crate::bolt_file::fnv64a;
use crate::mutate::Random;
use crate::recover_database::Records;

const DEPLOYMENT: &[u8] = include_bytes!("../fixtures/recover/deployment.pb");
const DEPLOYMENT_JSON: &[u8] = include_bytes!("../fixtures/recover/deployment.json");
const DAEMON_SET: &[u8] = include_bytes!("../fixtures/recover/daemonset.pb");
const SNAPSHOT: &[u8] = include_bytes!("../fixtures/etcd/small.snap");
const RAW: &[u8] = include_bytes!("../fixtures/etcd/member/snap/db");
const VECTORS: &[u8] = include_bytes!("../fixtures/encryption/vectors.json");
const CONFIGURATION: &[u8] = include_bytes!("../fixtures/encryption/configuration.yaml");
const SECRET: &[u8] = br#"{"apiVersion":"v1","kind":"Secret","data":{"a":"/wA="}}"#;

/// A reader of hostile bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// A database or snapshot.
    File,
    /// A stored object.
    Objects,
    /// A value that is encrypted at rest.
    Sealed,
}

impl Target {
    pub(crate) const ALL: [Self; 3] = [Self::File, Self::Objects, Self::Sealed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Objects => "objects",
            Self::Sealed => "sealed",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Inputs to begin with.
    pub(crate) fn seeds(self) -> Vec<Vec<u8>> {
        match self {
            Self::File => vec![
                database(1024, 40),
                database(1024, 0),
                database(4096, 3),
                RAW.into(),
                SNAPSHOT.into(),
            ],
            Self::Objects => [DEPLOYMENT, DAEMON_SET, DEPLOYMENT_JSON, SECRET]
                .map(Vec::from)
                .into(),
            Self::Sealed => sealed(),
        }
    }

    /// Makes an input pass the checks that a mutation never passes by luck, most of the time.
    pub(crate) fn repair(self, input: &mut Vec<u8>, random: &mut Random) {
        if self != Self::File || random.below(8) == 0 {
            return;
        }
        let trailer = if random.below(4) == 0 { 32 } else { 0 };
        input.truncate((input.len() / 512) * 512);
        input.resize(input.len() + trailer, 0);
        for at in [0, 1024, 4096] {
            if let Some(meta) = input.get_mut(at + 16..at + 80) {
                let sum = fnv64a(&meta[..56]).to_le_bytes();
                meta[56..].copy_from_slice(&sum);
            }
        }
    }

    /// Runs the input; a panic is a finding.
    pub(crate) fn run(self, input: &[u8]) {
        match self {
            Self::File => file(input),
            Self::Objects => objects(input),
            Self::Sealed => open(input),
        }
    }
}

/// A small control plane.
fn database(page_size: usize, others: usize) -> Vec<u8> {
    let mut records = Records::default();
    records.put("/registry/deployments/kube-system/sink", DEPLOYMENT);
    records.put("/registry/daemonsets/kube-system/sink", DAEMON_SET);
    for number in 0..others {
        records.put(&format!("/registry/pods/default/{number}"), &[b'x'; 300]);
        records.put(
            &format!("/registry/secrets/kube-system/{}", number % 7),
            SECRET,
        );
    }
    records.delete("/registry/secrets/kube-system/1");
    let dir = tempfile::tempdir().unwrap();
    std::fs::read(records.write(dir.path(), "db", page_size, false)).unwrap()
}

/// What was read was found by the strict walk over all pages of the bucket, too.
fn file(input: &[u8]) {
    let path = scratch();
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .unwrap();
    file.write_all_at(input, 0).unwrap();
    file.set_len(input.len() as u64).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let found = runtime.block_on(read(&Source::File(path.to_owned()), &Want::default()));
    match found {
        Ok(found) => {
            let walked = walk(path);
            assert!(walked.is_ok(), "read, and damaged: {walked:?}");
            assert!(!format!("{found:?}").contains("RawBytes"));
        }
        Err(error) => drop((error.to_string(), error.hint())),
    }
}

fn scratch() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        // Never on a disk.
        let dir = tempfile::tempdir_in("/dev/shm").unwrap().keep();
        dir.join("db")
    })
}

fn walk(path: &Path) -> Result<(), String> {
    let file = File::open(path).unwrap();
    let bytes = file.metadata().unwrap().len();
    let database = Database::new(&file, bytes / 512 * 512);
    let metas = Metas::read(&database).map_err(|error| error.to_string())?;
    let mut walk = Walk::new(database, metas.chosen);
    let root = walk.root();
    let top = walk
        .bucket(&root, &mut |_| Ok(()))
        .map_err(|error| error.to_string())?;
    for bucket in top.iter().filter(|bucket| bucket.name == b"key") {
        let within = walk.bucket(bucket, &mut |_| Ok(()));
        within.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What is decoded is the same when it is written as JSON and read again.
fn objects(input: &[u8]) {
    if let Ok((read, _)) = deployment(input) {
        let text = serde_json::to_vec(&read).unwrap();
        assert_eq!(deployment(&text).unwrap().0, read);
    }
    if let Ok((read, _)) = daemon_set(input) {
        let text = serde_json::to_vec(&read).unwrap();
        assert_eq!(daemon_set(&text).unwrap().0, read);
    }
    let _ = secret(input);
    let _ = config_map(input);
    let _ = json(input);
    if let Ok(value) = Value::of(input) {
        let _ = value.head();
    }
    let _ = place(input, REGISTRY);
}

fn sealed() -> Vec<Vec<u8>> {
    let vectors: serde_json::Value = serde_json::from_slice(VECTORS).unwrap();
    let pairs = vectors.as_array().unwrap().iter();
    let value = |pair: &serde_json::Value| {
        let bytes: k8s_openapi::ByteString = serde_json::from_value(pair["value"].clone()).unwrap();
        bytes.0
    };
    pairs.map(value).collect()
}

fn open(input: &[u8]) {
    static OPENER: OnceLock<EncryptionConfiguration> = OnceLock::new();
    let opener = OPENER.get_or_init(|| EncryptionConfiguration::parse(CONFIGURATION).unwrap());
    let _ = Scheme::of(input);
    for resource in ["secrets", "configmaps", "limitranges"] {
        let key = format!("/registry/{resource}/default/sealed");
        if let Ok(plain) = opener.open(resource, key.as_bytes(), input) {
            objects(plain.expose_secret());
        }
    }
}
