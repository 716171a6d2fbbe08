//! The state: committed in generations, loaded whatever happened to its files.

use std::path::{Path, PathBuf};

use rekindle::core::stored::{Candidate, Stored};
use rekindle::store::sealed::{self, Format};
use rekindle::store::state::{FORMAT, StateError, load};
use serde_json::{Value, json};

use crate::store_samples::{
    SECRET, files_below, id, names, overwrite, rendered, revision, store, stored,
};

/// A state directory in which these states were committed in turn.
fn committed(states: &[&Stored]) -> (tempfile::TempDir, PathBuf) {
    let (dir, revisions) = store();
    let path = dir.path().join("state");
    let loaded = load(&path).unwrap();
    assert_eq!(loaded.problems, Vec::<String>::new());
    revisions.store(&rendered("api", 'a')).unwrap();
    revisions.store(&rendered("api", 'b')).unwrap();
    for state in states {
        loaded.file.commit(state).unwrap();
    }
    (dir, path)
}

fn forget_damaged(state_dir: &Path) {
    for name in names(state_dir) {
        if name.starts_with("state.damaged-") {
            std::fs::remove_file(state_dir.join(name)).unwrap();
        }
    }
}

#[test]
fn a_first_start_is_empty_and_no_problem() {
    let dir = tempfile::tempdir().unwrap();
    let loaded = load(&dir.path().join("not-there")).unwrap();
    assert_eq!(loaded.stored, Stored::default());
    assert_eq!(loaded.problems, Vec::<String>::new());
    let state = stored("api", None, 1);
    loaded.file.commit(&state).unwrap();
    assert_eq!(load(&dir.path().join("not-there")).unwrap().stored, state);
}

#[test]
fn what_is_committed_is_loaded() {
    let (one, two) = (stored("api", None, 1), stored("api", Some('a'), 2));
    let (_dir, path) = committed(&[&one, &two]);
    let loaded = load(&path).unwrap();
    assert_eq!(loaded.stored, two);
    assert_eq!(loaded.problems, Vec::<String>::new());
    let three = stored("api", Some('a'), 3);
    loaded.file.commit(&three).unwrap();
    assert_eq!(load(&path).unwrap().stored, three);
}

#[test]
fn the_same_again_is_not_written() {
    let one = stored("api", None, 1);
    let (_dir, path) = committed(&[&one]);
    let file = load(&path).unwrap().file;
    file.commit(&one).unwrap();
    let written = std::fs::read(path.join("state.json")).unwrap();
    file.commit(&one).unwrap();
    assert_eq!(std::fs::read(path.join("state.json")).unwrap(), written);
}

#[test]
fn d07_damage_anywhere_in_the_state_leads_to_the_generation_before() {
    let (one, two) = (stored("api", Some('a'), 1), stored("api", Some('b'), 2));
    let (_dir, path) = committed(&[&one, &two]);
    let file = path.join("state.json");
    let whole = std::fs::read(&file).unwrap();
    let mut variants: Vec<Vec<u8>> = (0..whole.len()).map(|cut| whole[..cut].to_vec()).collect();
    for position in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[position] ^= 1 << (position % 8);
        variants.push(flipped);
    }
    variants.push([whole.as_slice(), whole.as_slice()].concat());
    for variant in variants {
        overwrite(&file, &variant);
        let loaded = load(&path).unwrap();
        assert_eq!(loaded.stored, one, "{}", String::from_utf8_lossy(&variant));
        assert!(
            loaded.problems[0].contains("state.json was unusable"),
            "{:?}",
            loaded.problems
        );
        let kept = std::fs::read(path.join("state.damaged-1")).unwrap();
        assert_eq!(kept, variant, "the damaged file was not kept");
        forget_damaged(&path);
    }
}

#[test]
fn d07_a_commit_after_damage_keeps_the_damaged_file() {
    let (one, two) = (stored("api", Some('a'), 1), stored("api", Some('b'), 2));
    let (_dir, path) = committed(&[&one, &two]);
    for round in 1..=3 {
        overwrite(&path.join("state.json"), b"damage");
        let loaded = load(&path).unwrap();
        assert_eq!(loaded.problems.len(), 2, "{:?}", loaded.problems);
        // And once more, between load and commit.
        overwrite(&path.join("state.json"), b"more damage");
        loaded
            .file
            .commit(&stored("api", Some('b'), 2 + round))
            .unwrap();
        assert_eq!(load(&path).unwrap().problems, Vec::<String>::new());
        let kept = names(&path)
            .into_iter()
            .filter(|name| name.starts_with("state.damaged-"));
        assert_eq!(kept.count() as u64, 2 * round);
    }
}

#[test]
fn d07_with_both_generations_lost_the_marks_on_disk_say_what_was_good() {
    let (one, two) = (stored("api", Some('a'), 1), stored("api", Some('b'), 2));
    for (newest, before) in [("", ""), ("{", "no JSON"), ("null", "[]")] {
        let (_dir, path) = committed(&[&one, &two]);
        overwrite(&path.join("state.json"), newest.as_bytes());
        overwrite(&path.join("state.previous.json"), before.as_bytes());
        for time in 0..2 {
            // The second time neither file is there any more: not silently empty then either.
            let loaded = load(&path).unwrap();
            let checkpoint = &loaded.stored.checkpoints[&id("api")];
            assert_eq!(checkpoint.good, Some(revision('b')));
            assert!(
                checkpoint.activations > 1_000_000_000,
                "{}",
                checkpoint.activations
            );
            assert_eq!(loaded.problems.len(), if time == 0 { 3 } else { 1 });
            let last = loaded.problems.last().unwrap();
            assert!(
                last.contains("no generation of the state was usable: 1 checkpoint"),
                "{last}"
            );
        }
    }
}

#[test]
fn d07_a_removed_state_is_rebuilt_too() {
    let (_dir, path) = committed(&[&stored("api", Some('b'), 1)]);
    std::fs::remove_file(path.join("state.json")).unwrap();
    let loaded = load(&path).unwrap();
    assert_eq!(
        loaded.stored.checkpoints[&id("api")].good,
        Some(revision('b'))
    );
    assert_eq!(loaded.problems.len(), 1);
}

#[test]
fn d07_a_revision_that_was_never_good_is_no_good_one_after_the_loss() {
    let (_dir, path) = committed(&[]);
    let loaded = load(&path).unwrap();
    let checkpoint = &loaded.stored.checkpoints[&id("api")];
    assert_eq!(checkpoint.good, None);
    let candidate = Candidate {
        revision: revision('a'),
        ready_since: None,
    };
    assert_eq!(checkpoint.candidate, Some(candidate), "the oldest");
}

#[test]
fn d07_with_the_mark_damaged_too_the_oldest_whole_revision_is_good() {
    let (_dir, path) = committed(&[&stored("api", Some('b'), 1)]);
    let place = path.join("checkpoints").join(id("api").as_str());
    overwrite(&path.join("state.json"), b"");
    overwrite(&place.join("good"), b"{}");
    let loaded = load(&path).unwrap();
    assert_eq!(
        loaded.stored.checkpoints[&id("api")].good,
        Some(revision('a'))
    );
    assert!(
        loaded.problems[1].contains("is taken for good"),
        "{:?}",
        loaded.problems
    );
    overwrite(
        &place.join(revision('a').as_str()).join("manifest.json"),
        b"",
    );
    let loaded = load(&path).unwrap();
    assert_eq!(
        loaded.stored.checkpoints[&id("api")].good,
        Some(revision('b'))
    );
}

#[test]
fn d07_an_unreadable_state_directory_is_unknown_and_cannot_be_committed_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    overwrite(&path, b"a file where the directory should be");
    assert!(matches!(load(&path), Err(StateError::Read(_))));
    let (_dir, path) = committed(&[&stored("api", Some('b'), 1)]);
    overwrite(&path.join("state.json"), b"");
    std::fs::remove_dir_all(path.join("checkpoints")).unwrap();
    overwrite(&path.join("checkpoints"), b"");
    assert!(matches!(load(&path), Err(StateError::Read(_))));
}

/// A state file as some other version would have written it.
fn written_by(version: Format, body: &Value) -> (tempfile::TempDir, PathBuf) {
    let (dir, path) = committed(&[&stored("api", Some('a'), 1)]);
    overwrite(
        &path.join("state.json"),
        &sealed::seal(version, 7, body).unwrap(),
    );
    (dir, path)
}

#[test]
fn c12_the_state_of_a_newer_minor_version_is_read() {
    let mut body = serde_json::to_value(stored("api", Some('b'), 5)).unwrap();
    body["added"] = json!({"by": "a newer version"});
    let checkpoint = &mut body["checkpoints"][id("api").as_str()];
    checkpoint["added"] = json!([1, 2, 3]);
    checkpoint["handover"]["added"] = json!(true);
    checkpoint["phase"] = json!({"active": {
        "engine": "kubelet", "revision": revision('b'), "since": 5, "gone_since": null, "added": 1,
    }});
    let newer = Format {
        minor: FORMAT.minor + 9,
        ..FORMAT
    };
    let (_dir, path) = written_by(newer, &body);
    let loaded = load(&path).unwrap();
    assert_eq!(loaded.problems, Vec::<String>::new());
    let checkpoint = &loaded.stored.checkpoints[&id("api")];
    assert_eq!(checkpoint.good, Some(revision('b')));
    assert_eq!(checkpoint.activations, 5);
    loaded.file.commit(&stored("api", Some('b'), 6)).unwrap();
    assert_eq!(load(&path).unwrap().stored, stored("api", Some('b'), 6));
}

#[test]
fn c12_the_state_of_an_older_minor_version_is_read() {
    let body = json!({"checkpoints": {id("api").as_str(): {"good": revision('b')}}});
    let (_dir, path) = written_by(FORMAT, &body);
    let loaded = load(&path).unwrap();
    assert_eq!(loaded.problems, Vec::<String>::new());
    assert_eq!(
        loaded.stored.checkpoints[&id("api")].good,
        Some(revision('b'))
    );
}

#[test]
fn c12_the_state_of_a_newer_major_version_is_kept_and_not_misread() {
    let newer = Format {
        major: FORMAT.major + 1,
        ..FORMAT
    };
    let (_dir, path) = written_by(newer, &json!({"everything": "is different"}));
    let loaded = load(&path).unwrap();
    assert_eq!(
        loaded.stored.checkpoints[&id("api")].good,
        Some(revision('a'))
    );
    assert!(
        loaded.problems[0].contains("major version 2"),
        "{:?}",
        loaded.problems
    );
    let kept: Value =
        serde_json::from_slice(&std::fs::read(path.join("state.damaged-1")).unwrap()).unwrap();
    assert_eq!(kept["body"]["everything"], "is different");
}

/// The state file of the first release, byte for byte. Never to be changed: a release that does
/// not read it any more breaks upgrades.
#[test]
fn c12_the_first_release_s_state_is_read_for_ever() {
    let first = include_bytes!("../fixtures/state-1.0.json");
    let (_dir, path) = committed(&[&stored("api", Some('a'), 1)]);
    overwrite(&path.join("state.json"), first);
    let loaded = load(&path).unwrap();
    assert_eq!(loaded.problems, Vec::<String>::new());
    assert_eq!(loaded.stored, stored("api", Some('b'), 2));
}

#[test]
fn c12_what_a_removed_package_leaves_is_all_that_is_needed() {
    let (one, two) = (stored("api", Some('a'), 1), stored("api", Some('b'), 2));
    let (_dir, path) = committed(&[&one, &two]);
    // An operator saves the directory and puts it back on the reinstalled machine.
    let elsewhere = tempfile::tempdir().unwrap();
    let restored = elsewhere.path().join("state");
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(&path)
        .arg(&restored)
        .status();
    assert!(copied.unwrap().success());
    assert_eq!(load(&restored).unwrap().stored, two);
    let moved = rekindle::store::revisions::Revisions::new(&restored);
    let scan = moved.scan().unwrap();
    assert_eq!(scan.problems, Vec::<String>::new());
    assert_eq!(scan.by_checkpoint[&id("api")].len(), 2);
}

#[test]
fn no_secret_stands_outside_of_revisions() {
    let (_dir, path) = committed(&[&stored("api", Some('a'), 1), &stored("api", Some('b'), 2)]);
    let holders = files_below(&path).into_iter().filter(|file| {
        let content = std::fs::read(file).unwrap();
        content
            .windows(SECRET.len())
            .any(|window| window == SECRET.as_bytes())
    });
    let holders: Vec<_> = holders
        .map(|file| file.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(holders.len(), 4, "{holders:?}");
    assert!(
        holders
            .iter()
            .all(|name| ["manifest.json", "tls.key"].contains(&name.as_str()))
    );
}
