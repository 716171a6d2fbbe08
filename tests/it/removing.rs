//! Removal: what the API server must say, how often, and when it is not believed.

use rekindle::core::action::Action;
use rekindle::core::reading::UnseenKind;
use rekindle::core::report::State;
use rekindle::core::stored::Phase;

use crate::world::{API, KCM, SCHEDULER, World, id, parent_name, silent};

const OTHER: &str = "daemonset.edge.router";

fn removes(action: &Action) -> bool {
    matches!(
        action,
        Action::RemoveCheckpoint { .. } | Action::RemoveManifest { .. }
    )
}

#[test]
fn c04_an_empty_answer_removes_nothing() {
    let mut world = World::learned(&[API, KCM, SCHEDULER]);
    world.api().pods.clear();
    world.turns(2000);
    assert!(!world.did(removes));
    assert!(
        world
            .reason(API)
            .contains("none of the 3 checkpoints at once"),
        "{}",
        world.reason(API)
    );
    assert_eq!(world.state(API), State::Orphaned);
}

#[test]
fn c04_an_answer_of_another_world_removes_nothing() {
    // One checkpoint only, so that "all at once" cannot protect it.
    let mut world = World::learned(&[OTHER]);
    world.api().pods.clear();
    world.turns(2000);
    assert!(!world.did(removes));
    assert!(
        world.reason(OTHER).contains("another cluster"),
        "{}",
        world.reason(OTHER)
    );
}

#[test]
fn c24_a_moved_parent_is_removed_here_after_the_grace_period_and_two_answers() {
    let mut world = World::learned(&[API, OTHER]);
    world
        .api()
        .pods
        .retain(|seen| seen.parent_of != Some(id(OTHER)));
    world.vanish(&parent_name(OTHER));
    let started = world.now;
    world.turns(300);
    assert!(
        !world.did(|a| matches!(a, Action::RemoveCheckpoint { .. })),
        "grace"
    );
    assert!(
        !world.did(|a| matches!(a, Action::WriteManifest { .. })),
        "not run meanwhile"
    );
    world.turns(5);
    assert!(world.did(|a| *a == Action::ConfirmWithApi), "asked twice");
    assert!(world.did(|a| *a
        == Action::RemoveCheckpoint {
            checkpoint: id(OTHER)
        }));
    assert!(
        !world.stored.checkpoints.contains_key(&id(OTHER)),
        "forgotten"
    );
    assert!(
        world.stored.checkpoints.contains_key(&id(API)),
        "and only that one"
    );
    assert!(world.now.since(started).as_secs() < 310);
}

#[test]
fn silence_in_between_starts_the_grace_period_again() {
    let mut world = World::learned(&[API, OTHER]);
    world
        .api()
        .pods
        .retain(|seen| seen.parent_of != Some(id(OTHER)));
    world.turns(299);
    let answer = world.observed.apiserver.clone();
    world.observed.apiserver = silent(UnseenKind::TimedOut);
    world.turns(1);
    world.observed.apiserver = answer;
    world.turns(299);
    assert!(!world.did(removes));
}

#[test]
fn c24_an_active_copy_of_a_moved_parent_is_stopped_before_it_is_removed() {
    let mut world = World::learned(&[API, OTHER]);
    let answer = world.observed.apiserver.clone();
    let runtime = world.observed.runtime.clone();
    world.power_cut();
    world.turns(11);
    world.kubelet_runs(OTHER);
    world.turn();
    world.observed.apiserver = answer;
    let own = world.runtime().sandboxes.clone();
    world.observed.runtime = runtime;
    world.runtime().sandboxes.extend(own);
    world.vanish(&parent_name(OTHER));
    world
        .api()
        .pods
        .retain(|seen| seen.parent_of != Some(id(OTHER)));
    world.done.clear();
    world.turns(330);
    let position = |wanted: fn(&Action) -> bool| {
        world
            .done
            .iter()
            .position(|(_, action)| wanted(action))
            .expect("done")
    };
    let manifest = position(
        |a| matches!(a, Action::RemoveManifest { checkpoint } if checkpoint.as_str() == OTHER),
    );
    let removed = position(|a| matches!(a, Action::RemoveCheckpoint { .. }));
    assert!(manifest < removed);
    assert!(!world.stored.checkpoints.contains_key(&id(OTHER)));
}

#[test]
fn an_api_server_that_serves_is_not_removed_on_its_own_word() {
    let mut world = World::learned(&[API, OTHER]);
    let answer = world.observed.apiserver.clone();
    let runtime = world.observed.runtime.clone();
    world.power_cut();
    world.turns(11);
    world.kubelet_runs(API);
    world.turn();
    // The copy answers: the parent's pod was deleted in a rollout, and who would make the next one
    // was being rolled out as well.
    world.observed.apiserver = answer;
    let own = world.runtime().sandboxes.clone();
    world.observed.runtime = runtime;
    world.runtime().sandboxes.extend(own);
    world.vanish(&parent_name(API));
    world
        .api()
        .pods
        .retain(|seen| seen.parent_of != Some(id(API)));
    world.done.clear();
    world.turns(700);
    let of_api = |action: &Action| action.checkpoint() == Some(&id(API));
    assert!(!world.did(|action| removes(action) && of_api(action)));
    assert!(world.stored.checkpoints.contains_key(&id(API)));
    let phase = &world.stored.checkpoints[&id(API)].phase;
    assert!(matches!(phase, Phase::Active { .. }), "{phase:?}");
}
