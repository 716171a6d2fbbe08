//! `start`: how it ends, well or not.

use std::time::Duration;

use rekindle::core::start::journal::{Phase, State};
use rekindle::core::start::observed::{Node, ObjectsSeen, Standing};
use rekindle::core::start::turn::{Action, Decision, Ended};
use rekindle::core::time::Moment;

use crate::start_world::{NAMES, Parent, World, bound, done};

#[test]
fn r20_giving_up_removes_what_was_placed_in_every_phase() {
    let phases = [
        Phase::Placing,
        Phase::Serving,
        Phase::HandingOver,
        Phase::Verifying,
        Phase::Removing,
    ];
    for phase in phases {
        let mut world = World::new().with_stale_pods();
        world.aside = true;
        world.until("the phase", |world| world.at(phase));
        world.orders.abort = true;
        world.until("given up", |world| world.at(Phase::Aborted));
        assert_eq!(
            (world.manifests, world.secrets),
            ([None; 3], Standing::Absent),
            "{phase:?}"
        );
        assert!(!world.aside, "{phase:?}: what was moved is back");
        assert!(!world.parents.contains(&Parent::Frozen), "{phase:?}");
        assert_eq!(world.turn().ended, Some(Ended::Aborted));
    }
}

#[test]
fn a_static_pod_that_comes_late_is_stopped_all_the_same() {
    // The kubelet was starting it when its manifest went.
    let mut world = World::new().with_stale_pods();
    world.until("serving", |world| world.at(Phase::Serving));
    world.orders.abort = true;
    world.turn();
    assert_eq!(world.manifests, [None; 3]);
    world.now += 1000;
    world.turn();
    assert!(world.at(Phase::Aborting), "not believed at once");
    world.temporary[1] = true;
    for _ in 0..20 {
        world.now += 1000;
        world.turn();
    }
    assert_eq!(world.temporary, [false; 3]);
    world.until("given up", |world| world.at(Phase::Aborted));
    // And after a hand-over.
    let mut world = World::new().with_stale_pods();
    world.until("verifying", |world| world.at(Phase::Verifying));
    world.temporary[1] = true;
    world.turn();
    assert_eq!(world.temporary, [false; 3]);
    world.until("done", done);
}

#[test]
fn after_a_reboot_the_temporary_pods_run_again() {
    let mut world = World::new().with_stale_pods();
    world.until("handed over", |world| world.at(Phase::Verifying));
    world.boot = "boot-2".to_owned();
    world.now = 3000;
    world.parents = [Parent::Nothing; 3];
    world.temporary = [false; 3];
    world.api_answers = false;
    world.turn();
    assert!(
        world
            .journal
            .components
            .iter()
            .all(|it| it.state == State::Temporary)
    );
    world.until("done", done);
}

#[test]
fn what_has_no_counterpart_is_kept_with_its_keys() {
    let mut world = World::new().with_stale_pods();
    world.journal.components[2].counterpart = None;
    world.journal.required.retain(|it| it.name != NAMES[2]);
    world.until("done", done);
    assert_eq!(world.manifests, [None, None, Some(0)]);
    assert_eq!(world.secrets, Standing::Ours(0));
    let kept: Vec<_> = world.journal.kept().map(|it| it.name.as_str()).collect();
    assert_eq!(kept, ["bootstrap-kube-controller-manager"]);
    // Giving up takes all of it.
    world.journal.phase = Phase::HandingOver;
    world.orders.abort = true;
    world.until("given up", |world| world.at(Phase::Aborted));
    assert_eq!(world.manifests, [None; 3]);
}

#[test]
fn objects_that_cannot_be_created_end_a_strict_start_only() {
    for strict in [false, true] {
        let mut world = World::new().with_stale_pods();
        world.journal.has_objects = true;
        world.journal.strict = strict;
        world.until("objects", |world| world.at(Phase::Objects));
        world.objects = ObjectsSeen::Ended {
            there: 4,
            failed: vec!["Widget a: no such kind".to_owned()],
        };
        let decision = world.decide();
        if strict {
            let ended = decision.ended;
            assert!(matches!(ended, Some(Ended::Failed { ref why }) if why.contains("Widget")));
            assert!(world.at(Phase::Objects), "the next run tries again");
        } else {
            assert_eq!(decision.ended, None);
            world.until("done", done);
            assert_eq!(world.journal.objects.failed.len(), 1);
        }
    }
}

#[test]
fn r10_a_node_is_forgotten_only_when_it_is_silent() {
    let node = |world: &World, renewed, watched| Node {
        exists: true,
        renewed,
        watched_since: world.ago(watched),
        last: None,
    };
    let forgets = |action: &Action| matches!(action, Action::ForgetNode { .. });
    let mut world = World::new();
    world.bound.push(bound("kube-scheduler", "old"));
    world.orders.forget = vec!["old".to_owned()];
    let seen = node(&world, false, 5);
    world.nodes.insert("old".to_owned(), seen);
    world.until("serving", |world| world.at(Phase::HandingOver));
    let decision = world.decide();
    assert!(
        !decision.actions.iter().any(forgets),
        "not watched for long enough"
    );
    let seen = node(&world, true, 100);
    world.nodes.insert("old".to_owned(), seen);
    let decision = world.decide();
    assert!(!decision.actions.iter().any(forgets));
    assert!(matches!(decision.ended, Some(Ended::Failed { ref why }) if why.contains("reports")));
    let seen = node(&world, false, 41);
    world.nodes.insert("old".to_owned(), seen);
    let decision = world.turn();
    assert!(decision.actions.iter().any(forgets));
    world.turn();
    assert!(world.journal.forgotten.contains("old"));
    assert!(world.bound.is_empty());
}

#[test]
fn a_run_ends_when_nothing_goes_forward() {
    let mut world = World::new();
    world.kubelet = true;
    world.orders.timeout = Some(Duration::from_secs(1200));
    world.until("serving", |world| world.at(Phase::HandingOver));
    let begun = world.journal.progress_at;
    let ended = loop {
        let decision = world.turn();
        if let Some(ended) = decision.ended {
            break ended;
        }
        world.live(1000);
    };
    assert!(matches!(ended, Ended::Failed { .. }));
    let after = Moment(world.now).since(begun).as_secs();
    assert!((1200..1202).contains(&after), "after {after} s");
    assert_eq!(
        world.manifests,
        [Some(0); 3],
        "it is left as it is, to be gone on with"
    );
}

/// The kubelet has started the counterpart of the API server, which has found its port taken before
/// anything of the decision is done.
fn ends_before_it_is_frozen(world: &mut World) -> Decision {
    world.until("starting", |world| world.parents[0] == Parent::Starting);
    let due = world.journal.components[0].not_before;
    world.now = world.now.max(due.map_or(0, |due| due.0));
    let decision = world.decide();
    let pauses = |action: &Action| matches!(action, Action::Pause { .. });
    assert!(decision.actions.iter().any(pauses), "{decision:?}");
    world.parents[0] = Parent::Ended;
    decision
}

#[test]
fn a_counterpart_that_could_not_be_frozen_costs_no_api() {
    let mut world = World::new().with_stale_pods();
    world.until("serving", |world| world.at(Phase::HandingOver));
    for _ in 0..3 {
        let before = world.journal.clone();
        let mut decision = ends_before_it_is_frozen(&mut world);
        decision.withdraw(&before, Moment(world.now));
        assert!(decision.actions.is_empty() && decision.wake_at.is_some());
        world.journal = decision.journal;
        world.turn();
        assert_eq!((world.state(0), world.serves()), (State::Temporary, true));
        assert_eq!(world.manifests[0], Some(0), "the same pod all the time");
    }
    assert_eq!(world.journal.components[0].failures, 0);
    world.until("done", done);
}

#[test]
fn a_counterpart_that_ended_unnoticed_before_it_was_frozen_is_waited_for_again() {
    let mut world = World::new().with_stale_pods();
    world.until("serving", |world| world.at(Phase::HandingOver));
    for failures in 1..=3 {
        let decision = ends_before_it_is_frozen(&mut world);
        for action in &decision.actions {
            world.carry_out(action);
        }
        assert_eq!(world.parents[0], Parent::Ended, "nothing is left to freeze");
        // The temporary one comes back, and the counterpart has its time.
        world.turn();
        assert_eq!(world.state(0), State::Temporary);
        assert_eq!(world.journal.components[0].failures, failures);
        world.turn();
        assert_eq!(world.manifests[0], Some(u64::from(failures)));
    }
    world.until("done", done);
}
