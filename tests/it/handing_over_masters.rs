//! Masters of one cluster that hand over: one after another, and each of them.

use std::collections::BTreeSet;
use std::time::Duration;

use rekindle::core::observed::TaskState;
use rekindle::core::policy::handover_spread;
use rekindle::core::report::State;
use rekindle::core::stored::Phase;

use crate::handing_over::standing_in;
use crate::world::{API, World, id, parent_name, pod};

/// When kubelets were seen to start an API server that finds its port taken, in seconds after the
/// first time: of three masters, no two of them alike.
const STARTS: [&[u64]; 3] = [
    &[0, 2, 16, 45, 90, 175],
    &[0, 2, 17, 44, 89, 170],
    &[0, 2, 19, 45, 92, 178],
];

/// Masters that come up together: each has its copy, and the parent comes on all of them at once,
/// again and again as long as it finds its port taken. Gives the seconds in which each was away.
fn all_at_once(names: &[&str]) -> Vec<Vec<u64>> {
    let mut masters: Vec<World> = names.iter().map(|name| master(name, names)).collect();
    let parent = pod(&parent_name(API));
    let mut gone: Vec<Vec<u64>> = vec![Vec::new(); masters.len()];
    for second in 0..240_u64 {
        for (at, world) in masters.iter_mut().enumerate() {
            match world.phase(API).clone() {
                // It has its port, and serves after 10 s: a slow machine.
                Phase::HandingOver { .. } => {
                    gone[at].push(second);
                    if gone[at].len() >= 10 {
                        world.run_pod(&parent, None, TaskState::Running);
                    } else {
                        world.run_unready(&parent);
                    }
                }
                Phase::Inactive => {}
                // It ends at once, its port is taken.
                _ if STARTS[at % STARTS.len()].contains(&second) => world.run_unready(&parent),
                _ => world.run_pod(&parent, None, TaskState::None),
            }
            world.turns(1);
        }
    }
    for (at, world) in masters.iter_mut().enumerate() {
        assert_eq!(world.state(API), State::Inactive, "{}", names[at]);
        assert!(!gone[at].is_empty(), "{}", names[at]);
        let failures = world.stored.checkpoints[&id(API)].handover.failures;
        assert_eq!(failures, 0, "{}", names[at]);
    }
    assert!(gone[0][0] <= 2, "the first waits for nobody: {gone:?}");
    gone
}

#[test]
fn masters_that_start_together_hand_over_one_after_another_and_all_of_them_do() {
    for names in [&["m1", "m2", "m3"][..], &["m1", "m2", "m3", "m4", "m5"]] {
        let gone = all_at_once(names);
        for second in 0..240 {
            let away = gone.iter().filter(|seconds| seconds.contains(&second));
            assert!(away.count() <= 1, "second {second}: {gone:?}");
        }
    }
}

fn master(name: &str, all: &[&str]) -> World {
    let mut world = standing_in();
    let others = all.iter().filter(|other| **other != name);
    let others = others.map(|other| (*other).to_owned()).collect();
    world.policy.handover_spread = handover_spread(name, &others);
    world
}

#[test]
fn the_spread_is_bounded_and_a_master_alone_waits_for_nobody() {
    let none = BTreeSet::new();
    assert_eq!(handover_spread("m1", &none), Duration::ZERO);
    let many: BTreeSet<String> = (0..40).map(|n| format!("m{n:02}")).collect();
    let longest = many.iter().map(|name| handover_spread(name, &many)).max();
    assert_eq!(longest, Some(Duration::from_secs(130)));
    // It goes on waiting for nobody who is not there: the parent came once, and the time is over.
    let mut world = master("m3", &["m1", "m2", "m3"]);
    let parent = pod(&parent_name(API));
    world.run_unready(&parent);
    world.turns(2);
    assert!(
        world.reason(API).contains("one after another"),
        "{}",
        world.reason(API)
    );
    world.turns(27);
    assert_eq!(
        world.state(API),
        State::HandingOver,
        "{}",
        world.reason(API)
    );
}
