//! The plan: which way is taken, which waits for an operator, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use rekindle::core::backup::id::BackupId;
use rekindle::core::reading::{Reading, Unseen, UnseenKind};
use rekindle::core::recovery::loss::Loss;
use rekindle::core::recovery::part::Part;
use rekindle::core::recovery::plan::{Asked, Plan, Restraint, plan};
use rekindle::core::recovery::policy::{Hygiene, RecoveryPolicy};
use rekindle::core::recovery::resources::{Data, Expiry, OnHand, Resources, Restartable};
use rekindle::core::recovery::rung::Rung;

pub fn now() -> Timestamp {
    "2026-11-25T12:00:00Z".parse().unwrap()
}

pub fn policy() -> RecoveryPolicy {
    RecoveryPolicy {
        automatic: true,
        lost_after: Duration::from_secs(60),
        boot_grace: Duration::from_secs(120),
        member_lost_after: Duration::from_secs(300),
        wedged_after: Duration::from_secs(120),
        rungs: Rung::ALL.into_iter().collect(),
        max_auto_data_loss: Duration::ZERO,
        limit: 3,
        period: Duration::from_secs(86400),
        deadline: Duration::from_secs(1800),
        other_masters: BTreeSet::new(),
        hygiene: Hygiene::ALL.into_iter().collect(),
    }
}

/// Everything is there: a data directory, a backup of half an hour ago, programs, room.
pub fn resources() -> Resources {
    Resources {
        checkpoints: Reading::Known(BTreeMap::from([(Part::ApiServer, Vec::new())])),
        copies: Reading::Known(BTreeMap::new()),
        put_back: BTreeMap::new(),
        not_put_back: Vec::new(),
        manifests_wait: BTreeMap::new(),
        restartable: BTreeMap::new(),
        missing_images: BTreeMap::new(),
        etcd_home: Ok("the static pod etcd.yaml".to_owned()),
        data: Reading::Known(Data::Present(100 << 20)),
        backup: Reading::Known(Some(OnHand {
            id: BackupId::parse("20261125T113000Z-master1").unwrap(),
            taken_at: "2026-11-25T11:30:00Z".parse().unwrap(),
            bytes: 100 << 20,
            proven: true,
        })),
        tool: Ok("/usr/bin/etcdutl 3.5.16".to_owned()),
        free_bytes: Reading::Known(10 << 30),
        administrator: Ok(()),
        certificates: Vec::new(),
        blockers: Vec::new(),
    }
}

pub fn planned(loss: Loss, resources: &Resources, policy: &RecoveryPolicy) -> Plan {
    plan(
        loss,
        resources,
        policy,
        &Restraint::default(),
        None,
        &[],
        now(),
    )
}

pub fn asked(loss: Loss, resources: &Resources, policy: &RecoveryPolicy, asked: &Asked) -> Plan {
    plan(
        loss,
        resources,
        policy,
        &Restraint::default(),
        Some(asked),
        &[],
        now(),
    )
}

#[test]
fn the_surviving_data_directory_comes_before_a_backup() {
    let plan = planned(Loss::EtcdQuorum, &resources(), &policy());
    assert_eq!(plan.chosen, Some(Rung::DataDirectory), "{plan:#?}");
    let rungs: Vec<_> = plan.rungs.iter().map(|way| way.rung).collect();
    assert_eq!(
        rungs,
        [
            Rung::Restart,
            Rung::StaticPods,
            Rung::DataDirectory,
            Rung::Backup
        ]
    );
}

#[test]
fn a_backup_is_taken_without_asking_only_within_the_loss_that_is_allowed() {
    let mut resources = resources();
    resources.data = Reading::Known(Data::Absent);
    let plan = planned(Loss::EtcdQuorum, &resources, &policy());
    assert_eq!(plan.chosen, None);
    assert!(plan.has_way());
    let told = plan.refusals.join("\n");
    assert!(
        told.contains(
            "backup: it loses the last 30 min, and recovery.max_auto_data_loss_seconds allows 0 s"
        ),
        "{told}"
    );
    let generous = RecoveryPolicy {
        max_auto_data_loss: Duration::from_secs(3600),
        ..policy()
    };
    let plan = planned(Loss::EtcdQuorum, &resources, &generous);
    assert_eq!(plan.chosen, Some(Rung::Backup));
}

#[test]
fn data_that_was_exchanged_on_purpose_is_told_with_the_way_out() {
    let mut resources = resources();
    resources.data = Reading::Known(Data::Behind {
        seen: 5,
        highest: 9,
    });
    let plan = planned(Loss::EtcdQuorum, &resources, &policy());
    for rung in [Rung::StaticPods, Rung::DataDirectory] {
        let way = plan.rungs.iter().find(|way| way.rung == rung).unwrap();
        let told = way.blockers.join("\n");
        assert!(
            told.contains("at revision 5, and this node has seen 9"),
            "{told}"
        );
        assert!(
            told.contains("hint: if its data was exchanged on purpose"),
            "{told}"
        );
        assert!(!told.contains("damaged"), "{told}");
    }
    assert_ne!(plan.chosen, Some(Rung::DataDirectory));
}

#[test]
fn an_operator_allows_a_loss_for_once() {
    let mut resources = resources();
    resources.data = Reading::Known(Data::Damaged("page 7".to_owned()));
    let little = Asked {
        allow_loss_seconds: 60,
        ..Asked::default()
    };
    let plan = asked(Loss::EtcdQuorum, &resources, &policy(), &little);
    assert_eq!(plan.chosen, None);
    assert!(
        plan.refusals
            .iter()
            .any(|why| why.contains("--allow-data-loss allows 60 s"))
    );
    let enough = Asked {
        allow_loss_seconds: 7200,
        ..Asked::default()
    };
    let plan = asked(Loss::EtcdQuorum, &resources, &policy(), &enough);
    assert_eq!(plan.chosen, Some(Rung::Backup));
}

#[test]
fn what_was_asked_for_passes_over_what_comes_before_it() {
    let from_backup = Asked {
        from: Some(Rung::Backup),
        allow_loss_seconds: 7200,
        ..Asked::default()
    };
    let plan = asked(Loss::EtcdQuorum, &resources(), &policy(), &from_backup);
    assert_eq!(plan.chosen, Some(Rung::Backup));
}

#[test]
fn r04_r05_with_other_masters_nobody_restores_etcd_by_himself() {
    let several = RecoveryPolicy {
        other_masters: BTreeSet::from(["master2".to_owned(), "master3".to_owned()]),
        max_auto_data_loss: Duration::from_secs(86400),
        ..policy()
    };
    let plan = planned(Loss::EtcdQuorum, &resources(), &several);
    assert_eq!(plan.chosen, None);
    let told = plan.refusals.join("\n");
    assert!(
        told.contains("there are other masters (master2, master3)"),
        "{told}"
    );
    let operator = Asked::default();
    let plan = asked(Loss::EtcdQuorum, &resources(), &several, &operator);
    assert_eq!(plan.chosen, Some(Rung::DataDirectory));
}

#[test]
fn unknown_resources_restore_nothing() {
    let unseen = || Unseen::new(UnseenKind::Unreadable, "the disk hangs");
    let mut resources = resources();
    resources.data = Reading::Unknown(unseen());
    resources.backup = Reading::Unknown(unseen());
    let generous = RecoveryPolicy {
        max_auto_data_loss: Duration::from_secs(86400),
        ..policy()
    };
    let plan = planned(Loss::Everything, &resources, &generous);
    assert_eq!(plan.chosen, None);
    assert!(!plan.has_way(), "{plan:#?}");
    let mut room = self::resources();
    room.free_bytes = Reading::Unknown(unseen());
    assert_eq!(planned(Loss::Everything, &room, &policy()).chosen, None);
    let mut home = self::resources();
    home.etcd_home = Err("where etcd runs is not known".to_owned());
    assert_eq!(planned(Loss::Everything, &home, &policy()).chosen, None);
}

#[test]
fn what_failed_is_not_tried_again_in_the_same_recovery() {
    let tried = [(Rung::DataDirectory, "the database is damaged".to_owned())];
    let generous = RecoveryPolicy {
        max_auto_data_loss: Duration::from_secs(3600),
        ..policy()
    };
    let plan = plan(
        Loss::EtcdQuorum,
        &resources(),
        &generous,
        &Restraint::default(),
        None,
        &tried,
        now(),
    );
    assert_eq!(plan.chosen, Some(Rung::Backup));
    let way = plan
        .rungs
        .iter()
        .find(|way| way.rung == Rung::DataDirectory);
    assert!(way.unwrap().blockers[0].contains("the database is damaged"));
}

#[test]
fn api_servers_come_back_by_checkpoints_and_blockers_are_named() {
    let plan = planned(Loss::ApiServers, &resources(), &policy());
    assert_eq!(plan.chosen, Some(Rung::Checkpoints));
    let mut resources = resources();
    resources.checkpoints = Reading::Known(BTreeMap::from([(
        Part::ApiServer,
        vec!["image missing: registry.example/kube-apiserver:v1".to_owned()],
    )]));
    resources.restartable = BTreeMap::from([(
        Part::ApiServer,
        Restartable::Container {
            sandbox: "abc".to_owned(),
            pod: "kube-system/kube-apiserver-x".to_owned(),
        },
    )]);
    let plan = planned(Loss::ApiServers, &resources, &policy());
    assert_eq!(plan.chosen, Some(Rung::Restart));
    assert!(plan.rungs[0].blockers[0].contains("image missing"));
}

#[test]
fn what_will_stand_in_the_way_is_told_in_time() {
    let mut resources = resources();
    resources.certificates = vec![
        Expiry {
            what: "/etc/kubernetes/pki/apiserver.crt".to_owned(),
            at: "2026-12-04T13:00:00Z".parse().unwrap(),
        },
        Expiry {
            what: "/etc/kubernetes/pki/ca.crt".to_owned(),
            at: "2035-01-01T00:00:00Z".parse().unwrap(),
        },
        Expiry {
            what: "/etc/kubernetes/pki/old.crt".to_owned(),
            at: "2026-11-01T00:00:00Z".parse().unwrap(),
        },
    ];
    if let Reading::Known(Some(backup)) = &mut resources.backup {
        backup.taken_at = "2026-11-23T11:00:00Z".parse().unwrap();
        backup.proven = false;
    }
    let plan = planned(Loss::Everything, &resources, &policy());
    assert_eq!(
        plan.warnings,
        [
            "/etc/kubernetes/pki/apiserver.crt expires in 9 days",
            "/etc/kubernetes/pki/old.crt has expired",
            "the newest verified backup is 49 h old",
            "no rehearsal of backup 20261125T113000Z-master1 has passed",
        ]
    );
}

#[test]
fn too_little_room_is_said_with_numbers() {
    let mut resources = resources();
    resources.free_bytes = Reading::Known(100 << 20);
    let plan = planned(Loss::EtcdQuorum, &resources, &policy());
    assert_eq!(plan.chosen, None);
    let told = plan.refusals.join("\n");
    assert!(
        told.contains("300 MiB beside etcd's data directory, and 100 MiB are free"),
        "{told}"
    );
}

#[test]
fn r01_etcd_is_not_started_again_where_its_data_is_gone() {
    let mut resources = resources();
    resources.data = Reading::Known(Data::Absent);
    resources.restartable =
        BTreeMap::from([(Part::Etcd, Restartable::Unit("etcd.service".to_owned()))]);
    let plan = planned(Loss::EtcdQuorum, &resources, &policy());
    assert_eq!(plan.chosen, None, "{plan:#?}");
    let told = plan.refusals.join("\n");
    assert!(told.contains("restart: etcd's data is gone"), "{told}");
}
