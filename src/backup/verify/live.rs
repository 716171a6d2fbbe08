//! Live keys, counted in one pass in the order of revisions and in constant memory.
//!
//! Compaction leaves, of everything up to its revision, exactly one record for each key that was
//! live then. So of these each put counts one; behind it each first version (`version == 1`)
//! counts one and each deletion takes one away. While a compaction is under way the records up to
//! its revision are neither: each put of them counts, which is an upper bound.

use std::collections::BTreeMap;

use super::buckets::readable;
use super::resource;

/// Resources that are told apart; a cluster has some dozens to some hundreds.
const MOST_RESOURCES: usize = 4096;
/// Name of what is no resource below the prefix.
const OTHER: &str = "other";

/// The running count.
#[derive(Debug)]
pub(super) struct Live<'p> {
    prefix: &'p [u8],
    /// Finished compaction.
    compacted: i64,
    /// Compaction that was begun; at least `compacted`.
    begun: i64,
    keys: u64,
    resources: BTreeMap<String, u64>,
}

impl<'p> Live<'p> {
    pub(super) fn new(prefix: &'p [u8], compacted: i64, begun: i64) -> Self {
        Self {
            prefix,
            compacted,
            begun,
            keys: 0,
            resources: BTreeMap::new(),
        }
    }

    /// Counts a put of `key`.
    pub(super) fn put(&mut self, revision: i64, version: i64, key: &[u8]) {
        let one_for_each = revision <= self.compacted || revision <= self.begun;
        if !one_for_each && version != 1 {
            return;
        }
        self.keys += 1;
        let name = self.name(key);
        if let Some(count) = self.resources.get_mut(name) {
            *count += 1;
            return;
        }
        // No room: a name that comes this late is never told apart.
        let room = self.resources.len() < MOST_RESOURCES;
        let name = if room { name } else { OTHER };
        *self.resources.entry(name.to_owned()).or_default() += 1;
    }

    /// Counts a deletion of `key`.
    ///
    /// # Errors
    /// Where nothing is left of that resource: a record is missing or wrong.
    pub(super) fn deletion(&mut self, revision: i64, key: &[u8]) -> Result<(), String> {
        if revision <= self.begun {
            return Ok(());
        }
        let name = self.name(key);
        let name = if self.resources.contains_key(name) {
            name
        } else {
            OTHER
        };
        let count = self.resources.get_mut(name).filter(|count| **count > 0);
        let (Some(count), Some(keys)) = (count, self.keys.checked_sub(1)) else {
            let name = readable(name.as_bytes());
            return Err(format!(
                "deletes a key of {name}, and all keys of {name} are deleted already"
            ));
        };
        *count -= 1;
        self.keys = keys;
        Ok(())
    }

    fn name<'k>(&self, key: &'k [u8]) -> &'k str {
        resource::of(key, self.prefix).unwrap_or(OTHER)
    }

    /// Live keys, in all and by resource.
    pub(super) fn counts(mut self) -> (u64, BTreeMap<String, u64>) {
        self.resources.retain(|_, count| *count > 0);
        (self.keys, self.resources)
    }
}
