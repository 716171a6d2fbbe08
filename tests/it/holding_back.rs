//! What the daemon decides while a long operation of the command line has the node.

use rekindle::core::action::Action;
use rekindle::core::decide::decide;
use rekindle::core::observed::{EnginePod, EngineState, TaskState};
use rekindle::core::operation::{OperationKind, OperationSeen, OperationState, OperationsView};
use rekindle::core::reading::{Reading, UnseenKind};
use rekindle::core::report::State;
use rekindle::core::stored::Phase;

use crate::world::{API, KCM, World, copy, id, parent_name, pod, revision, seen, silent};

fn operation(kind: OperationKind, state: OperationState) -> Reading<OperationsView> {
    let began = Some("2026-11-25T18:00:00Z".parse().unwrap());
    let at = "at work".to_owned();
    let seen = vec![OperationSeen {
        kind,
        state,
        began,
        at,
    }];
    Reading::Known(OperationsView { seen })
}

fn free() -> Reading<OperationsView> {
    Reading::Known(OperationsView::default())
}

/// Everything that holds the daemon back.
fn holding() -> Vec<Reading<OperationsView>> {
    let states = || {
        [
            OperationState::Running { pid: 7 },
            OperationState::Unfinished,
            OperationState::Holding,
            OperationState::Damaged("cut short".to_owned()),
        ]
    };
    let known = OperationKind::ALL
        .into_iter()
        .flat_map(|kind| states().map(|state| operation(kind, state)));
    let kinds = [
        UnseenKind::NotAsked,
        UnseenKind::TimedOut,
        UnseenKind::Unreadable,
    ];
    known.chain(kinds.map(silent)).collect()
}

/// Nothing that begins, hands over, removes or prunes.
#[track_caller]
fn nothing_begun(world: &World) {
    for (_, action) in &world.done {
        let allowed = matches!(
            action,
            Action::KillStaticPod { .. }
                | Action::StopEnginePod { .. }
                | Action::RemoveManifest { .. }
                | Action::ResumeParent { .. }
                | Action::StoreRevision { .. }
                | Action::PinImage { .. }
        );
        assert!(allowed, "{action:?}");
    }
}

#[test]
fn no_lost_parent_is_replaced_meanwhile_and_it_is_once_that_has_ended() {
    for held in holding() {
        let mut world = World::learned(&[API, KCM]);
        world.observed.operations = held.clone();
        world.power_cut();
        world.turns(300);
        nothing_begun(&world);
        assert_eq!(world.done, [], "{held:?}");
        assert!(
            world.reason(API).contains("held back"),
            "{}",
            world.reason(API)
        );
        world.observed.operations = free();
        world.turns(2);
        assert_eq!(world.state(API), State::Activating, "{held:?}");
    }
}

#[test]
fn timers_start_again_when_it_has_ended() {
    let mut world = World::learned(&[API]);
    world.vanish(&parent_name(API));
    world.turns(10);
    world.observed.operations = operation(OperationKind::Start, OperationState::Unfinished);
    world.turns(600);
    world.observed.operations = free();
    world.turns(14);
    assert_eq!(world.done, [], "the waiting time is the whole one again");
    world.turns(3);
    assert_eq!(world.state(API), State::Activating);
}

#[test]
fn unknown_changes_nothing_at_all() {
    let mut world = World::learned(&[API, KCM]);
    world.vanish(&parent_name(API));
    world.turns(3);
    world.observed.operations = silent(UnseenKind::TimedOut);
    let before = world.stored.clone();
    world.turns(300);
    assert_eq!(world.stored, before);
    assert_eq!(world.done, []);
    let decision = decide(&world.observed, &world.stored, &world.policy, world.now);
    assert!(
        decision.report.summary.contains("silent: operations"),
        "{}",
        decision.report.summary
    );
}

#[test]
fn an_active_copy_runs_on_beside_a_start_and_is_not_handed_over() {
    let mut world = active(API);
    world.observed.operations = operation(OperationKind::Start, OperationState::Running { pid: 7 });
    let parent = pod(&parent_name(API));
    world.run_unready(&parent);
    world.turns(120);
    nothing_begun(&world);
    assert_eq!(world.state(API), State::Active);
    assert!(
        world.manifests().ours.contains_key(&id(API)),
        "left as it was"
    );
    world.observed.operations = free();
    world.turns(1);
    assert_eq!(world.state(API), State::HandingOver);
}

#[test]
fn a_copy_that_is_being_stopped_is_stopped_to_the_end() {
    for held in holding() {
        let mut world = active(API);
        let since = world.now;
        let checkpoint = world.stored.checkpoints.get_mut(&id(API)).unwrap();
        checkpoint.phase = Phase::Deactivating {
            since,
            remove: false,
        };
        world.observed.operations = held;
        world.turns(30);
        nothing_begun(&world);
        assert_eq!(world.state(API), State::Inactive);
        assert!(world.manifests().ours.is_empty());
    }
}

#[test]
fn a_release_is_completed_and_nobody_stays_frozen() {
    for held in holding() {
        let mut world = active(API);
        let parent = pod(&parent_name(API));
        world.run_pod(&parent, None, TaskState::Paused);
        let checkpoint = world.stored.checkpoints.get_mut(&id(API)).unwrap();
        checkpoint.phase = Phase::HandingOver {
            engine: rekindle::core::stored::Engine::Kubelet,
            revision: revision('a'),
            since: world.now,
        };
        world.observed.operations = held;
        world.turns(200);
        nothing_begun(&world);
        let thawed = |(_, action): &(u64, Action)| matches!(action, Action::ResumeParent { .. });
        assert!(world.done.iter().any(thawed), "{:?}", world.done);
        assert!(world.manifests().ours.is_empty(), "the copy let go");
    }
}

#[test]
fn what_a_start_has_frozen_is_left_to_it_while_it_runs() {
    let running = operation(OperationKind::Start, OperationState::Running { pid: 7 });
    let cut_off = operation(OperationKind::Start, OperationState::Unfinished);
    for (held, thaws) in [(running, false), (cut_off, true), (free(), true)] {
        let mut world = World::learned(&[API]);
        world.run_pod(&pod(&parent_name(API)), None, TaskState::Paused);
        world.observed.operations = held;
        world.turns(20);
        let thawed = |(_, action): &(u64, Action)| matches!(action, Action::ResumeParent { .. });
        assert_eq!(world.done.iter().any(thawed), thaws, "{:?}", world.done);
    }
}

#[test]
fn a_cleanup_has_the_daemon_stop_its_own_copies() {
    for state in [OperationState::Running { pid: 7 }, OperationState::Holding] {
        let mut world = active(API);
        let pod = EnginePod {
            revision: revision('a'),
            state: EngineState::Serving,
        };
        world.engine().pods.insert(id(KCM), pod);
        world.parent_appears(KCM, &parent_name(KCM), 'a');
        world.vanish(&parent_name(KCM));
        world.observed.operations = operation(OperationKind::Cleanup, state);
        world.turns(60);
        nothing_begun(&world);
        assert!(world.manifests().ours.is_empty());
        assert!(world.engine().pods.is_empty(), "{:?}", world.done);
        assert_eq!(world.state(API), State::Inactive);
        world.turns(600);
        assert!(world.engine().pods.is_empty(), "and none comes back");
    }
}

#[test]
fn nothing_is_removed_or_pruned_on_the_word_of_a_temporary_api_server() {
    for held in holding() {
        let mut world = World::learned(&[API, KCM]);
        world.observed.operations = held;
        // It lists another pod of this node and none of the parents.
        world.api().pods.retain(|pod| pod.parent_of.is_none());
        for _ in 0..60 {
            world.api().lists += 1;
            world.turns(10);
        }
        nothing_begun(&world);
        assert!(
            world
                .stored
                .checkpoints
                .values()
                .all(|checkpoint| checkpoint.orphan.is_none())
        );
        assert_eq!(world.stored.checkpoints.len(), 2);
    }
}

#[test]
fn learning_goes_on_and_the_old_revision_stays_until_it_has_ended() {
    let mut world = World::learned(&[API]);
    world.observed.operations = operation(OperationKind::Start, OperationState::Running { pid: 7 });
    let parent = world
        .api()
        .pods
        .iter()
        .position(|pod| pod.parent_of.is_some())
        .unwrap();
    world.api().pods.remove(parent);
    world.vanish(&parent_name(API));
    world.parent_appears(API, &parent_name(API), 'b');
    world.turns(30);
    nothing_begun(&world);
    assert_eq!(world.stored.checkpoints[&id(API)].good, Some(revision('b')));
    let revisions =
        |world: &World| world.observed.stored_revisions.known().unwrap()[&id(API)].len();
    assert_eq!(revisions(&world), 2, "nothing pruned");
    world.observed.operations = free();
    world.turns(3);
    assert_eq!(revisions(&world), 1);
}

#[test]
fn the_report_says_it_first_and_loudly_where_nobody_works_on_it() {
    let mut world = World::learned(&[API]);
    for (state, loud) in [
        (OperationState::Running { pid: 7 }, false),
        (OperationState::Unfinished, true),
        (OperationState::Holding, true),
        (OperationState::Damaged("cut short".to_owned()), true),
    ] {
        world.observed.operations = operation(OperationKind::Start, state.clone());
        let report = decide(&world.observed, &world.stored, &world.policy, world.now).report;
        assert!(
            report.summary.starts_with('`') || report.summary.starts_with("th"),
            "{report:?}"
        );
        assert!(
            report.summary.contains("rekindle start"),
            "{}",
            report.summary
        );
        assert_eq!(report.operations[0].state, state);
        let problem = report.problems.first().map_or("", String::as_str);
        assert_eq!(problem == report.operations[0].said(), loud, "{report:?}");
    }
    world.observed.operations = free();
    let report = decide(&world.observed, &world.stored, &world.policy, world.now).report;
    assert_eq!(report.operations, []);
    assert!(
        report.summary.starts_with("1 checkpoints stored"),
        "{}",
        report.summary
    );
}

/// A node whose checkpoint of `text` is active by the kubelet, its parent gone.
fn active(text: &str) -> World {
    let mut world = World::learned(&[text]);
    world.power_cut();
    world.turns(1);
    world.kubelet_runs(text);
    world.turns(3);
    assert_eq!(world.state(text), State::Active);
    assert!(
        world
            .runtime()
            .sandboxes
            .iter()
            .any(|sandbox| sandbox.pod == copy(text))
    );
    let parent = pod(&parent_name(text));
    world.observed.apiserver = Reading::Known(rekindle::core::observed::ApiView {
        pods: vec![seen(&parent, Some(text))],
        lists: 5,
    });
    world.done.clear();
    world
}
