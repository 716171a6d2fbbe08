//! What a pod of our own engine needs next.

use std::collections::BTreeMap;
use std::time::Duration;

use rekindle::core::observed::TaskState;
use rekindle::engine::plan::{
    Attempt, Attempts, Next, Progress, Restart, Step, Waits, Wanted, next,
};

const NOW: Duration = Duration::from_secs(1000);

fn wanted(restart: Restart) -> Wanted {
    Wanted {
        inits: vec!["i".to_owned()],
        mains: vec!["a".to_owned(), "b".to_owned()],
        restart,
    }
}

/// `name: (number, task, noted exit code)`.
fn seen(list: &[(&str, u32, TaskState, Option<u32>)]) -> Attempts {
    let mut attempts = Attempts::new();
    for (name, number, task, exit) in list {
        attempts
            .entry((*name).to_owned())
            .or_default()
            .push(Attempt {
                id: format!("{name}-{number}"),
                number: *number,
                task: *task,
                exit: *exit,
            });
    }
    attempts
}

fn ask(restart: Restart, list: &[(&str, u32, TaskState, Option<u32>)]) -> Next {
    next(&wanted(restart), &seen(list), &BTreeMap::new(), NOW)
}

fn start(name: &str, number: u32, replaces: Option<&str>) -> Step {
    Step::Start {
        name: name.to_owned(),
        number,
        replaces: replaces.map(str::to_owned),
    }
}

#[test]
fn init_containers_come_first_and_the_rest_together() {
    let begun = ask(Restart::Always, &[]);
    assert_eq!(begun.steps, [start("i", 0, None)]);
    let under_way = ask(Restart::Always, &[("i", 0, TaskState::Running, None)]);
    assert_eq!(
        (under_way.steps.len(), under_way.progress),
        (0, Progress::Starting)
    );
    let failed = ask(Restart::Always, &[("i", 0, TaskState::None, Some(1))]);
    assert_eq!(failed.steps, [start("i", 1, Some("i-0"))]);
    let done = ask(Restart::Always, &[("i", 0, TaskState::None, Some(0))]);
    assert_eq!(done.steps, [start("a", 0, None), start("b", 0, None)]);
    // Init containers are not asked for again once the others have begun.
    let later = ask(
        Restart::Always,
        &[
            ("a", 0, TaskState::Running, None),
            ("b", 3, TaskState::Running, None),
        ],
    );
    assert_eq!((later.steps.len(), later.progress), (0, Progress::Running));
}

#[test]
fn d01_what_was_cut_off_is_put_in_order_before_anything_starts() {
    let next = ask(
        Restart::Always,
        &[
            ("a", 0, TaskState::Exited(7), None),
            ("b", 0, TaskState::Created, None),
            ("i", 0, TaskState::None, None),
        ],
    );
    let (id, name) = (|n: &str| format!("{n}-0"), |n: &str| n.to_owned());
    assert_eq!(
        next.steps,
        [
            Step::Finish {
                id: id("a"),
                name: name("a"),
                code: 7
            },
            Step::Discard {
                id: id("b"),
                name: name("b")
            },
            Step::Discard {
                id: id("i"),
                name: name("i")
            },
        ]
    );
}

#[test]
fn the_restart_policy_and_growing_waits_hold() {
    let ended = |restart, code| {
        let b = ("b", 0, TaskState::Running, None);
        ask(restart, &[("a", 4, TaskState::None, Some(code)), b])
    };
    let again = [start("a", 5, Some("a-4"))];
    assert_eq!(ended(Restart::Always, 0).steps, again);
    assert_eq!(ended(Restart::OnFailure, 1).steps, again);
    for (restart, code) in [(Restart::OnFailure, 0), (Restart::Never, 1)] {
        let next = ended(restart, code);
        assert!(next.steps.is_empty() && matches!(next.progress, Progress::Waiting(_)));
    }

    let mut waits = Waits::default();
    let list = seen(&[
        ("a", 0, TaskState::None, Some(1)),
        ("b", 0, TaskState::Running, None),
    ]);
    let mut now = NOW;
    let mut took = Vec::new();
    for _ in 0..8 {
        waits.started(now);
        waits.ended(now);
        let known = BTreeMap::from([("a".to_owned(), waits.clone())]);
        let next = next(&wanted(Restart::Always), &list, &known, now);
        let until = next.wake.unwrap_or(now);
        assert_eq!(next.steps.is_empty(), until > now);
        took.push(until.saturating_sub(now).as_secs());
        now = until;
    }
    assert_eq!(took, [0, 10, 20, 40, 80, 160, 300, 300]);
    waits.started(now);
    now += Duration::from_secs(600);
    waits.ended(now);
    let known = BTreeMap::from([("a".to_owned(), waits)]);
    let steady = next(&wanted(Restart::Always), &list, &known, now);
    assert_eq!(steady.wake, None, "started again at once");
}
