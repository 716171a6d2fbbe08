//! What is called lost, and when: each loss, confirmed at its threshold and not before.

use std::collections::BTreeMap;

use rekindle::core::operation::OperationsView;
use rekindle::core::reading::Reading;
use rekindle::core::recovery::etcd_seen::{AlarmSeen, AlarmWord, DataDir, EtcdAnswer};
use rekindle::core::recovery::evidence::{DoorAnswer, Manifest, Run};
use rekindle::core::recovery::loss::{Condition, Loss};
use rekindle::core::recovery::memory::Memory;
use rekindle::core::recovery::part::Part;

use crate::recovery_world::{
    Watched, confirmed, data, identity, instance, says, start_runs, status, unknown,
};

#[test]
fn api_servers_are_lost_once_all_evidence_has_agreed_for_the_threshold() {
    let mut node = Watched::new(1);
    node.api_gone();
    let found = node.pass_without_loss(55);
    assert_eq!(found.condition, Condition::Suspected);
    assert!(
        says(&found, &["api-servers counts as lost in 5 s"]),
        "{found:#?}"
    );
    let found = node.pass(5);
    assert_eq!(confirmed(&found), [Loss::ApiServers], "{found:#?}");
    assert_eq!(found.condition, Condition::Lost);
}

#[test]
fn one_place_that_two_kubeconfigs_name_is_told_of_once() {
    let mut node = Watched::new(1);
    node.api_gone();
    let (once, twice) = (node.look(), {
        let first = node.evidence.doors[0].url.clone();
        for door in &mut node.evidence.doors {
            door.url.clone_from(&first);
        }
        node.look()
    });
    assert!(once.losses[0].evidence.len() > twice.losses[0].evidence.len());
    let mut told = twice.losses[0].evidence.clone();
    told.dedup();
    assert_eq!(told, twice.losses[0].evidence);
}

#[test]
fn what_looks_lost_says_when_to_look_again() {
    let mut node = Watched::new(1);
    node.api_gone();
    let found = node.pass(50);
    assert_eq!(found.wake_at, Some(found.losses[0].due));
    node.now = found.losses[0].due;
    assert_eq!(confirmed(&node.look()), [Loss::ApiServers]);
}

#[test]
fn etcd_and_api_server_together_are_everything() {
    let mut node = Watched::new(1);
    node.api_gone();
    node.etcd_gone();
    node.no_reads();
    node.pass_without_loss(55);
    let found = node.pass(5);
    assert_eq!(confirmed(&found), [Loss::EtcdQuorum, Loss::Everything]);
    assert_eq!(found.confirmed(), Some(Loss::Everything));
}

#[test]
fn an_api_server_that_ends_again_and_again_is_lost_although_it_is_started() {
    let mut node = Watched::new(1);
    node.api_gone();
    node.pass(5);
    for attempt in 1..=6 {
        let id = format!("kube-apiserver-{attempt}");
        node.containers(
            Part::ApiServer,
            vec![instance(Part::ApiServer, &id, Run::Running)],
        );
        node.pass(5);
        let ended = Run::Ended("exit code 1".to_owned());
        node.containers(Part::ApiServer, vec![instance(Part::ApiServer, &id, ended)]);
        node.pass(5);
    }
    let found = node.look();
    assert_eq!(confirmed(&found), [Loss::ApiServers], "{found:#?}");
    assert!(says(&found, &["again and again"]), "{found:#?}");
}

#[test]
fn an_api_server_that_hangs_is_lost_when_it_counts_as_wedged() {
    let mut node = Watched::new(1);
    node.doors(DoorAnswer::TimedOut, DoorAnswer::TimedOut);
    node.renewed.clear();
    let found = node.pass_without_loss(115);
    assert!(
        says(&found, &["kube-apiserver runs here and does not answer"]),
        "{found:#?}"
    );
    let found = node.pass(5);
    assert_eq!(confirmed(&found), [Loss::ApiServers], "{found:#?}");
}

/// Seen on a slow machine: it was restarted 7 s after it had begun to serve.
#[test]
fn an_api_server_that_was_just_started_has_twice_the_time_of_one_that_hangs() {
    let mut node = Watched::new(1);
    node.api_gone();
    node.pass(5);
    let new = instance(Part::ApiServer, "kube-apiserver-1", Run::Running);
    node.containers(Part::ApiServer, vec![new]);
    node.pass_without_loss(235);
    let found = node.pass(5);
    assert_eq!(confirmed(&found), [Loss::ApiServers], "{found:#?}");
}

#[test]
fn a_control_plane_has_worked_once_it_serves_and_somebody_leads() {
    let mut node = Watched::new(1);
    assert!(node.memory.worked());
    // That it did is remembered while it does not.
    node.api_gone();
    node.pass(5);
    assert!(node.memory.worked());

    // One that is being set up: no lease was ever taken.
    node.memory = Memory::default();
    node.doors(DoorAnswer::Serving, DoorAnswer::Serving);
    let leases = std::mem::replace(&mut node.evidence.leases, Reading::Known(BTreeMap::new()));
    node.pass(5);
    assert!(!node.memory.worked());
    node.evidence.leases = leases;
    node.renewed.extend(Part::LEADERS);
    node.evidence.operations = start_runs();
    node.pass(5);
    assert!(!node.memory.worked());
    node.evidence.operations = unknown();
    node.pass(5);
    assert!(!node.memory.worked());
    node.evidence.operations = Reading::Known(OperationsView::default());
    node.look();
    assert!(node.memory.worked());

    let mut after_a_restart = Memory::default();
    after_a_restart.recall(None, true);
    assert!(after_a_restart.worked());
}

#[test]
fn a_deleted_scheduler_and_controller_manager_are_lost_after_the_threshold() {
    let mut node = Watched::new(1);
    node.renewed.clear();
    for part in [Part::Scheduler, Part::ControllerManager] {
        node.containers(part, Vec::new());
        node.manifest(part, Manifest::Absent);
    }
    node.pass_without_loss(55);
    let found = node.pass(5);
    assert_eq!(
        confirmed(&found),
        [Loss::Schedulers, Loss::ControllerManagers]
    );
}

#[test]
fn a_scheduler_is_not_wedged_for_a_time_in_which_no_api_server_served() {
    let mut node = Watched::new(1);
    node.api_gone();
    node.pass_without_loss(50);
    node.doors(DoorAnswer::Serving, DoorAnswer::Serving);
    let new = instance(Part::ApiServer, "kube-apiserver-1", Run::Running);
    node.containers(Part::ApiServer, vec![new]);
    node.pass_without_loss(115);
    let found = node.pass(10);
    let both = [Loss::Schedulers, Loss::ControllerManagers];
    assert_eq!(confirmed(&found), both, "{found:#?}");
}

#[test]
fn leases_that_are_not_known_do_not_hide_that_nobody_asks_for_a_scheduler() {
    let mut node = Watched::new(1);
    node.pass(5);
    node.evidence.leases = unknown();
    node.containers(Part::Scheduler, Vec::new());
    node.pass_without_loss(300);
    // Its manifest asked for it: that was the kubelet's.
    node.manifest(Part::Scheduler, Manifest::Absent);
    node.pass_without_loss(55);
    assert_eq!(confirmed(&node.pass(5)), [Loss::Schedulers]);
}

#[test]
fn the_quorum_is_lost_when_too_few_members_run() {
    let mut node = Watched::new(3);
    node.no_reads();
    node.etcd(1, EtcdAnswer::Status(status(1, None)));
    for id in [2, 3] {
        node.etcd(id, EtcdAnswer::Not(DoorAnswer::Refused));
    }
    node.doors(DoorAnswer::NotReady, DoorAnswer::NotReady);
    node.pass_without_loss(55);
    let found = node.pass(5);
    assert_eq!(confirmed(&found), [Loss::EtcdQuorum], "{found:#?}");
}

#[test]
fn a_member_that_is_gone_while_the_others_serve_is_lost_after_its_own_threshold() {
    let mut node = Watched::new(3);
    node.etcd_gone();
    let found = node.pass_without_loss(295);
    assert!(
        says(&found, &["1 of 3 members of etcd do not answer: node1"]),
        "{found:#?}"
    );
    let found = node.pass(5);
    assert_eq!(confirmed(&found), [Loss::EtcdMember], "{found:#?}");
}

#[test]
fn a_member_whose_data_differs_or_is_damaged_is_lost_after_its_own_threshold() {
    let mut node = Watched::new(3);
    let mut corrupt = status(1, Some(3));
    corrupt.alarms = vec![AlarmSeen {
        member_id: 1,
        kind: AlarmWord::Corrupt,
    }];
    node.etcd(1, EtcdAnswer::Status(corrupt));
    node.pass_without_loss(295);
    assert_eq!(confirmed(&node.pass(5)), [Loss::EtcdMember]);

    let mut node = Watched::new(3);
    node.etcd_gone();
    node.evidence.etcd.here.data = Reading::Known(DataDir::Damaged("no log".to_owned()));
    node.pass_without_loss(295);
    let found = node.pass(5);
    assert_eq!(confirmed(&found), [Loss::EtcdMember]);
    assert!(says(&found, &["damaged: no log"]), "{found:#?}");
}

#[test]
fn an_etcd_started_on_an_emptied_directory_is_no_healthy_etcd() {
    let mut node = Watched::new(1);
    node.evidence.etcd.identity = identity(None);
    node.pass_without_loss(55);
    // The API server has made the namespace anew meanwhile.
    node.evidence.etcd.identity = identity(Some("uid-2"));
    let found = node.pass(5);
    assert_eq!(confirmed(&found), [Loss::EtcdQuorum], "{found:#?}");

    // The same cluster from a backup is the same.
    node.evidence.etcd.identity = identity(Some("uid-1"));
    assert_eq!(node.pass(35).condition, Condition::Healthy);
}

#[test]
fn a_single_etcd_that_hangs_is_lost_when_it_counts_as_wedged() {
    let mut node = Watched::new(1);
    node.etcd(1, EtcdAnswer::Not(DoorAnswer::TimedOut));
    node.evidence.etcd.here.data = data(true);
    node.no_reads();
    node.doors(DoorAnswer::NotReady, DoorAnswer::NotReady);
    node.pass_without_loss(115);
    assert_eq!(confirmed(&node.pass(5)), [Loss::EtcdQuorum]);
}
