//! What is called stale after a restore, and what is left alone.

use std::collections::{BTreeMap, BTreeSet};

use rekindle::core::reading::{Reading, Unseen, UnseenKind};
use rekindle::core::recovery::hygiene::facts::{Facts, Lease, Look, Node, Pod};
use rekindle::core::recovery::hygiene::{Act, LIFE, Planned, needs_a_second_look, plan};
use rekindle::core::recovery::policy::Hygiene;
use rekindle::core::time::Moment;

use crate::recovery_requests::{CLIENT, request};
use crate::recovery_samples::after;

pub fn set(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

pub fn ip(text: &str) -> String {
    text.to_owned()
}

fn node(name: &str, address: &str, renewed: &str) -> Node {
    Node {
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        addresses: set(&[address, name]),
        renewed: Some(renewed.to_owned()),
    }
}

fn pod(name: &str, node: &str) -> Pod {
    Pod {
        namespace: "default".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        node: node.to_owned(),
    }
}

pub(crate) fn lease(name: &str, holder: &str, renewed: i64) -> Lease {
    Lease {
        name: name.to_owned(),
        holder: Some(holder.to_owned()),
        renewed: Some(after(renewed)),
        duration_seconds: Some(15),
        resource_version: "7".to_owned(),
        of_an_apiserver: false,
    }
}

/// Lost at 0, restored at 30 s, looked at from 60 s on: m1 is this node, m2 lives, m3 is gone.
pub fn facts() -> Facts {
    let look = |at: u64, renewed: &str, revision: i64| Look {
        at: Moment(at),
        wall: after(i64::try_from(at).unwrap()),
        master_leases: Reading::Known(BTreeMap::from([
            ("/registry/masterleases/10.0.0.1".to_owned(), 100),
            ("/registry/masterleases/10.0.0.2".to_owned(), 200 + revision),
            ("/registry/masterleases/10.0.0.3".to_owned(), 300),
        ])),
        leases: Reading::Known(Vec::new()),
        nodes: Reading::Known(vec![
            node("m1", "10.0.0.1", renewed),
            node("m2", "10.0.0.2", renewed),
        ]),
        pods: Reading::Known(vec![pod("a", "m1"), pod("b", "m2")]),
        running: Reading::Known(BTreeSet::from([("default".to_owned(), "a".to_owned())])),
        alarms: Reading::Known(BTreeSet::new()),
        requests: Reading::Known(Vec::new()),
    };
    Facts {
        node: "m1".to_owned(),
        addresses: BTreeSet::from([ip("10.0.0.1")]),
        other_masters: set(&["m2"]),
        named_gone: BTreeSet::new(),
        lost_at: after(0),
        restored_at: after(30_000),
        first: look(60_000, "first", 0),
        second: look(
            60_000 + u64::try_from(LIFE.as_millis()).unwrap(),
            "second",
            1,
        ),
    }
}

fn all() -> BTreeSet<Hygiene> {
    Hygiene::ALL.into_iter().collect()
}

pub fn planned(facts: &Facts) -> Vec<Planned> {
    plan(facts, &all())
}

/// Why nothing is done about the only thing that is found.
#[track_caller]
fn left(facts: &Facts) -> String {
    let planned = planned(facts);
    assert_eq!(planned.len(), 1, "{planned:?}");
    planned[0].act.clone().unwrap_err()
}

fn acts(facts: &Facts) -> Vec<Act> {
    planned(facts)
        .into_iter()
        .filter_map(|one| one.act.ok())
        .collect()
}

#[test]
fn r07_stale_endpoints_of_dead_masters_are_deleted_and_no_others() {
    let facts = facts();
    assert!(needs_a_second_look(&facts));
    let expected = Act::DeleteKey {
        key: "/registry/masterleases/10.0.0.3".to_owned(),
        mod_revision: 300,
        address: "10.0.0.3".to_owned(),
    };
    assert_eq!(acts(&facts), [expected]);
}

#[test]
fn r07_an_api_server_that_may_live_keeps_its_endpoint() {
    // It is too early to tell.
    let mut early = facts();
    early.second.at = Moment(early.first.at.0 + 44_000);
    assert_eq!(left(&early), "it was not watched for long enough");
    // Its node lives, and is a master by the configuration: it may be starting.
    let mut starting = facts();
    let Reading::Known(leases) = &mut starting.first.master_leases else {
        panic!()
    };
    leases.insert("/registry/masterleases/10.0.0.2".to_owned(), 201);
    let Reading::Known(leases) = &mut starting.second.master_leases else {
        panic!()
    };
    leases.remove("/registry/masterleases/10.0.0.3");
    assert_eq!(
        left(&starting),
        "its node lives, and its API server may be starting"
    );
    // A node that is dead is no reason to keep it.
    starting.first.nodes.clone_from(&starting.second.nodes);
    assert_eq!(acts(&starting).len(), 1);
    // Without our own addresses nobody's is another's.
    let mut unnamed = facts();
    unnamed.addresses.clear();
    assert!(planned(&unnamed).iter().all(|one| one.act.is_err()));
}

#[test]
fn what_cannot_be_looked_at_is_told_and_nothing_is_deleted() {
    let silent = || Unseen::new(UnseenKind::TimedOut, "no answer within 5 s");
    let mut facts = facts();
    facts.second.master_leases = Reading::Unknown(silent());
    facts.second.leases = Reading::Unknown(silent());
    facts.second.nodes = Reading::Unknown(silent());
    facts.second.pods = Reading::Unknown(silent());
    facts.second.alarms = Reading::Unknown(silent());
    facts.second.requests = Reading::Unknown(silent());
    facts.named_gone = set(&["m3"]);
    let planned = planned(&facts);
    assert_eq!(planned.len(), 6, "{planned:?}");
    for one in planned {
        assert_eq!(one.act.unwrap_err(), "no answer within 5 s");
        assert!(one.what.ends_with("could not be looked at"), "{}", one.what);
    }
    let mut first = self::facts();
    first.first.master_leases = Reading::Unknown(silent());
    assert_eq!(left(&first), "no answer within 5 s");
}

#[test]
fn leases_are_cleared_only_where_their_holder_must_have_given_up() {
    let mut facts = facts();
    facts.second.master_leases = Reading::Known(BTreeMap::new());
    let mut of = |leases: Vec<Lease>| {
        facts.second.leases = Reading::Known(leases);
        planned(&facts)
    };
    let gone = of(vec![lease("kube-scheduler", "m3_5c1d", -5000)]);
    assert!(
        gone[0]
            .what
            .contains("held by m3_5c1d, of m3, which is no node any more")
    );
    let expected = Act::ClearLease {
        name: "kube-scheduler".to_owned(),
        resource_version: "7".to_owned(),
    };
    assert_eq!(gone[0].act, Ok(expected));
    let ours = of(vec![lease("kube-scheduler", "m1_77", -60_000)]);
    assert!(
        ours[0]
            .what
            .contains("not renewed it since before the restore")
    );
    assert!(ours[0].act.is_ok());
    // Renewed since, held by nobody, or no leader election at all.
    let mut identity = lease("apiserver-abc", "apiserver-abc_1", -60_000);
    identity.of_an_apiserver = true;
    let mut free = lease("free", "", -60_000);
    assert_eq!(of(vec![lease("renewed early", "m2_1", 12_000)]), []);
    assert_eq!(
        of(vec![
            lease("renewed", "m2_1", 31_000),
            identity,
            free.clone()
        ]),
        []
    );
    free.holder = None;
    assert_eq!(of(vec![free]), []);
    // Its holder may lead until one duration after etcd was lost.
    let mut long = lease("long", "m2_1", -1000);
    long.duration_seconds = Some(60);
    assert_eq!(
        of(vec![long])[0].act,
        Err("its holder may not have given up yet".to_owned())
    );
}

#[test]
fn nodes_are_deleted_only_where_an_operator_named_them_and_they_are_dead() {
    let mut facts = facts();
    facts.second.master_leases = Reading::Known(BTreeMap::new());
    let dead = node("m4", "10.0.0.4", "long ago");
    for look in [&mut facts.first, &mut facts.second] {
        let Reading::Known(nodes) = &mut look.nodes else {
            panic!()
        };
        nodes.push(dead.clone());
    }
    assert_eq!(planned(&facts), [], "nobody named it");
    facts.named_gone = set(&["m1", "m2", "m4", "m9"]);
    let told: Vec<_> = planned(&facts).into_iter().map(|one| one.act).collect();
    let uid = "uid-m4".to_owned();
    let name = "m4".to_owned();
    assert_eq!(
        told,
        [
            Err("it is this node".to_owned()),
            Err("its kubelet lives: it renews its lease".to_owned()),
            Ok(Act::DeleteNode { name, uid }),
        ]
    );
    facts.second.at = facts.first.at;
    assert!(acts(&facts).is_empty());
}

#[test]
fn pods_of_nodes_that_do_not_exist_are_deleted_and_all_others_left_to_the_kubelet() {
    let mut facts = facts();
    facts.second.master_leases = Reading::Known(BTreeMap::new());
    let with = |facts: &mut Facts, extra: &[Pod]| {
        for look in [&mut facts.first, &mut facts.second] {
            let Reading::Known(pods) = &mut look.pods else {
                panic!()
            };
            pods.extend(extra.iter().cloned());
        }
    };
    with(&mut facts, &[pod("lost", "m3"), pod("not-started", "m1")]);
    let expected = Act::DeletePod {
        namespace: "default".to_owned(),
        name: "lost".to_owned(),
        uid: "uid-lost".to_owned(),
    };
    assert_eq!(acts(&facts), [expected]);
    assert_eq!(planned(&facts).len(), 1);
    // Seen only once: its node may have been registered or lost in this moment.
    let mut once = facts.clone();
    once.first.pods = Reading::Known(Vec::new());
    assert_eq!(left(&once), "it was not watched for long enough");
    // An answer without nodes is none to delete every pod by.
    let mut empty = facts.clone();
    empty.second.nodes = Reading::Known(Vec::new());
    assert!(acts(&empty).is_empty());
    // What runs here and is not in the data is only told.
    let mut phantom = self::facts();
    phantom.second.master_leases = Reading::Known(BTreeMap::new());
    let Reading::Known(running) = &mut phantom.second.running else {
        panic!()
    };
    running.insert(("default".to_owned(), "phantom".to_owned()));
    assert!(left(&phantom).starts_with("the kubelet ends it by itself"));
}

#[test]
fn r12_a_full_database_gets_room_and_other_alarms_are_told() {
    let mut facts = facts();
    facts.second.master_leases = Reading::Known(BTreeMap::new());
    facts.second.alarms = Reading::Known(set(&["NOSPACE", "CORRUPT"]));
    let told: Vec<_> = planned(&facts).into_iter().map(|one| one.act).collect();
    assert_eq!(told[0], Ok(Act::MakeRoom));
    assert!(told[1].is_err() && told.len() == 2, "{told:?}");
}

#[test]
fn each_kind_can_be_switched_off_and_is_told_all_the_same() {
    let mut facts = facts();
    facts.named_gone = set(&["m4"]);
    for look in [&mut facts.first, &mut facts.second] {
        let Reading::Known(nodes) = &mut look.nodes else {
            panic!()
        };
        nodes.push(node("m4", "10.0.0.4", "long ago"));
        let Reading::Known(pods) = &mut look.pods else {
            panic!()
        };
        pods.push(pod("lost", "m3"));
    }
    facts.second.leases = Reading::Known(vec![lease("kube-scheduler", "m3_1", -5000)]);
    facts.second.alarms = Reading::Known(set(&["NOSPACE"]));
    facts.second.requests = Reading::Known(vec![request(CLIENT)]);
    assert_eq!(acts(&facts).len(), 6);
    for off in Hygiene::ALL {
        let mut allowed = all();
        allowed.remove(&off);
        for one in plan(&facts, &allowed) {
            assert_eq!(one.act.is_err(), one.kind == off, "{one:?}");
        }
    }
    let nothing = plan(&facts, &BTreeSet::new());
    assert_eq!(nothing.len(), 6);
    assert!(nothing.iter().all(|one| one.act.is_err()));
}
