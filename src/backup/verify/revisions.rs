//! The `key` bucket: every record of every revision that is kept.
//!
//! A bbolt key is a revision: eight bytes of the transaction's number, `_`, eight bytes of the
//! place in it, and `t` for a deletion (`server/storage/mvcc/revision.go`).

use super::live::Live;
use super::protobuf::{Fault, KeyValue};
use crate::bolt::{BoltError, Entry};

/// Compactions, from the `meta` bucket.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Compactions {
    /// Finished up to this revision; 0: never.
    pub(super) finished: i64,
    /// Begun up to this revision, at least `finished`.
    pub(super) scheduled: i64,
}

/// Checks the records one after the other.
#[derive(Debug)]
pub(super) struct Records<'p> {
    compactions: Compactions,
    live: Live<'p>,
    last: Option<Revision>,
    count: u64,
    /// The first place behind the compaction at which a revision is missing.
    gap: Option<(Revision, Revision)>,
    bumps: u64,
}

/// A revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Revision {
    main: i64,
    sub: i64,
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.main, self.sub)
    }
}

impl Revision {
    /// Reads 17 or, with the mark of a deletion, 18 bytes; true: it has the mark.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, bool)> {
        let (main, rest) = bytes.split_first_chunk::<8>()?;
        let (between, rest) = rest.split_first_chunk::<1>()?;
        let (sub, mark) = rest.split_first_chunk::<8>()?;
        let revision = Self {
            main: i64::from_be_bytes(*main),
            sub: i64::from_be_bytes(*sub),
        };
        let whole = between == b"_" && matches!(mark, b"" | b"t");
        (whole && revision.main >= 1 && revision.sub >= 0).then_some((revision, !mark.is_empty()))
    }

    /// The number of the transaction.
    pub(crate) fn main(self) -> i64 {
        self.main
    }

    fn follows(self, last: Self) -> bool {
        let same = self.main == last.main && self.sub == last.sub + 1;
        same || (self.main == last.main + 1 && self.sub == 0)
    }
}

/// What the records add up to.
#[derive(Debug)]
pub(super) struct Totals {
    pub(super) count: u64,
    pub(super) revision: i64,
    pub(super) live: u64,
    pub(super) resources: std::collections::BTreeMap<String, u64>,
    pub(super) remarks: Vec<String>,
}

impl<'p> Records<'p> {
    pub(super) fn new(prefix: &'p [u8], compactions: Compactions) -> Self {
        Self {
            compactions,
            live: Live::new(prefix, compactions.finished, compactions.scheduled),
            last: None,
            count: 0,
            gap: None,
            bumps: 0,
        }
    }

    /// Checks and counts the next record.
    pub(super) fn record(&mut self, entry: &Entry<'_>) -> Result<(), BoltError> {
        let Some((revision, deletion)) = Revision::read(entry.key) else {
            return Err(entry.damaged("the key is no revision"));
        };
        let bad = |what: String| entry.damaged(format!("revision {revision}: {what}"));
        if self.last.is_some_and(|last| last >= revision) {
            return Err(bad("it is there twice".into()));
        }
        // `etcdutl snapshot restore --bump-revision` writes one record without content, with the
        // mark of a deletion where the newest one has it.
        let bump = entry.value.is_empty();
        if bump {
            self.bumps += 1;
        } else {
            self.look_for_gap(revision);
        }
        self.last = Some(revision);
        self.count += 1;
        if bump {
            return Ok(());
        }
        let record = content(entry, revision, deletion)?;
        if deletion {
            return self.live.deletion(revision.main, record.key).map_err(bad);
        }
        self.live.put(revision.main, record.version, record.key);
        Ok(())
    }

    /// Behind the last compaction no revision may be missing; before it most are.
    fn look_for_gap(&mut self, revision: Revision) {
        let compacted = self.compactions.scheduled.max(1);
        if revision.main <= compacted || self.gap.is_some() {
            return;
        }
        let first = Revision {
            main: compacted,
            sub: 0,
        };
        let last = self.last.unwrap_or(first).max(first);
        if !revision.follows(last) {
            self.gap = Some((last, revision));
        }
    }

    /// The sums, and what is worth a remark.
    pub(super) fn totals(self) -> Totals {
        let mut remarks = Vec::new();
        if let Some((last, next)) = self.gap {
            remarks.push(format!(
                "revision {next} follows {last}: what was between is missing"
            ));
        }
        if self.bumps > 0 {
            remarks.push(format!(
                "{} records without content: revisions were bumped by a restore",
                self.bumps
            ));
        }
        let Compactions {
            finished,
            scheduled,
        } = self.compactions;
        if scheduled > finished {
            remarks.push(format!(
                "the compaction of revision {scheduled} is under way: counts of live keys are upper bounds"
            ));
        }
        let (live, resources) = self.live.counts();
        // A fresh store is at revision 1; one whose newest records were compacted away is at the
        // compaction's (`store.restore`).
        let newest = self.last.map_or(1, Revision::main);
        Totals {
            count: self.count,
            revision: newest.max(scheduled).max(1),
            live,
            resources,
            remarks,
        }
    }
}

/// The record of an entry that has one, checked against its revision.
pub(crate) fn content<'v>(
    entry: &'v Entry<'_>,
    revision: Revision,
    deletion: bool,
) -> Result<KeyValue<'v>, BoltError> {
    let bad = |what: String| entry.damaged(format!("revision {revision}: {what}"));
    let record = KeyValue::read(&entry.value).map_err(|fault| match fault {
        Fault::Bad(what) => bad(what),
        Fault::Read(error) => error,
    })?;
    if record.key_length == 0 {
        return Err(bad("its record has no key".into()));
    }
    if deletion {
        // A deletion's record holds the key alone (`storeTxnWrite.delete`).
        let alone = record.create_revision == 0 && record.version == 0;
        if !alone || ![0, revision.main].contains(&record.mod_revision) {
            return Err(bad("a deletion with the figures of a put".into()));
        }
        return Ok(record);
    }
    match implausible(revision, &record) {
        Some(what) => Err(bad(what)),
        None => Ok(record),
    }
}

/// What of a put's record cannot be.
fn implausible(revision: Revision, record: &KeyValue<'_>) -> Option<String> {
    let KeyValue {
        create_revision,
        mod_revision,
        version,
        ..
    } = *record;
    if mod_revision != revision.main {
        return Some(format!("its record says revision {mod_revision}"));
    }
    if create_revision < 1 || create_revision > mod_revision {
        return Some(format!("created at revision {create_revision}"));
    }
    // Each version takes a revision of its own: a transaction puts a key once.
    let versions = mod_revision - create_revision;
    if version < 1 || version - 1 > versions || (version == 1) != (versions == 0) {
        return Some(format!(
            "version {version} of a key created at revision {create_revision}"
        ));
    }
    None
}
