//! The journal of a recovery on the disk.

use std::path::Path;

use rekindle::core::recovery::journal::{Beginning, Journal};
use rekindle::core::recovery::loss::Loss;
use rekindle::core::recovery::plan::{Restraint, plan};
use rekindle::core::recovery::rung::Rung;
use rekindle::core::time::Moment;
use rekindle::recovery::current::{CurrentError, PLACE, open, peek};

use crate::recovery_plan::{now, policy, resources};

pub(crate) fn journal() -> Journal {
    let plan = plan(
        Loss::EtcdQuorum,
        &resources(),
        &policy(),
        &Restraint::default(),
        None,
        &[],
        now(),
    );
    Journal::begin(Beginning {
        id: "20261125T120000Z-master1".to_owned(),
        node: "master1",
        losses: vec![Loss::EtcdQuorum],
        evidence: Vec::new(),
        plan: &plan,
        rung: Rung::DataDirectory,
        asked: None,
        suspected_at: now(),
        wall: now(),
        boot_id: "boot",
    })
}

fn current(state: &Path) -> std::path::PathBuf {
    state.join(PLACE).join("current.json")
}

#[test]
fn r08_what_was_written_down_is_gone_on_with() {
    let state = tempfile::tempdir().unwrap();
    let mut opened = open(state.path()).unwrap();
    assert_eq!(opened.journal, None);
    let mut journal = journal();
    journal.phase("restoring".to_owned(), now());
    journal.well_since = Some(Moment(7));
    opened.current.record(&journal).unwrap();
    opened.standing.began.push(now());
    opened.current.remember(&opened.standing).unwrap();
    drop(opened);
    let again = open(state.path()).unwrap();
    assert_eq!(again.journal, Some(journal.clone()));
    assert_eq!(again.standing.began, [now()]);
    assert!(again.problems.is_empty());
    drop(again);
    let (seen, standing) = peek(state.path()).unwrap();
    assert_eq!(seen, Some(journal));
    assert_eq!(standing.latched, None);
}

#[test]
fn r04_one_process_recovers() {
    let state = tempfile::tempdir().unwrap();
    let _first = open(state.path()).unwrap();
    assert!(matches!(open(state.path()), Err(CurrentError::Lock(_))));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "damage is what is written")]
fn a_damaged_journal_is_moved_aside_and_nothing_is_begun_before_somebody_has_looked() {
    let state = tempfile::tempdir().unwrap();
    let mut opened = open(state.path()).unwrap();
    opened.current.record(&journal()).unwrap();
    drop(opened);
    let path = current(state.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let opened = open(state.path()).unwrap();
    assert_eq!(opened.journal, None);
    assert_eq!(opened.problems.len(), 1, "{:?}", opened.problems);
    let latched = opened.standing.latched.clone().unwrap();
    assert!(
        latched.contains("how far it came is not known"),
        "{latched}"
    );
    assert!(!path.exists());
    let names = std::fs::read_dir(state.path().join(PLACE)).unwrap();
    let aside = names
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .any(|name| name.starts_with("current.json.damaged-"));
    assert!(aside);
    drop(opened);
    // The latch outlives the process.
    assert!(open(state.path()).unwrap().standing.latched.is_some());
}

#[test]
fn a_cleared_journal_is_gone() {
    let state = tempfile::tempdir().unwrap();
    let mut opened = open(state.path()).unwrap();
    opened.current.record(&journal()).unwrap();
    opened.current.clear().unwrap();
    drop(opened);
    assert_eq!(open(state.path()).unwrap().journal, None);
}
