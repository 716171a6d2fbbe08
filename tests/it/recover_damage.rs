//! Damaged databases: never a panic, and never other data than a strict reader of the whole finds.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use proptest::prelude::*;
use rekindle::bolt::{Metas, Source, Walk};
use rekindle::core::recover::found::Found;
use rekindle::recover::Want;

use crate::recover_file::{control_plane, read_as};

#[derive(Debug, Clone)]
enum Damage {
    Flip(usize, u8),
    Zero(usize, usize),
    SwapPages(usize, usize),
    CopyPage(usize, usize),
    Truncate(usize),
}

fn damage(length: usize, page: usize) -> impl Strategy<Value = Damage> {
    let pages = length / page;
    prop_oneof![
        6 => (0..length, 1_u8..).prop_map(|(at, mask)| Damage::Flip(at, mask)),
        // Headers and tables are where structure is.
        6 => (0..pages, 0_usize..80, 1_u8..).prop_map(move |(p, at, m)| Damage::Flip(p * page + at, m)),
        2 => (0..length, 1_usize..5000).prop_map(|(at, count)| Damage::Zero(at, count)),
        3 => (2..pages, 2..pages).prop_map(|(a, b)| Damage::SwapPages(a, b)),
        2 => (2..pages, 2..pages).prop_map(|(a, b)| Damage::CopyPage(a, b)),
        1 => (0..length).prop_map(Damage::Truncate),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage, page: usize) {
    let length = bytes.len();
    match *damage {
        Damage::Flip(at, mask) => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= mask;
            }
        }
        Damage::Zero(at, count) => {
            let end = (at + count).min(length);
            bytes[at.min(end)..end].fill(0);
        }
        Damage::SwapPages(a, b) if a != b && (a.max(b) + 1) * page <= length => {
            let (low, high) = (a.min(b) * page, a.max(b) * page);
            let (front, back) = bytes.split_at_mut(high);
            front[low..low + page].swap_with_slice(&mut back[..page]);
        }
        Damage::CopyPage(a, b) if (a.max(b) + 1) * page <= length => {
            bytes.copy_within(a * page..(a + 1) * page, b * page);
        }
        Damage::SwapPages(..) | Damage::CopyPage(..) => {}
        Damage::Truncate(at) => bytes.truncate(at / page * page),
    }
}

/// Key and value of the newest record of each key, by the walk in the order of keys. Only of
/// records that are what etcd writes.
fn strictly(path: &Path) -> Result<BTreeMap<Vec<u8>, Option<Vec<u8>>>, String> {
    let file = File::open(path).unwrap();
    let source = Source::new(&file, file.metadata().unwrap().len());
    let metas = Metas::read(&source).map_err(|error| error.to_string())?;
    let mut walk = Walk::new(source, metas.chosen);
    let root = walk.root();
    let top = walk.bucket(&root, &mut |entry| Err(entry.damaged("a key")));
    let top = top.map_err(|error| error.to_string())?;
    let mut newest = BTreeMap::new();
    for bucket in top.iter().filter(|bucket| bucket.name == b"key") {
        let within = walk.bucket(bucket, &mut |entry| {
            let mut value = Vec::new();
            entry.value.each_chunk(|chunk| value.extend(chunk))?;
            let (key, content) = record(&value);
            newest.insert(key, (entry.key.len() == 17).then_some(content));
            Ok(())
        });
        within.map_err(|error| error.to_string())?;
    }
    Ok(newest)
}

/// Fields 1 and 5 of a record.
fn record(value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Record {
        #[prost(bytes = "vec", tag = "1")]
        key: Vec<u8>,
        #[prost(bytes = "vec", tag = "5")]
        value: Vec<u8>,
    }
    let record: Record = prost::Message::decode(value).unwrap_or_default();
    (record.key, record.value)
}

fn told(found: Found) -> Found {
    Found {
        notes: Vec::new(),
        ..found
    }
}

fn names(found: &Found) -> Vec<String> {
    let named = |kind: &str, name: &str| format!("/registry/{kind}/kube-system/{name}");
    let secrets = found.secrets.keys().map(|name| named("secrets", name));
    let maps = found
        .config_maps
        .keys()
        .map(|name| named("configmaps", name));
    secrets.chain(maps).collect()
}

fn compare(path: &Path, good: &Found, damage: &[Damage]) {
    let strict = strictly(path);
    match (read_as(path, &Want::default()), strict) {
        (Ok(found), Ok(newest)) => {
            let live = newest.iter().filter(|(key, value)| {
                let text = String::from_utf8_lossy(key);
                let wanted = ["secrets", "configmaps"]
                    .iter()
                    .any(|kind| text.starts_with(&format!("/registry/{kind}/kube-system/")));
                wanted && value.is_some() && text.matches('/').count() == 4 && !text.ends_with('/')
            });
            let mut expected: Vec<String> = live
                .filter_map(|(key, _)| String::from_utf8(key.clone()).ok())
                .collect();
            let mut read = names(&found);
            expected.sort();
            read.sort();
            assert_eq!(read, expected, "{damage:?}");
        }
        (Ok(found), Err(error)) => panic!("{damage:?}: {error}, and still {:?}", told(found)),
        // More is checked of records than the walk does; and the hash's part of a file.
        (Err(error), _) => {
            assert!(error.hint().is_some(), "{error}");
            assert!(!good.secrets.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damage_never_panics_and_gives_no_partial_result(
        damage in prop::collection::vec(damage(140_000, 1024), 1..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = control_plane("/registry", 60).write(dir.path(), "db", 1024, false);
        let good = told(read_as(&path, &Want::default()).unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        for damage in &damage {
            apply(&mut bytes, damage, 1024);
        }
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(&path, &bytes).unwrap();
        compare(&path, &good, &damage);
    }
}
