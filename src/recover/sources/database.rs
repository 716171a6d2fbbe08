//! etcd's database in a file: the newest version of each wanted key, without an etcd.

use std::collections::HashMap;

use prost::Message;

use super::collect::Collector;
use super::wanted::{Resource, Wanted};
use crate::backup::verify::content::top_level;
use crate::backup::verify::revisions::{Revision, content};
use crate::bolt::{BoltError, Entry, Meta, Source, Walk, scan};

/// Wanted keys, deleted ones included. A namespace of a large cluster has some thousand.
const MOST: usize = 128 << 10;
/// Larger objects are not read; the API server takes none above 3 MiB.
const LARGEST: u64 = 4 << 20; // 4 MiB
/// All objects together, the smallest first. What is behind it is Helm's history or the like.
const LARGEST_ALL: u64 = 32 << 20; // 32 MiB

/// The newest version of a key.
#[derive(Debug, Clone, Copy)]
struct Version {
    revision: Revision,
    deleted: bool,
    /// Where its record is.
    page: u64,
    offset: u64,
    length: u64,
}

type Newest = HashMap<Vec<u8>, Version>;

/// A record of etcd (`mvccpb.KeyValue`).
#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    value: Vec<u8>,
}

/// Gives the newest wanted objects to `collector`.
pub(super) fn read(
    source: Source<'_>,
    meta: Meta,
    wanted: &Wanted,
    collector: &mut Collector,
) -> Result<(), BoltError> {
    let mut live: Vec<(Vec<u8>, Version)> = newest(source, meta, wanted)?
        .into_iter()
        .filter(|(_, version)| !version.deleted)
        .collect();
    live.sort_by(|(a, one), (b, other)| (one.length, a).cmp(&(other.length, b)));
    let best = wanted.single().iter();
    let best = best
        .map(String::as_bytes)
        .find(|best| live.iter().any(|(key, _)| key == best));
    let mut all = 0;
    for (key, version) in &live {
        let Some((resource, name)) = wanted.of(key) else {
            continue;
        };
        if resource == Resource::EtcdCluster && best != Some(key.as_slice()) {
            continue;
        }
        all += version.length;
        if version.length > LARGEST || all > LARGEST_ALL {
            let why = format!(
                "it has {} bytes, and no more than {} MiB of one object and {} MiB of all are read",
                version.length,
                LARGEST >> 20,
                LARGEST_ALL >> 20
            );
            collector.unreadable(resource, name, why);
            continue;
        }
        let mut bytes = vec![0; usize::try_from(version.length).unwrap_or_default()];
        source.fill(version.offset, &mut bytes)?;
        let record = Record::decode(bytes.as_slice()).ok();
        let Some(record) = record.filter(|record| record.key == *key) else {
            let what = format!(
                "the record of revision {} cannot be decoded",
                version.revision
            );
            return Err(BoltError::damaged(version.page, version.offset, what));
        };
        collector.take(resource, name, key, &record.value);
    }
    Ok(())
}

fn newest(source: Source<'_>, meta: Meta, wanted: &Wanted) -> Result<Newest, BoltError> {
    let mut walk = Walk::new(source, meta);
    let buckets = top_level(&mut walk)?;
    drop(walk);
    let mut newest = Newest::new();
    for bucket in buckets.iter().filter(|bucket| bucket.name == b"key") {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let each = |found: &mut Newest, entry: &Entry<'_>| record(found, wanted, entry);
        for found in scan(source, meta, bucket, threads.min(8), Newest::new, each)? {
            for (key, version) in found {
                keep(&mut newest, &key, version)?;
            }
        }
    }
    Ok(newest)
}

/// Looks at one record.
fn record(found: &mut Newest, wanted: &Wanted, entry: &Entry<'_>) -> Result<(), BoltError> {
    let Some((revision, deleted)) = Revision::read(entry.key) else {
        return Err(entry.damaged("the key is no revision"));
    };
    // `etcdutl snapshot restore --bump-revision` writes one record without content.
    if entry.value.is_empty() {
        return Ok(());
    }
    let record = content(entry, revision, deleted)?;
    let whole = u64::try_from(record.key.len()) == Ok(record.key_length);
    if !whole || wanted.of(record.key).is_none() {
        return Ok(());
    }
    let version = Version {
        revision,
        deleted,
        page: entry.page,
        offset: entry.value.place(),
        length: entry.value.len(),
    };
    keep(found, record.key, version)
}

fn keep(found: &mut Newest, key: &[u8], version: Version) -> Result<(), BoltError> {
    let damaged = |what: String| Err(BoltError::damaged(version.page, version.offset, what));
    let full = found.len() >= MOST;
    match found.get_mut(key) {
        Some(known) if known.revision == version.revision => {
            damaged(format!("revision {} is there twice", version.revision))
        }
        Some(known) => {
            if known.revision < version.revision {
                *known = version;
            }
            Ok(())
        }
        None if full => damaged(format!("more than {MOST} keys of the namespace: not read")),
        None => {
            found.insert(key.to_owned(), version);
            Ok(())
        }
    }
}
