//! When a static manifest is put back, and when that is left to who changed it.

use std::collections::BTreeMap;

use rekindle::core::reading::{Reading, UnseenKind};
use rekindle::core::recovery::guard::restore::Asker;
use rekindle::core::recovery::loss::Loss;
use rekindle::core::recovery::part::Part;

use crate::guard_world::{ALL, API, Does, ETCD, KCM, Node, SCHEDULER, manifest};
use crate::world::silent;

/// What is left when the file of the API server is ruined in each way.
fn ruined() -> Vec<(&'static str, Node)> {
    type Way = (&'static str, fn(&mut Node));
    let ways: [Way; 5] = [
        ("deleted", |node| node.remove(API)),
        ("emptied", |node| node.write(API, "")),
        ("broken", |node| {
            node.write(API, "apiVersion: v1\n kind: Pod\n");
        }),
        ("no pod", |node| {
            node.write(API, "kind: List\napiVersion: v1\n");
        }),
        ("wrong flag", |node| {
            node.write(API, &manifest(API, "no-such-flag"));
            node.turns(2);
            node.run(API, Does::Crash);
            node.turns(121);
        }),
    ];
    let ruin = |(way, ruin): (&'static str, fn(&mut Node))| {
        let mut node = Node::proven(&ALL);
        ruin(&mut node);
        if way != "wrong flag" {
            node.stop(API);
        }
        (way, node)
    };
    ways.into_iter().map(ruin).collect()
}

#[test]
fn a_file_by_which_the_control_plane_is_lost_is_put_back() {
    for (way, mut node) in ruined() {
        node.lost(&[Loss::ApiServers]);
        let found = node.restores();
        assert_eq!(found.files.len(), 1, "{way}: {found:?}");
        let restore = &found.files[0];
        assert_eq!(restore.file, API, "{way}");
        assert_eq!(restore.digest, Node::digest(&manifest(API, "a")), "{way}");
        assert_eq!(restore.instead_of.is_some(), way == "wrong flag");
        assert!(restore.why.contains("all API servers are lost by it"));
        assert_eq!((found.troubles, found.blockers), (vec![], vec![]), "{way}");
    }
}

/// Seen in the lab: a temporary control plane was begun before a changed file had been judged.
#[test]
fn while_a_change_is_given_its_time_no_later_way_is_taken() {
    let mut node = Node::proven(&ALL);
    node.write(API, &manifest(API, "no-such-flag"));
    node.turns(2);
    node.run(API, Does::Crash);
    node.turns(60);
    // Nothing of it while the control plane is not lost by it.
    assert_eq!(node.restores().waits, BTreeMap::new());
    node.lost(&[Loss::ApiServers]);
    let found = node.restores();
    assert_eq!(found.files, []);
    assert!(found.waits[&Part::ApiServer].contains("was changed"));
    assert_eq!(found.blockers.len(), 1);
    node.turns(60);
    let found = node.restores();
    assert_eq!((found.files.len(), found.waits.len()), (1, 0), "{found:?}");
    // The same while `kubeadm` is at work on it.
    node.kubeadm = Reading::Known(true);
    let found = node.restores();
    assert!(found.waits[&Part::ApiServer].contains("`kubeadm`"));
    node.asker = Asker::Operator;
    assert_eq!(node.restores().waits, BTreeMap::new());
}

#[test]
fn while_the_control_plane_lives_it_is_said_and_nothing_is_done() {
    for (way, mut node) in ruined() {
        // Another API server serves.
        for losses in [&[][..], &[Loss::Schedulers], &[Loss::EtcdMember]] {
            node.lost(losses);
            let found = node.restores();
            assert_eq!(found.files, [], "{way}: {losses:?}");
            assert_eq!(found.troubles.len(), 1, "{way}: {losses:?}");
            let trouble = &found.troubles[0];
            assert!(trouble.what.contains(API), "{trouble:?}");
            assert!(trouble.handler.contains("may be meant"), "{trouble:?}");
        }
        // Nor is it while the loss is only suspected.
        node.lost(&[Loss::ApiServers]);
        node.assessment.losses[0].confirmed = false;
        assert!(node.restored().is_empty(), "{way}");
    }
}

#[test]
fn each_loss_has_its_file() {
    for (file, losses) in [
        (API, &[Loss::ApiServers, Loss::Everything][..]),
        (ETCD, &[Loss::EtcdQuorum, Loss::Everything]),
        (KCM, &[Loss::ControllerManagers]),
        (SCHEDULER, &[Loss::Schedulers]),
    ] {
        for loss in Loss::ALL {
            let mut node = Node::proven(&ALL);
            node.remove(file);
            node.lost(&[loss]);
            let expected = losses.contains(&loss);
            assert_eq!(node.restored().contains(file), expected, "{file} {loss:?}");
        }
    }
}

#[test]
fn a_change_that_serves_is_never_taken_back() {
    let mut node = Node::proven(&ALL);
    node.write(API, &manifest(API, "b"));
    node.turns(5);
    node.run(API, Does::Serve);
    node.turns(300);
    // Much later etcd dies, and the API server with it.
    node.run(API, Does::Crash);
    node.turns(300);
    node.lost(&[Loss::Everything, Loss::ApiServers]);
    assert!(node.restored().is_empty());
}

#[test]
fn a_change_that_served_for_a_moment_is_not_what_keeps_it_from_serving() {
    let mut node = Node::proven(&ALL);
    node.write(API, &manifest(API, "b"));
    node.turns(5);
    node.run(API, Does::Serve);
    node.turns(3);
    node.run(API, Does::Crash);
    node.turns(600);
    node.lost(&[Loss::ApiServers]);
    assert!(
        node.restored().is_empty(),
        "it did serve: something else is wrong"
    );
}

#[test]
fn an_upgrade_that_replaces_one_file_after_another_is_respected() {
    let mut node = Node::proven(&ALL);
    for file in [ETCD, API, KCM, SCHEDULER] {
        node.write(file, &manifest(file, "v2"));
        // The only API server of the node is away meanwhile, for longer than the threshold.
        node.lost(&[Loss::Everything, Loss::ApiServers]);
        for _ in 0..100 {
            node.turns(1);
            assert!(node.restored().is_empty(), "{file}");
        }
        node.run(file, Does::Serve);
        node.lost(&[]);
        node.turns(30);
        assert_eq!(node.good(file), Some(Node::digest(&manifest(file, "v2"))));
    }
}

#[test]
fn while_kubeadm_is_at_work_or_that_is_not_known_nothing_is_put_back() {
    for (way, mut node) in ruined() {
        node.lost(&[Loss::ApiServers]);
        for kubeadm in [Reading::Known(true), silent(UnseenKind::Unreadable)] {
            node.kubeadm = kubeadm;
            let found = node.restores();
            assert_eq!(found.files, [], "{way}");
            assert!(found.blockers[0].contains("kubeadm"), "{found:?}");
            assert_eq!(found.troubles.len(), 1, "{way}: it is said all the same");
        }
        node.kubeadm = Reading::Known(false);
        assert_eq!(node.restored().len(), 1, "{way}");
    }
}

#[test]
fn a_hold_or_an_operation_holds_it_back_for_everybody() {
    for (way, mut node) in ruined() {
        node.lost(&[Loss::ApiServers]);
        node.held = Some("an operator holds this node");
        for asker in [Asker::Automatic, Asker::Operator] {
            node.asker = asker;
            let found = node.restores();
            assert_eq!(found.files, [], "{way}");
            assert!(found.blockers[0].contains("an operator holds"), "{found:?}");
        }
    }
}

#[test]
fn everything_gone_at_once_is_a_disaster_only_while_the_kubelet_answers() {
    let mut node = Node::proven(&ALL);
    for file in ALL {
        node.remove(file);
        node.stop(file);
    }
    node.turns(300);
    node.lost(&[Loss::Everything]);
    assert_eq!(node.restored(), [API.to_owned(), ETCD.to_owned()].into());
    node.kubelet = silent(UnseenKind::Unreachable);
    let found = node.restores();
    assert_eq!(found.files, []);
    assert!(found.blockers[0].contains("kubeadm reset"), "{found:?}");
    // The operator knows better.
    node.asker = Asker::Operator;
    assert_eq!(node.restored().len(), 4);
    // One of them alone is none of that.
    node.asker = Asker::Automatic;
    for file in [ETCD, KCM, SCHEDULER] {
        node.write(file, &manifest(file, "a"));
    }
    node.lost(&[Loss::ApiServers]);
    assert_eq!(node.restored(), [API.to_owned()].into());
}

#[test]
fn what_was_cleared_off_the_host_too_is_not_put_back() {
    let mut node = Node::proven(&ALL);
    node.remove(ETCD);
    node.lacks
        .insert(ETCD, vec!["/var/lib/etcd/member".to_owned()]);
    node.lost(&[Loss::Everything]);
    for asker in [Asker::Automatic, Asker::Operator] {
        node.asker = asker;
        let found = node.restores();
        assert_eq!(found.files, [], "an empty etcd would come up");
        assert!(
            found.blockers[0].contains("/var/lib/etcd/member"),
            "{found:?}"
        );
    }
}

#[test]
fn an_operator_may_have_any_wrong_file_put_back() {
    for (way, mut node) in ruined() {
        node.asker = Asker::Operator;
        node.kubeadm = Reading::Known(true);
        assert_eq!(node.restored(), [API.to_owned()].into(), "{way}");
        node.lost(&[Loss::Schedulers]);
        assert_eq!(node.restored(), [API.to_owned()].into(), "{way}");
    }
}

#[test]
fn parts_come_in_the_order_in_which_they_are_needed() {
    let mut node = Node::proven(&ALL);
    node.asker = Asker::Operator;
    for file in ALL {
        node.remove(file);
    }
    let order: Vec<String> = node
        .restores()
        .files
        .into_iter()
        .map(|one| one.file)
        .collect();
    assert_eq!(order, ALL.map(str::to_owned));
}

#[test]
fn once_put_back_it_is_as_ever() {
    for (way, mut node) in ruined() {
        node.write(API, &manifest(API, "a"));
        node.turns(3);
        node.run(API, Does::Serve);
        node.lost(&[]);
        node.turns(20);
        let found = node.restores();
        assert_eq!((found.files, found.troubles), (vec![], vec![]), "{way}");
        assert_eq!(node.good(API), Some(Node::digest(&manifest(API, "a"))));
    }
}
