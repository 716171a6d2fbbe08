//! Reads every live key of the rehearsed etcd, in pages, and counts.
//!
//! Everything is read at the snapshot's revision: keys whose lease runs out meanwhile stay visible
//! there.

use std::collections::BTreeMap;
use std::time::Duration;

use etcd_client::{Client, GetOptions, GetResponse, KvClient};
use secrecy::ExposeSecret;

use super::encrypted::Keys;
use super::error::{Stop, failed};
use crate::backup::Progress;
use crate::backup::verify::resource;
use crate::core::backup::manifest::Content;
use crate::core::reading::chain;
use crate::failpoints::hit;
use crate::objects::{Malformed, Place, Value, place};

/// Largest page in bytes, so that memory is bounded; only a single larger value may exceed it.
const PAGE_BYTES: usize = 4 << 20; // 4 MiB
/// Largest single value with its key; etcd's own default limit of a request is 1.5 MiB.
const VALUE_BYTES: usize = 64 << 20; // 64 MiB
/// Pages are made larger up to so many keys while they stay small.
const PAGE_KEYS: i64 = 2000;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Census {
    pub(super) revision: i64,
    pub(super) live_keys: u64,
    pub(super) resources: BTreeMap<String, u64>,
    pub(super) decoded: u64,
    /// Stored as CBOR, which is not read.
    pub(super) undecoded: u64,
    pub(super) outside: u64,
}

/// How to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) prefix: &'a str,
    pub(super) revision: i64,
    pub(super) deadline: Duration,
    pub(super) progress: &'a Progress,
}

/// Reads everything at the revision of `reading`.
pub(super) async fn take(
    client: &Client,
    reading: Reading<'_>,
    keys: &mut Keys,
) -> Result<Census, Stop> {
    let mut kv = client.kv_client().max_decoding_message_size(PAGE_BYTES);
    let mut census = Census {
        revision: current(&mut kv, reading).await?,
        ..Census::default()
    };
    reading.progress.begin("reading keys", 0);
    hit("rehearse.reading");
    let prefix = format!("/{}/", reading.prefix.trim_matches('/'));
    let mut from = b"\0".to_vec();
    let mut limit = 64;
    loop {
        let page = page(client, &mut kv, &from, &mut limit, reading).await?;
        let mut bytes = 0;
        for pair in page.kvs() {
            census.count(&prefix, pair.key(), pair.value(), keys)?;
            bytes += pair.key().len() + pair.value().len();
        }
        reading.progress.advance(bytes as u64);
        let Some(last) = page.kvs().last().filter(|_| page.more()) else {
            break;
        };
        // The next possible key in byte order.
        from = [last.key(), b"\0"].concat();
        if bytes < PAGE_BYTES / 4 {
            limit = (limit * 2).min(PAGE_KEYS);
        }
    }
    hit("rehearse.read");
    Ok(census)
}

/// The store's revision now, which must be the expected one but for keys whose lease has run out.
async fn current(kv: &mut KvClient, reading: Reading<'_>) -> Result<i64, Stop> {
    let newer = GetOptions::new()
        .with_from_key()
        .with_limit(1)
        .with_keys_only()
        .with_min_mod_revision(reading.revision.saturating_add(1));
    let answer = ask(kv, b"\0", newer, reading).await?;
    let revision = answer
        .header()
        .map_or(0, etcd_client::ResponseHeader::revision);
    let expected = reading.revision;
    if revision < expected {
        return failed(format!(
            "the restored etcd is at revision {revision}, and the manifest says {expected}"
        ));
    }
    if let Some(newer) = answer.kvs().first() {
        return failed(format!(
            "the restored etcd holds revision {}, and the manifest says that the newest is \
             {expected}",
            newer.mod_revision()
        ));
    }
    Ok(expected)
}

/// The next page, smaller where it would be too large.
async fn page(
    client: &Client,
    kv: &mut KvClient,
    from: &[u8],
    limit: &mut i64,
    reading: Reading<'_>,
) -> Result<GetResponse, Stop> {
    loop {
        let options = GetOptions::new()
            .with_from_key()
            .with_limit(*limit)
            .with_revision(reading.revision);
        let asked = tokio::time::timeout(reading.deadline, kv.get(from, Some(options.clone())));
        match asked.await {
            Ok(Ok(page)) => return Ok(page),
            Ok(Err(error)) if too_large(&error) && *limit > 1 => *limit = (*limit / 4).max(1),
            Ok(Err(error)) if too_large(&error) => {
                let mut large = client.kv_client().max_decoding_message_size(VALUE_BYTES);
                return ask(&mut large, from, options, reading).await;
            }
            Ok(Err(error)) => return failed(unread(&error)),
            Err(_) => return failed(hangs(reading.deadline)),
        }
    }
}

async fn ask(
    kv: &mut KvClient,
    from: &[u8],
    options: GetOptions,
    reading: Reading<'_>,
) -> Result<GetResponse, Stop> {
    match tokio::time::timeout(reading.deadline, kv.get(from, Some(options))).await {
        Ok(Ok(page)) => Ok(page),
        Ok(Err(error)) => failed(unread(&error)),
        Err(_) => failed(hangs(reading.deadline)),
    }
}

fn unread(error: &etcd_client::Error) -> String {
    format!("the restored keys cannot be read: {}", chain(error))
}

fn hangs(deadline: Duration) -> String {
    let seconds = deadline.as_secs();
    format!("etcd hangs: no answer to a read for {seconds} s")
}

/// Refused by our own limit of a message: gRPC's code for it is `OutOfRange`.
fn too_large(error: &etcd_client::Error) -> bool {
    match error {
        etcd_client::Error::GRpcStatus(status) => {
            status.code() == tonic::Code::OutOfRange && status.message().contains("decode")
        }
        _ => false,
    }
}

impl Census {
    fn count(
        &mut self,
        prefix: &str,
        key: &[u8],
        value: &[u8],
        keys: &mut Keys,
    ) -> Result<(), Stop> {
        self.live_keys += 1;
        // As the walk of the file counts them, or the two could not be compared.
        let resource = resource::of(key, prefix.as_bytes()).unwrap_or("other");
        if let Some(count) = self.resources.get_mut(resource) {
            *count += 1;
        } else {
            self.resources.insert(resource.to_owned(), 1);
        }
        let Some(object) = place(key, prefix) else {
            self.outside += 1;
            return Ok(());
        };
        match decode(&object, key, value, keys) {
            Ok(true) => self.decoded += 1,
            Ok(false) => self.undecoded += 1,
            Err(why) => return failed(why),
        }
        Ok(())
    }

    /// As the manifest has it; what etcd's API does not tell is 0.
    pub(super) fn content(&self, database_bytes: u64) -> Content {
        Content {
            database_bytes,
            revision: self.revision,
            live_keys: self.live_keys,
            resources: self.resources.clone(),
            ..Content::default()
        }
    }

    /// What differs from the manifest, in words; `None`: nothing. `bounds`: its counts are upper
    /// bounds.
    pub(super) fn differs(&self, expected: &Content, bounds: bool) -> Option<String> {
        let fits = |here: u64, there: u64| here == there || (bounds && here < there);
        let of = |resources: &BTreeMap<String, u64>, name: &str| {
            resources.get(name).copied().unwrap_or(0)
        };
        let names = self.resources.keys().chain(expected.resources.keys());
        let mut names: Vec<_> = names
            .filter(|name| !fits(of(&self.resources, name), of(&expected.resources, name)))
            .collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() && fits(self.live_keys, expected.live_keys) {
            return None;
        }
        let each = names.iter().take(5).map(|name| {
            let (here, there) = (of(&self.resources, name), of(&expected.resources, name));
            format!(", {name}: {here} instead of {there}")
        });
        Some(format!(
            "the restored etcd holds {} keys where the manifest says {}{}",
            self.live_keys,
            expected.live_keys,
            each.collect::<String>()
        ))
    }
}

/// Decodes one object; `false`: of a form that is not read.
fn decode(object: &Place<'_>, key: &[u8], value: &[u8], keys: &mut Keys) -> Result<bool, String> {
    let broken = |error: Malformed| format!("{object} is stored broken: {error}");
    match Value::of(value).map_err(broken)? {
        Value::Encrypted(_) => {
            let plain = keys.open(object, key, value)?;
            let plain = Value::of(plain.expose_secret()).map_err(broken)?;
            plain.head().map_err(broken).map(|_| true)
        }
        Value::Cbor(_) => Ok(false),
        plain => plain.head().map_err(broken).map(|_| true),
    }
}
