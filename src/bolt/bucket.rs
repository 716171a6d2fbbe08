//! Buckets: names whose values are trees, or small leaves within the value.

use super::damage::BoltError;
use super::layout::{BUCKET, u64_at};
use super::walk::Entry;

/// Names and inline content of the buckets in one bucket, in bytes; etcd's are below 64 KiB.
const LARGEST: usize = 1 << 20;

/// A bucket: found by the walk of the bucket that it is in.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Its name.
    pub name: Vec<u8>,
    /// Its sequence number.
    pub sequence: u64,
    /// The page that its header is in.
    pub page: u64,
    /// Where its name is in the file.
    pub offset: u64,
    pub(super) root: Root,
}

impl Bucket {
    /// Damage that is in its header.
    pub fn damaged(&self, what: impl Into<String>) -> BoltError {
        BoltError::damaged(self.page, self.offset, what)
    }
}

/// Where a bucket's tree is.
#[derive(Debug, Clone)]
pub(super) enum Root {
    Page(u64),
    /// A leaf within the bucket's value, and where that is in the file.
    Inline(Vec<u8>, u64),
}

/// Buckets found in a bucket.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) buckets: Vec<Bucket>,
    bytes: usize,
}

impl Found {
    /// Adds the bucket that an element of a leaf is.
    pub(super) fn add(&mut self, entry: &Entry<'_>) -> Result<(), BoltError> {
        let Some((header, rest)) = entry
            .value
            .whole()
            .and_then(|value| value.split_at_checked(BUCKET))
        else {
            return Err(entry.damaged("a bucket's header that is too short or too long"));
        };
        let root = u64_at(header, 0);
        let inline = root == 0;
        if inline && rest.len() < 16 || !inline && !rest.is_empty() {
            return Err(entry.damaged("a bucket's header and its content do not go together"));
        }
        self.bytes += 64 + entry.key.len() + rest.len();
        if self.bytes > LARGEST {
            return Err(entry.damaged("more buckets than this program reads"));
        }
        let begins = entry.offset + (entry.key.len() + BUCKET) as u64;
        self.buckets.push(Bucket {
            name: entry.key.to_vec(),
            sequence: u64_at(header, 8),
            page: entry.page,
            offset: entry.offset,
            root: if inline {
                Root::Inline(rest.to_vec(), begins)
            } else {
                Root::Page(root)
            },
        });
        Ok(())
    }
}
