//! A clean-up's files, killed at every crash point: the next run arrives, and the way back leads to
//! where everything was.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rekindle::cleanup::quarantine::Quarantine;

use crate::cleanup_quarantine::{names, now, origin, put, snapshot};
use crate::small_disk::inside;

const JOURNEY: &str = "REKINDLE_TEST_CLEANUP";
const KILL_AT: &str = "REKINDLE_KILL_AT";
const POINTS: [&str; 9] = [
    "cleanup.listed",
    "cleanup.taken",
    "cleanup.copied",
    "cleanup.put-back",
    "move.renamed",
    "move.synced",
    "move.copy-renamed",
    "move.copy-file-written",
    "durable.temp-half-written",
];

/// The quarantine is on the disk of `dir`; what is moved is half on it and half elsewhere.
struct Node {
    quarantine: PathBuf,
    dirs: [PathBuf; 2],
}

impl Node {
    fn of(dir: &Path) -> Self {
        let far = std::fs::read_to_string(dir.join("far")).unwrap();
        Self {
            quarantine: dir.join("quarantine"),
            dirs: [dir.join("manifests"), PathBuf::from(far).join("etcd")],
        }
    }

    fn take(&self) {
        let mut quarantine = Quarantine::open(&self.quarantine, "q", &origin()).unwrap();
        for (what, dir) in ["manifests", "etcd"].iter().zip(&self.dirs) {
            quarantine.take(what, dir, &names(dir)).unwrap();
        }
    }

    fn put_back(&self) {
        let mut quarantine = Quarantine::existing(&self.quarantine, "q").unwrap();
        quarantine.put_back(now()).unwrap();
    }
}

/// Runs as the process that is killed; does nothing in an ordinary run.
#[test]
fn the_clean_up_that_is_killed() {
    let Some(dir) = std::env::var_os(JOURNEY) else {
        return;
    };
    let node = Node::of(Path::new(&dir));
    node.take();
    node.put_back();
}

#[test]
fn killed_at_every_step_the_next_run_arrives_and_the_way_back_is_whole() {
    let name =
        "failpoints_cleanup::killed_at_every_step_the_next_run_arrives_and_the_way_back_is_whole";
    let Some(disk) = inside(name, "8m") else {
        return;
    };
    let mut kills = 0;
    for point in POINTS {
        let mut passed = false;
        for time in 1.. {
            let (dir, far) = (disk.join("node"), tempfile::tempdir().unwrap());
            std::fs::create_dir(&dir).unwrap();
            put(&dir.join("far"), far.path().to_str().unwrap().as_bytes());
            let node = Node::of(&dir);
            for file in ["a.yaml", "b.yaml"] {
                put(&node.dirs[0].join(file), file.as_bytes());
            }
            put(&node.dirs[1].join("member/snap/db"), &[5; 3000]);
            put(&node.dirs[1].join("member/wal/0.wal"), &[6; 3000]);
            let before = node.dirs.each_ref().map(|dir| snapshot(dir));
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "failpoints_cleanup::the_clean_up_that_is_killed"])
                .env(JOURNEY, &dir)
                .env(KILL_AT, format!("{point}:{time}"))
                .stdout(std::process::Stdio::null())
                .status()
                .unwrap();
            let killed = status.signal() == Some(9);
            assert!(killed || status.success(), "{point}:{time}: {status}");
            if killed {
                passed = true;
                kills += 1;
                node.take();
                for dir in &node.dirs {
                    assert_eq!(names(dir), [] as [&str; 0], "{point}:{time}");
                }
                node.put_back();
            }
            let after = node.dirs.each_ref().map(|dir| snapshot(dir));
            assert_eq!(after, before, "{point}:{time}");
            std::fs::remove_dir_all(&dir).unwrap();
            if !killed {
                break;
            }
        }
        assert!(passed, "{point} is never passed");
    }
    assert!(kills > 30, "only {kills} kills");
}
