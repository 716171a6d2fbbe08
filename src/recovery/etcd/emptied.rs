//! An etcd that the kubelet started on an emptied directory: it serves, has a leader, and is not
//! the cluster that was lost. Told by what this node has seen: a member that is alone never goes
//! back, and a restore raises the revision above everything. And by the namespace `kube-system`,
//! which every cluster has from its first moment to its last: where it was made after the backup
//! was taken, the backup is of another cluster than what answers.

use jiff::Timestamp;
use prost::Message;
use serde::Deserialize;

use super::verify::own;
use crate::backup::high_water;
use crate::backup::restore::Source as Found;
use crate::config::Settings;
use crate::core::recovery::etcd::{Home, Source};
use crate::objects::{Content, Value};

/// The namespace's key below the API server's prefix.
const KEY: &str = "namespaces/kube-system";
/// Its resource in a backup's counts.
const RESOURCE: &str = "namespaces";

/// What answers here is known not to be the cluster that was lost: its revision, and the highest
/// that this node had seen *before* it was asked, are `revisions`. Whatever is not known makes it
/// `false`.
pub(super) async fn is_another(
    settings: &Settings,
    home: &Home,
    source: &Source,
    revisions: (i64, Option<i64>),
) -> bool {
    let alone = async {
        let (etcd, _) = own(settings, home).await.ok()?;
        Some(etcd.members().await.ok()?.len() == 1)
    };
    // A member of several may be behind; one that is alone is all there is.
    if !alone.await.unwrap_or(false) {
        return false;
    }
    fell(revisions) || younger(settings, home, source).await.unwrap_or(false)
}

fn fell((revision, highest): (i64, Option<i64>)) -> bool {
    highest.is_some_and(|highest| revision < highest)
}

/// The highest revision that this node has ever seen. To be read before a member is asked: whoever
/// serves the old cluster can only be further by then, and is not taken for another one.
pub(super) async fn highest(settings: &Settings) -> Option<i64> {
    let state_dir = settings.paths.state_dir.clone();
    let marks = tokio::task::spawn_blocking(move || high_water::read(&state_dir).ok());
    marks.await.ok().flatten()?.highest()
}

/// Its `kube-system` was made after the backup was taken, or was not made yet.
async fn younger(settings: &Settings, home: &Home, source: &Source) -> Option<bool> {
    let Source::Backup(name) = source else {
        return None;
    };
    let (dir, name) = (settings.backup.dir.clone(), name.clone());
    let found = tokio::task::spawn_blocking(move || {
        let found = Found::find(&name, &dir).ok()?;
        let manifest = found.manifest()?;
        let namespaces = manifest.content.resources.get(RESOURCE);
        Some((manifest.taken_at, namespaces.copied().unwrap_or(0)))
    });
    let (taken_at, namespaces) = found.await.ok()??;
    if namespaces == 0 {
        return None;
    }
    let (etcd, _) = own(settings, home).await.ok()?;
    let prefix = settings.backup.key_prefix.trim_matches('/');
    let key = format!("/{prefix}/{KEY}");
    let value = etcd.reader().value(key.as_bytes()).await.ok()?;
    Some(match value {
        None => true,
        Some(value) => made(&value)? > taken_at,
    })
}

/// Source: Kubernetes `apimachinery/pkg/apis/meta/v1/generated.proto`.
#[derive(Clone, PartialEq, Message)]
struct Object {
    #[prost(message, optional, tag = "1")]
    metadata: Option<Meta>,
}

#[derive(Clone, PartialEq, Message)]
struct Meta {
    #[prost(message, optional, tag = "8")]
    creation: Option<Time>,
}

#[derive(Clone, PartialEq, Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

#[derive(Deserialize)]
struct Written {
    metadata: WrittenMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenMeta {
    creation_timestamp: Timestamp,
}

/// When an object was made.
fn made(value: &[u8]) -> Option<Timestamp> {
    match Value::of(value).ok()?.body().ok()?.content {
        Content::Protobuf(bytes) => {
            let meta = Object::decode(bytes.as_slice()).ok()?.metadata?;
            Timestamp::from_second(meta.creation?.seconds).ok()
        }
        Content::Json(bytes) => {
            let written: Written = serde_json::from_slice(&bytes).ok()?;
            Some(written.metadata.creation_timestamp)
        }
    }
}
