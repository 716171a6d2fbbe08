//! The choice by itself, over members as they may be.

use super::*;
use crate::etcd::Alarm;

fn status(id: u64) -> Status {
    Status {
        endpoint: format!("https://m{id}"),
        version: "3.5.16".to_owned(),
        cluster_id: 77,
        member_id: id,
        revision: 100,
        raft_index: 1000,
        raft_applied_index: 1000,
        raft_term: 2,
        leader: 1,
        learner: false,
        db_bytes: 1,
        db_in_use_bytes: 1,
        errors: Vec::new(),
    }
}

fn survey(candidates: Vec<Status>) -> Survey {
    Survey {
        candidates,
        others: Vec::new(),
        failed: Vec::new(),
        silent: Vec::new(),
        members: Some(Vec::new()),
        alarms: Vec::new(),
    }
}

fn chosen(survey: Survey) -> Chosen {
    decide(survey, 1000, Allow::default()).unwrap()
}

fn refused(survey: Survey) -> String {
    let error = decide(survey, 1000, Allow::default()).unwrap_err();
    error.to_string()
}

#[test]
fn b08_a_follower_is_taken_before_the_leader() {
    let found = chosen(survey(vec![status(1), status(2), status(3)]));
    assert_eq!(found.endpoint, "https://m2");
    assert!(found.marks.is_empty(), "{:?}", found.marks);
    assert_eq!(chosen(survey(vec![status(1)])).endpoint, "https://m1");
}

#[test]
fn b08_a_learner_a_lagging_and_a_corrupt_member_are_refused_or_marked() {
    let learner = Status {
        learner: true,
        ..status(2)
    };
    let lagging = Status {
        raft_applied_index: 900,
        ..status(3)
    };
    let mut three = survey(vec![status(1), learner.clone(), lagging.clone()]);
    assert_eq!(
        chosen(survey(three.candidates.clone())).endpoint,
        "https://m1"
    );
    let kind = AlarmKind::Corrupt;
    three.alarms = vec![Alarm { member_id: 1, kind }];
    let why = refused(survey_of(&three));
    assert!(why.contains("CORRUPT"), "{why}");
    assert!(why.contains("learner"), "{why}");
    assert!(why.contains("lags 100 raft entries"), "{why}");
    let taken = decide(three, 1000, Allow { doubtful: true }).unwrap();
    assert_eq!(taken.endpoint, "https://m2", "followers first here too");
    assert!(taken.marks[0].contains("learner"), "{:?}", taken.marks);
    assert!(taken.marks[1].contains("CORRUPT"), "{:?}", taken.marks);
}

#[test]
fn b08_a_corrupt_alarm_without_a_member_is_against_all() {
    let mut two = survey(vec![status(1), status(2)]);
    let kind = AlarmKind::Corrupt;
    two.alarms = vec![Alarm { member_id: 0, kind }];
    assert!(refused(two).contains("https://m1"));
}

#[test]
fn b08_a_full_database_is_no_reason_against_a_backup_and_is_said() {
    let mut full = survey(vec![status(1)]);
    let kind = AlarmKind::NoSpace;
    full.alarms = vec![Alarm { member_id: 1, kind }];
    assert!(chosen(full).marks[0].contains("NOSPACE"));
}

#[test]
fn b08_members_that_say_nothing_are_not_taken_for_equal() {
    let mut alone = survey(vec![status(2)]);
    alone.silent = vec!["m1".to_owned(), "m3".to_owned()];
    let found = chosen(alone);
    let mark = "not compared with the other members: no answer from m1, m3";
    assert_eq!(found.marks, [mark]);
}

#[test]
fn endpoints_of_two_clusters_are_refused_and_cannot_be_allowed() {
    let foreign = Status {
        cluster_id: 78,
        ..status(9)
    };
    let both = survey(vec![status(1), foreign]);
    let error = decide(both, 1000, Allow { doubtful: true }).unwrap_err();
    assert!(error.to_string().contains("another cluster"), "{error}");
    assert_eq!(error.hint(), None);
}

fn survey_of(other: &Survey) -> Survey {
    Survey {
        alarms: other.alarms.clone(),
        ..survey(other.candidates.clone())
    }
}
