//! The high-water mark on disk: never lowered, written only when it changes, never silently lost.

use std::os::unix::fs::MetadataExt;

use jiff::Timestamp;
use rekindle::backup::high_water::{FILE, read, record};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

#[test]
fn a_mark_rises_and_never_falls() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path();
    assert!(read(state).unwrap().clusters.is_empty());
    assert_eq!(record(state, 7, 100, at(0)).unwrap().notices, [""; 0]);
    assert_eq!(record(state, 7, 150, at(1)).unwrap().revision, 150);
    let fallen = record(state, 7, 120, at(2)).unwrap();
    assert_eq!((fallen.revision, fallen.seen), (150, 120));
    assert!(fallen.notices[0].contains("from 150 to 120"), "{fallen:?}");
    // Said once, not every ten seconds.
    assert_eq!(record(state, 7, 121, at(3)).unwrap().notices, [""; 0]);
    let marks = read(state).unwrap();
    let mark = marks.of(7).unwrap();
    assert_eq!((mark.revision, mark.at, mark.seen), (150, at(1), 121));
    assert_eq!(mark.falls.len(), 1);
}

#[test]
fn another_cluster_gets_a_mark_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path();
    record(state, 7, 100, at(0)).unwrap();
    let other = record(state, 8, 5, at(1)).unwrap();
    assert_eq!((other.cluster_id, other.revision), (8, 5));
    assert!(other.notices[0].contains("another cluster"), "{other:?}");
    let marks = read(state).unwrap();
    assert_eq!(marks.current, Some(8));
    assert_eq!(marks.of(7).unwrap().revision, 100);
    assert_eq!(record(state, 7, 90, at(2)).unwrap().revision, 100);
}

#[test]
fn what_has_not_changed_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backup").join(FILE);
    record(dir.path(), 7, 100, at(0)).unwrap();
    let inode = std::fs::metadata(&file).unwrap().ino();
    record(dir.path(), 7, 100, at(10)).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().ino(), inode);
    record(dir.path(), 7, 101, at(20)).unwrap();
    assert_ne!(std::fs::metadata(&file).unwrap().ino(), inode);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "damage is done from outside")]
fn a_damaged_mark_is_moved_aside_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backup").join(FILE);
    record(dir.path(), 7, 100, at(0)).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let anew = record(dir.path(), 7, 50, at(1)).unwrap();
    assert_eq!(anew.revision, 50);
    assert!(anew.notices[0].contains("damaged"), "{anew:?}");
    let aside = file.with_file_name("high-water.damaged-1");
    assert_eq!(std::fs::read(aside).unwrap(), bytes);
}
