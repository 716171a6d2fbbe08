//! Writes bbolt files of any shape: what a test or a benchmark needs and a real etcd would take
//! hours to make. The benchmark has `etcdctl snapshot status` read what this writes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// An element of a leaf.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    pub(crate) bucket: bool,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// A key with a value.
pub(crate) fn pair(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Element {
    Element {
        bucket: false,
        key: key.into(),
        value: value.into(),
    }
}

/// A bucket whose tree is at `root`.
pub(crate) fn bucket(name: &str, root: u64) -> Element {
    let mut value = root.to_le_bytes().to_vec();
    value.extend(0_u64.to_le_bytes());
    Element {
        bucket: true,
        key: name.into(),
        value,
    }
}

/// A bucket within its name's value.
pub(crate) fn inline(name: &str, elements: &[Element]) -> Element {
    let mut element = bucket(name, 0);
    element.value.extend(leaf(0, elements));
    element
}

/// What is written as the freelist.
#[derive(Debug, Clone)]
pub(crate) enum Freelist {
    /// None, as etcd does.
    Absent,
    /// These pages.
    Pages(Vec<u64>),
}

/// A file that is being written, page after page.
#[derive(Debug)]
pub(crate) struct Writer {
    file: File,
    page_size: usize,
    next: u64,
}

impl Writer {
    pub(crate) fn create(path: &Path, page_size: usize) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(path, b"").unwrap();
        let file = File::options().read(true).write(true).open(path).unwrap();
        Self {
            file,
            page_size,
            next: 2,
        }
    }

    /// Leaves `pages` out; returns the first of them.
    pub(crate) fn skip(&mut self, pages: u64) -> u64 {
        self.next += pages;
        self.next - pages
    }

    fn put(&mut self, make: impl FnOnce(u64) -> Vec<u8>) -> u64 {
        let id = self.next;
        let mut bytes = make(id);
        let pages = bytes.len().div_ceil(self.page_size);
        bytes[12..16].copy_from_slice(&u32::try_from(pages - 1).unwrap().to_le_bytes());
        bytes.resize(pages * self.page_size, 0);
        let offset = id * self.page_size as u64;
        self.file.write_all_at(&bytes, offset).unwrap();
        self.next += pages as u64;
        id
    }

    /// Writes the tree of a bucket; returns its root.
    pub(crate) fn tree(&mut self, elements: impl Iterator<Item = Element>) -> u64 {
        let mut children: Vec<(Vec<u8>, u64)> = Vec::new();
        let mut held: Vec<Element> = Vec::new();
        let mut size = 16;
        let mut flush = |own: &mut Self, held: &mut Vec<Element>| {
            let first = held.first().map(|element| element.key.clone());
            let id = own.put(|id| leaf(id, held));
            children.push((first.unwrap_or_default(), id));
            held.clear();
        };
        for element in elements {
            let more = 16 + element.key.len() + element.value.len();
            if !held.is_empty() && size + more > self.page_size {
                flush(self, &mut held);
                size = 16;
            }
            size += more;
            held.push(element);
        }
        if !held.is_empty() || children.is_empty() {
            let first = held.first().map(|element| element.key.clone());
            let id = self.put(|id| leaf(id, &held));
            children.push((first.unwrap_or_default(), id));
        }
        while children.len() > 1 {
            children = self.level(&children);
        }
        children[0].1
    }

    fn level(&mut self, children: &[(Vec<u8>, u64)]) -> Vec<(Vec<u8>, u64)> {
        let mut above = Vec::new();
        let mut from = 0;
        while from < children.len() {
            let mut size = 16;
            let fits = children[from..].iter().take_while(|(key, _)| {
                size += 16 + key.len();
                size <= self.page_size
            });
            // At least two, and no lonely one at the end.
            let mut count = fits.count().max(2).min(children.len() - from);
            if children.len() - from - count == 1 {
                count -= 1;
            }
            let part = &children[from..from + count];
            above.push((part[0].0.clone(), self.branch(part)));
            from += count;
        }
        above
    }

    /// Writes one branch page.
    pub(crate) fn branch(&mut self, children: &[(Vec<u8>, u64)]) -> u64 {
        self.put(|id| {
            let mut bytes = header(id, 1, children.len());
            let mut at = 16 * children.len();
            for (key, child) in children {
                bytes.extend(u32::try_from(at).unwrap().to_le_bytes());
                bytes.extend(u32::try_from(key.len()).unwrap().to_le_bytes());
                bytes.extend(child.to_le_bytes());
                at = at + key.len() - 16;
            }
            for (key, _) in children {
                bytes.extend(key);
            }
            bytes
        })
    }

    /// Writes the freelist and both metas, as a snapshot has them.
    pub(crate) fn finish(mut self, root: u64, freelist: &Freelist) -> File {
        let freelist = match freelist {
            Freelist::Absent => u64::MAX,
            Freelist::Pages(pages) => self.put(|id| {
                let long = pages.len() >= 0xFFFF;
                let mut bytes = header(id, 16, if long { 0xFFFF } else { pages.len() });
                if long {
                    bytes.extend((pages.len() as u64).to_le_bytes());
                }
                for page in pages {
                    bytes.extend(page.to_le_bytes());
                }
                bytes
            }),
        };
        for page in 0..2_u64 {
            let mut bytes = header(page, 4, 0);
            bytes.extend(0xED0C_DAED_u32.to_le_bytes());
            bytes.extend(2_u32.to_le_bytes());
            bytes.extend(u32::try_from(self.page_size).unwrap().to_le_bytes());
            bytes.extend(0_u32.to_le_bytes());
            for number in [root, 0, freelist, self.next, 7 - page] {
                bytes.extend(number.to_le_bytes());
            }
            bytes.extend(fnv64a(&bytes[16..]).to_le_bytes());
            bytes.resize(self.page_size, 0);
            let offset = page * self.page_size as u64;
            self.file.write_all_at(&bytes, offset).unwrap();
        }
        self.file
            .set_len(self.next * self.page_size as u64)
            .unwrap();
        self.file
    }
}

fn header(id: u64, flags: u16, count: usize) -> Vec<u8> {
    let mut bytes = id.to_le_bytes().to_vec();
    bytes.extend(flags.to_le_bytes());
    bytes.extend(u16::try_from(count).unwrap().to_le_bytes());
    bytes.extend(0_u32.to_le_bytes());
    bytes
}

fn leaf(id: u64, elements: &[Element]) -> Vec<u8> {
    let mut bytes = header(id, 2, elements.len());
    let mut at = 16 * elements.len();
    for element in elements {
        for number in [
            usize::from(element.bucket),
            at,
            element.key.len(),
            element.value.len(),
        ] {
            bytes.extend(u32::try_from(number).unwrap().to_le_bytes());
        }
        at = at + element.key.len() + element.value.len() - 16;
    }
    for element in elements {
        bytes.extend(&element.key);
        bytes.extend(&element.value);
    }
    bytes
}

/// The checksum of a meta page.
pub(crate) fn fnv64a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
