//! Why nothing is done without asking, though there is a way: latched, too often, held, never seen
//! to work.

use std::time::Duration;

use rekindle::core::recovery::loss::Loss;
use rekindle::core::recovery::part::Part;
use rekindle::core::recovery::plan::{Asked, Plan, Restraint, plan};
use rekindle::core::recovery::rung::Rung;

use crate::recovery_plan::{asked, now, planned, policy, resources};

fn restrained(restraint: &Restraint, asked: Option<&Asked>) -> Plan {
    let (resources, policy) = (resources(), policy());
    plan(
        Loss::EtcdQuorum,
        &resources,
        &policy,
        restraint,
        asked,
        &[],
        now(),
    )
}

#[test]
fn r13_an_over_eager_recovery_is_latched_and_counted() {
    let latched = Restraint {
        latched: Some("recovery 20261125T110000Z-master1 failed".to_owned()),
        ..Restraint::default()
    };
    let plan1 = restrained(&latched, None);
    assert_eq!(plan1.chosen, None);
    assert!(
        plan1.refusals[0].contains("latched: recovery"),
        "{:?}",
        plan1.refusals
    );
    let began = |minutes: u64| {
        now()
            .checked_sub(Duration::from_secs(60 * minutes))
            .unwrap()
    };
    let often = Restraint {
        recent: vec![began(300), began(200), began(100)],
        ..Restraint::default()
    };
    let plan2 = restrained(&often, None);
    assert_eq!(plan2.chosen, None);
    let long_ago = Restraint {
        recent: vec![began(3000), began(2000), began(100)],
        ..Restraint::default()
    };
    let plan3 = restrained(&long_ago, None);
    assert_eq!(plan3.chosen, Some(Rung::DataDirectory));
}

/// Seen on a machine that was being set up: its control plane was recovered before it had ever run.
#[test]
fn what_was_never_seen_to_work_is_recovered_only_when_asked() {
    let never = Restraint {
        never_worked: true,
        ..Restraint::default()
    };
    let by_itself = restrained(&never, None);
    assert_eq!(by_itself.chosen, None);
    assert!(by_itself.refusals[0].contains("never seen to work"));
    assert!(by_itself.refusals[0].contains("`rekindle recovery-mode enter`"));
    assert_eq!(
        restrained(&never, Some(&Asked::default())).chosen,
        Some(Rung::DataDirectory)
    );
}

#[test]
fn what_comes_after_a_static_manifest_waits_until_that_is_judged() {
    let mut found = resources();
    let why = "etcd.yaml was changed".to_owned();
    found.manifests_wait.insert(Part::Etcd, why);
    let by_itself = planned(Loss::EtcdQuorum, &found, &policy());
    assert_eq!(by_itself.chosen, None);
    let said = "data-directory: static-pods comes before it, and etcd.yaml was changed";
    assert!(
        by_itself.refusals.iter().any(|it| it == said),
        "{:?}",
        by_itself.refusals
    );
    assert_eq!(
        asked(Loss::EtcdQuorum, &found, &policy(), &Asked::default()).chosen,
        Some(Rung::DataDirectory)
    );
}

#[test]
fn a_hold_stops_even_what_is_asked_for() {
    let held = Restraint {
        held: vec!["held by root until 14:00: upgrade".to_owned()],
        ..Restraint::default()
    };
    let plan = restrained(&held, Some(&Asked::default()));
    assert_eq!(plan.chosen, None);
    assert_eq!(plan.refusals[0], "held by root until 14:00: upgrade");
}
