//! The walk over a whole database: each bucket's entries go to the check that knows them.

use super::buckets::{self, Known, MetaFacts};
use super::crc::Crc;
use super::revisions::{Compactions, Records, Totals};
use crate::bolt::{BoltError, Bucket, Entry, Meta, Pages, Source, Walk};

/// What was found.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) pages: Pages,
    pub(super) buckets: usize,
    /// Keys in all buckets.
    pub(super) entries: u64,
    pub(super) crc: u32,
    pub(super) facts: MetaFacts,
    pub(super) totals: Totals,
    pub(super) remarks: Vec<String>,
}

/// Walks everything.
pub(super) fn walk(source: Source<'_>, meta: Meta, prefix: &[u8]) -> Result<Walked, BoltError> {
    let facts = facts(source, meta)?;
    let mut walk = Walk::new(source, meta);
    let top = top_level(&mut walk)?;
    let mut records = Records::new(prefix, facts.compactions);
    let mut crc = Crc::new();
    let mut entries = 0_u64;
    let mut unknown: Vec<String> = Vec::new();
    for bucket in &top {
        let name = bucket.name.as_slice();
        // etcd numbers its records itself.
        if bucket.sequence != 0 {
            return Err(bucket.damaged(format!("the bucket's sequence is {}", bucket.sequence)));
        }
        crc.add(name);
        let mut strange = u64::from(!buckets::KNOWN.contains(&name));
        let mut take = |entry: &Entry<'_>| -> Result<(), BoltError> {
            entries += 1;
            crc.add(entry.key);
            entry.value.each_chunk(|chunk| crc.add(chunk))?;
            let known = match name {
                b"key" => records.record(entry).map(|()| Known::Yes)?,
                b"meta" => buckets::meta(entry, &mut MetaFacts::default())?,
                name => buckets::other(name, entry)?,
            };
            strange += u64::from(known == Known::No);
            Ok(())
        };
        let within = walk.bucket(bucket, &mut take)?;
        if let Some(nested) = within.first() {
            return Err(nested.damaged("a bucket within a bucket: etcd has none"));
        }
        if strange > 0 {
            unknown.push(buckets::readable(name));
        }
    }
    let pages = walk.finish()?;
    let mut totals = records.totals();
    let mut remarks = std::mem::take(&mut totals.remarks);
    if !unknown.is_empty() {
        remarks.push(format!(
            "the buckets {} hold what this program does not know: only their structure was checked",
            unknown.join(", ")
        ));
    }
    if pages.loose_branch_keys > 0 {
        remarks.push(format!(
            "{} keys of branches are smaller than the first key below them: legal, and not what \
             bbolt writes",
            pages.loose_branch_keys
        ));
    }
    Ok(Walked {
        pages,
        buckets: top.len(),
        entries,
        crc: crc.value(),
        facts,
        totals,
        remarks,
    })
}

/// The buckets of the root, which holds nothing else.
pub(crate) fn top_level(walk: &mut Walk<'_>) -> Result<Vec<Bucket>, BoltError> {
    let root = walk.root();
    let top = walk.bucket(&root, &mut |entry| {
        Err(entry.damaged("a key beside the buckets: bbolt writes none"))
    })?;
    for needed in [b"key".as_slice(), b"meta"] {
        if !top.iter().any(|bucket| bucket.name == needed) {
            let needed = String::from_utf8_lossy(needed);
            return Err(root.damaged(format!("there is no bucket `{needed}`: no etcd database")));
        }
    }
    Ok(top)
}

/// The `meta` bucket first, by a walk of its own: the records before it need to know what was
/// compacted.
fn facts(source: Source<'_>, meta: Meta) -> Result<MetaFacts, BoltError> {
    let mut walk = Walk::new(source, meta);
    let top = top_level(&mut walk)?;
    let mut facts = MetaFacts::default();
    for bucket in top.iter().filter(|bucket| bucket.name == b"meta") {
        walk.bucket(bucket, &mut |entry| {
            buckets::meta(entry, &mut facts).map(|_| ())
        })?;
        let Compactions {
            finished,
            scheduled,
        } = facts.compactions;
        // etcd writes that it will compact before it does; 0: written by none.
        if finished > scheduled {
            return Err(bucket.damaged(format!(
                "compaction of revision {finished} is finished, the last one begun is {scheduled}"
            )));
        }
    }
    Ok(facts)
}
