//! A restore killed at every step: run again, it arrives, and every acknowledged key is there.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rekindle::core::recovery::etcd::Source;

use crate::recovery_etcd_node::{Node, replace_in, restore_in};

const JOURNEY: &str = "REKINDLE_TEST_RECOVERY";
const ID: &str = "REKINDLE_TEST_RECOVERY_ID";
const KILL_AT: &str = "REKINDLE_KILL_AT";

/// Crash points of a restore, and how often each is passed.
const POINTS: [(&str, usize); 9] = [
    ("recovery-etcd.recorded", 9),
    ("recovery-etcd.step-done", 8),
    ("recovery-etcd.manifest-kept", 1),
    ("recovery-etcd.manifest-taken", 1),
    ("quarantine.copied", 1),
    ("quarantine.snapshot-written", 1),
    ("recovery-etcd.old-aside", 1),
    ("recovery-etcd.new-in-place", 1),
    ("recovery-etcd.manifest-back", 1),
];

/// Runs as the process that is killed; does nothing in an ordinary run.
#[tokio::test]
async fn the_recovery_that_is_killed() {
    let Some(dir) = std::env::var_os(JOURNEY) else {
        return;
    };
    let id = std::env::var_os(ID).unwrap().into_string().unwrap();
    let dir = Path::new(&dir);
    if id.starts_with("replace") {
        replace_in(dir, &id).await.unwrap();
    } else {
        restore_in(dir, &id, Source::DataDirectory).await.unwrap();
    }
}

/// Runs a recovery in a process of its own that is killed at `point`; `true`: it was.
pub fn killed(dir: &Path, id: &str, point: &str) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "recovery_etcd_kills::the_recovery_that_is_killed",
        ])
        .env(JOURNEY, dir)
        .env(ID, id)
        .env(KILL_AT, point)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    let killed = status.signal() == Some(9);
    assert!(killed || status.success(), "{point}: {status}");
    killed
}

#[tokio::test]
async fn r08_killed_at_every_step_a_restore_arrives_with_every_key() {
    let node = Node::start(1, &[]).await;
    let mut written = 0;
    for (point, times) in POINTS {
        for time in 1..=times {
            node.put(0, written..written + 10).await;
            written += 10;
            node.crash();
            let at = format!("{point}:{time}");
            let id = format!("{}-{time}", point.replace('.', "-"));
            assert!(killed(node.dir(), &id, &at), "{at} is never passed");
            let restored = node.restore(&id, Source::DataDirectory).await;
            let restored = restored.unwrap_or_else(|error| panic!("{at}: {error:?}"));
            assert_eq!(restored.keys, u64::from(written), "{at}");
            node.holds(0, written).await;
            node.finish();
            assert!(!node.path(&format!("m0.new-{id}")).exists(), "{at}");
            std::fs::remove_dir_all(restored.aside.unwrap()).unwrap();
        }
    }
}
