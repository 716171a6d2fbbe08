//! Long operations of the command line: one at a time, journaled, and noticed by the daemon.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use rekindle::core::operation::{OperationKind, OperationSeen, OperationState, OperationsView};
use rekindle::core::reading::{Reading, UnseenKind};
use rekindle::operation::{BeginError, Begun, LIMIT, Operation, RecordError, look, release};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::api::LONG;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Step {
    number: u32,
    padding: String,
}

fn step(number: u32) -> Step {
    let padding = String::new();
    Step { number, padding }
}

fn begin(state_dir: &Path, kind: OperationKind) -> Result<Begun<Step>, BeginError> {
    let now = "2026-11-25T18:00:00Z".parse().unwrap();
    Operation::begin(state_dir, kind, now, "begins", &step(0))
}

fn seen(state_dir: &Path) -> Vec<OperationSeen> {
    match look(state_dir) {
        Reading::Known(OperationsView { seen }) => seen,
        Reading::Unknown(unseen) => panic!("{unseen:?}"),
    }
}

fn journal(state_dir: &Path) -> std::path::PathBuf {
    state_dir.join("operation/start.json")
}

#[test]
fn one_runs_at_a_time_and_the_other_is_told_who_does() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(seen(dir.path()), [], "nothing yet, and nothing is made");
    assert!(!dir.path().join("operation").exists());
    let mut first = begin(dir.path(), OperationKind::Start).unwrap().operation;
    first.record("waits for the API server", &step(3)).unwrap();
    let running = &seen(dir.path())[0];
    let pid = std::process::id();
    assert_eq!(running.state, OperationState::Running { pid });
    assert_eq!(running.at, "waits for the API server");
    for kind in OperationKind::ALL {
        let refused = begin(dir.path(), kind).unwrap_err();
        let text = refused.to_string();
        assert!(matches!(refused, BeginError::Busy { .. }), "{text}");
        for part in [
            "`rekindle start`",
            "2026-11-25 18:00:00",
            &pid.to_string(),
            "waits for",
        ] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        assert!(refused.hint().contains("rekindle status"));
    }
    first.finish().unwrap();
    assert_eq!(seen(dir.path()), []);
    begin(dir.path(), OperationKind::Cleanup).unwrap();
}

#[test]
fn one_that_was_cut_off_is_gone_on_with_and_lets_no_other_begin() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = begin(dir.path(), OperationKind::Start).unwrap();
    assert_eq!((first.resumed, first.held), (None, false));
    first.operation.record("waits", &step(3)).unwrap();
    drop(first.operation);
    let left = &seen(dir.path())[0];
    assert_eq!(left.state, OperationState::Unfinished);
    let said = left.said();
    for part in [
        "`rekindle start --abort`",
        "since 2026-11-25",
        "NOTHING IS PROTECTED",
        "waits",
    ] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    let refused = begin(dir.path(), OperationKind::Cleanup).unwrap_err();
    assert!(matches!(refused, BeginError::Unfinished(_)), "{refused}");
    assert!(
        refused.hint().contains("start --abort"),
        "{}",
        refused.hint()
    );
    let again = begin(dir.path(), OperationKind::Start).unwrap();
    assert_eq!(again.resumed, Some(step(3)));
    again.operation.finish().unwrap();
    assert_eq!(seen(dir.path()), []);
}

#[test]
fn one_that_is_done_may_hold_the_node_until_it_is_released() {
    let dir = tempfile::tempdir().unwrap();
    let cleanup = begin(dir.path(), OperationKind::Cleanup).unwrap().operation;
    cleanup.finish_holding("quarantine 7", &step(9)).unwrap();
    assert_eq!(seen(dir.path())[0].state, OperationState::Holding);
    // Another one goes on from there; both are seen.
    let start = begin(dir.path(), OperationKind::Start).unwrap().operation;
    let both = seen(dir.path());
    assert_eq!(both.len(), 2, "{both:?}");
    assert!(matches!(both[0].state, OperationState::Running { .. }));
    assert!(
        !release(dir.path(), OperationKind::Start).unwrap(),
        "it does not hold"
    );
    assert!(release(dir.path(), OperationKind::Cleanup).unwrap());
    assert!(
        !release(dir.path(), OperationKind::Cleanup).unwrap(),
        "twice is fine"
    );
    start.finish().unwrap();
    // Begun again it is a run like any other.
    let cleanup = begin(dir.path(), OperationKind::Cleanup).unwrap().operation;
    cleanup.finish_holding("quarantine 8", &step(9)).unwrap();
    let undo = begin(dir.path(), OperationKind::Cleanup).unwrap();
    assert_eq!((undo.held, undo.resumed), (true, Some(step(9))));
    assert!(matches!(
        seen(dir.path())[0].state,
        OperationState::Running { .. }
    ));
}

#[test]
fn a_damaged_journal_is_told_and_set_aside_by_the_next_run_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = begin(dir.path(), OperationKind::Start).unwrap().operation;
    first.record("waits", &step(3)).unwrap();
    drop(first);
    let bytes = std::fs::read(journal(dir.path())).unwrap();
    let changed = String::from_utf8(bytes.clone())
        .unwrap()
        .replace("\"number\":3", "\"number\":4");
    let cut = bytes[..bytes.len() / 2].to_vec();
    let large = vec![b' '; usize::try_from(LIMIT).unwrap() + 1];
    for (count, damaged) in [changed.into_bytes(), cut, large, Vec::new()]
        .iter()
        .enumerate()
    {
        crate::store_samples::overwrite(&journal(dir.path()), damaged);
        let found = &seen(dir.path())[0];
        assert!(
            matches!(found.state, OperationState::Damaged(_)),
            "{found:?}"
        );
        assert!(
            found.said().contains("NOTHING IS PROTECTED"),
            "{}",
            found.said()
        );
        assert!(
            journal(dir.path()).exists(),
            "who only looks changes nothing"
        );
        let other = begin(dir.path(), OperationKind::Cleanup).unwrap_err();
        assert!(matches!(other, BeginError::Damaged { .. }), "{other}");
        let again = begin(dir.path(), OperationKind::Start).unwrap();
        assert_eq!(again.resumed, None);
        assert!(
            again.problems[0].contains("damaged"),
            "{:?}",
            again.problems
        );
        let aside = dir
            .path()
            .join(format!("operation/start.damaged-{}", count + 1));
        assert_eq!(&std::fs::read(aside).unwrap(), damaged, "kept as it was");
    }
}

#[test]
fn a_step_that_is_too_large_is_refused_and_the_one_before_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = begin(dir.path(), OperationKind::Start).unwrap().operation;
    let padding = "x".repeat(usize::try_from(LIMIT).unwrap());
    let refused = first
        .record("too much", &Step { number: 5, padding })
        .unwrap_err();
    assert!(matches!(refused, RecordError::TooLarge), "{refused}");
    drop(first);
    let again = begin(dir.path(), OperationKind::Start).unwrap();
    assert_eq!(again.resumed, Some(step(0)));
}

#[test]
fn what_a_newer_version_left_is_unknown_and_not_nothing() {
    let dir = tempfile::tempdir().unwrap();
    begin(dir.path(), OperationKind::Start)
        .unwrap()
        .operation
        .finish()
        .unwrap();
    crate::store_samples::overwrite(&dir.path().join("operation/later.json"), b"{}");
    let Reading::Unknown(unseen) = look(dir.path()) else {
        panic!("taken for nothing");
    };
    assert_eq!(unseen.kind, UnseenKind::Unreadable);
    assert!(unseen.detail.contains("later.json"), "{}", unseen.detail);
}

/// Runs as the process that is killed; does nothing in an ordinary run.
#[test]
fn holder_that_waits_to_be_killed() {
    let Some(state_dir) = std::env::var_os("REKINDLE_TEST_OPERATION") else {
        return;
    };
    let state_dir = Path::new(&state_dir).to_owned();
    let mut held = begin(&state_dir, OperationKind::Start).unwrap().operation;
    held.record("runs", &step(1)).unwrap();
    loop {
        std::thread::park();
    }
}

#[tokio::test]
async fn a_kill_is_noticed_without_waiting_for_the_next_look() {
    let dir = tempfile::tempdir().unwrap();
    rekindle::operation::prepare(dir.path()).unwrap();
    let state_dir = dir.path().to_owned();
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let (mut view, _) = rekindle::store::watch::spawn(
        &dir.path().join("operation"),
        move || look(&state_dir),
        stop,
        // Only events can be in time.
        std::time::Duration::from_secs(3600),
    );
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "operation::holder_that_waits_to_be_killed"])
        .env("REKINDLE_TEST_OPERATION", dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let is = |view: &Reading<OperationsView>, wanted: fn(&OperationState) -> bool| {
        let seen = view.known().and_then(|view| view.seen.first());
        seen.is_some_and(|seen| wanted(&seen.state))
    };
    let running = view.wait_for(|view| is(view, |s| matches!(s, OperationState::Running { .. })));
    tokio::time::timeout(LONG, running).await.unwrap().unwrap();
    holder.kill().unwrap();
    let left = view.wait_for(|view| is(view, |state| *state == OperationState::Unfinished));
    tokio::time::timeout(LONG, left).await.unwrap().unwrap();
    assert_eq!(holder.wait().unwrap().signal(), Some(9));
}
