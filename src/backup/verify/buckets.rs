//! The buckets beside `key`: each key and value has the form that etcd gives it
//! (`server/storage/schema`). What a newer etcd may have added is remarked, not refused.

use serde::Deserialize;

use super::protobuf::{Fault, Field, Fields};
use super::revisions::{Compactions, Revision};
use crate::bolt::{BoltError, Entry};

/// Names of the top-level buckets of etcd 3.0 to 3.6.
pub(super) const KNOWN: [&[u8]; 10] = [
    b"alarm",
    b"auth",
    b"authRoles",
    b"authUsers",
    b"cluster",
    b"key",
    b"lease",
    b"members",
    b"members_removed",
    b"meta",
];

/// What the `meta` bucket says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MetaFacts {
    pub(super) compactions: Compactions,
    /// Index of the last raft entry that is applied.
    pub(super) consistent_index: Option<u64>,
    /// Its term; etcd 3.5 and later.
    pub(super) term: Option<u64>,
}

/// How an entry was found.
pub(super) type Found = Result<Known, BoltError>;

/// Whether an entry is of a form that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Yes,
    /// Not checked.
    No,
}

/// Takes an entry of the `meta` bucket.
pub(super) fn meta(entry: &Entry<'_>, facts: &mut MetaFacts) -> Found {
    let name = readable(entry.key);
    let bad = || entry.damaged(format!("`{name}` of the meta bucket has no such form"));
    let value = entry.value.whole().ok_or_else(bad)?;
    let number = || value.try_into().map(u64::from_be_bytes).map_err(|_| bad());
    let revision = || match Revision::read(value) {
        Some((revision, false)) => Ok(revision.main()),
        _ => Err(bad()),
    };
    match entry.key {
        b"consistent_index" => facts.consistent_index = Some(number()?),
        b"term" => facts.term = Some(number()?),
        b"finishedCompactRev" => facts.compactions.finished = revision()?,
        b"scheduledCompactRev" => facts.compactions.scheduled = revision()?,
        b"confState" => is_json(value).then_some(()).ok_or_else(bad)?,
        b"storageVersion" => is_version(value).then_some(()).ok_or_else(bad)?,
        _ => return Ok(Known::No),
    }
    Ok(Known::Yes)
}

/// Takes an entry of any other bucket than `key` and `meta`.
pub(super) fn other(bucket: &[u8], entry: &Entry<'_>) -> Found {
    let Some(value) = entry.value.whole() else {
        return Ok(Known::No);
    };
    let key = entry.key;
    let right = match (bucket, key) {
        (b"lease", _) => lease(entry)?,
        (b"members", _) => member(key, value),
        (b"members_removed", _) => is_member_id(key) && value == b"removed",
        (b"alarm", _) => value.is_empty(),
        (b"cluster", b"clusterVersion") => is_version(value),
        (b"cluster", b"downgrade") => is_json(value),
        (b"auth", b"authEnabled") => matches!(value, [0 | 1]),
        (b"auth", b"authRevision") => value.len() == 8,
        (b"authUsers" | b"authRoles", _) => named(entry)?,
        _ => return Ok(Known::No),
    };
    if right {
        return Ok(Known::Yes);
    }
    let bucket = readable(bucket);
    Err(entry.damaged(format!(
        "an entry of the bucket `{bucket}` has no such form"
    )))
}

/// `leasepb.Lease`, under its id.
fn lease(entry: &Entry<'_>) -> Result<bool, BoltError> {
    let mut id = 0;
    let mut fields = Fields::of(&entry.value);
    loop {
        match fields.next() {
            Ok(Some((1, Field::Number(number)))) => id = number,
            Ok(Some((2 | 3, Field::Number(_)))) => {}
            Ok(None) => break,
            Ok(Some(_)) | Err(Fault::Bad(_)) => return Ok(false),
            Err(Fault::Read(error)) => return Err(error),
        }
    }
    Ok(entry.key == id.to_be_bytes())
}

/// A message whose first field is the name that is the key (`authpb.User`, `authpb.Role`).
fn named(entry: &Entry<'_>) -> Result<bool, BoltError> {
    let mut fields = Fields::with_repeats(&entry.value);
    let mut right = false;
    loop {
        match fields.next() {
            Ok(Some((1, Field::Bytes(_, name)))) => right = name == entry.key,
            Ok(Some(_)) => {}
            Ok(None) => return Ok(right),
            Err(Fault::Bad(_)) => return Ok(false),
            Err(Fault::Read(error)) => return Err(error),
        }
    }
}

fn member(key: &[u8], value: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Member {
        id: u64,
    }
    serde_json::from_slice::<Member>(value)
        .is_ok_and(|member| format!("{:x}", member.id).as_bytes() == key)
}

fn is_member_id(key: &[u8]) -> bool {
    (1..=16).contains(&key.len()) && key.iter().all(u8::is_ascii_hexdigit)
}

/// `3.5.0`, with what may follow.
fn is_version(value: &[u8]) -> bool {
    let mut parts = value.splitn(3, |byte| *byte == b'.');
    let mut number = || {
        let part = parts.next().unwrap_or_default();
        (1..=8).contains(&part.len()) && part.iter().all(u8::is_ascii_digit)
    };
    let (major, minor) = (number(), number());
    let patch = parts.next().unwrap_or_default();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
    major && minor && (1..=64).contains(&patch.len()) && patch.iter().all(plain)
}

fn is_json(value: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok()
}

/// A name for a message: at most 64 characters, none of which steers a terminal.
pub(super) fn readable(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let short: String = text.chars().take(64).collect();
    short.escape_debug().to_string()
}
