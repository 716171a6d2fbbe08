//! What goes on every day and is not called lost: slow disks, updates, sources that say nothing, parts
//! that are down where others serve.

use rekindle::core::operation::OperationsView;
use rekindle::core::reading::Reading;
use rekindle::core::recovery::etcd_seen::{EtcdAnswer, EtcdHost};
use rekindle::core::recovery::evidence::{DoorAnswer, DoorKind, Manifest, Run};
use rekindle::core::recovery::loss::Condition;
use rekindle::core::recovery::part::Part;
use rekindle::core::time::Moment;

use crate::recovery_world::{Watched, door, instance, says, start_runs, status, unknown};

#[test]
fn a_slow_disk_is_not_a_loss() {
    let mut node = Watched::new(1);
    node.evidence.etcd.read = Reading::Known(4200);
    let found = node.pass_without_loss(3600);
    assert_eq!(found.condition, Condition::Degraded);
    assert!(says(&found, &["etcd takes 4200 ms", "disk"]), "{found:#?}");
    // So slow that reads do not come through, leaders change and the API server is not ready.
    node.evidence.etcd.read = unknown();
    node.evidence.leases = unknown();
    node.doors(DoorAnswer::NotReady, DoorAnswer::NotReady);
    for term in 3..9 {
        let mut slow = status(1, Some(1));
        slow.raft_term = term;
        node.etcd(1, EtcdAnswer::Status(slow));
        node.pass_without_loss(30);
    }
    let found = node.look();
    assert_eq!(found.condition, Condition::Degraded);
    assert!(says(&found, &["elected a leader 6 times"]), "{found:#?}");
    assert!(says(&found, &["no read comes through"]), "{found:#?}");
}

#[test]
fn a_rolling_update_is_not_a_loss() {
    let mut node = Watched::new(1);
    let parts = [
        Part::Etcd,
        Part::ApiServer,
        Part::ControllerManager,
        Part::Scheduler,
    ];
    for (round, part) in (0..8).flat_map(|round| parts.map(|part| (round, part))) {
        // Down for half a minute, then the new one takes as long to answer.
        node.containers(part, Vec::new());
        match part {
            Part::ApiServer => node.doors(DoorAnswer::Refused, DoorAnswer::Refused),
            Part::Etcd => {
                node.etcd(1, EtcdAnswer::Not(DoorAnswer::Refused));
                node.evidence.etcd.read = unknown();
                node.doors(DoorAnswer::NotReady, DoorAnswer::NotReady);
            }
            _ => {}
        }
        node.renewed.clear();
        node.pass_without_loss(30);
        let new = instance(part, &format!("{part}-new-{round}"), Run::Running);
        node.containers(part, vec![new]);
        let found = node.pass_without_loss(20);
        assert!(matches!(
            found.condition,
            Condition::Suspected | Condition::Degraded
        ));
        node.etcd(1, EtcdAnswer::Status(status(1, Some(1))));
        node.evidence.etcd.read = Reading::Known(2);
        node.doors(DoorAnswer::Serving, DoorAnswer::Serving);
        node.renewed
            .extend([Part::Scheduler, Part::ControllerManager]);
        node.pass_without_loss(10);
    }
    assert_eq!(node.pass_without_loss(60).condition, Condition::Healthy);
}

#[test]
fn a_new_container_that_takes_its_time_is_waited_for() {
    let mut node = Watched::new(1);
    node.api_gone();
    node.pass_without_loss(30);
    let new = instance(Part::ApiServer, "kube-apiserver-1", Run::Running);
    node.containers(Part::ApiServer, vec![new]);
    let found = node.pass_without_loss(100);
    assert!(
        says(&found, &["runs here and does not answer yet"]),
        "{found:#?}"
    );
}

#[test]
fn unknown_sources_confirm_nothing_and_are_named() {
    type Blind = fn(&mut Watched);
    let blind: [(Blind, &str); 4] = [
        (|node| node.evidence.containers = unknown(), "containerd"),
        (
            |node| node.evidence.manifests = unknown(),
            "static pod directory",
        ),
        (|node| node.evidence.operations = unknown(), "operation"),
        (
            |node| {
                let not = EtcdAnswer::Not(DoorAnswer::NotAsked);
                node.etcd(1, not);
                node.no_reads();
            },
            "etcd",
        ),
    ];
    for (make_blind, name) in blind {
        let mut node = Watched::new(1);
        node.api_gone();
        make_blind(&mut node);
        let found = node.pass_without_loss(3600);
        assert!(says(&found, &[name, "scripted"]), "{name}: {found:#?}");
        assert!(
            says(&found, &["cannot be called lost: missing:"]),
            "{name}: {found:#?}"
        );
    }
}

#[test]
fn a_lease_that_is_renewed_shows_an_api_server_elsewhere() {
    let mut node = Watched::new(3);
    node.doors(DoorAnswer::Refused, DoorAnswer::TimedOut);
    node.containers(Part::ApiServer, Vec::new());
    let found = node.pass_without_loss(3600);
    assert!(
        says(&found, &["an API server serves somewhere"]),
        "{found:#?}"
    );
}

#[test]
fn an_operation_has_the_node_and_nothing_counts() {
    let mut node = Watched::new(1);
    node.evidence.operations = start_runs();
    node.api_gone();
    let found = node.pass_without_loss(3600);
    assert!(
        says(&found, &["`rekindle start` has this node"]),
        "{found:#?}"
    );
    // Its time begins when the operation has ended.
    node.evidence.operations = Reading::Known(OperationsView::default());
    node.pass_without_loss(55);
    assert!(node.pass(5).confirmed().is_some());
}

#[test]
fn a_machine_that_slept_has_seen_nothing_meanwhile() {
    let mut node = Watched::new(1);
    node.api_gone();
    node.pass_without_loss(10);
    node.now = Moment(node.now.0 + 3_600_000);
    node.pass_without_loss(55);
    assert!(node.pass(5).confirmed().is_some());
}

#[test]
fn evidence_of_long_ago_says_nothing() {
    let mut node = Watched::new(1);
    node.api_gone();
    node.pass_without_loss(30);
    let later = Moment(node.now.0 + 120_000);
    let (found, _) =
        rekindle::core::recovery::assess::assess(&node.evidence, &node.memory, &node.policy, later);
    assert_eq!(found.condition, Condition::Unknown);
    assert!(found.losses.is_empty());
}

#[test]
fn a_part_that_does_not_run_is_degraded_and_its_handler_named() {
    let mut node = Watched::new(3);
    // Another master's lead.
    node.containers(Part::ApiServer, Vec::new());
    node.doors(DoorAnswer::Refused, DoorAnswer::Serving);
    let found = node.pass_without_loss(3600);
    assert_eq!(found.condition, Condition::Degraded);
    assert!(says(
        &found,
        &[
            "kube-apiserver does not run here",
            "the kubelet, by its static manifest"
        ]
    ));
    node.manifest(Part::ApiServer, Manifest::Broken("it is empty".to_owned()));
    let found = node.pass_without_loss(3600);
    assert!(says(
        &found,
        &[
            "manifest of kube-apiserver is broken",
            "it is empty",
            "an operator"
        ]
    ));
}

#[test]
fn etcd_of_a_unit_is_systemd_s() {
    let mut node = Watched::new(3);
    node.etcd_gone();
    node.evidence.etcd.here.host = Reading::Known(EtcdHost::Unit {
        name: "etcd.service".to_owned(),
        state: "failed".to_owned(),
    });
    let found = node.pass_without_loss(60);
    assert!(
        says(&found, &["systemd, by its unit etcd.service"]),
        "{found:#?}"
    );
}

#[test]
fn an_anonymous_question_that_is_refused_is_no_trouble() {
    let mut node = Watched::new(1);
    node.evidence.doors = vec![
        door(DoorKind::Loopback, DoorAnswer::Denied),
        door(DoorKind::Kubeconfig, DoorAnswer::Serving),
    ];
    assert_eq!(node.pass_without_loss(60).condition, Condition::Healthy);
}
