//! Who runs a checkpoint: the kubelet, our own engine, and rescue of deleted controllers.

use rekindle::core::action::Action;
use rekindle::core::observed::{ApiView, ImagePresence};
use rekindle::core::reading::{Reading, UnseenKind};
use rekindle::core::report::State;
use rekindle::core::stored::{Engine, Phase};

use crate::world::{API, KCM, SCHEDULER, World, id, parent_name, revision, silent};

fn writes_manifest(action: &Action) -> bool {
    matches!(action, Action::WriteManifest { .. })
}

#[test]
fn c22_deleted_scheduler_and_controller_manager_come_back_while_the_api_server_runs() {
    let mut world = World::learned(&[API, KCM, SCHEDULER]);
    for text in [KCM, SCHEDULER] {
        world
            .api()
            .pods
            .retain(|seen| seen.parent_of != Some(id(text)));
        world.vanish(&parent_name(text));
    }
    world.turns(29);
    assert!(
        !world.did(writes_manifest),
        "somebody may still replace them"
    );
    world.turns(2);
    for text in [KCM, SCHEDULER] {
        world.kubelet_runs(text);
    }
    // Longer than any grace period: the only scheduler is not removed for being an orphan.
    world.turns(1000);
    for text in [KCM, SCHEDULER] {
        assert_eq!(world.state(text), State::Active);
        world.parent_appears(text, "replacement-x", 'a');
        // The kubelet of this world never stops a pod by itself: the stop deadline passes first.
        world.turns(13);
        assert_eq!(world.state(text), State::Inactive, "{}", world.reason(text));
        world.vanish("replacement-x");
    }
}

#[test]
fn c23_the_containerd_engine_takes_over_when_the_kubelet_does_not() {
    let mut world = World::learned(&[API]);
    world.power_cut();
    world.turns(60);
    assert_eq!(world.state(API), State::Activating);
    world.turns(3);
    assert!(world.manifests().ours.is_empty(), "the manifest goes first");
    assert!(matches!(
        world.phase(API),
        Phase::Active {
            engine: Engine::Containerd,
            ..
        }
    ));
    let order: Vec<_> = world
        .done
        .iter()
        .filter(|(_, action)| !matches!(action, Action::StoreRevision { .. }))
        .map(|(_, action)| action.clone())
        .collect();
    let removed = order
        .iter()
        .position(|a| matches!(a, Action::RemoveManifest { .. }))
        .unwrap();
    let started = order
        .iter()
        .position(|a| matches!(a, Action::StartEnginePod { .. }))
        .unwrap();
    assert!(removed < started);
    // The kubelet is back, the parent starts: the engine's copy makes room.
    world.observed.apiserver = Reading::Known(ApiView::default());
    world.parent_appears(API, &parent_name(API), 'a');
    world.turns(3);
    assert!(world.engine().pods.is_empty());
    assert_eq!(world.state(API), State::Inactive);
}

#[test]
fn c23_a_pod_that_the_engine_refuses_waits_for_the_kubelet_and_says_why() {
    let mut world = World::learned(&[API]);
    let Reading::Known(stored) = &mut world.observed.stored_revisions else {
        unreachable!()
    };
    let facts = stored
        .get_mut(&id(API))
        .unwrap()
        .get_mut(&revision('a'))
        .unwrap();
    facts.engine_refusal = Some("it is not on the host network".into());
    world.power_cut();
    world.turns(100);
    assert!(!world.did(|action| matches!(action, Action::StartEnginePod { .. })));
    assert!(
        world.reason(API).contains("not on the host network"),
        "{}",
        world.reason(API)
    );
}

#[test]
fn the_engine_waits_for_the_static_pod_to_be_gone() {
    let mut world = World::learned(&[API]);
    world.power_cut();
    world.turn();
    // The directory does not answer at the deadline: nobody knows what the kubelet may run.
    let manifests = world.observed.manifests.clone();
    world.observed.manifests = silent(UnseenKind::Unreadable);
    world.turns(100);
    assert!(!world.did(|action| matches!(action, Action::StartEnginePod { .. })));
    world.observed.manifests = manifests;
    world.turns(3);
    assert!(world.did(|action| matches!(action, Action::StartEnginePod { .. })));
}

#[test]
fn c19_images_are_pinned_and_missing_ones_are_named_before_they_are_needed() {
    let mut world = World::learned(&[API]);
    let Reading::Known(images) = &mut world.observed.images else {
        unreachable!()
    };
    images.insert("pinned".into(), ImagePresence::Proven);
    images.insert("loose".into(), ImagePresence::Unpinned);
    images.insert(
        "lost".into(),
        ImagePresence::Missing("its configuration is gone".into()),
    );
    let decision = world.decided();
    assert_eq!(
        decision.actions,
        [Action::PinImage {
            image: "loose".into()
        }]
    );
    assert_eq!(decision.report.missing_images, ["lost"]);
    assert!(decision.report.problems[0].contains("its configuration is gone"));
    assert!(
        decision.report.summary.contains("1 problems"),
        "{}",
        decision.report.summary
    );
}
