//! Hand-over between checkpoint and parent, and back.

use rekindle::core::action::Action;
use rekindle::core::observed::{ApiView, KubeletView, TaskState};
use rekindle::core::reading::{Reading, UnseenKind};
use rekindle::core::report::State;
use rekindle::core::stored::Phase;

use crate::world::{
    API, KCM, SCHEDULER, World, copy, id, parent_name, pod, revision, seen, silent,
};

/// The checkpoint stands in; the API server (served by it) lists the parent.
pub(crate) fn standing_in() -> World {
    let mut world = World::learned(&[API]);
    world.power_cut();
    world.turn();
    world.kubelet_runs(API);
    world.turns(2);
    assert_eq!(world.state(API), State::Active);
    world.observed.apiserver = Reading::Known(ApiView::default());
    let parent = pod(&parent_name(API));
    world.api().pods.push(seen(&parent, Some(API)));
    world.turns(2);
    world.done.clear();
    world
}

#[test]
fn c09_the_copy_is_released_when_the_parents_container_is_created() {
    let mut world = standing_in();
    let parent = pod(&parent_name(API));
    world.run_pod(&parent, None, TaskState::None);
    world.turns(30);
    assert!(world.left_alone(), "a sandbox alone wants no port");
    world.run_pod(&parent, None, TaskState::Created);
    world.turn();
    assert!(world.did(|action| matches!(action, Action::RemoveManifest { .. })));
    assert!(world.did(|action| matches!(action, Action::KillStaticPod { at_once: true, .. })));
    assert_eq!(world.state(API), State::HandingOver);
    world.run_pod(&parent, None, TaskState::Running);
    world.turns(2);
    assert_eq!(world.state(API), State::Inactive);
}

#[test]
fn c09_a_parent_that_does_not_serve_in_time_gives_the_checkpoint_back_with_backoff() {
    let mut world = standing_in();
    let parent = pod(&parent_name(API));
    world.run_unready(&parent);
    world.turns(44);
    assert_eq!(world.state(API), State::HandingOver);
    world.turns(2);
    assert_eq!(world.state(API), State::Activating, "{}", world.reason(API));
    world.run_pod(&parent, None, TaskState::None);
    world.turn();
    world.kubelet_runs(API);
    world.turn();
    assert_eq!(world.state(API), State::Active);
    assert_eq!(world.stored.checkpoints[&id(API)].handover.failures, 1);
}

#[test]
fn c09_a_parent_that_dies_gives_the_checkpoint_back_at_once_and_waits_longer_each_time() {
    let mut world = standing_in();
    let parent = pod(&parent_name(API));
    let mut released = Vec::new();
    for _ in 0..200 {
        world.run_unready(&parent);
        world.turn();
        let is_released = matches!(world.phase(API), Phase::HandingOver { .. });
        if is_released {
            released.push(world.now.0 / 1000);
        }
        world.run_pod(&parent, None, TaskState::None);
        world.turns(2);
        if world.manifests().ours.contains_key(&id(API)) {
            world.kubelet_runs(API);
        }
        world.turns(1);
        assert_ne!(
            world.state(API),
            State::Inactive,
            "never both gone for good"
        );
    }
    let waits: Vec<u64> = released.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.len() >= 4, "{waits:?}");
    assert!(waits.windows(2).all(|pair| pair[1] >= pair[0]), "{waits:?}");
    assert!(*waits.last().unwrap() >= 80, "{waits:?}");
}

#[test]
fn c09_the_parent_is_frozen_until_the_port_is_free_and_never_for_longer() {
    let mut world = standing_in();
    let parent = pod(&parent_name(API));
    world.run_unready(&parent);
    let decision = world.decided();
    let pauses = |action: &Action| matches!(action, Action::PauseParent { .. });
    assert!(
        decision.actions.iter().any(pauses),
        "the copy still holds the port"
    );
    world.run_pod(&parent, None, TaskState::Paused);
    let decision = world.decided();
    let resumes = |action: &Action| matches!(action, Action::ResumeParent { .. });
    assert!(
        decision.actions.iter().any(resumes),
        "the copy is gone: {:?}",
        decision.actions
    );
    // A daemon killed in between finds a frozen parent in any phase and thaws it.
    world.stored.checkpoints.get_mut(&id(API)).unwrap().phase = Phase::Inactive;
    assert!(world.decided().actions.iter().any(resumes));
}

#[test]
fn c09_a_parent_that_ended_before_it_was_frozen_costs_no_api() {
    let mut world = standing_in();
    let parent = pod(&parent_name(API));
    world.pause_fails = true;
    world.run_unready(&parent);
    world.turn();
    let released = |action: &Action| {
        matches!(
            action,
            Action::KillStaticPod { .. } | Action::RemoveManifest { .. }
        )
    };
    assert!(!world.did(released), "{:?}", world.done);
    world.run_pod(&parent, None, TaskState::Exited(1));
    world.turns(2);
    assert_eq!(world.state(API), State::Active, "{}", world.reason(API));
    assert!(!world.did(released), "{:?}", world.done);
    assert_eq!(world.stored.checkpoints[&id(API)].handover.failures, 0);
    // The kubelet starts it again, and now it can be frozen: nothing has to be waited for.
    world.pause_fails = false;
    world.run_unready(&parent);
    world.turn();
    assert!(world.did(released), "{:?}", world.done);
    assert_eq!(world.state(API), State::HandingOver);
}

#[test]
fn c09_a_parent_that_cannot_be_frozen_is_handed_over_to_all_the_same() {
    let mut world = standing_in();
    world.pause_fails = true;
    world.run_unready(&pod(&parent_name(API)));
    world.turns(4);
    let killed = |action: &Action| matches!(action, Action::KillStaticPod { at_once: true, .. });
    assert!(world.did(killed), "{:?}", world.done);
    assert_eq!(world.state(API), State::HandingOver);
}

#[test]
fn c17_a_static_pod_that_the_kubelet_does_not_stop_is_stopped_through_containerd() {
    let mut world = standing_in();
    let Reading::Known(stored) = &mut world.observed.stored_revisions else {
        unreachable!()
    };
    stored
        .get_mut(&id(API))
        .unwrap()
        .get_mut(&revision('a'))
        .unwrap()
        .host_network = false;
    world.parent_appears(API, &parent_name(API), 'a');
    world.turns(9);
    assert!(
        !world.manifests().ours.contains_key(&id(API)),
        "the manifest is gone"
    );
    assert!(!world.did(|action| matches!(action, Action::KillStaticPod { .. })));
    assert_eq!(world.state(API), State::Deactivating);
    assert!(world.reason(API).contains("static pod to end"));
    world.turns(4);
    assert!(world.did(|action| matches!(action, Action::KillStaticPod { at_once: false, .. })));
    assert_eq!(world.state(API), State::Inactive);
}

#[test]
fn c17_a_left_over_static_pod_without_a_manifest_is_stopped() {
    let mut world = World::learned(&[API]);
    world.run_pod(&copy(API), Some(API), TaskState::Running);
    world.turns(13);
    assert!(world.did(|action| matches!(action, Action::KillStaticPod { .. })));
    assert_eq!(world.state(API), State::Inactive);
}

#[test]
fn c01_a_hand_over_is_frozen_while_containerd_is_silent() {
    let mut world = standing_in();
    let parent = pod(&parent_name(API));
    world.run_unready(&parent);
    world.turn();
    world.done.clear();
    world.observed.runtime = silent(UnseenKind::TimedOut);
    world.turns(200);
    assert!(world.left_alone());
    assert_eq!(world.state(API), State::HandingOver);
}

/// Checkpoints of all three stand in; the API server lists their parents.
fn all_standing_in() -> World {
    let mut world = World::learned(&[API, KCM, SCHEDULER]);
    world.power_cut();
    world.turns(12);
    for text in [API, KCM, SCHEDULER] {
        world.kubelet_runs(text);
    }
    world.turns(2);
    world.observed.apiserver = Reading::Known(ApiView::default());
    for text in [API, KCM, SCHEDULER] {
        let parent = pod(&parent_name(text));
        world.api().pods.push(seen(&parent, Some(text)));
    }
    world.turns(2);
    world
}

#[test]
fn the_api_server_is_handed_over_first_and_alone_the_others_together() {
    let mut world = all_standing_in();
    for text in [API, KCM, SCHEDULER] {
        world.run_unready(&pod(&parent_name(text)));
    }
    world.turn();
    assert_eq!(world.state(API), State::HandingOver);
    for text in [KCM, SCHEDULER] {
        assert_eq!(world.state(text), State::Active);
        assert!(
            world.reason(text).contains("handed over first"),
            "{}",
            world.reason(text)
        );
    }
    // They would only find their ports taken: frozen meanwhile.
    let frozen = |world: &World| {
        let pauses = |(_, action): &&(u64, Action)| matches!(action, Action::PauseParent { .. });
        world.done.iter().filter(pauses).count()
    };
    assert!(frozen(&world) >= 2, "{:?}", world.done);
    world.run_pod(&pod(&parent_name(API)), None, TaskState::Running);
    world.turns(2);
    assert_eq!(world.state(API), State::Inactive);
    for text in [KCM, SCHEDULER] {
        assert_eq!(world.state(text), State::HandingOver);
    }
}

/// The power was cut, the kubelet is up, and the API server's checkpoint has been asked for.
fn booted() -> World {
    let mut world = World::learned(&[API, KCM, SCHEDULER]);
    world.power_cut();
    world.observed.kubelet = Reading::Known(KubeletView::default());
    world.turns(2);
    assert_eq!(world.state(API), State::Activating);
    world
}

#[test]
fn c21_the_api_server_is_activated_first_and_the_others_parents_are_waited_for() {
    let mut world = booted();
    for text in [KCM, SCHEDULER] {
        assert_eq!(world.state(text), State::Inactive);
        assert!(world.reason(text).contains("goes first"));
    }
    world.kubelet_runs(API);
    world.observed.apiserver = Reading::Known(ApiView::default());
    for text in [API, KCM, SCHEDULER] {
        let parent = pod(&parent_name(text));
        world.api().pods.push(seen(&parent, Some(text)));
        world.run_unready(&parent);
    }
    world.done.clear();
    world.turns(2);
    assert_eq!(world.state(API), State::HandingOver);
    // A controller manager that starts while no API server answers would only end.
    let frozen = |action: &Action| matches!(action, Action::PauseParent { checkpoint, .. } if checkpoint.as_str() == KCM);
    assert!(world.did(frozen), "{:?}", world.done);
    world.run_pod(&pod(&parent_name(KCM)), None, TaskState::Paused);
    world.run_pod(&pod(&parent_name(API)), None, TaskState::Running);
    world.done.clear();
    world.turns(2);
    let thawed = |action: &Action| matches!(action, Action::ResumeParent { checkpoint, .. } if checkpoint.as_str() == KCM);
    assert!(world.did(thawed), "{:?}", world.done);
    let activated = |action: &Action| matches!(action, Action::WriteManifest { .. });
    assert!(!world.did(activated), "{:?}", world.done);
}

#[test]
fn c21_the_others_wait_for_the_api_server_only_for_a_while() {
    let mut world = booted();
    world.turns(27);
    assert_eq!(world.state(KCM), State::Inactive);
    world.turns(4);
    assert_eq!(world.state(KCM), State::Activating);
    // The kubelet does not even answer: nothing will start by itself.
    let mut world = World::learned(&[API, KCM]);
    world.power_cut();
    world.turns(9);
    assert_eq!(world.state(KCM), State::Inactive);
    world.turns(3);
    assert_eq!(world.state(KCM), State::Activating);
}

#[test]
fn a_parent_that_has_served_is_not_frozen_for_another_hand_over() {
    let mut world = World::learned(&[API, KCM]);
    let running = pod(&parent_name(KCM));
    world.vanish(&parent_name(API));
    world.observed.apiserver = silent(UnseenKind::Unreachable);
    world.turns(17);
    world.kubelet_runs(API);
    world.turns(2);
    world.run_unready(&pod(&parent_name(API)));
    // Its probes fail while there is no API server.
    world.run_unready(&running);
    world.done.clear();
    world.turns(3);
    assert_eq!(world.state(API), State::HandingOver);
    let frozen = |action: &Action| matches!(action, Action::PauseParent { checkpoint, .. } if checkpoint.as_str() == KCM);
    assert!(!world.did(frozen), "{:?}", world.done);
}

#[test]
fn a_parent_is_held_back_for_another_hand_over_only_for_a_while() {
    let mut world = all_standing_in();
    for text in [API, KCM] {
        world.run_unready(&pod(&parent_name(text)));
    }
    world.turn();
    world.run_pod(&pod(&parent_name(KCM)), None, TaskState::Paused);
    world.turns(9);
    world.done.clear();
    world.turns(3);
    let resumes = |action: &Action| matches!(action, Action::ResumeParent { checkpoint, .. } if checkpoint.as_str() == KCM);
    assert!(world.did(resumes), "{:?}", world.done);
}

#[test]
fn an_api_server_whose_parent_does_not_come_holds_up_nobody_for_long() {
    let mut world = all_standing_in();
    world.run_unready(&pod(&parent_name(KCM)));
    world.turns(30);
    assert_eq!(world.state(KCM), State::Active);
    world.turns(31);
    assert_eq!(world.state(KCM), State::HandingOver);
}
