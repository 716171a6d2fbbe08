//! Proof that a file is a whole etcd database: a snapshot with its trailer, or a bare
//! `member/snap/db`.
//!
//! The file is read twice at most, once in order for its SHA-256 and once in the order of keys, at
//! the same time and in constant memory. A snapshot's trailer covers every byte. A bare database
//! has none: there only what has structure can be checked, which is every page's layout, every
//! record's frame and figures, but not the bytes inside a value, free pages and the rest of a page
//! behind its data, nor that a reference leads to the newest copy of its page;
//! [`Verified::remarks`] says so.

mod buckets;
pub(crate) mod content;
mod crc;
mod digest;
mod error;
pub(crate) mod file;
mod live;
pub(crate) mod protobuf;
pub mod resource;
pub(crate) mod revisions;

use std::fs::File;
use std::io;
use std::path::Path;

use serde::Serialize;

use self::content::Walked;
use self::digest::{Digests, hex};
pub use self::error::{Place, VerifyError};
pub use self::file::is_unfinished;
use self::file::{measure, not_in_use, open, unchanged};
use super::progress::Progress;
use crate::bolt::{BoltError, Metas, Source};
use crate::core::backup::manifest::Content;

/// The API server's default `--etcd-prefix`, with the slash that follows it.
pub const PREFIX: &str = "/registry/";

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What `etcdctl snapshot save` writes: a database and a SHA-256 behind it.
    Snapshot,
    /// `member/snap/db`.
    RawDatabase,
}

/// How to verify.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Keys below this belong to Kubernetes resources: [`PREFIX`].
    pub prefix: &'a str,
    /// Accept a name that ends in `.part`: for the writer itself.
    pub unfinished: bool,
    /// It is known to be a `member/snap/db`, wherever it lies: see [`VerifyError::NoTrailer`].
    pub raw: bool,
    /// What to call the file in errors, where it has another name than people know.
    pub named: Option<&'a Path>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            prefix: PREFIX,
            unfinished: false,
            raw: false,
            named: None,
        }
    }
}

/// A whole database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// What it is.
    pub kind: Kind,
    /// What it holds.
    pub content: Content,
    /// What was checked, in words.
    pub checked: Vec<String>,
    /// What is worth knowing about it, and what could not be checked.
    pub remarks: Vec<String>,
    /// SHA-256 of the whole file, in hexadecimal.
    pub sha256_of_file: String,
    /// The CRC-32C of keys and values that `etcdctl snapshot status` prints as its hash.
    pub integrity: u64,
    /// Keys of all buckets: `TOTAL KEYS` of `etcdctl snapshot status`.
    pub total_keys: u64,
    /// Index of the last raft entry that it contains.
    pub consistent_index: Option<u64>,
    /// Raft term of that entry (etcd 3.5 and later).
    pub term: Option<u64>,
    /// A compaction is under way: the counts of live keys are upper bounds.
    pub compacting: bool,
}

/// Verifies a file with the default [`Options`].
///
/// # Errors
/// What is wrong with it, or why that cannot be said.
pub fn verify(path: &Path, progress: &Progress) -> Result<Verified, VerifyError> {
    verify_with(path, &Options::default(), progress)
}

/// Verifies a file.
///
/// # Errors
/// As [`verify`].
pub fn verify_with(
    path: &Path,
    options: &Options<'_>,
    progress: &Progress,
) -> Result<Verified, VerifyError> {
    let opened = path;
    let path = options.named.unwrap_or(path);
    if !options.unfinished && is_unfinished(path) {
        return Err(VerifyError::Unfinished { path: path.into() });
    }
    let (file, before) = open(opened, path)?;
    let verified = verify_file(path, &file, before.len(), options, progress)?;
    unchanged(path, &file, &before)?;
    Ok(verified)
}

fn verify_file(
    path: &Path,
    file: &File,
    bytes: u64,
    options: &Options<'_>,
    progress: &Progress,
) -> Result<Verified, VerifyError> {
    let (kind, database) = measure(path, file, bytes)?;
    let source = Source::new(file, database);
    let metas = Metas::read(&source);
    if let (Kind::RawDatabase, Ok(metas)) = (kind, &metas) {
        let used = metas.chosen.high_water * metas.chosen.page_size;
        // A snapshot that lost its trailer. The database of an etcd that was stopped in order can
        // look the same, its last transaction being empty: it is believed at its own place.
        let at_home = options.raw || path.ends_with("member/snap/db");
        if metas.of_a_copy() && used == database && !at_home {
            return Err(VerifyError::NoTrailer { path: path.into() });
        }
        not_in_use(path, file)?;
    }
    progress.begin("verifying", bytes);
    let (digests, walked) = std::thread::scope(|scope| {
        let digests = std::thread::Builder::new()
            .name("digest".into())
            .spawn_scoped(scope, || digest::digests(file, database, bytes, progress));
        let walked = metas.and_then(|metas| walk(source, kind, &metas, options));
        let digests = digests.and_then(|thread| {
            let ended = thread.join();
            ended.unwrap_or_else(|_| Err(io::Error::other("the reading thread ended early")))
        });
        (digests, walked)
    });
    let digests = digests.map_err(|source| VerifyError::Read {
        path: path.into(),
        source,
    })?;
    if kind == Kind::Snapshot && digests.database != digests.trailer {
        let place = match walked {
            Err(BoltError::Damaged(damage)) => Place(Some(damage)),
            _ => Place(None),
        };
        return Err(VerifyError::Digest {
            path: path.into(),
            bytes: database,
            computed: hex(&digests.database),
            stored: hex(&digests.trailer),
            place,
        });
    }
    let (walked, remarks) = walked.map_err(|error| VerifyError::of_bolt(path, error))?;
    Ok(verified(kind, database, &digests, walked, remarks))
}

/// Checks the metas against what the file is; gives remarks.
pub(crate) fn check_metas(
    source: Source<'_>,
    kind: Kind,
    metas: &Metas,
) -> Result<Vec<String>, BoltError> {
    let mut remarks = Vec::new();
    let used = metas.chosen.high_water * metas.chosen.page_size;
    match (&metas.other, kind) {
        (Ok(_), _) => {}
        // In a crash bbolt may leave one of them so, and etcd starts from the other.
        (Err(BoltError::Damaged(damage)), Kind::RawDatabase) => remarks.push(format!(
            "one of the two meta pages is damaged ({damage}): etcd would use the other, which \
             may be one transaction older"
        )),
        (Err(BoltError::Damaged(damage)), Kind::Snapshot) => {
            return Err(BoltError::Damaged(damage.clone()));
        }
        (Err(BoltError::Read { offset, .. }), _) => {
            remarks.push(format!("the meta page at byte {offset} cannot be read"));
        }
    }
    if kind == Kind::Snapshot && used != source.bytes() {
        return Err(BoltError::Damaged(crate::bolt::Damage {
            page: metas.page,
            offset: 0,
            what: format!(
                "{used} bytes are in use, the snapshot has {}: something was added to its end",
                source.bytes()
            ),
        }));
    }
    Ok(remarks)
}

/// Walks the database that the metas describe; with remarks about the metas themselves.
fn walk(
    source: Source<'_>,
    kind: Kind,
    metas: &Metas,
    options: &Options<'_>,
) -> Result<(Walked, Vec<String>), BoltError> {
    let remarks = check_metas(source, kind, metas)?;
    let walked = content::walk(source, metas.chosen, options.prefix.as_bytes())?;
    Ok((walked, remarks))
}

fn verified(
    kind: Kind,
    database: u64,
    digests: &Digests,
    walked: Walked,
    mut remarks: Vec<String>,
) -> Verified {
    let pages = walked.pages;
    let mut checked = Vec::new();
    match kind {
        Kind::Snapshot => checked.push("trailer hash".into()),
        Kind::RawDatabase => remarks.push(
            "a bare database has no trailer: damage inside a value, in a free page or behind a \
             page's data cannot be found, nor a reference that leads to an older copy of its page"
                .into(),
        ),
    }
    checked.push(format!(
        "{} pages: 2 metas, {} branches, {} leaves, {} overflow, {} free",
        pages.total, pages.branch, pages.leaf, pages.overflow, pages.free
    ));
    checked.push(if pages.freelist_written {
        "the freelist: every page is used or free, none both".into()
    } else {
        "no freelist is written, as on Linux: a page that nothing refers to is free".into()
    });
    checked.push(format!(
        "{} keys of {} buckets in ascending order",
        walked.entries, walked.buckets
    ));
    checked.push(format!(
        "{} records of the key bucket: revision, version, frame",
        walked.totals.count
    ));
    remarks.extend(walked.remarks);
    let compactions = walked.facts.compactions;
    Verified {
        kind,
        content: Content {
            database_bytes: database,
            revision: walked.totals.revision,
            compacted_revision: compactions.finished,
            live_keys: walked.totals.live,
            records: walked.totals.count,
            resources: walked.totals.resources,
        },
        checked,
        remarks,
        sha256_of_file: hex(&digests.file),
        integrity: u64::from(walked.crc),
        total_keys: walked.entries,
        consistent_index: walked.facts.consistent_index,
        term: walked.facts.term,
        compacting: compactions.scheduled > compactions.finished,
    }
}
