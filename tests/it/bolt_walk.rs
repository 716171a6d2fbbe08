//! The walker of bbolt files: every shape of a tree, and every way to be damaged.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rekindle::bolt::{Bucket, Metas, Pages, Source, Walk};

use crate::bolt_file::{Element, Freelist, Writer, bucket, inline, pair};

/// A key by the path of its buckets, the length of its value and the sum of the value's bytes.
type Found = (String, u64, u64);

/// A file with a directory of its own.
struct Made {
    dir: tempfile::TempDir,
    pages: u64,
    page_size: u64,
}

impl Made {
    fn new(page_size: usize, make: impl FnOnce(&mut Writer) -> (u64, Freelist)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(&dir.path().join("db"), page_size);
        let (root, freelist) = make(&mut writer);
        let bytes = writer.finish(root, &freelist).metadata().unwrap().len();
        let page_size = page_size as u64;
        Self {
            dir,
            pages: bytes / page_size,
            page_size,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("db")
    }

    /// Overwrites bytes of a page.
    fn patch(&self, page: u64, at: u64, bytes: &[u8]) {
        let file = File::options().write(true).open(self.path()).unwrap();
        let at = page * self.page_size + at;
        file.write_all_at(bytes, at).unwrap();
    }

    /// Every key, and the pages.
    fn walk(&self) -> Result<(Vec<Found>, Pages), String> {
        let file = File::open(self.path()).unwrap();
        let source = Source::new(&file, file.metadata().unwrap().len());
        let metas = Metas::read(&source).map_err(|error| error.to_string())?;
        let mut walk = Walk::new(source, metas.chosen);
        let mut found = Vec::new();
        let mut open: Vec<(String, Bucket)> = vec![(String::new(), walk.root())];
        while let Some((name, bucket)) = open.pop() {
            let within = walk.bucket(&bucket, &mut |entry| {
                let key = format!("{name}{}", String::from_utf8_lossy(entry.key));
                let mut sum = 0_u64;
                entry.value.each_chunk(|chunk| {
                    sum += chunk.iter().map(|byte| u64::from(*byte)).sum::<u64>();
                })?;
                found.push((key, entry.value.len(), sum));
                Ok(())
            });
            let within = within.map_err(|error| error.to_string())?;
            open.extend(within.into_iter().rev().map(|bucket| {
                let path = format!("{name}{}/", String::from_utf8_lossy(&bucket.name));
                (path, bucket)
            }));
        }
        let pages = walk.finish().map_err(|error| error.to_string())?;
        Ok((found, pages))
    }

    #[track_caller]
    fn damaged(&self, page: u64, what: &str) {
        let told = self.walk().unwrap_err();
        assert!(
            told.starts_with(&format!("page {page}, byte ")) && told.contains(what),
            "page {page}, {what}: {told}"
        );
    }
}

fn numbered(count: usize, value: usize) -> impl Iterator<Item = Element> {
    (0..count).map(move |n| pair(format!("key-{n:06}"), vec![1; value]))
}

/// One bucket `b` of 300 keys: pages 2.. are leaves, then a branch, then the root.
fn simple() -> Made {
    Made::new(1024, |writer| {
        let tree = writer.tree(numbered(300, 20));
        let root = writer.tree([bucket("b", tree)].into_iter());
        (root, Freelist::Absent)
    })
}

#[test]
fn a_deep_tree_is_walked_in_order() {
    let made = Made::new(1024, |writer| {
        let tree = writer.tree(numbered(20_000, 20));
        (
            writer.tree([bucket("b", tree)].into_iter()),
            Freelist::Absent,
        )
    });
    let (found, pages) = made.walk().unwrap();
    assert_eq!(found.len(), 20_000);
    assert!(found.is_sorted() && found[7] == ("b/key-000007".into(), 20, 20));
    assert_eq!(pages.total, made.pages);
    assert_eq!(2 + pages.branch + pages.leaf, pages.total);
    assert!(pages.branch > 20, "{pages:?}");
    assert_eq!((pages.free, pages.loose_branch_keys), (0, 0));
}

#[test]
fn buckets_within_buckets_inline_or_not() {
    let made = Made::new(4096, |writer| {
        let inner = writer.tree(numbered(3, 3));
        let outer = writer.tree(
            [
                bucket("inner", inner),
                inline("small", &[pair("x", "y")]),
                pair("z", ""),
            ]
            .into_iter(),
        );
        let top = [bucket("a", outer), inline("empty", &[])];
        (writer.tree(top.into_iter()), Freelist::Absent)
    });
    let (found, _) = made.walk().unwrap();
    let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "a/z",
            "a/inner/key-000000",
            "a/inner/key-000001",
            "a/inner/key-000002",
            "a/small/x"
        ]
    );
}

#[test]
fn values_larger_than_what_is_held_are_read_in_pieces() {
    let sizes = [1000, 5000, 131_071, 131_072, 131_073, 700_000, 3];
    let made = Made::new(4096, |writer| {
        let all = sizes.iter().enumerate();
        let tree = writer.tree(all.map(|(n, size)| pair(format!("{n}"), vec![2; *size])));
        (
            writer.tree([bucket("b", tree)].into_iter()),
            Freelist::Absent,
        )
    });
    let (found, pages) = made.walk().unwrap();
    let expected = sizes.map(|size| (size as u64, 2 * size as u64));
    let found: Vec<_> = found.iter().map(|(_, size, sum)| (*size, *sum)).collect();
    assert_eq!(found, expected);
    assert!(pages.overflow > 200, "{pages:?}");
}

#[test]
fn a_written_freelist_and_the_used_pages_are_all_there_is() {
    for count in [0_u64, 5, 65_534, 65_535, 70_000] {
        let made = Made::new(1024, |writer| {
            let first = writer.skip(count);
            let tree = writer.tree(numbered(50, 5));
            let root = writer.tree([bucket("b", tree)].into_iter());
            (root, Freelist::Pages((first..first + count).collect()))
        });
        let (_, pages) = made.walk().unwrap();
        assert_eq!((pages.free, pages.freelist_written), (count, true));
    }
}

#[test]
fn a_freelist_that_does_not_agree_is_damage() {
    let with = |free: fn(u64) -> Vec<u64>| {
        Made::new(1024, |writer| {
            let first = writer.skip(3);
            let tree = writer.tree(numbered(5, 5));
            let root = writer.tree([bucket("b", tree)].into_iter());
            (root, Freelist::Pages(free(first)))
        })
    };
    let list = 7;
    with(|first| vec![first, first + 1]).damaged(4, "neither used nor in the freelist");
    with(|first| vec![first, first + 1, first + 2, 5]).damaged(list, "free page 5 is in use");
    with(|first| vec![first + 1, first, first + 2]).damaged(list, "free page 2 cannot be here");
    with(|first| vec![first, first, first + 2]).damaged(list, "free page 2 cannot be here");
    with(|first| vec![first, first + 1, first + 2, 99]).damaged(list, "free page 99 cannot");
    with(|_| vec![1, 2, 3, 4]).damaged(list, "free page 1 cannot be here");
    let made = with(|first| vec![first, first + 1, first + 2]);
    made.patch(list, 10, &200_u16.to_le_bytes());
    made.damaged(list, "200 free pages do not fit");
    made.patch(list, 10, &[0xFF, 0xFF]);
    made.patch(list, 16, &u64::MAX.to_le_bytes());
    made.damaged(list, "do not fit");
    made.patch(list, 12, &[9]);
    made.damaged(list, "overflow pages go beyond");
    made.patch(list, 8, &[2]);
    made.damaged(list, "header of the freelist");
}

#[test]
fn every_field_of_a_page_is_checked() {
    let made = simple();
    let (_, pages) = made.walk().unwrap();
    let root = made.pages - 1;
    let branch = root - 1;
    assert_eq!(pages.branch, 1);
    let check = |page: u64, at: u64, bytes: &[u8], named: u64, what: &str| {
        let made = simple();
        made.patch(page, at, bytes);
        made.damaged(named, what);
    };
    check(3, 0, &[9], 3, "says that it is page 9");
    check(3, 8, &[3], 3, "flags 0x3");
    check(3, 8, &[4], 3, "flags 0x4");
    check(3, 10, &[0, 0], 3, "without elements");
    check(3, 10, &[200, 0], 3, "200 elements do not fit");
    check(3, 10, &[3, 0], 3, "the key of element 0 begins at");
    check(3, 12, &[1], 3, "overflow pages");
    check(3, 15, &[0xFF], 3, "go beyond the last page");
    check(3, 16, &[2], 3, "element 0 has flags 0x2");
    check(3, 20, &[1], 3, "the key of element 0 begins at");
    check(3, 24, &[0], 3, "the key of element 0 has 0 bytes");
    check(3, 24, &[11], 3, "the key of element 1 begins at");
    check(3, 30, &[1], 3, "goes beyond its page");
    check(branch, 16, &[1], branch, "the key of element 0 begins at");
    check(branch, 10, &[0, 0], branch, "a branch without elements");
    check(branch, 24, &[3], branch, "out of order");
    check(branch, 24, &[0xFF, 0xFF], branch, "refers to page 65535");
    check(branch, 24, &[0, 0], branch, "refers to page 0");
    // A branch that is its own child, and a child that is the root.
    let own = u8::try_from(branch).unwrap();
    check(branch, 24, &[own], branch, "is referred to twice");
    check(branch, 24, &[own + 1], branch, "is referred to twice");
}

#[test]
fn keys_out_of_order_are_damage() {
    let of = |keys: &[&str]| {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        Made::new(1024, move |writer| {
            let tree = writer.tree(keys.into_iter().map(|key| pair(key, vec![0; 400])));
            (
                writer.tree([bucket("b", tree)].into_iter()),
                Freelist::Absent,
            )
        })
    };
    assert!(of(&["a", "b", "c", "d"]).walk().is_ok());
    of(&["b", "a"]).damaged(2, "the key of element 1 is not greater");
    of(&["a", "a"]).damaged(2, "the key of element 1 is not greater");
    of(&["a", "c", "b", "d"]).damaged(4, "branch element 1 is out of order");
    of(&["a", "c", "c", "d"]).damaged(4, "branch element 1 is out of order");
}

#[test]
fn a_tree_that_has_no_end_is_left() {
    let made = Made::new(1024, |writer| {
        let mut child = writer.tree([pair("a", "")].into_iter());
        for _ in 0..40 {
            child = writer.branch(&[(b"a".to_vec(), child)]);
        }
        (
            writer.tree([bucket("b", child)].into_iter()),
            Freelist::Absent,
        )
    });
    let told = made.walk().unwrap_err();
    assert!(told.contains("more levels of branches"), "{told}");
}

#[test]
fn a_damaged_meta_page_leaves_the_other() {
    let made = simple();
    made.patch(0, 60, &[0xFF]);
    let file = File::open(made.path()).unwrap();
    let source = Source::new(&file, file.metadata().unwrap().len());
    let metas = Metas::read(&source).unwrap();
    assert_eq!((metas.page, metas.chosen.transaction), (1, 6));
    assert!(metas.other.unwrap_err().to_string().contains("checksum"));
    made.patch(1, 60, &[0xFF]);
    let told = Metas::read(&source).unwrap_err().to_string();
    assert!(told.starts_with("page 0, byte 72: the checksum"), "{told}");
}
