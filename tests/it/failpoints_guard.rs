//! Keeping, putting back, undoing and holding, killed at every crash point: the next run arrives, and
//! what the kubelet may read is always whole.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rekindle::core::operator_hold::OperatorHold;
use rekindle::core::reading::Reading;
use rekindle::core::time::Moment;
use rekindle::hold;

use crate::guard_files::{Disk, restore};
use crate::guard_world::{API, Node, manifest, wall};

const JOURNEY: &str = "REKINDLE_TEST_GUARD";
const KILL_AT: &str = "REKINDLE_KILL_AT";
const POINTS: [&str; 18] = [
    "guard.content-kept",
    "guard.copy-kept",
    "guard.committed",
    "guard.kept-aside",
    "guard.recorded",
    "guard.put-back",
    "guard.undone",
    "guard.copy-forgotten",
    "hold.placing",
    "hold.placed",
    "hold.released",
    "durable.temp-half-written",
    "durable.temp-synced",
    "durable.renamed",
    "durable.rename-synced",
    "durable.unlinked",
    "durable.directory-made",
    "durable.unlink-synced",
];

fn sample() -> OperatorHold {
    let length = Duration::from_secs(60);
    OperatorHold::new(length, ("upgrade", "alice"), "boot-1", Moment(5), wall())
}

/// The whole way, from a file that is good to one that was put back and taken back.
fn travel(dir: &Path) {
    let disk = Disk::new(dir);
    let (good, wrong) = (manifest(API, "good"), manifest(API, "wrong"));
    let (digest, present) = (Node::digest(&good), Node::digest(&wrong));
    if disk.get(API).as_ref() == Some(&good) && !disk.state.join("placed").exists() {
        disk.keep(API);
        disk.guard
            .commit(&disk.guard.load().unwrap().memory, 1)
            .unwrap();
        disk.put(API, &wrong);
    }
    disk.guard
        .put_back(&restore(API, &digest, Some(present)), wall())
        .unwrap();
    hold::place(dir, &sample()).unwrap();
    hold::release(dir).unwrap();
    disk.guard.undo(API).unwrap();
    disk.guard.drop_copy(API, &digest).unwrap();
}

/// Runs as the process that is killed; does nothing in an ordinary run.
#[test]
fn the_guard_that_is_killed() {
    if let Some(dir) = std::env::var_os(JOURNEY) {
        travel(Path::new(&dir));
    }
}

#[test]
fn killed_at_every_step_it_arrives_and_no_half_manifest_is_ever_there() {
    let (good, wrong) = (manifest(API, "good"), manifest(API, "wrong"));
    let mut kills = 0;
    for point in POINTS {
        let mut passed = false;
        for time in 1.. {
            let dir = tempfile::tempdir().unwrap();
            let disk = Disk::new(dir.path());
            disk.put(API, &good);
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "failpoints_guard::the_guard_that_is_killed"])
                .env(JOURNEY, dir.path())
                .env(KILL_AT, format!("{point}:{time}"))
                .stdout(std::process::Stdio::null())
                .status()
                .unwrap();
            let killed = status.signal() == Some(9);
            assert!(killed || status.success(), "{point}:{time}: {status}");
            let there = disk.get(API).unwrap();
            assert!([&good, &wrong].contains(&&there), "{point}:{time}: {there}");
            let names = std::fs::read_dir(&disk.manifests).unwrap().count();
            assert_eq!(names, 1, "{point}:{time}");
            if !killed {
                assert_eq!(there, wrong, "put back and taken back");
                break;
            }
            passed = true;
            kills += 1;
            let held = hold::look(dir.path());
            assert!(
                [Reading::Known(None), Reading::Known(Some(sample()))].contains(&held),
                "{point}:{time}: {held:?}"
            );
            hold::release(dir.path()).unwrap();
            let loaded = disk.guard.load().unwrap();
            assert_eq!(loaded.problems, [] as [String; 0], "{point}:{time}");
            // Everything is gone through already once the copy is dropped.
            if loaded.copies.contains_key(API) || there == good {
                travel_on(&disk, &good, &wrong);
            }
            assert_eq!(disk.get(API), Some(wrong.clone()), "{point}:{time}");
            let left = std::fs::read_dir(disk.state.join("staging")).unwrap();
            assert_eq!(left.count(), 0, "{point}:{time}");
        }
        assert!(passed, "{point} is never passed");
    }
    assert!(kills > 40, "only {kills} kills");
}

/// What the next run does with what the killed one left.
fn travel_on(disk: &Disk, good: &str, wrong: &str) {
    let (digest, present) = (Node::digest(good), Node::digest(wrong));
    let undone = disk.guard.last_put_back(API).unwrap();
    if undone.is_none() && disk.get(API).as_deref() == Some(good) {
        // Cut off before anything was put back: the copy is kept, then the file ruined.
        disk.keep(API);
        disk.put(API, wrong);
    }
    let restore = restore(API, &digest, Some(present));
    disk.guard.put_back(&restore, wall()).unwrap();
    assert_eq!(disk.get(API).as_deref(), Some(good));
    disk.guard.undo(API).unwrap();
    disk.guard.drop_copy(API, &digest).unwrap();
    assert!(disk.guard.copies().unwrap().0.is_empty());
}
