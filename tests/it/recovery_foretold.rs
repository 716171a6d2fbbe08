//! What a plan foretells beside its ways: images that are missing, and what a restore clears up.

use std::collections::{BTreeMap, BTreeSet};

use rekindle::cli::recovery_mode::plan::text;
use rekindle::core::recovery::guard::restore::Restore;
use rekindle::core::recovery::hygiene::foretold::Then;
use rekindle::core::recovery::loss::Loss;
use rekindle::core::recovery::part::Part;
use rekindle::core::recovery::plan::Plan;
use rekindle::core::recovery::policy::{Hygiene, RecoveryPolicy};
use rekindle::core::recovery::resources::{Resources, Restartable};
use rekindle::core::recovery::rung::Rung;

use crate::recovery_plan::{planned, policy, resources};

const GONE: &str = "registry.k8s.io/x:1 is not in containerd";

fn lacking(part: Part) -> Resources {
    let restore = |file: &str| Restore {
        file: file.to_owned(),
        digest: "d".to_owned(),
        instead_of: None,
        why: "it is gone".to_owned(),
    };
    let hung = Restartable::Container {
        sandbox: "s".to_owned(),
        pod: "kube-system/x".to_owned(),
    };
    Resources {
        missing_images: BTreeMap::from([(part, vec![GONE.to_owned()])]),
        put_back: BTreeMap::from([(part, restore("x.yaml"))]),
        restartable: BTreeMap::from([(part, hung)]),
        ..resources()
    }
}

/// Ways that a missing image stands in.
fn blocked(plan: &Plan) -> Vec<Rung> {
    let ways = plan.rungs.iter();
    let lacks = |why: &String| why.starts_with("image missing: ") && why.contains(GONE);
    ways.filter(|way| way.blockers.iter().any(lacks))
        .map(|way| way.rung)
        .collect()
}

#[test]
fn what_a_static_pod_needs_and_is_not_there_stands_in_every_way_that_starts_it() {
    let seen = lacking(Part::Etcd);
    let every = [
        Rung::Restart,
        Rung::StaticPods,
        Rung::DataDirectory,
        Rung::Backup,
    ];
    for loss in [Loss::EtcdQuorum, Loss::Everything] {
        let plan = planned(loss, &seen, &policy());
        assert_eq!(blocked(&plan), every, "{plan:#?}");
        assert_eq!(plan.chosen, None);
        assert!(!plan.has_way());
    }
    let member = planned(Loss::EtcdMember, &seen, &policy());
    let ways = [Rung::Restart, Rung::StaticPods, Rung::ReplaceMember];
    assert_eq!(blocked(&member), ways, "{member:#?}");
    // Another part's image is nothing to etcd, and a way that does not need it stays open.
    let seen = lacking(Part::ApiServer);
    let etcd = planned(Loss::EtcdQuorum, &seen, &policy());
    assert_eq!(blocked(&etcd), []);
    assert_eq!(etcd.chosen, Some(Rung::DataDirectory));
    let lost = planned(Loss::ApiServers, &seen, &policy());
    assert_eq!(blocked(&lost), [Rung::Restart, Rung::StaticPods]);
    assert_eq!(lost.chosen, Some(Rung::Checkpoints), "{lost:#?}");
}

#[test]
fn a_missing_image_is_warned_of_whatever_would_be_lost() {
    for part in Part::ALL {
        let plan = planned(Loss::Schedulers, &lacking(part), &policy());
        let expected =
            format!("image missing: the static pod of {part} needs it to start again, and {GONE}");
        assert!(plan.warnings.contains(&expected), "{:?}", plan.warnings);
    }
    let none = planned(Loss::Schedulers, &resources(), &policy());
    assert!(none.warnings.iter().all(|it| !it.contains("image missing")));
}

/// A unit of systemd runs from no image.
#[test]
fn a_unit_is_started_without_any_image() {
    let mut seen = lacking(Part::Etcd);
    let unit = Restartable::Unit("etcd.service".to_owned());
    seen.restartable.insert(Part::Etcd, unit);
    let plan = planned(Loss::EtcdQuorum, &seen, &policy());
    assert!(!blocked(&plan).contains(&Rung::Restart), "{plan:#?}");
}

#[test]
fn what_a_restore_clears_up_is_told_before_and_what_is_switched_off() {
    let some = RecoveryPolicy {
        hygiene: BTreeSet::from([Hygiene::Leases, Hygiene::Nodes]),
        ..policy()
    };
    let plan = planned(Loss::EtcdQuorum, &resources(), &some);
    let told: Vec<_> = plan
        .hygiene
        .iter()
        .map(|kind| (kind.kind.as_str(), kind.then))
        .collect();
    let expected = [
        ("endpoints", Then::SwitchedOff),
        ("leases", Then::AfterTheRestore),
        ("nodes", Then::NothingToDo),
        ("pods", Then::SwitchedOff),
        ("alarms", Then::SwitchedOff),
        ("certificate-requests", Then::SwitchedOff),
    ];
    assert_eq!(told, expected);
    let shown = text(&plan);
    for line in [
        "   cleared up after a restore: leases: leases of leader election whose holder",
        "   switched off in recovery.hygiene: endpoints: addresses of API servers",
        "   nothing to clear up: nodes: nodes that an operator named as gone",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["hygiene"][1]["then"], "after-the-restore");
}

/// Only a restore brings old data back: nothing is stale after another way.
#[test]
fn where_no_way_restores_etcd_nothing_is_cleared_up() {
    for loss in [Loss::ApiServers, Loss::Schedulers, Loss::EtcdMember] {
        let plan = planned(loss, &resources(), &policy());
        assert_eq!(plan.hygiene, []);
        assert!(!text(&plan).contains("clear"), "{}", text(&plan));
    }
    // What an older daemon answers has none.
    let mut json =
        serde_json::to_value(planned(Loss::EtcdQuorum, &resources(), &policy())).unwrap();
    json.as_object_mut().unwrap().remove("hygiene");
    let old: Plan = serde_json::from_value(json).unwrap();
    assert_eq!(old.hygiene, []);
}
