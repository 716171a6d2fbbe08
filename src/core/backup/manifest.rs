//! What a backup says about itself: `manifest.json` of a bundle. Everything else in the bundle is
//! a part whose digest is here, and `manifest.sig` signs these bytes.
//!
//! Unknown fields are ignored, so that an older Rekindle reads what a newer one wrote; a change of
//! meaning is a new [`FORMAT`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::BackupId;

/// Version of the bundle's format that this program writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// A whole backup, described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// The backup's name.
    pub id: BackupId,
    /// When it was begun, by this node's clock.
    pub taken_at: Timestamp,
    /// The node that took it.
    pub node: String,
    /// Why it was taken.
    pub trigger: Trigger,
    /// The etcd cluster and the snapshot's place in its history.
    pub etcd: EtcdFacts,
    /// The snapshot's content, counted while it was verified.
    pub content: Content,
    /// `rekindle` and, where known, `kubernetes`, `kubelet`: program name to version.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// Images of the control plane's pods: reference to digest (`sha256:…`).
    #[serde(default)]
    pub images: BTreeMap<String, String>,
    /// Reservations about this backup: what makes it less than perfect (scenario B08).
    #[serde(default)]
    pub marks: Vec<String>,
    /// Files of the bundle, `manifest.json` and `manifest.sig` excepted.
    pub parts: Vec<Part>,
}

/// Who asked for a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The schedule.
    Schedule,
    /// The schedule, after a time in which no run was possible.
    CaughtUp,
    /// A person or another program.
    Asked,
}

/// The etcd cluster, and where in its history the snapshot stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdFacts {
    /// Server version of the member, as `3.5.16`.
    pub version: String,
    /// Cluster id.
    pub cluster_id: u64,
    /// Id of the member that the snapshot comes from.
    pub member_id: u64,
    /// Endpoint that the snapshot was streamed from.
    pub endpoint: String,
    /// Revision in the snapshot, read from it.
    pub revision: i64,
    /// Largest revision of the cluster that this node has ever recorded, at least `revision`: a
    /// restore bumps above it.
    pub high_water_revision: i64,
    /// Raft term of the member when the snapshot began.
    pub raft_term: u64,
    /// Members of the cluster.
    pub members: Vec<Member>,
}

/// One member of the etcd cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Member id.
    pub id: u64,
    /// Its name; empty: never started.
    pub name: String,
    /// Peer URLs.
    pub peer_urls: Vec<String>,
    /// Client URLs.
    pub client_urls: Vec<String>,
    /// A learner does not vote.
    pub learner: bool,
}

/// What a snapshot holds, counted by walking it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Content {
    /// Size of the database in bytes, without the trailer.
    pub database_bytes: u64,
    /// Largest revision.
    pub revision: i64,
    /// Compacted up to this revision; 0: never.
    pub compacted_revision: i64,
    /// Live keys (the newest record is no deletion).
    pub live_keys: u64,
    /// Records in the `key` bucket: every revision and deletion that is kept.
    pub records: u64,
    /// Live keys by Kubernetes resource, as `pods`, `secrets`, `example.com/widgets`: what stands
    /// between the API server's prefix and the object's name; `other`: keys outside the prefix.
    pub resources: BTreeMap<String, u64>,
}

/// A file of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// File name in the bundle, as `snapshot.db.zst` or `host.tar.zst`.
    pub name: String,
    /// What it is.
    pub kind: PartKind,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of the file in hexadecimal.
    pub sha256: String,
    /// Size once decompressed; equal to `bytes` where it is not compressed.
    pub plain_bytes: u64,
    /// SHA-256 of the decompressed content in hexadecimal.
    pub plain_sha256: String,
    /// zstd-compressed.
    pub compressed: bool,
}

/// What a part of a bundle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// The etcd snapshot as `etcdctl snapshot save` writes it, trailer hash included.
    Snapshot,
    /// tar of files of this host by absolute path without the leading `/`, owners and modes kept:
    /// PKI, static manifests, encryption configuration, kubelet and etcd configuration, and the
    /// checkpoints of the state directory.
    Host,
}
