//! An API server that was told to end closes its port at once and lives on for its grace period.

use rekindle::core::action::Action;
use rekindle::core::observed::{ApiView, Probe, TaskState};
use rekindle::core::reading::{Reading, UnseenKind};
use rekindle::core::report::State;

use crate::world::{API, KCM, World, parent_name, pod, seen, silent};

/// The parent runs on, and the prober says that its port is closed.
fn closes(world: &mut World, text: &str) {
    let parent = pod(&parent_name(text));
    let container = format!("container-{}", parent.name);
    let said = Probe::Closed(container);
    world.observed.probes.insert(parent, said);
}

/// The API server does not answer in this way, and the parent of `text` has closed its port.
fn closed(text: &str, kind: UnseenKind) -> World {
    let mut world = World::learned(&[text]);
    world.observed.apiserver = silent(kind);
    closes(&mut world, text);
    world
}

fn writes(action: &Action) -> bool {
    matches!(action, Action::WriteManifest { .. })
}

#[test]
fn the_checkpoint_of_an_api_server_that_has_closed_its_port_need_not_wait_for_its_end() {
    let mut world = closed(API, UnseenKind::Unreachable);
    world.turns(14);
    assert!(!world.did(writes), "the activation delay");
    let said = world.reason(API);
    assert!(said.contains("the parent is ending"), "{said}");
    assert!(said.contains("has closed its port"), "{said}");
    world.turns(2);
    assert!(world.did(writes));

    // The copy listens where the parent did: its answers are not the parent's.
    world.kubelet_runs(API);
    let parent = pod(&parent_name(API));
    world.observed.probes.insert(parent.clone(), Probe::Passing);
    world.observed.apiserver = Reading::Known(ApiView::default());
    world.done.clear();
    world.turns(60);
    assert_eq!(world.state(API), State::Active);
    assert!(world.left_alone(), "{:?}", world.done);

    // It ends, and another one starts: that gets the port.
    world.run_pod(&parent, None, TaskState::Exited(0));
    world.turn();
    assert!(
        world
            .stored
            .checkpoints
            .values()
            .all(|it| it.closed.is_empty())
    );
    world.run_unready(&pod("kube-apiserver-y"));
    world
        .api()
        .pods
        .push(seen(&pod("kube-apiserver-y"), Some(API)));
    world.turn();
    assert_eq!(world.state(API), State::HandingOver);
    let freezes = |action: &Action| matches!(action, Action::PauseParent { container, .. } if container != "container-kube-apiserver-y");
    assert!(!world.did(freezes), "what ends is left in peace");
}

#[test]
fn a_restart_of_the_daemon_remembers_who_has_closed_his_port() {
    let mut world = closed(API, UnseenKind::Unreachable);
    world.turns(2);
    let text = serde_json::to_string(&world.stored).unwrap();
    world.stored = serde_json::from_str(&text).unwrap();
    // The prober of the new one has never seen it serve.
    world.run_unready(&pod(&parent_name(API)));
    world.turns(15);
    assert!(world.did(writes));
}

#[test]
fn a_closed_port_alone_moves_nothing() {
    // Another API server answers: there is time to wait.
    let mut world = World::learned(&[API]);
    closes(&mut world, API);
    world.turns(60);
    assert!(!world.did(writes));
    // Two controllers at once would do harm.
    let mut world = closed(KCM, UnseenKind::Unreachable);
    world.turns(60);
    assert!(!world.did(writes));
    // It refuses us, which no dead one does.
    let mut world = closed(API, UnseenKind::Denied);
    world.turns(60);
    assert!(!world.did(writes));
    // Nobody knows whether it runs.
    let mut world = closed(API, UnseenKind::Unreachable);
    world.observed.runtime = silent(UnseenKind::TimedOut);
    world.turns(60);
    assert!(!world.did(writes));
}
