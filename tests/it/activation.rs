//! When a checkpoint is activated, and when it is not: incidents of the field against `decide`.

use std::time::Duration;

use rekindle::core::action::Action;
use rekindle::core::observed::{ManifestsView, Rendering, TaskState};
use rekindle::core::reading::{Reading, UnseenKind};
use rekindle::core::report::State;
use rekindle::core::stored::Phase;

use crate::world::{
    API, KCM, SCHEDULER, World, copy, id, parent_name, pod, revision, seen, silent,
};

fn writes_manifest(action: &Action) -> bool {
    matches!(action, Action::WriteManifest { .. })
}

#[test]
fn c01_silent_containerd_changes_nothing() {
    let mut world = World::learned(&[API, KCM]);
    world.observed.runtime = silent(UnseenKind::Unreachable);
    world.observed.apiserver = silent(UnseenKind::Unreachable);
    world.turns(600);
    assert!(world.left_alone(), "{:?}", world.done);
    let report = world.decided().report;
    let containerd = report
        .sources
        .iter()
        .find(|source| source.name == "containerd")
        .unwrap();
    assert_eq!(containerd.unknown, Some(UnseenKind::Unreachable));
    assert!(world.reason(API).contains("containerd is silent"));
}

#[test]
fn c02_silent_kubelet_leaves_the_decision_to_containerd_and_the_store() {
    let mut world = World::learned(&[API]);
    world.observed.kubelet = silent(UnseenKind::Denied);
    world.observed.apiserver = silent(UnseenKind::Unreachable);
    world.turns(100);
    assert!(world.left_alone(), "the parent runs: {:?}", world.done);
    world.vanish(&parent_name(API));
    world.turns(16);
    assert!(
        world.did(writes_manifest),
        "gone for longer than the waiting time"
    );
}

#[test]
fn c03_a_pod_that_the_kubelet_lists_as_running_but_is_dead_is_replaced() {
    let mut world = World::learned(&[API]);
    let mut listed = seen(&pod(&parent_name(API)), Some(API));
    listed.ready = true;
    let Reading::Known(kubelet) = &mut world.observed.kubelet else {
        unreachable!()
    };
    kubelet.pods.push(listed);
    world.observed.apiserver = silent(UnseenKind::Unreachable);
    world.vanish(&parent_name(API));
    world.turns(17);
    assert_eq!(world.state(API), State::Activating);
}

#[test]
fn c05_an_unanswering_api_server_counts_like_a_refusing_one() {
    for kind in [
        UnseenKind::Unreachable,
        UnseenKind::TimedOut,
        UnseenKind::Unreadable,
    ] {
        let mut world = World::learned(&[API]);
        world.power_cut();
        world.observed.apiserver = silent(kind);
        world.turns(1);
        assert!(world.did(writes_manifest), "{kind:?}");
    }
}

#[test]
fn an_api_server_that_denies_us_is_not_down() {
    let mut world = World::learned(&[API]);
    world.power_cut();
    world.observed.apiserver = silent(UnseenKind::Denied);
    world.turns(600);
    assert!(world.left_alone());
    assert!(world.reason(API).contains("denies our credential"));
}

#[test]
fn c06_a_bad_spec_never_replaces_the_good_revision() {
    let mut world = World::learned(&[API]);
    let bad = pod("kube-apiserver-bad");
    world.api().pods.retain(|seen| seen.parent_of.is_none());
    world.vanish(&parent_name(API));
    let mut listed = seen(&bad, Some(API));
    listed.ready = false;
    world.api().pods.push(listed);
    world
        .observed
        .renderings
        .insert(bad.clone(), Rendering::Whole(revision('b')));
    // It crash-loops: a second of life, then back-off.
    for _ in 0..5 {
        world.run_unready(&bad);
        world.turns(1);
        world.run_pod(&bad, None, TaskState::None);
        world.turns(4);
    }
    assert_eq!(world.stored.checkpoints[&id(API)].good, Some(revision('a')));
    let activated = world.done.iter().find_map(|(_, action)| match action {
        Action::WriteManifest { revision, .. } => Some(revision.clone()),
        _ => None,
    });
    assert_eq!(
        activated,
        Some(revision('a')),
        "the last known good one is activated"
    );
}

#[test]
fn c10_a_crash_loop_behind_a_standing_sandbox_is_noticed() {
    let mut world = World::learned(&[API]);
    world.observed.apiserver = silent(UnseenKind::Unreachable);
    let parent = pod(&parent_name(API));
    for _ in 0..4 {
        world.run_pod(&parent, None, TaskState::None);
        let sandbox = world.runtime().sandboxes.last_mut().unwrap();
        sandbox.running = true;
        world.turns(4);
        world.run_unready(&parent);
        world.turns(1);
    }
    assert!(
        world.did(writes_manifest),
        "its sandbox stands, but nothing serves"
    );
}

#[test]
fn c14_finished_and_leaving_parents_are_not_run_again() {
    for (finished, deleting) in [(true, false), (false, true)] {
        let mut world = World::learned(&[API]);
        let parent = world.api().pods.last_mut().unwrap();
        (parent.finished, parent.deleting) = (finished, deleting);
        world.vanish(&parent_name(API));
        world.turns(600);
        assert!(
            !world.did(writes_manifest),
            "finished {finished}, deleting {deleting}"
        );
        assert!(world.reason(API).contains("not run again"));
    }
}

#[test]
fn a_deleted_api_server_that_nobody_can_replace_comes_back() {
    // `kubectl delete pod` of the only API server: going, and then nobody answers any more.
    let mut world = World::learned(&[API]);
    world.api().pods.last_mut().unwrap().deleting = true;
    world.turns(1);
    world.vanish(&parent_name(API));
    world.observed.apiserver = silent(UnseenKind::Unreachable);
    world.turns(16);
    assert_eq!(world.state(API), State::Activating);
}

#[test]
fn c21_after_a_power_cut_all_come_back_and_are_verified() {
    let mut world = World::learned(&[API, KCM, SCHEDULER]);
    world.power_cut();
    world.turn();
    assert!(
        world.manifests().ours.contains_key(&id(API)),
        "the API server's in the first turn"
    );
    world.turns(11);
    for text in [API, KCM, SCHEDULER] {
        assert_eq!(world.state(text), State::Activating);
        world.kubelet_runs(text);
    }
    world.turn();
    for text in [API, KCM, SCHEDULER] {
        assert_eq!(world.state(text), State::Active);
    }
}

#[test]
fn an_activated_copy_whose_probes_fail_is_not_called_active() {
    let mut world = World::learned(&[API]);
    world.power_cut();
    world.turn();
    world.kubelet_runs(API);
    world.observed.probes.clear();
    world.turns(5);
    assert_eq!(world.state(API), State::Activating);
}

#[test]
fn nothing_is_activated_before_the_api_server_was_asked() {
    let mut world = World::learned(&[API]);
    world.power_cut();
    world.observed.apiserver = Reading::not_asked();
    world.turns(5);
    assert!(world.left_alone());
}

#[test]
fn an_unproven_checkpoint_is_not_activated() {
    let mut world = World::new();
    world.parent_appears(API, &parent_name(API), 'a');
    world.turns(5);
    world.power_cut();
    world.turns(100);
    assert!(!world.did(writes_manifest));
    assert_eq!(world.state(API), State::Learning);
}

#[test]
fn c18_a_changed_secret_becomes_good_only_when_proven_and_the_old_revision_stays_until_then() {
    let mut world = World::learned(&[API]);
    let parent = pod(&parent_name(API));
    world
        .observed
        .renderings
        .insert(parent, Rendering::Whole(revision('b')));
    world.turns(9);
    assert_eq!(world.stored.checkpoints[&id(API)].good, Some(revision('a')));
    assert!(!world.did(|action| matches!(action, Action::DropRevision { .. })));
    world.turns(4);
    assert_eq!(world.stored.checkpoints[&id(API)].good, Some(revision('b')));
    assert!(world.did(|action| *action
        == Action::DropRevision {
            checkpoint: id(API),
            revision: revision('a')
        }));
}

#[test]
fn a_copy_found_running_after_a_lost_state_is_taken_over() {
    let mut world = World::learned(&[API]);
    world.power_cut();
    world.turn();
    world.kubelet_runs(API);
    world.turn();
    let checkpoint = world.stored.checkpoints.get_mut(&id(API)).unwrap();
    checkpoint.phase = Phase::Inactive;
    world.done.clear();
    world.turns(3);
    assert_eq!(world.state(API), State::Active);
    assert!(world.left_alone());
}

#[test]
fn c16_only_damaged_files_of_ours_are_removed_and_foreign_ones_are_reported() {
    let mut world = World::learned(&[API]);
    *world.manifests() = ManifestsView {
        damaged: ["rekindle-x.json".to_owned()].into(),
        foreign: ["etcd.yaml".to_owned(), "etcd.yaml.backup".to_owned()].into(),
        ..ManifestsView::default()
    };
    let report = world.decided().report;
    assert_eq!(
        world
            .done
            .iter()
            .map(|(_, action)| action.clone())
            .collect::<Vec<_>>(),
        [Action::RemoveDamagedManifest {
            file: "rekindle-x.json".into()
        }]
    );
    let manifests = report
        .sources
        .iter()
        .find(|source| source.name == "manifests")
        .unwrap();
    assert!(manifests.detail.contains("2 of others"));
}

#[test]
fn deciding_twice_on_the_same_facts_asks_for_nothing_new() {
    let mut world = World::learned(&[API, KCM]);
    world.power_cut();
    world.turns(11);
    world.kubelet_runs(API);
    world.kubelet_runs(KCM);
    world.turns(2);
    world.done.clear();
    world.turns(500);
    assert!(world.left_alone(), "{:?}", world.done);
    assert_eq!(copy(API).namespace, "kube-system");
}

#[test]
fn d03_the_boot_clock_of_another_boot_is_never_compared() {
    let mut world = World::learned(&[API, KCM]);
    world
        .api()
        .pods
        .retain(|seen| seen.parent_of != Some(id(API)));
    world.turns(299);
    // Hours later by any clock, but a new boot: grace starts again.
    world.observed.boot_id.push('+');
    world.now = world.now.after(Duration::from_secs(100_000));
    world.turns(299);
    assert!(!world.did(|action| matches!(action, Action::RemoveCheckpoint { .. })));
}
