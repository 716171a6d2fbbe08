//! Pruning killed at every step: each backup is whole or gone, and the index is true.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use rekindle::core::backup::id::BackupId;
use rekindle::core::backup::policy::Retention;
use rekindle::failpoints;

use crate::backup_prune::Shelf;
use crate::store_samples::names;

const JOURNEY: &str = "REKINDLE_TEST_PRUNING";

fn prune(dir: &Path) {
    let retention = Retention {
        last: 2,
        ..Retention::NONE
    };
    let pruner = Shelf::new(dir).pruner(retention);
    pruner.prune(Timestamp::now(), &mut |_| ()).unwrap();
}

#[test]
fn the_pruning_that_is_killed() {
    let Some(dir) = std::env::var_os(JOURNEY).map(PathBuf::from) else {
        return;
    };
    prune(&dir);
}

#[test]
fn b04_killed_at_every_step_of_pruning() {
    let points = failpoints::ALL
        .iter()
        .filter(|point| point.starts_with("prune.") || point.starts_with("durable."));
    let mut kills = 0;
    for point in points {
        for time in 1.. {
            let dir = tempfile::tempdir().unwrap();
            let shelf = Shelf::new(dir.path());
            for hours in [40, 30, 20, 10] {
                shelf.backup(hours, 'v');
            }
            let before = shelf.whole();
            let output = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "failpoints_prune::the_pruning_that_is_killed",
                    "--nocapture",
                ])
                .env(JOURNEY, dir.path())
                .env("REKINDLE_KILL_AT", format!("{point}:{time}"))
                .output()
                .unwrap();
            if output.status.success() {
                assert!(
                    time > 1 || !point.starts_with("prune."),
                    "{point} is never passed"
                );
                break;
            }
            assert_eq!(output.status.signal(), Some(9), "{output:?}");
            kills += 1;
            // Oldest first, each whole or gone, and nothing between that is taken for one.
            let left = shelf.whole();
            let gone = before.len() - left.len();
            assert!(
                gone <= 2 && left == before[gone..],
                "{point}:{time}: {left:?}"
            );
            let read = shelf.index().read().unwrap();
            assert!(read.problems.is_empty(), "{:?}", read.problems);
            let known = |id: &String| read.index.records.keys().any(|known| known.as_str() == id);
            assert!(left.iter().all(known), "{point}:{time}");
            // Asked again, it comes to its end and leaves nothing behind.
            prune(dir.path());
            assert_eq!(shelf.whole(), before[2..]);
            assert_eq!(names(&shelf.backups), before[2..]);
            let index = shelf.index().read().unwrap().index;
            let known: Vec<&str> = index.records.keys().map(BackupId::as_str).collect();
            assert_eq!(known, before[2..], "{point}:{time}");
        }
    }
    assert!(kills > 10, "only {kills} kills");
}
