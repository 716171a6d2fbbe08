//! `start` on random walks: whatever happens, in any order, and wherever it is killed.

use proptest::prelude::*;
use rekindle::core::start::journal::{Phase, State};
use rekindle::core::start::turn::{Action, Decision};
use rekindle::core::time::Moment;

use crate::start_world::{NAMES, NODE, Parent, World};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Event {
    Live(u16),
    Wait(u8),
    Parent {
        index: usize,
        state: u8,
    },
    Api(bool),
    Runtime(bool),
    Kubelet(bool),
    /// The process is killed after so many actions of its next turn.
    KilledAfter(usize),
    /// This counterpart ends between what the next turn sees and what it does; that may be found
    /// out when it is to be frozen.
    EndsMeanwhile {
        index: usize,
        noticed: bool,
    },
    Reboot,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (1u16..3000).prop_map(Event::Live),
        2 => any::<u8>().prop_map(Event::Wait),
        3 => (0usize..3, 0u8..4).prop_map(|(index, state)| Event::Parent { index, state }),
        1 => any::<bool>().prop_map(Event::Api),
        1 => any::<bool>().prop_map(Event::Runtime),
        1 => any::<bool>().prop_map(Event::Kubelet),
        3 => (0usize..6).prop_map(Event::KilledAfter),
        3 => (0usize..3, any::<bool>())
            .prop_map(|(index, noticed)| Event::EndsMeanwhile { index, noticed }),
        1 => Just(Event::Reboot),
    ]
}

/// What a decision may never be.
fn check(before: &World, decision: &Decision, served: &mut [bool; 3]) {
    let journal = &decision.journal;
    let rebooted = before.journal.boot_id != before.boot;
    for (index, state) in journal.components.iter().map(|it| it.state).enumerate() {
        if before.parents[index] == Parent::Serving && before.runtime_known {
            served[index] = true;
        }
        if matches!(state, State::HandedOver { .. }) {
            assert!(served[index], "{index} is handed over and has never served");
        }
    }
    if matches!(journal.phase, Phase::Removing | Phase::Done) {
        assert_eq!(
            *served, [true; 3],
            "removed, and not everything has ever served"
        );
    }
    for action in &decision.actions {
        let stops = match action {
            Action::RemoveManifest { index } => {
                let stale = before.manifests[*index] != Some(journal.components[*index].activation);
                let moves = journal.engine.is_some();
                Some((*index, stale || moves))
            }
            Action::StopEnginePod { index, .. } => Some((*index, before.kubelet)),
            Action::Kill { sandbox } => {
                let of = |name: &&str| *sandbox == format!("t-bootstrap-{name}-{NODE}");
                let index = NAMES
                    .iter()
                    .position(of)
                    .expect("only temporary pods are killed");
                Some((index, false))
            }
            Action::Pause { .. } => {
                assert!(before.runtime_known);
                let handing = |state| matches!(state, State::HandingOver { .. });
                assert!(journal.components.iter().any(|it| handing(it.state)));
                None
            }
            Action::Hold { .. } => {
                assert!(before.runtime_known);
                assert!(!matches!(
                    journal.components[0].state,
                    State::HandedOver { .. }
                ));
                None
            }
            Action::StartEnginePod { index } => {
                assert!(before.runtime_known && !before.temporary[*index]);
                None
            }
            _ => None,
        };
        let Some((index, for_another_copy)) = stops else {
            continue;
        };
        let released = !matches!(journal.components[index].state, State::Temporary);
        let ends = matches!(journal.phase, Phase::Removing | Phase::Aborting);
        assert!(
            released || ends || for_another_copy || rebooted || !before.kubelet,
            "{action:?} with {:?} in {:?}",
            journal.components[index],
            journal.phase
        );
    }
}

fn happen(world: &mut World, event: &Event, served: &mut [bool; 3]) {
    match event {
        Event::Live(millis) => world.live(u64::from(*millis)),
        Event::Wait(seconds) => world.now += 1000 * u64::from(*seconds),
        Event::Parent { index, state } => {
            world.parents[*index] = [
                Parent::Nothing,
                Parent::Ended,
                Parent::Starting,
                Parent::Serving,
            ][usize::from(*state)];
        }
        Event::Api(answers) => world.api_answers = *answers,
        Event::Runtime(known) => world.runtime_known = *known,
        Event::Kubelet(there) => world.kubelet = *there,
        Event::Reboot => {
            world.boot = format!("{}x", world.boot);
            world.now = 1000;
            world.parents = [Parent::Nothing; 3];
            world.temporary = [false; 3];
            world.engine = [false; 3];
            world.api_answers = false;
        }
        Event::KilledAfter(_) | Event::EndsMeanwhile { .. } => {}
    }
    let before = world.clone();
    let mut decision = world.decide();
    check(&before, &decision, served);
    if let Event::EndsMeanwhile { index, noticed } = event
        && matches!(world.parents[*index], Parent::Starting | Parent::Serving)
    {
        world.parents[*index] = Parent::Ended;
        let pauses = |action: &Action| matches!(action, Action::Pause { .. });
        if *noticed && decision.actions.iter().any(pauses) {
            decision.withdraw(&before.journal, Moment(world.now));
            world.journal.clone_from(&decision.journal);
        }
    }
    let limit = match event {
        Event::KilledAfter(actions) => *actions,
        _ => usize::MAX,
    };
    for action in decision.actions.iter().take(limit) {
        world.carry_out(action);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn it_never_removes_what_nobody_has_taken_the_place_of(
        events in prop::collection::vec(event(), 1..120)
    ) {
        let mut world = World::new().with_stale_pods();
        let mut served = [false; 3];
        for event in &events {
            happen(&mut world, event, &mut served);
        }
    }

    #[test]
    fn r08_from_wherever_it_was_cut_off_it_arrives(
        events in prop::collection::vec(event(), 1..80),
        gives_up in any::<bool>(),
    ) {
        let mut world = World::new().with_stale_pods();
        let mut served = [false; 3];
        for event in &events {
            happen(&mut world, event, &mut served);
        }
        world.runtime_known = true;
        world.kubelet = true;
        world.orders.abort = gives_up;
        for _ in 0..3000 {
            if world.journal.phase.is_final() {
                break;
            }
            world.turn();
            world.live(500);
        }
        let ends = [Phase::Done, Phase::Aborted];
        prop_assert!(ends.contains(&world.journal.phase), "{:#?}", world);
        prop_assert_eq!(world.manifests, [None; 3]);
        prop_assert_eq!(world.engine, [false; 3]);
        prop_assert!(!world.parents.contains(&Parent::Frozen));
    }
}
