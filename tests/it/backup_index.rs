//! The index: shared, whole at every moment, and never lost without a word.

use std::sync::Barrier;

use rekindle::backup::index::{IndexError, IndexFile};
use rekindle::backup::signing::{KeyError, Signer, Trust};
use rekindle::core::backup::outcome::Outcome;
use rekindle::core::backup::record::{Index, Record};
use rekindle::store::sealed::{self, Format};

use crate::backup_samples::{Node, backup_id, put};
use crate::store_samples::{names, text};

pub fn passed() -> Record {
    Record {
        verified: Some(Outcome {
            at: "2026-11-24T00:31:00Z".parse().unwrap(),
            took_ms: 5,
            checked: vec!["trailer hash".to_owned()],
            failure: None,
            content: None,
        }),
        ..Record::default()
    }
}

fn index(node: &Node) -> IndexFile {
    IndexFile::new(&node.state(), &node.backups())
}

#[test]
fn a_change_is_kept_and_a_first_start_is_no_loss() {
    let node = Node::new();
    let file = index(&node);
    let first = file.read().unwrap();
    assert_eq!((first.index, first.problems), (Index::default(), vec![]));
    assert!(!node.state().exists(), "reading makes nothing");
    let answer = file.with(|index| {
        index.records.insert(backup_id(0), passed());
        7
    });
    assert_eq!(answer.unwrap(), 7);
    let read = index(&node).read().unwrap();
    assert_eq!(read.problems, Vec::<String>::new());
    assert_eq!(read.index.records[&backup_id(0)], passed());
    assert_eq!(names(&node.state().join("backup")), ["index.json", "lock"]);
}

#[test]
fn many_writers_lose_nothing() {
    let node = Node::new();
    let (threads, each) = (8, 10);
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..each {
                    index(&node).with(|index| index.runs.failures += 1).unwrap();
                }
            });
        }
    });
    let counted = index(&node).read().unwrap().index.runs.failures;
    assert_eq!(counted, 80);
}

#[test]
fn a_damaged_index_is_moved_aside_and_begun_anew() {
    let node = Node::new();
    node.take(&backup_id(0), 3).unwrap();
    let file = index(&node);
    file.with(|index| index.records.insert(backup_id(0), passed()))
        .unwrap();
    let place = node.state().join("backup");
    for (number, damage) in [&b""[..], b"{", b"\0\0\0\0", b"{\"kind\":1}"]
        .iter()
        .enumerate()
    {
        put(&place.join("index.json"), damage);
        let read = file.read().unwrap();
        assert_eq!(read.index.records[&backup_id(0)], Record::default());
        let said = read.problems.join("\n");
        assert!(said.contains("1 backup(s) are known without"), "{said}");
        assert_eq!(std::fs::read(place.join("index.json")).unwrap(), *damage);
        file.with(|index| index.runs.failures = 3).unwrap();
        let aside = place.join(format!("index.damaged-{}", number + 1));
        assert_eq!(std::fs::read(aside).unwrap(), *damage);
        let read = file.read().unwrap();
        assert_eq!(read.index.runs.failures, 3);
        // Said until somebody takes it away.
        assert_eq!(read.problems.len(), number + 1, "{:?}", read.problems);
    }
    std::fs::remove_file(place.join("index.json")).unwrap();
    let said = file.read().unwrap().problems.join("\n");
    assert!(said.contains("it is missing"), "{said}");
}

#[test]
fn the_index_of_a_later_version_is_not_touched() {
    let node = Node::new();
    let file = index(&node);
    file.with(|index| index.runs.failures = 1).unwrap();
    let path = node.state().join("backup/index.json");
    let later = Format {
        kind: "rekindle backup index",
        major: 2,
        minor: 0,
    };
    let bytes = sealed::seal(later, 9, &Index::default()).unwrap();
    put(&path, &bytes);
    let error = file.with(|index| index.runs.failures = 2).unwrap_err();
    assert!(matches!(error, IndexError::OtherVersion { .. }), "{error}");
    assert!(file.read().is_err());
    assert_eq!(std::fs::read(path).unwrap(), bytes);
}

#[test]
fn the_signing_key_is_made_once_and_shown_to_nobody() {
    let node = Node::new();
    let signer = node.signer();
    let place = node.state().join("backup");
    assert_eq!(names(&place), ["lock", "signing-key", "signing-key.pub"]);
    let key = std::fs::read(place.join("signing-key")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(place.join("signing-key"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(node.signer().public(), signer.public());
    let shown = format!("{signer:?} {}", signer.public());
    let hex = sealed::hex(key.get(16..48).unwrap());
    assert!(!shown.contains(&hex) && shown.len() < 300, "{shown}");
    // The public key is written again where it was lost, the private one never made anew.
    put(&place.join("signing-key.pub"), b"");
    assert_eq!(node.signer().public(), signer.public());
    Trust::of(&node.state(), &[]).unwrap();
    put(&place.join("signing-key"), b"damage");
    let error = Signer::open_or_create(&node.state()).unwrap_err();
    assert!(
        matches!(error, KeyError::NotAKey { .. }) && error.hint().is_some(),
        "{}",
        text(&error)
    );
    assert_eq!(std::fs::read(place.join("signing-key")).unwrap(), b"damage");
}
