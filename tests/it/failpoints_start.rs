//! D01, R08: a start's places, killed at every crash point: whatever stands there is the old or the
//! new, and both going on and giving up arrive.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rekindle::core::start::journal::Component;
use rekindle::core::start::observed::Standing;
use rekindle::failpoints::ALL;

use crate::start_places::{Node, write};

const JOURNEY: &str = "REKINDLE_TEST_START_JOURNEY";

/// The steps of a start, each of which may be repeated.
fn travel(node: &Node) {
    let first = node.component().clone();
    let second = Component {
        activation: 1,
        ..first.clone()
    };
    node.places.sweep().unwrap();
    node.places.place_secrets(&node.tree).unwrap();
    // As the core has it: another activation's manifest goes first.
    if node.look().files[&first.file] == Standing::Absent {
        node.places.place_manifest(&node.tree, &first).unwrap();
    }
    node.places.remove_manifest(&node.tree, &first).unwrap();
    node.places.place_manifest(&node.tree, &second).unwrap();
    give_up(node);
}

fn give_up(node: &Node) {
    node.places.sweep().unwrap();
    node.places
        .remove_manifest(&node.tree, node.component())
        .unwrap();
    node.places.remove_secrets().unwrap();
    node.places.tidy();
}

fn node(dir: &Path) -> Node {
    let node = Node::new(dir);
    if node.names() == ["manifests"] {
        write(&node.secrets().join("old"), "of before");
    }
    node
}

#[track_caller]
fn as_before(node: &Node, what: &str) {
    assert_eq!(node.names(), ["bootstrap-secrets", "manifests"], "{what}");
    let old = std::fs::read_to_string(node.secrets().join("old"));
    assert_eq!(old.unwrap(), "of before", "{what}");
    assert!(!node.manifest().exists(), "{what}");
    assert!(
        !node.dir.join("edited").exists(),
        "{what}: nothing was edited"
    );
}

#[test]
fn a_starts_journey() {
    let Some(dir) = std::env::var_os(JOURNEY) else {
        let dir = tempfile::tempdir().unwrap();
        let node = node(dir.path());
        travel(&node);
        return as_before(&node, "not killed");
    };
    travel(&node(&PathBuf::from(dir)));
}

#[test]
fn r08_killed_at_every_step_of_placing_and_removing() {
    let own = ALL
        .iter()
        .filter(|point| point.starts_with("start.") || point.starts_with("fresh."))
        // Of the loop, which is killed in the lab.
        .filter(|point| !["start.recorded", "start.acted"].contains(*point));
    let files = [
        "durable.tree-file-made",
        "durable.tree-renamed",
        "durable.moved",
        "durable.discard-moved",
        "durable.unlinked",
    ];
    for point in own.copied().chain(files) {
        let mut kills = 0;
        for time in 1.. {
            let dir = tempfile::tempdir().unwrap();
            node(dir.path());
            let output = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "failpoints_start::a_starts_journey",
                    "--nocapture",
                ])
                .env(JOURNEY, dir.path())
                .env("REKINDLE_KILL_AT", format!("{point}:{time}"))
                .output()
                .unwrap();
            if output.status.success() {
                break;
            }
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.signal(), Some(9), "{point}:{time}: {errors}");
            kills += 1;
            let what = format!("{point}:{time}");
            let found = Node::new(dir.path());
            if time % 2 == 0 {
                travel(&found);
            } else {
                give_up(&found);
            }
            as_before(&found, &what);
        }
        assert!(kills > 0, "{point} is never passed");
    }
}
