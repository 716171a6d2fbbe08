//! An operator's hold: what the daemon decides meanwhile, and when it ends whatever the clocks say.

use std::time::Duration;

use rekindle::core::action::Action;
use rekindle::core::decide::decide;
use rekindle::core::observed::TaskState;
use rekindle::core::operator_hold::{HoldSeen, LONGEST, OperatorHold};
use rekindle::core::reading::{Reading, UnseenKind};
use rekindle::core::report::State;
use rekindle::core::stored::{Engine, Phase};
use rekindle::core::time::Moment;

use crate::world::{API, KCM, World, id, parent_name, pod, revision, silent};

const HOUR: Duration = Duration::from_secs(3600);
const WALL: &str = "2026-11-25T18:00:00Z";

/// A hold that ends then.
pub(crate) fn until(ends: Moment) -> HoldSeen {
    HoldSeen {
        reason: "upgrade of the kernel".to_owned(),
        by: "alice".to_owned(),
        began: WALL.parse().unwrap(),
        until: "2026-11-25T19:00:00Z".parse().unwrap(),
        ends,
    }
}

fn held(world: &World, length: Duration) -> Reading<Option<HoldSeen>> {
    Reading::Known(Some(until(world.now.after(length))))
}

#[track_caller]
fn nothing_begun(world: &World) {
    for (_, action) in &world.done {
        let allowed = matches!(
            action,
            Action::KillStaticPod { .. }
                | Action::StopEnginePod { .. }
                | Action::RemoveManifest { .. }
                | Action::ResumeParent { .. }
                | Action::StoreRevision { .. }
                | Action::PinImage { .. }
        );
        assert!(allowed, "{action:?}");
    }
}

#[test]
fn a_lost_parent_is_replaced_only_when_the_hold_has_ended_by_itself() {
    let mut world = World::learned(&[API, KCM]);
    world.power_cut();
    world.observed.hold = held(&world, Duration::from_secs(600));
    let ends = world.now.after(Duration::from_secs(600));
    let woken = world.decided().wake_at.unwrap();
    assert!(woken <= ends, "it wakes up when the hold ends");
    world.turns(600);
    assert_eq!(world.done, []);
    assert!(world.now >= ends);
    world.turns(2);
    assert_eq!(world.state(API), State::Activating, "nobody released it");
}

#[test]
fn it_is_said_first_and_in_each_reason() {
    let mut world = World::learned(&[API]);
    world.observed.hold = held(&world, HOUR);
    let report = decide(&world.observed, &world.stored, &world.policy, world.now).report;
    assert!(
        report
            .summary
            .starts_with("HELD by alice until 2026-11-25 19:00:00 UTC: upgrade of the kernel"),
        "{}",
        report.summary
    );
    assert_eq!(report.hold, Some(until(world.now.after(HOUR))));
    assert!(
        world.reason(API).contains("held back by an operator"),
        "{}",
        world.reason(API)
    );
    world.observed.hold = Reading::Known(None);
    let report = decide(&world.observed, &world.stored, &world.policy, world.now).report;
    assert_eq!(report.hold, None);
    assert!(!report.summary.contains("HELD"), "{}", report.summary);
}

#[test]
fn one_that_cannot_be_read_holds_back_and_is_a_problem() {
    let mut world = World::learned(&[API]);
    world.vanish(&parent_name(API));
    world.turns(3);
    world.observed.hold = silent(UnseenKind::Unreadable);
    let before = world.stored.clone();
    world.turns(300);
    assert_eq!(world.stored, before, "unknown changes nothing at all");
    assert_eq!(world.done, []);
    let report = decide(&world.observed, &world.stored, &world.policy, world.now).report;
    let problem = report.problems.first().map_or("", String::as_str);
    assert!(problem.contains("NOTHING IS PROTECTED"), "{problem}");
    assert!(problem.contains("rekindle hold --release"), "{problem}");
    assert!(
        report.summary.contains("silent: hold"),
        "{}",
        report.summary
    );
    // Before the first look that is nothing to be loud about, and holds all the same.
    world.observed.hold = Reading::not_asked();
    let report = decide(&world.observed, &world.stored, &world.policy, world.now).report;
    assert_eq!(report.problems, [] as [String; 0]);
    world.turns(100);
    assert_eq!(world.done, []);
}

#[test]
fn an_active_copy_stays_and_is_handed_over_afterwards() {
    let mut world = World::learned(&[API]);
    world.power_cut();
    world.turns(1);
    world.kubelet_runs(API);
    world.turns(3);
    assert_eq!(world.state(API), State::Active);
    world.done.clear();
    world.observed.hold = held(&world, HOUR);
    world.run_unready(&pod(&parent_name(API)));
    world.turns(120);
    nothing_begun(&world);
    assert_eq!(world.state(API), State::Active);
    assert!(world.manifests().ours.contains_key(&id(API)));
    world.observed.hold = Reading::Known(None);
    world.turns(1);
    assert_eq!(world.state(API), State::HandingOver);
}

#[test]
fn a_copy_that_is_being_stopped_is_stopped_and_a_release_is_completed() {
    let engine = Engine::Kubelet;
    let since = Moment(20_000);
    for phase in [
        Phase::Deactivating {
            since,
            remove: false,
        },
        Phase::HandingOver {
            engine,
            revision: revision('a'),
            since,
        },
    ] {
        let mut world = World::learned(&[API]);
        world.power_cut();
        world.turns(1);
        world.kubelet_runs(API);
        world.turns(3);
        world.done.clear();
        world.run_pod(&pod(&parent_name(API)), None, TaskState::Paused);
        world.stored.checkpoints.get_mut(&id(API)).unwrap().phase = phase;
        world.observed.hold = held(&world, HOUR);
        world.turns(60);
        nothing_begun(&world);
        assert!(world.manifests().ours.is_empty());
    }
}

#[test]
fn timers_start_again_and_nothing_is_removed_on_what_was_said_meanwhile() {
    let mut world = World::learned(&[API, KCM]);
    world.observed.hold = held(&world, 2 * HOUR);
    world.api().pods.retain(|pod| pod.parent_of.is_none());
    for _ in 0..60 {
        world.api().lists += 1;
        world.turns(10);
    }
    nothing_begun(&world);
    let orphans = |world: &World| {
        let mut all = world.stored.checkpoints.values();
        all.any(|checkpoint| checkpoint.orphan.is_some())
    };
    assert!(!orphans(&world));
    assert!(world.stored.held, "and that is remembered");
    world.observed.hold = Reading::Known(None);
    world.turns(1);
    assert!(!world.stored.held);
}

fn hold(length: Duration) -> OperatorHold {
    let wall = WALL.parse().unwrap();
    OperatorHold::new(
        length,
        ("upgrade", "alice"),
        "boot-1",
        Moment(500_000),
        wall,
    )
}

#[test]
fn d03_no_jump_of_the_wall_clock_moves_the_end_in_its_own_boot() {
    let hold = hold(HOUR);
    let ends = Moment(500_000).after(HOUR);
    for wall in [
        "1970-01-01T00:00:00Z",
        WALL,
        "2026-11-25T23:00:00Z",
        "2100-01-01T00:00:00Z",
    ] {
        let wall = wall.parse().unwrap();
        for now in [500_000, 600_000, 9_000_000] {
            assert_eq!(hold.ends_in("boot-1", Moment(now), wall), ends, "{wall}");
        }
    }
    assert!(!hold.seen(ends).is_over(Moment(ends.0 - 1)));
    assert!(hold.seen(ends).is_over(ends));
}

#[test]
fn after_a_reboot_the_wall_clock_counts_and_may_be_wrong() {
    let hold = hold(HOUR);
    let ends = |now: u64, wall: &str| hold.ends_in("boot-2", Moment(now), wall.parse().unwrap());
    // Ten minutes later, a minute after the boot: fifty are left.
    let fifty = Duration::from_secs(3000);
    assert_eq!(
        ends(60_000, "2026-11-25T18:10:00Z"),
        Moment(60_000).after(fifty)
    );
    // Long after.
    assert_eq!(ends(60_000, "2026-11-26T18:00:00Z"), Moment(60_000));
    // A clock that lost its battery: at most an hour from the boot.
    assert_eq!(ends(60_000, "1970-01-01T00:00:00Z"), Moment(0).after(HOUR));
    assert_eq!(
        ends(7_200_000, "1970-01-01T00:00:00Z"),
        Moment(0).after(HOUR)
    );
}

#[test]
fn none_lasts_longer_than_seven_days_whatever_is_written_down() {
    let mut long = hold(Duration::from_secs(400 * 86400));
    assert_eq!(long.ends, Moment(500_000).after(LONGEST));
    let end = jiff::SignedDuration::from_hours(7 * 24);
    assert_eq!(long.until, long.began.checked_add(end).unwrap());
    long.ends = Moment(u64::MAX);
    long.until = "2100-01-01T00:00:00Z".parse().unwrap();
    let (now, wall) = (Moment(600_000), WALL.parse().unwrap());
    for boot in ["boot-1", "boot-2"] {
        assert_eq!(long.ends_in(boot, now, wall), now.after(LONGEST), "{boot}");
    }
}
