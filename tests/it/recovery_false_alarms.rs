//! What is not called lost, and what it is called instead.

use rekindle::core::reading::Reading;
use rekindle::core::recovery::etcd_seen::EtcdAnswer;
use rekindle::core::recovery::evidence::{Distrust, DoorAnswer, Run};
use rekindle::core::recovery::loss::Condition;
use rekindle::core::recovery::part::Part;
use rekindle::core::time::Moment;

use crate::recovery_world::{Watched, instance, says, status, unknown};

#[test]
fn r11_expired_certificate_is_not_a_loss_and_is_named() {
    // Whoever uses the same certificates cannot renew a lease.
    let mut node = Watched::new(1);
    node.doors(
        DoorAnswer::Serving,
        DoorAnswer::Untrusted(Distrust::Expired),
    );
    node.renewed.clear();
    let found = node.pass_without_loss(3600);
    assert_eq!(found.condition, Condition::Degraded);
    assert!(says(
        &found,
        &[
            "certificate has expired",
            "an operator",
            "kubeadm certs renew"
        ]
    ));

    // Where loopback is not asked for its certificate and says nothing either.
    node.doors(DoorAnswer::Denied, DoorAnswer::Untrusted(Distrust::Expired));
    let found = node.pass_without_loss(3600);
    assert_eq!(found.condition, Condition::Degraded);
}

#[test]
fn r11_expired_certificate_of_etcd_is_not_a_loss_and_is_named() {
    let mut node = Watched::new(1);
    node.etcd(1, EtcdAnswer::Not(DoorAnswer::Untrusted(Distrust::Expired)));
    node.no_reads();
    node.api_gone();
    let found = node.pass_without_loss(3600);
    assert_eq!(found.condition, Condition::Suspected);
    assert!(
        says(
            &found,
            &["etcd at", "certificate is not believed", "an operator"]
        ),
        "{found:#?}"
    );
    assert!(says(
        &found,
        &[
            "api-servers cannot be called lost",
            "whether etcd has a quorum"
        ]
    ));
}

#[test]
fn r11_wrong_kubeconfig_is_not_a_loss_and_is_named() {
    for (answer, words) in [
        (DoorAnswer::Refused, "not where the kubeconfig points"),
        (DoorAnswer::TimedOut, "not where the kubeconfig points"),
        (DoorAnswer::Unreadable, "not where the kubeconfig points"),
        (DoorAnswer::Denied, "does not accept our credentials"),
        (DoorAnswer::NotAsked, "the kubeconfig cannot be used"),
        (
            DoorAnswer::Untrusted(Distrust::WrongAuthority),
            "authority that the kubeconfig does not know",
        ),
        (
            DoorAnswer::Untrusted(Distrust::WrongName),
            "certificate is for another name",
        ),
    ] {
        let mut node = Watched::new(1);
        node.doors(DoorAnswer::Serving, answer);
        let found = node.pass_without_loss(600);
        assert_eq!(found.condition, Condition::Degraded, "{answer:?}");
        assert!(
            says(&found, &[words, "an operator"]),
            "{answer:?}: {found:#?}"
        );
    }
}

#[test]
fn r13_one_reboot_of_another_master_is_not_a_loss() {
    let mut node = Watched::new(3);
    node.etcd(3, EtcdAnswer::Not(DoorAnswer::TimedOut));
    node.etcd(1, EtcdAnswer::Status(status(1, Some(2))));
    node.etcd(2, EtcdAnswer::Status(status(2, Some(2))));
    let found = node.pass_without_loss(900);
    assert_eq!(found.condition, Condition::Degraded);
    assert!(
        says(&found, &["1 of 3 members of etcd do not answer: node3"]),
        "{found:#?}"
    );
}

#[test]
fn r13_one_reboot_of_this_master_is_not_a_loss_while_its_parts_are_starting() {
    let mut node = Watched::new(1);
    // Another boot, another memory.
    node.memory = rekindle::core::recovery::memory::Memory::default();
    node.now = Moment(5_000);
    node.api_gone();
    node.etcd_gone();
    node.no_reads();
    node.containers(Part::ApiServer, Vec::new());
    let found = node.pass_without_loss(110);
    assert_eq!(found.condition, Condition::Suspected);
    assert!(
        says(&found, &["this boot is", "still starting"]),
        "{found:#?}"
    );
    // Slow, and back.
    let mut well = Watched::new(1);
    well.memory = node.memory;
    well.now = node.now;
    assert_eq!(well.look().condition, Condition::Degraded);
    assert_eq!(well.pass_without_loss(30).condition, Condition::Healthy);
}

#[test]
fn r13_a_reboot_under_way_is_not_a_loss() {
    let mut node = Watched::new(1);
    node.evidence.shutting_down = Reading::Known(true);
    node.api_gone();
    node.etcd_gone();
    node.no_reads();
    let found = node.pass_without_loss(600);
    assert!(says(&found, &["the system is going down"]), "{found:#?}");
}

#[test]
fn r14_transient_loss_waits_out_the_threshold_and_says_what_it_waited_for() {
    let mut node = Watched::new(1);
    for _ in 0..5 {
        node.api_gone();
        let found = node.pass_without_loss(55);
        assert_eq!(found.condition, Condition::Suspected);
        assert!(
            says(&found, &["counts as lost in 5 s if nothing changes"]),
            "{found:#?}"
        );
        node.doors(DoorAnswer::Serving, DoorAnswer::Serving);
        let again = instance(Part::ApiServer, "kube-apiserver-1", Run::Running);
        node.containers(Part::ApiServer, vec![again]);
        node.renewed
            .extend([Part::Scheduler, Part::ControllerManager]);
        let found = node.pass_without_loss(5);
        assert_eq!(found.condition, Condition::Degraded);
        assert!(says(&found, &["counts as healthy in"]), "{found:#?}");
    }
    let found = node.pass_without_loss(60);
    assert_eq!(found.condition, Condition::Healthy);
    assert!(
        says(&found, &["looked lost", "came back each time"]),
        "{found:#?}"
    );
}

#[test]
fn r05_cut_off_alone_waits_and_says_so() {
    let mut node = Watched::new(3);
    node.no_reads();
    node.etcd(1, EtcdAnswer::Status(status(1, None)));
    for id in [2, 3] {
        node.etcd(id, EtcdAnswer::Not(DoorAnswer::TimedOut));
    }
    node.doors(DoorAnswer::NotReady, DoorAnswer::TimedOut);
    let found = node.pass_without_loss(7200);
    assert!(says(
        &found,
        &["cut off, or etcd's quorum is lost: they cannot be told apart"]
    ));
    assert_eq!(found.condition, Condition::Degraded);
    // The API server gives up without etcd.
    node.api_gone();
    let found = node.pass_without_loss(7200);
    assert_eq!(found.condition, Condition::Suspected);
    // Even when this node's own etcd is down too.
    node.etcd_gone();
    node.pass_without_loss(7200);
}

#[test]
fn r05_a_master_that_never_heard_of_the_members_waits() {
    let mut node = Watched::new(3);
    node.no_reads();
    node.etcd_gone();
    node.api_gone();
    node.evidence.etcd.members = unknown();
    node.evidence.etcd.endpoints.truncate(1);
    let found = node.pass_without_loss(7200);
    assert!(
        says(&found, &["which members etcd has is not known"]),
        "{found:#?}"
    );
}
