//! `start`: what it does next, by tables.

use rekindle::core::observed::TaskState;
use rekindle::core::reading::Reading;
use rekindle::core::start::decide::decide;
use rekindle::core::start::evidence::evidence;
use rekindle::core::start::journal::{Phase, State};
use rekindle::core::start::observed::{Node, Observed, Standing};
use rekindle::core::start::required::Required;
use rekindle::core::start::turn::{Action, Ended};
use rekindle::core::stored::Engine;
use rekindle::core::time::Moment;

use crate::start_world::{NAMES, NODE, Parent, World, bound, component, done, required};

#[test]
fn a_wiped_node_comes_back_and_nothing_is_left() {
    let mut world = World::new().with_stale_pods();
    world.until("done", done);
    assert_eq!(world.parents, [Parent::Serving; 3]);
    assert_eq!(world.manifests, [None; 3]);
    assert_eq!(world.temporary, [false; 3]);
    assert_eq!(world.secrets, Standing::Absent);
    assert_eq!(world.journal.engine, Some(Engine::Kubelet));
    assert_eq!(world.turn().ended, Some(Ended::Done));
}

#[test]
fn the_secrets_are_in_place_before_any_manifest() {
    let mut world = World::new();
    let first = world.turn();
    assert_eq!(first.actions, [Action::PlaceSecrets]);
    let second = world.turn();
    assert_eq!(second.journal.phase, Phase::Serving);
    let places = |action: &Action| matches!(action, Action::PlaceManifest { .. });
    assert_eq!(second.actions.iter().filter(|it| places(it)).count(), 3);
}

#[test]
fn r09_phases_from_before_the_disaster_count_for_nothing() {
    // etcd remembers that everything ran and was Ready, here and elsewhere. Nothing runs.
    let mut world = World::new();
    world.kubelet = true;
    for name in NAMES {
        world.bound.push(bound(name, "old-master"));
    }
    world.until("serving", |world| world.at(Phase::HandingOver));
    let since = |watched| world.ago(watched);
    let node = |exists, renewed, watched_since| Node {
        exists,
        renewed,
        watched_since,
        last: Some("2026-11-20T10:00:00Z".to_owned()),
    };
    let stale = [
        (
            "a node that does not exist",
            node(false, false, since(60)),
            "does not exist",
        ),
        (
            "a node that is silent",
            node(true, false, since(60)),
            "has not reported since 2026-11-20",
        ),
        (
            "a node just looked at",
            node(true, false, since(1)),
            "has not reported since 2026-11-20",
        ),
    ];
    for (what, seen, said) in stale {
        world.nodes.insert("old-master".to_owned(), seen);
        for _ in 0..200 {
            let decision = world.turn();
            assert!(world.at(Phase::HandingOver), "{what}");
            assert!(
                decision.waits.iter().any(|wait| wait.contains(said)),
                "{what}: {:?}",
                decision.waits
            );
            assert_eq!(world.manifests, [Some(0); 3], "{what}");
            world.live(500);
        }
    }
    // A kubelet that lives says the same: that counts, once it has been seen for a while.
    world
        .nodes
        .insert("old-master".to_owned(), node(true, true, world.ago(60)));
    let since = world.ago(5);
    for bound in &mut world.bound {
        bound.ready_since = Some(since);
    }
    world.turn();
    assert!(
        world
            .journal
            .components
            .iter()
            .all(|it| it.state == State::Temporary)
    );
    let since = world.ago(30);
    for bound in &mut world.bound {
        bound.ready_since = Some(since);
    }
    world.turn();
    assert!(matches!(
        world.state(0),
        State::HandingOver { local: false, .. }
    ));
}

#[test]
fn r09_a_pod_bound_here_counts_only_when_it_runs_and_serves_here() {
    let table = [
        (Parent::Nothing, false, "not started it yet"),
        (Parent::Ended, false, "no container of it runs"),
        (Parent::Frozen, false, "no container of it runs"),
        (Parent::Starting, false, "not yet"),
        (Parent::Serving, true, "runs here and serves"),
    ];
    for (parent, met, said) in table {
        let mut world = World::new().with_stale_pods();
        (world.api_answers, world.api_elsewhere) = (true, true);
        world.parents[1] = parent;
        let found = evidence(
            &required("kube-scheduler"),
            None,
            &world.observed(),
            &world.journal,
            NODE,
            Moment(world.now),
        );
        assert_eq!(found.met, met, "{parent:?}: {}", found.text);
        assert!(found.text.contains(said), "{parent:?}: {}", found.text);
    }
}

#[test]
fn the_api_server_is_handed_over_alone_and_first() {
    let mut world = World::new().with_stale_pods();
    world.until("handing over", |world| {
        matches!(world.state(0), State::HandingOver { .. })
    });
    assert!(
        world.journal.components[1..]
            .iter()
            .all(|it| it.state == State::Temporary)
    );
    // The counterpart is frozen while the temporary one has the port, and thawed then.
    assert_eq!(world.parents[0], Parent::Frozen);
    let decision = world.turn();
    let resumes = |action: &Action| matches!(action, Action::Resume { .. });
    assert!(
        decision.actions.iter().any(resumes),
        "{:?}",
        decision.actions
    );
}

#[test]
fn counterparts_that_start_meanwhile_are_held_back_while_the_api_server_is_handed_over() {
    let mut world = World::new().with_stale_pods();
    world.until("serving", |world| world.at(Phase::HandingOver));
    // All three are started by the kubelet at the same moment.
    world.parents = [Parent::Starting; 3];
    let decision = world.turn();
    let place = |wanted: &dyn Fn(&Action) -> bool| decision.actions.iter().position(wanted);
    let pause = place(&|action| matches!(action, Action::Pause { .. })).unwrap();
    let kill = place(&|action| matches!(action, Action::Kill { .. })).unwrap();
    let hold = place(&|action| matches!(action, Action::Hold { .. })).unwrap();
    assert!(pause < kill && kill < hold, "{:?}", decision.actions);
    assert_eq!(world.parents, [Parent::Frozen; 3]);
    world.turn();
    assert_eq!(
        world.parents,
        [Parent::Starting, Parent::Frozen, Parent::Frozen],
        "it has the port, and the processor for itself"
    );
    // One that does not come holds nobody back for long.
    for _ in 0..19 {
        world.now += 500;
        world.turn();
        assert_eq!(world.parents[1..], [Parent::Frozen; 2]);
    }
    world.now += 1000;
    world.turn();
    assert_eq!(world.parents, [Parent::Starting; 3]);
}

#[test]
fn the_port_is_free_when_the_container_has_ended_whatever_its_sandbox_does() {
    let mut world = World::new().with_stale_pods();
    world.until("handing over", |world| {
        matches!(world.state(0), State::HandingOver { .. })
    });
    world.temporary[0] = true;
    let mut observed = world.observed();
    let Reading::Known(runtime) = &mut observed.runtime else {
        unreachable!()
    };
    let name = format!("bootstrap-kube-apiserver-{NODE}");
    let mut sandboxes = runtime.sandboxes.iter_mut();
    let temporary = sandboxes.find(|it| it.pod.name == name).unwrap();
    let decides = |observed: &Observed| {
        let now = Moment(world.now);
        let decision = decide(observed, &world.journal, &world.orders, now);
        let resumes = |action: &Action| matches!(action, Action::Resume { .. });
        decision.actions.iter().any(resumes)
    };
    assert!(temporary.running);
    temporary.containers[0].task = TaskState::Exited(137);
    assert!(decides(&observed), "only its sandbox is left");
    assert!(!decides(&world.observed()), "it has the port");
}

#[test]
fn a_counterpart_that_does_not_serve_gives_the_temporary_one_back() {
    for fate in [Parent::Ended, Parent::Starting] {
        let mut world = World::new().with_stale_pods();
        world.until("released", |world| {
            matches!(world.state(0), State::HandingOver { gone: Some(_), .. })
        });
        world.api_answers = false;
        let begun = world.now;
        while world.state(0) != State::Temporary {
            world.parents[0] = fate;
            assert!(world.now - begun < 60_000, "{fate:?}: it never comes back");
            world.now += 1000;
            world.turn();
        }
        let component = &world.journal.components[0];
        assert_eq!(
            (component.failures, component.activation),
            (1, 1),
            "{fate:?}"
        );
        let not_before = component.not_before.unwrap();
        assert!(not_before > Moment(world.now), "{fate:?}: it has its time");
        world.parents[0] = Parent::Starting;
        world.turn();
        assert_eq!(
            world.state(0),
            State::Temporary,
            "{fate:?}: before its time"
        );
        assert_eq!(
            world.manifests[0],
            Some(1),
            "{fate:?}: it runs as a new pod"
        );
        world.until("done", done);
    }
}

#[test]
fn unknown_moves_nothing() {
    let mut world = World::new().with_stale_pods();
    world.until("handing over", |world| world.at(Phase::HandingOver));
    world.runtime_known = false;
    world.api_answers = false;
    for _ in 0..1000 {
        world.now += 1000;
        let decision = world.decide();
        assert!(decision.actions.is_empty(), "{:?}", decision.actions);
        assert!(world.at(Phase::HandingOver));
    }
}

#[test]
fn an_api_server_that_is_lost_after_the_hand_over_brings_the_temporary_one_back() {
    let mut world = World::new().with_stale_pods();
    world.until("verifying", |world| world.at(Phase::Verifying));
    world.parents[0] = Parent::Ended;
    world.api_answers = false;
    let begun = world.now;
    while world.state(0) != State::Temporary {
        assert!(world.now - begun < 60_000);
        world.now += 1000;
        world.turn();
        assert!(!world.at(Phase::Removing) && !world.at(Phase::Done));
    }
}

#[test]
fn no_kubelet_no_counterparts_and_containerd_runs_it() {
    let mut world = World::new().with_stale_pods();
    world.kubelet = false;
    let ended = loop {
        let decision = world.turn();
        if let Some(ended) = decision.ended {
            break ended;
        }
        assert!(world.now < 1_000_000, "{:?}", decision.waits);
        world.live(500);
    };
    assert_eq!(ended, Ended::Temporary);
    assert_eq!(world.journal.engine, Some(Engine::Containerd));
    assert_eq!((world.engine, world.manifests), ([true; 3], [None; 3]));
    // With a kubelet it goes on from there.
    world.kubelet = true;
    world.until("done", done);
    assert_eq!(
        (world.engine, world.secrets),
        ([false; 3], Standing::Absent)
    );
}

#[test]
fn a_kubelet_that_answers_is_waited_for() {
    let mut world = World::new();
    world.turn();
    world.turn();
    for _ in 0..100 {
        let decision = world.turn();
        world.now += 1000;
        assert_eq!(world.journal.engine, None);
        let asks = |wait: &String| wait.contains("staticPodPath");
        assert!(decision.waits.iter().any(asks), "{:?}", decision.waits);
    }
}

#[test]
fn required_pods_are_matched_by_whole_words() {
    let api = required("kube-apiserver");
    assert!(api.names("kube-system", "kube-apiserver"));
    assert!(api.names("kube-system", "kube-apiserver-x7k2p"));
    assert!(!api.names("kube-system", "kube-apiserverless-x"));
    assert!(!api.names("default", "kube-apiserver-x7k2p"));
    assert!(
        Required::parse("kube-system/pod-checkpointer")
            .unwrap()
            .is_the_predecessor()
    );
    for wrong in ["", "kube-apiserver", "a/b/c", "/a", "a/", "A/b"] {
        assert!(Required::parse(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_static_pod_of_somebody_else_is_no_counterpart() {
    let mut world = World::new().with_stale_pods();
    for bound in &mut world.bound {
        bound.mirror = true;
    }
    world.api_answers = true;
    world.parents = [Parent::Serving; 3];
    let observed = world.observed();
    let running = observed.runtime.known().unwrap().sandboxes.iter();
    let tasks = running.flat_map(|it| &it.containers).map(|it| it.task);
    assert!(tasks.into_iter().all(|task| task == TaskState::Running));
    for name in NAMES {
        let now = Moment(world.now);
        let found = evidence(&required(name), None, &observed, &world.journal, NODE, now);
        assert!(!found.met, "{name}: {}", found.text);
    }
    assert_eq!(
        component("kube-apiserver").file,
        "bootstrap-kube-apiserver.yaml"
    );
}
