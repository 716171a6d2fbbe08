//! D01: a recovery that is killed at any step of its writing leaves the whole tree or none, and the
//! next one clears up after it. Needs `--features failpoints`.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use rekindle::failpoints;

use crate::recover_cli::{database, recover};
use crate::recover_samples::lab;
use crate::store_samples::names;

const KILL_AT: &str = "REKINDLE_KILL_AT";

/// Every file below `dir` with its content.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(at) = open.pop() {
        if at.is_dir() {
            open.extend(
                std::fs::read_dir(&at)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else {
            let path = at.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            found.insert(path, std::fs::read(&at).unwrap());
        }
    }
    found
}

#[test]
fn d01_killed_at_every_step_of_writing_a_recovery() {
    let source = tempfile::tempdir().unwrap();
    let file = database(source.path(), &lab(), &[]);
    let args = ["--etcd-backup-file", file.to_str().unwrap()];
    let whole = tempfile::tempdir().unwrap();
    assert!(
        recover(whole.path(), &args)
            .output()
            .unwrap()
            .status
            .success()
    );
    let whole = files(&whole.path().join("recovered"));
    assert!(whole.len() > 10);

    let mut kills: BTreeMap<&str, u32> = BTreeMap::new();
    let (mut before, mut after) = (0, 0);
    for point in failpoints::ALL {
        let own = point.starts_with("recover.");
        if !own && !point.starts_with("durable.") {
            continue;
        }
        for time in 1.. {
            let dir = tempfile::tempdir().unwrap();
            let killed = recover(dir.path(), &args)
                .env(KILL_AT, format!("{point}:{time}"))
                .output()
                .unwrap();
            let target = dir.path().join("recovered");
            if killed.status.success() {
                break;
            }
            assert_eq!(
                killed.status.signal(),
                Some(9),
                "{point}:{time}: {killed:?}"
            );
            *kills.entry(point).or_insert(0) += 1;
            if target.exists() {
                assert_eq!(files(&target), whole, "{point}:{time}");
                after += 1;
                continue;
            }
            before += 1;
            assert!(
                recover(dir.path(), &args)
                    .output()
                    .unwrap()
                    .status
                    .success()
            );
            assert_eq!(files(&target), whole, "{point}:{time}");
            assert_eq!(
                names(dir.path()),
                ["config.toml", "recovered"],
                "{point}:{time}"
            );
        }
        assert!(!own || kills.contains_key(point), "{point} is never passed");
    }
    println!("{before} kills before the tree had its name, {after} after: {kills:?}");
    assert!(before > 50 && after > 2, "{before} and {after} kills");
}
