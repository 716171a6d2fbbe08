//! A checkpoint to store, and raw access to files that the store would refuse to give.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{
    Container, EnvVar, HostPathVolumeSource, Pod, PodSpec, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rekindle::core::id::{CheckpointId, RevisionId};
use rekindle::core::manifest::rendered::{DATA_DIR_PLACEHOLDER, DataDir, DataFile, Rendered};
use rekindle::core::manifest::{ANNOTATION_ID, ANNOTATION_REVISION};
use rekindle::core::stored::{Checkpoint, Stored};
use rekindle::store::durable::Attributes;
use rekindle::store::revisions::Revisions;
use tempfile::TempDir;

/// Stands in every manifest and file: must never come out in a message.
pub const SECRET: &str = "hunter2-the-secret-value";

pub fn id(name: &str) -> CheckpointId {
    CheckpointId::new("DaemonSet", "kube-system", name).unwrap()
}

/// The revision of 16 times `digit`.
pub fn revision(digit: char) -> RevisionId {
    RevisionId::parse(&String::from(digit).repeat(16)).unwrap()
}

pub fn pod(id: &CheckpointId, revision: &RevisionId) -> Pod {
    let annotations = [
        (ANNOTATION_ID, id.as_str()),
        (ANNOTATION_REVISION, revision.as_str()),
    ];
    let container = Container {
        name: "apiserver".to_owned(),
        image: Some("kube-apiserver:v1.20.2".to_owned()),
        env: Some(vec![EnvVar {
            name: "TOKEN".to_owned(),
            value: Some(SECRET.to_owned()),
            ..EnvVar::default()
        }]),
        volume_mounts: Some(vec![VolumeMount {
            name: "tls".to_owned(),
            mount_path: "/tls".to_owned(),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    };
    Pod {
        metadata: ObjectMeta {
            name: Some("kube-apiserver".to_owned()),
            namespace: Some("kube-system".to_owned()),
            annotations: Some(
                annotations
                    .map(|(key, value)| (key.into(), value.into()))
                    .into(),
            ),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            host_network: Some(true),
            containers: vec![container],
            volumes: Some(vec![Volume {
                name: "tls".to_owned(),
                host_path: Some(HostPathVolumeSource {
                    path: format!("{DATA_DIR_PLACEHOLDER}/tls"),
                    ..HostPathVolumeSource::default()
                }),
                ..Volume::default()
            }]),
            ..PodSpec::default()
        }),
        status: None,
    }
}

pub fn file(path: &str, content: &str) -> DataFile {
    let Attributes { uid, gid, .. } = Attributes::ours(0);
    DataFile {
        path: path.to_owned(),
        content: content.as_bytes().to_vec(),
        mode: 0o440,
        uid,
        gid,
    }
}

pub fn rendered(name: &str, digit: char) -> Rendered {
    let Attributes { uid, gid, .. } = Attributes::ours(0);
    let (checkpoint, revision) = (id(name), revision(digit));
    Rendered {
        pod: pod(&checkpoint, &revision),
        checkpoint,
        revision,
        files: vec![
            file("tls/tls.key", SECRET),
            file("tls/extra/ca.crt", "certificate"),
            file("tls/empty", ""),
        ],
        dirs: vec![DataDir {
            path: "tls".to_owned(),
            mode: 0o2750,
            uid,
            gid,
        }],
        notes: vec!["node affinity left out".to_owned()],
    }
}

/// A state in which the checkpoint `name` has this good revision; `count` tells states apart.
pub fn stored(name: &str, good: Option<char>, count: u64) -> Stored {
    let checkpoint = Checkpoint {
        good: good.map(revision),
        activations: count,
        ..Checkpoint::default()
    };
    Stored {
        held: false,
        boot_id: "boot".to_owned(),
        checkpoints: BTreeMap::from([(id(name), checkpoint)]),
    }
}

/// A prepared store in a directory of its own.
pub fn store() -> (TempDir, Revisions) {
    let dir = tempfile::tempdir().unwrap();
    let revisions = Revisions::new(dir.path().join("state"));
    revisions.prepare().unwrap();
    (dir, revisions)
}

/// Changes a file in place, as damage does.
pub fn overwrite(path: &Path, bytes: &[u8]) {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).open(path);
    opened.unwrap().write_all(bytes).unwrap();
}

/// Every regular file below `dir`.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files.extend(files_below(&entry.path()));
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files
}

/// Names in `dir`.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The error's whole text, causes included.
pub fn text(error: &dyn std::error::Error) -> String {
    rekindle::store::chain(error)
}
