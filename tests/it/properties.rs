//! Random walks over observations: what must hold whatever the sources say, in any order.

use proptest::prelude::*;
use rekindle::core::action::Action;
use rekindle::core::decide::decide;
use rekindle::core::observed::{
    ApiView, EnginePod, EngineState, EngineView, ManifestsView, Rendering, RuntimeView, TaskState,
};
use rekindle::core::operation::{OperationKind, OperationSeen, OperationState, OperationsView};
use rekindle::core::reading::{Reading, UnseenKind};
use rekindle::core::report::State;

use crate::world::{API, KCM, World, copy, id, parent_name, pod, revision, seen, silent};

const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

/// One thing that happens to the node.
#[derive(Debug, Clone)]
enum Event {
    Wait(u8),
    ApiSilent(UnseenKind),
    ApiAnswers { api: bool, kcm: bool, lists: u8 },
    RuntimeSilent,
    Runtime { parent: u8, copy: u8 },
    ManifestsSilent,
    ManifestsAnswer,
    EngineSilent,
    Engine(u8),
    NewContent(char),
    Operation(u8),
    Hold(u8),
    Reboot,
}

fn event() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![
        Just(UnseenKind::Unreachable),
        Just(UnseenKind::TimedOut),
        Just(UnseenKind::Denied),
        Just(UnseenKind::NotAsked),
    ];
    prop_oneof![
        4 => any::<u8>().prop_map(Event::Wait),
        2 => kind.prop_map(Event::ApiSilent),
        2 => (any::<bool>(), any::<bool>(), 0u8..3)
            .prop_map(|(api, kcm, lists)| Event::ApiAnswers { api, kcm, lists }),
        1 => Just(Event::RuntimeSilent),
        4 => (0u8..5, 0u8..3).prop_map(|(parent, copy)| Event::Runtime { parent, copy }),
        1 => Just(Event::ManifestsSilent),
        2 => Just(Event::ManifestsAnswer),
        1 => Just(Event::EngineSilent),
        2 => (0u8..4).prop_map(Event::Engine),
        1 => prop_oneof![Just('a'), Just('b'), Just('c')].prop_map(Event::NewContent),
        2 => (0u8..4).prop_map(Event::Operation),
        2 => (0u8..3).prop_map(Event::Hold),
        1 => Just(Event::Reboot),
    ]
}

#[expect(clippy::too_many_lines, reason = "one arm for each event")]
fn happen(world: &mut World, event: &Event) {
    match event {
        Event::Wait(seconds) => {
            world.now = world
                .now
                .after(std::time::Duration::from_secs((*seconds).into()));
        }
        Event::ApiSilent(kind) => world.observed.apiserver = silent(*kind),
        Event::ApiAnswers { api, kcm, lists } => {
            let before = world
                .observed
                .apiserver
                .known()
                .map_or(1, |view| view.lists);
            let mut view = ApiView {
                pods: vec![],
                lists: before + u64::from(*lists),
            };
            for (listed, text) in [(*api, API), (*kcm, KCM)] {
                if listed {
                    view.pods.push(seen(&pod(&parent_name(text)), Some(text)));
                }
            }
            view.pods.push(seen(&pod("kube-proxy-x"), None));
            world.observed.apiserver = Reading::Known(view);
        }
        Event::RuntimeSilent => world.observed.runtime = silent(UnseenKind::TimedOut),
        Event::Runtime { parent, copy: ours } => {
            world.observed.runtime = Reading::Known(RuntimeView::default());
            world.run_pod(&pod("kube-proxy-x"), None, TaskState::Running);
            let name = pod(&parent_name(API));
            match parent {
                0 => {}
                1 => world.run_pod(&name, None, TaskState::Created),
                2 => world.run_unready(&name),
                3 => world.run_pod(&name, None, TaskState::Exited(1)),
                _ => world.run_pod(&name, None, TaskState::Running),
            }
            match ours {
                0 => {}
                1 => world.run_pod(&copy(API), Some(API), TaskState::Running),
                _ => world.run_pod(&copy(API), Some(API), TaskState::Exited(1)),
            }
        }
        Event::ManifestsSilent => world.observed.manifests = silent(UnseenKind::Unreadable),
        Event::ManifestsAnswer => {
            if world.observed.manifests.known().is_none() {
                world.observed.manifests = Reading::Known(ManifestsView::default());
            }
        }
        Event::EngineSilent => world.observed.engine = silent(UnseenKind::TimedOut),
        Event::Engine(state) => {
            let mut view = EngineView::default();
            let state = match state {
                0 => None,
                1 => Some(EngineState::Serving),
                2 => Some(EngineState::BackOff("scripted".into())),
                _ => Some(EngineState::Stopping),
            };
            if let Some(state) = state {
                let revision = revision('a');
                view.pods.insert(id(API), EnginePod { revision, state });
            }
            world.observed.engine = Reading::Known(view);
        }
        Event::NewContent(content) => {
            let rendering = Rendering::Whole(revision(*content));
            world
                .observed
                .renderings
                .insert(pod(&parent_name(API)), rendering);
        }
        Event::Operation(which) => {
            let started = |kind| {
                let began = None;
                let state = OperationState::Running { pid: 7 };
                let at = String::new();
                let seen = vec![OperationSeen {
                    kind,
                    state,
                    began,
                    at,
                }];
                Reading::Known(OperationsView { seen })
            };
            world.observed.operations = match which {
                0 => Reading::Known(OperationsView::default()),
                1 => silent(UnseenKind::TimedOut),
                2 => started(OperationKind::Start),
                _ => started(OperationKind::Cleanup),
            };
        }
        Event::Hold(which) => {
            world.observed.hold = match which {
                0 => Reading::Known(None),
                1 => silent(UnseenKind::Unreadable),
                _ => Reading::Known(Some(crate::operator_hold::until(world.now.after(MINUTE)))),
            };
        }
        Event::Reboot => {
            world.observed.boot_id.push('+');
            world.observed.runtime = Reading::Known(RuntimeView::default());
            world.observed.engine = Reading::Known(EngineView::default());
            world.observed.apiserver = Reading::not_asked();
        }
    }
}

/// A turn that acts on a world in which a source may be silent: only what can be carried out is.
fn act(world: &mut World) -> Vec<Action> {
    let decision = decide(&world.observed, &world.stored, &world.policy, world.now);
    let manifests_known = world.observed.manifests.known().is_some();
    let engine_known = world.observed.engine.known().is_some();
    let runtime_known = world.observed.runtime.known().is_some();
    for action in &decision.actions {
        match action {
            Action::WriteManifest { .. } | Action::RemoveManifest { .. } => {
                assert!(manifests_known, "{action:?} on an unknown directory");
            }
            Action::StartEnginePod { .. } | Action::StopEnginePod { .. } => {
                assert!(engine_known, "{action:?} on an unknown engine");
            }
            Action::KillStaticPod { .. } | Action::PauseParent { .. } => {
                assert!(runtime_known, "{action:?} on a silent containerd");
            }
            _ => {}
        }
    }
    world.turn();
    decision.actions
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn never_two_copies_asked_for(events in proptest::collection::vec(event(), 1..60)) {
        let mut world = World::learned(&[API, KCM]);
        for event in &events {
            happen(&mut world, event);
            let engine_busy =
                world.observed.engine.known().is_none_or(|e| e.pods.contains_key(&id(API)));
            let kubelet_busy = world.observed.manifests.known().is_none_or(|m| {
                m.ours.contains_key(&id(API))
            });
            let actions = act(&mut world);
            let writes = actions.iter().any(|action| {
                matches!(action, Action::WriteManifest { checkpoint, .. } if *checkpoint == id(API))
            });
            let starts = actions.iter().any(|action| {
                matches!(action, Action::StartEnginePod { checkpoint, .. } if *checkpoint == id(API))
            });
            prop_assert!(!(writes && starts));
            prop_assert!(!(writes && engine_busy), "a manifest beside an engine's pod");
            prop_assert!(!(starts && kubelet_busy), "an engine's pod beside a manifest");
        }
    }

    #[test]
    fn unknown_never_removes(events in proptest::collection::vec(event(), 1..60)) {
        let mut world = World::learned(&[API, KCM]);
        for event in &events {
            happen(&mut world, event);
            let api_known = world.observed.apiserver.known().is_some();
            let was_removing = world.stored.clone();
            let actions = act(&mut world);
            if !api_known {
                for action in &actions {
                    if let Action::RemoveCheckpoint { checkpoint } = action {
                        // Only to finish what a knowing turn had decided and committed.
                        let phase = &was_removing.checkpoints[checkpoint].phase;
                        prop_assert!(format!("{phase:?}").contains("remove: true"), "{phase:?}");
                    }
                }
            }
            for (checkpoint, before) in &was_removing.checkpoints {
                let after = world.stored.checkpoints.get(checkpoint);
                let kept = after.is_some_and(|after| after.good.is_some());
                let removing = format!("{:?}", before.phase).contains("remove: true");
                prop_assert!(kept || before.good.is_none() || removing, "{checkpoint} is lost");
            }
        }
    }

    #[test]
    fn nothing_is_begun_while_an_operation_or_an_operator_may_have_the_node(
        events in proptest::collection::vec(event(), 1..60),
    ) {
        let mut world = World::learned(&[API, KCM]);
        for event in &events {
            happen(&mut world, event);
            let free = world.observed.operations == Reading::Known(OperationsView::default())
                && world.observed.hold.known().is_some_and(|hold| {
                    hold.as_ref().is_none_or(|hold| hold.is_over(world.now))
                });
            for action in act(&mut world) {
                let begins = matches!(
                    action,
                    Action::WriteManifest { .. }
                        | Action::StartEnginePod { .. }
                        | Action::PauseParent { .. }
                        | Action::RemoveCheckpoint { .. }
                        | Action::DropRevision { .. }
                        | Action::RemoveDamagedManifest { .. }
                );
                prop_assert!(free || !begins, "{action:?}");
            }
        }
    }

    #[test]
    fn whatever_happened_a_healthy_node_comes_to_rest(
        events in proptest::collection::vec(event(), 1..60),
    ) {
        let mut world = World::learned(&[API, KCM]);
        for event in &events {
            happen(&mut world, event);
            act(&mut world);
        }
        happen(&mut world, &Event::ManifestsAnswer);
        happen(&mut world, &Event::Operation(0));
        happen(&mut world, &Event::Hold(0));
        world.observed.runtime = Reading::Known(RuntimeView::default());
        world.observed.engine = Reading::Known(EngineView::default());
        happen(&mut world, &Event::ApiAnswers { api: false, kcm: false, lists: 1 });
        world.run_pod(&pod("kube-proxy-x"), None, TaskState::Running);
        for text in [API, KCM] {
            world.parent_appears(text, &parent_name(text), 'a');
        }
        world.turns(1000);
        world.done.clear();
        world.turns(100);
        prop_assert!(world.left_alone(), "{:?}", world.done);
        for text in [API, KCM] {
            prop_assert_eq!(world.state(text), State::Inactive, "{}", world.reason(text));
        }
        prop_assert!(world.manifests().ours.is_empty());
        prop_assert!(world.engine().pods.is_empty());
    }
}
