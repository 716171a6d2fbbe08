//! etcd databases with chosen records, written without an etcd.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::bolt_file::{Element, Freelist, Writer, bucket, inline, pair};

/// Records in the order of revisions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records {
    elements: Vec<Element>,
    revision: u64,
    created: std::collections::BTreeMap<Vec<u8>, (u64, u64)>,
}

impl Records {
    pub(crate) fn put(&mut self, key: &str, value: &[u8]) -> &mut Self {
        self.revision += 1;
        let revision = self.revision;
        let known = self.created.entry(key.into()).or_insert((revision, 0));
        known.1 += 1;
        let (created, version) = *known;
        let mut record = Vec::new();
        bytes(&mut record, 1, key.as_bytes());
        for (number, value) in [(2, created), (3, revision), (4, version)] {
            record.push(number << 3);
            varint(&mut record, value);
        }
        bytes(&mut record, 5, value);
        self.elements.push(pair(at(revision, b""), record));
        self
    }

    pub(crate) fn delete(&mut self, key: &str) -> &mut Self {
        self.revision += 1;
        self.created.remove(key.as_bytes());
        let mut record = Vec::new();
        bytes(&mut record, 1, key.as_bytes());
        self.elements.push(pair(at(self.revision, b"t"), record));
        self
    }

    /// What `etcdutl snapshot restore --bump-revision` writes.
    pub(crate) fn bump(&mut self, by: u64) -> &mut Self {
        self.revision += by;
        self.elements.push(pair(at(self.revision, b""), ""));
        self
    }

    /// The database as the file `name`; with the hash of a snapshot, or without.
    pub(crate) fn write(&self, dir: &Path, name: &str, page_size: usize, hash: bool) -> PathBuf {
        let path = dir.join(name);
        let mut writer = Writer::create(&path, page_size);
        let key = writer.tree(self.elements.iter().cloned());
        let index = 7_u64.to_be_bytes();
        let buckets = [
            bucket("key", key),
            inline("meta", &[pair("consistent_index", index)]),
        ];
        let root = writer.tree(buckets.into_iter());
        drop(writer.finish(root, &Freelist::Absent));
        if hash {
            let mut content = std::fs::read(&path).unwrap();
            let sum = Sha256::digest(&content);
            content.extend(sum);
            #[expect(clippy::disallowed_methods, reason = "a test's own file")]
            std::fs::write(&path, content).unwrap();
        }
        path
    }
}

fn at(revision: u64, mark: &[u8]) -> Vec<u8> {
    [&revision.to_be_bytes(), b"_".as_slice(), &[0; 8], mark].concat()
}

fn bytes(record: &mut Vec<u8>, number: u8, content: &[u8]) {
    record.push((number << 3) | 2);
    varint(record, content.len() as u64);
    record.extend(content);
}

fn varint(record: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        record.push(u8::try_from(number & 0x7F).unwrap() | 0x80);
        number >>= 7;
    }
    record.push(u8::try_from(number).unwrap());
}
