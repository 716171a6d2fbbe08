//! A temporary API server and its counterpart on one port (`--permit-port-sharing`).

use rekindle::core::sharing::{Side, Steered};
use rekindle::core::start::component::key;
use rekindle::core::start::journal::{Phase, State};
use rekindle::core::start::turn::Action;

use crate::start_world::{Parent, World, done};

const PORT: u16 = 6443;

impl World {
    /// The kernel does as it is told, where the port is shared.
    pub(crate) fn steer(&mut self, index: usize, port: u16, side: Side) {
        let key = key(&self.journal.components[index]).unwrap();
        let said = match side {
            Side::Hash => {
                self.steering.remove(&key);
                return;
            }
            _ if self.shares => Steered::To { port, side },
            _ => Steered::Refused("scripted".to_owned()),
        };
        self.steering.insert(key, said);
    }
}

/// A node whose API servers have the flag, which helps where `shares`.
fn permitting(shares: bool) -> World {
    let mut world = World::new().with_stale_pods();
    world.journal.components[0].shared_port = Some(PORT);
    world.shares = shares;
    world
}

fn freezes(action: &Action) -> bool {
    matches!(action, Action::Pause { .. })
}

#[test]
fn r08_on_a_shared_port_an_api_server_serves_all_the_time() {
    let mut world = permitting(true);
    world.until("the hand-over", |world| world.at(Phase::HandingOver));
    let mut switched = false;
    for _ in 0..500 {
        if done(&world) {
            break;
        }
        let state = world.state(0);
        let decision = world.turn();
        for action in &decision.actions {
            if let Action::Steer { to, port, .. } = action {
                assert_eq!(*port, PORT);
                switched |= *to == Side::Parent;
            }
        }
        if state == State::Temporary {
            assert!(
                !decision.actions.iter().any(freezes),
                "nothing is in its way"
            );
        }
        assert!(world.serves(), "{:?}", decision.waits);
        world.live(500);
    }
    assert!(done(&world), "{:#?}", world.journal);
    assert!(switched);
    assert!(world.steering.is_empty(), "nothing is left steered");
    assert_eq!(world.journal.components[0].failures, 0);
}

#[test]
fn where_the_port_cannot_be_steered_it_is_handed_over_as_ever() {
    let mut world = permitting(false);
    world.until("the end", done);
    assert_eq!(world.journal.components[0].failures, 0);
    assert!(world.steering.is_empty());
}

#[test]
fn a_counterpart_that_ends_beside_the_temporary_one_gets_the_port_alone() {
    let mut world = permitting(true);
    world.until("the hand-over", |world| world.at(Phase::HandingOver));
    world.parents[0] = Parent::Nothing;
    world.turn();
    world.parents[0] = Parent::Starting;
    world.turn();
    // It has lost the flag, and found its port taken.
    world.parents[0] = Parent::Ended;
    let decision = world.turn();
    assert_eq!(world.journal.components[0].failures, 1);
    assert_eq!(world.state(0), State::Temporary, "{:?}", decision.waits);
    assert_eq!(world.journal.components[0].activation, 0, "it serves on");
    world.shares = false;
    world.until("the end", done);
}

#[test]
fn a_temporary_pod_is_let_go_of_gently_only_where_its_counterpart_serves_already() {
    let mut world = permitting(true);
    world.until("the release", |world| {
        matches!(world.state(0), State::HandingOver { .. })
    });
    // The kubelet takes its time.
    world.temporary[0] = true;
    let mut killed_after = None;
    for turn in 0..20 {
        let decision = world.decide();
        assert!(!decision.actions.iter().any(freezes));
        let kills = |action: &Action| matches!(action, Action::Kill { .. });
        if decision.actions.iter().any(kills) {
            killed_after = Some(turn);
            break;
        }
        world.now += 500;
    }
    assert_eq!(killed_after, Some(9), "5 s are for its clients");
}
