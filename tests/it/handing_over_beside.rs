//! Hand-over on a port that copy and parent share (`--permit-port-sharing`).

use rekindle::core::action::Action;
use rekindle::core::id::CheckpointId;
use rekindle::core::observed::{ApiView, TaskState};
use rekindle::core::reading::Reading;
use rekindle::core::report::State;
use rekindle::core::sharing::{Side, Steered};

use crate::world::{API, KCM, World, copy, id, parent_name, pod, revision, seen};

const PORT: u16 = 6443;

impl World {
    /// The kernel does as it is told, or `steering_fails`.
    pub(crate) fn steer(&mut self, id: &CheckpointId, port: u16, side: Side) {
        let said = match side {
            Side::Hash => {
                self.observed.steering.remove(id);
                return;
            }
            Side::Copy if self.steering_fails => Steered::Refused("scripted".into()),
            _ => Steered::To { port, side },
        };
        self.observed.steering.insert(id.clone(), said);
    }

    fn steered_to(&self) -> Option<Side> {
        match self.observed.steering.get(&id(API))? {
            Steered::To { side, .. } => Some(*side),
            Steered::Refused(_) => None,
        }
    }
}

/// The checkpoint stands in on a port that it may share; the API server lists the parent.
fn standing_in(steering_fails: bool) -> World {
    all_standing_in(&[API], steering_fails)
}

fn all_standing_in(ids: &[&str], steering_fails: bool) -> World {
    let mut world = World::learned(ids);
    world.steering_fails = steering_fails;
    let Reading::Known(stored) = &mut world.observed.stored_revisions else {
        unreachable!()
    };
    let revisions = stored.get_mut(&id(API)).unwrap();
    revisions.get_mut(&revision('a')).unwrap().shared_port = Some(PORT);
    world.power_cut();
    world.turns(12);
    for text in ids {
        world.kubelet_runs(text);
    }
    world.turns(3);
    world.observed.apiserver = Reading::Known(ApiView::default());
    for text in ids {
        assert_eq!(world.state(text), State::Active);
        let parent = pod(&parent_name(text));
        world.api().pods.push(seen(&parent, Some(text)));
    }
    world.turns(2);
    world
}

fn releases(action: &Action) -> bool {
    matches!(
        action,
        Action::RemoveManifest { .. } | Action::KillStaticPod { .. }
    )
}

#[test]
fn c09_on_a_shared_port_the_copy_serves_until_the_parent_does() {
    let mut world = standing_in(false);
    assert_eq!(world.steered_to(), Some(Side::Copy), "before it is needed");
    world.done.clear();
    let parent = pod(&parent_name(API));
    world.run_unready(&parent);
    world.turns(30);
    assert!(world.left_alone(), "{:?}", world.done);
    assert_eq!(world.state(API), State::Active);
    assert!(world.reason(API).contains("on the same port"));

    world.run_pod(&parent, None, TaskState::Running);
    world.turn();
    let place = |wanted: &dyn Fn(&Action) -> bool| {
        let mut done = world.done.iter();
        done.position(|(_, action)| wanted(action)).unwrap()
    };
    let switch = |action: &Action| matches!(action, Action::Steer { to: Side::Parent, port, .. } if *port == PORT);
    assert!(place(&switch) < place(&releases), "{:?}", world.done);
    let killed = |action: &Action| matches!(action, Action::KillStaticPod { .. });
    assert!(!world.did(killed), "its clients are let go in peace");
    world.vanish(&copy(API).name);
    world.turns(2);
    assert_eq!(world.state(API), State::Inactive);
    assert_eq!(world.steered_to(), None, "nothing is left steered");
}

#[test]
fn c09_a_copy_whose_parent_has_its_port_is_not_kept_by_its_clients_watches() {
    let mut world = standing_in(false);
    world.run_pod(&pod(&parent_name(API)), None, TaskState::Running);
    let killed = |action: &Action| matches!(action, Action::KillStaticPod { at_once: true, .. });
    world.turns(3);
    assert!(!world.did(killed), "its last answers");
    world.turns(2);
    assert!(world.did(killed));
    assert_eq!(world.state(API), State::Inactive);
}

#[test]
fn controllers_need_not_wait_for_an_api_server_that_serves_beside_its_parent() {
    let mut world = all_standing_in(&[API, KCM], false);
    for text in [API, KCM] {
        world.run_unready(&pod(&parent_name(text)));
    }
    world.turn();
    assert_eq!(world.state(API), State::Active);
    assert_eq!(world.state(KCM), State::HandingOver);
}

#[test]
fn c09_a_port_that_cannot_be_steered_is_handed_over_with_a_gap() {
    let mut world = standing_in(true);
    assert!(world.reason(API).contains("will have a gap: scripted"));
    world.run_unready(&pod(&parent_name(API)));
    world.turn();
    assert!(world.did(releases), "{:?}", world.done);
    assert_eq!(world.state(API), State::HandingOver);
    world.turn();
    assert!(world.observed.steering.is_empty());
}

#[test]
fn c09_a_parent_that_ends_beside_its_copy_gets_the_port_alone_at_the_third_try() {
    let mut world = standing_in(false);
    let parent = pod(&parent_name(API));
    for _ in 0..2 {
        world.run_unready(&parent);
        world.turns(2);
        world.run_pod(&parent, None, TaskState::Exited(1));
        world.turns(2);
        assert!(!world.did(releases), "the copy serves on");
        assert_eq!(world.state(API), State::Active);
    }
    world.run_unready(&parent);
    world.turn();
    assert!(world.did(releases), "it may have lost the flag");
    assert_eq!(world.state(API), State::HandingOver);
}

#[test]
fn c09_a_parent_that_does_not_serve_beside_its_copy_gets_the_port_alone() {
    let mut world = standing_in(false);
    world.run_unready(&pod(&parent_name(API)));
    world.turns(45);
    assert!(!world.did(releases));
    world.turns(2);
    assert!(world.did(releases), "{}", world.reason(API));
    assert_eq!(world.state(API), State::HandingOver);
}

#[test]
fn a_copy_that_ends_is_no_side_to_steer_to() {
    let mut world = standing_in(false);
    world.run_pod(&copy(API), Some(API), TaskState::Exited(1));
    world.turn();
    assert_eq!(world.steered_to(), None);
    world.kubelet_runs(API);
    world.turns(2);
    assert_eq!(world.steered_to(), Some(Side::Copy));
}

#[test]
fn a_parent_is_not_asked_while_its_copy_would_answer() {
    let mut world = standing_in(false);
    world.run_unready(&pod(&parent_name(API)));
    world.observed.steering.clear();
    // A daemon that has just started: it steers first.
    let decision = world.decided();
    assert!(!decision.probe.contains_key(&pod(&parent_name(API))));
    let decision = world.decided();
    assert_eq!(decision.probe.get(&pod(&parent_name(API))), Some(&true));
}
