//! Damage anywhere: a bit, a page of zeros, two pages swapped, an end that is missing.

use std::ops::Range;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rekindle::backup::Progress;
use rekindle::backup::verify::verify;

use crate::backup_verify::{DATABASE, SNAPSHOT, write};
use crate::bolt_file::fnv64a;

const PAGE: usize = 4096;

#[derive(Debug, Clone)]
enum Damage {
    Flip { at: usize, bit: u8 },
    Truncate { to: usize },
    Zero { page: usize },
    Swap { one: usize, other: usize },
}

fn damage(length: usize) -> impl Strategy<Value = Damage> {
    let page = move || 0..length / PAGE;
    prop_oneof![
        6 => (0..length, 0..8_u8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        1 => (0..length).prop_map(|to| Damage::Truncate { to }),
        1 => page().prop_map(|page| Damage::Zero { page }),
        2 => (page(), page()).prop_map(|(one, other)| Damage::Swap { one, other }),
    ]
}

impl Damage {
    fn of(&self, whole: &[u8]) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        let range = |page: usize| page * PAGE..(page + 1) * PAGE;
        match *self {
            Self::Flip { at, bit } => bytes[at] ^= 1 << bit,
            Self::Truncate { to } => bytes.truncate(to),
            Self::Zero { page } => bytes[range(page)].fill(0),
            Self::Swap { one, other } => {
                bytes[range(one)].copy_from_slice(&whole[range(other)]);
                bytes[range(other)].copy_from_slice(&whole[range(one)]);
            }
        }
        bytes
    }
}

fn place(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("member/snap/db")
}

/// Remarks, or what is wrong.
fn look(path: &Path, bytes: &[u8]) -> Result<Vec<String>, String> {
    write(path, bytes);
    let found = verify(path, &Progress::default());
    found
        .map(|found| found.remarks)
        .map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_damage_of_a_snapshot_is_found(damage in damage(SNAPSHOT.len())) {
        let bytes = damage.of(SNAPSHOT);
        prop_assume!(bytes != SNAPSHOT);
        let dir = tempfile::tempdir().unwrap();
        let found = look(&dir.path().join("snapshot"), &bytes);
        prop_assert!(found.is_err(), "{damage:?}");
    }

    #[test]
    fn damage_of_a_raw_database_is_found_or_lies_where_there_is_no_structure(
        damage in damage(DATABASE.len())
    ) {
        let bytes = damage.of(DATABASE);
        prop_assume!(bytes != DATABASE);
        let dir = tempfile::tempdir().unwrap();
        let found = look(&place(&dir), &bytes);
        if found.as_ref().is_ok_and(|remarks| remarks.len() == 1) {
            let structure = Structure::of(DATABASE);
            let changed = (0..DATABASE.len()).filter(|at| bytes.get(*at) != DATABASE.get(*at));
            let hit: Vec<usize> = changed.filter(|at| structure.covers(*at)).collect();
            let hidden = hit.is_empty() || structure.leads_to_an_older_page(&hit, &bytes);
            prop_assert!(hidden, "{damage:?} of structure at {hit:?}");
        }
    }

    #[test]
    fn nothing_makes_it_panic_or_hang(
        places in prop::collection::vec((0..DATABASE.len() / 8, any::<u64>(), 0..4_u8), 1..20)
    ) {
        let mut bytes = DATABASE.to_vec();
        for (at, number, kind) in places {
            // Mostly small numbers: those that pass the first bounds.
            let number = match kind {
                0 => number,
                1 => number % 16,
                2 => ((number % 16) << 32) | ((number >> 32) % 4096),
                _ => ((number % 0x1_0000) << 48) | (number % 20),
            };
            bytes[at * 8..at * 8 + 8].copy_from_slice(&number.to_le_bytes());
        }
        for page in 0..2 {
            let body = page * PAGE + 16;
            let sum = fnv64a(&bytes[body..body + 56]);
            bytes[body + 56..body + 64].copy_from_slice(&sum.to_le_bytes());
        }
        let dir = tempfile::tempdir().unwrap();
        let _ = look(&place(&dir), &bytes);
    }
}

/// All over the structure, not only where a sample falls.
#[test]
fn damage_all_over_the_structure_is_found() {
    let structure = Structure::of(DATABASE);
    let dir = tempfile::tempdir().unwrap();
    let path = place(&dir);
    let mut tried = 0;
    let all = (0..DATABASE.len()).filter(|at| structure.covers(*at));
    for at in all.step_by(7) {
        let damage = Damage::Flip {
            at,
            bit: u8::try_from(at * 5 % 8).unwrap(),
        };
        let bytes = damage.of(DATABASE);
        let found = look(&path, &bytes);
        let found = found.as_ref().map_or(true, |remarks| remarks.len() > 1);
        let place = (at / PAGE, at % PAGE);
        let hidden = structure.leads_to_an_older_page(&[at], &bytes);
        assert!(found || hidden, "{damage:?}: {place:?}");
        tried += 1;
    }
    assert!(tried > 700, "{tried}");
}

/// Which bytes of a whole database are structure, by a reader of its own that knows nothing of
/// the one that is tested: headers, elements, keys, buckets; neither values nor unused space.
struct Structure {
    ranges: Vec<Range<usize>>,
    /// Page numbers in the file: where they are. bbolt never overwrites a page that it gave up
    /// until it needs the room, so one of these may come to lead to an intact older copy; with no
    /// freelist written, nothing tells it from the right one.
    references: Vec<usize>,
    pages: std::collections::BTreeSet<usize>,
}

/// Compacted up to here, as the fixture's script says: among compacted records a place within a
/// transaction is compared with nothing.
const COMPACTED: u64 = 90;

impl Structure {
    fn of(file: &[u8]) -> Self {
        let meta = |page: usize| {
            let body = page * PAGE + 16;
            (number(file, body + 48, 8), number(file, body + 16, 8))
        };
        let (_, root) = meta(0).max(meta(1));
        let mut own = Self {
            ranges: vec![0..80, PAGE..PAGE + 80],
            references: Vec::new(),
            pages: [0, 1].into(),
        };
        own.page(file, usize::try_from(root).unwrap() * PAGE, b"");
        own
    }

    fn covers(&self, at: usize) -> bool {
        self.ranges.iter().any(|range| range.contains(&at))
    }

    fn leads_to_an_older_page(&self, changed: &[usize], file: &[u8]) -> bool {
        let reference = |at: &usize| {
            let own = self
                .references
                .iter()
                .find(|own| (**own..**own + 8).contains(at));
            own.is_some_and(|own| {
                let page = usize::try_from(number(file, *own, 8)).unwrap_or(usize::MAX);
                !self.pages.contains(&page) && page < DATABASE.len() / PAGE
            })
        };
        changed.iter().all(reference)
    }

    fn page(&mut self, file: &[u8], start: usize, bucket: &[u8]) {
        let size = |at: usize| usize::try_from(number(file, at, 4)).unwrap();
        let leaf = number(file, start + 8, 2) == 2;
        let count = usize::try_from(number(file, start + 10, 2)).unwrap();
        if start.is_multiple_of(PAGE) {
            self.pages
                .extend(start / PAGE..=start / PAGE + size(start + 12));
        }
        self.ranges.push(start..start + 16 + 16 * count);
        for element in (0..count).map(|index| start + 16 + 16 * index) {
            if !leaf {
                let key = element + size(element);
                self.ranges.push(key..key + size(element + 4));
                self.references.push(element + 8);
                let child = usize::try_from(number(file, element + 8, 8)).unwrap();
                self.page(file, child * PAGE, bucket);
                continue;
            }
            let key = element + size(element + 4)..element + size(element + 4) + size(element + 8);
            let name = &file[key.clone()];
            let compacted =
                bucket == b"key" && u64::from_be_bytes(name[..8].try_into().unwrap()) <= COMPACTED;
            let known = if compacted {
                key.start..key.start + 9
            } else {
                key.clone()
            };
            self.ranges.push(known);
            if number(file, element, 4) == 1 {
                self.ranges.push(key.end..key.end + 16);
                match usize::try_from(number(file, key.end, 8)).unwrap() {
                    0 => self.page(file, key.end + 16, name),
                    root => {
                        self.references.push(key.end);
                        self.page(file, root * PAGE, name);
                    }
                }
            }
        }
    }
}

fn number(file: &[u8], at: usize, bytes: usize) -> u64 {
    let part = file[at..at + bytes].iter().rev();
    part.fold(0, |number, byte| (number << 8) | u64::from(*byte))
}
