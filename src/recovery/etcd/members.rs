//! The members of the cluster as a member's database has them, read from the file.

use std::path::Path;

use serde::Deserialize;

use crate::backup::verify::content::top_level;
use crate::bolt::{Metas, Source, Walk};
use crate::cleanup;
use crate::core::backup::manifest::Member;

/// Most that are read; etcd advises at most seven.
const MOST: usize = 64;

/// Source: etcd 3.5 `server/etcdserver/api/membership/member.go`; 3.4 has the same.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    id: u64,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "peerURLs")]
    peer_urls: Vec<String>,
    #[serde(default, rename = "clientURLs")]
    client_urls: Vec<String>,
    #[serde(default)]
    is_learner: bool,
}

/// The members in the database of `data_dir`, on which nobody works; `None`: it does not say.
/// Blocks.
pub(super) fn recorded(data_dir: &Path) -> Option<Vec<Member>> {
    let path = cleanup::etcd::database(data_dir).ok()??;
    let file = std::fs::File::open(path).ok()?;
    let source = Source::new(&file, file.metadata().ok()?.len());
    let mut walk = Walk::new(source, Metas::read(&source).ok()?.chosen);
    let top = top_level(&mut walk).ok()?;
    let bucket = top.iter().find(|bucket| bucket.name == b"members")?;
    let mut members = Vec::new();
    let mut unread = false;
    let walked = walk.bucket(bucket, &mut |entry| {
        let stored = entry.value.whole();
        match stored.and_then(|value| serde_json::from_slice::<Stored>(value).ok()) {
            Some(stored) if members.len() < MOST => members.push(Member {
                id: stored.id,
                name: stored.name,
                peer_urls: stored.peer_urls,
                client_urls: stored.client_urls,
                learner: stored.is_learner,
            }),
            _ => unread = true,
        }
        Ok(())
    });
    walked.ok()?;
    (!unread && !members.is_empty()).then_some(members)
}
