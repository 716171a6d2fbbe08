//! etcd's restore and replacement as plain data: what comes next, what may be taken back, where a
//! run that was cut off goes on, and where etcd runs.

use k8s_openapi::api::core::v1::Pod;
use rekindle::core::backup::manifest::Member;
use rekindle::core::recovery::etcd::home::{Flags, of_pod};
use rekindle::core::recovery::etcd::place::{Swap, swap};
use rekindle::core::recovery::etcd::replace::{Seen, initial_cluster, own, replaceable};
use rekindle::core::recovery::etcd::{Home, Replace, ReplaceStage, Restore, Runs, Source, Stage};
use serde_json::json;

fn pod(command: &[&str]) -> Pod {
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "etcd", "namespace": "kube-system"},
        "spec": {
            "containers": [{
                "name": "etcd", "image": "registry.k8s.io/etcd:3.5.16-0", "command": command,
                "volumeMounts": [
                    {"name": "certs", "mountPath": "/etc/kubernetes/pki/etcd"},
                    {"name": "data", "mountPath": "/var/lib"},
                ],
            }],
            "volumes": [
                {"name": "data", "hostPath": {"path": "/disk/var"}},
                {"name": "certs", "hostPath": {"path": "/etc/kubernetes/pki/etcd"}},
            ],
        },
    }))
    .unwrap()
}

const FLAGS: [&str; 6] = [
    "etcd",
    "--name=m0",
    "--data-dir=/var/lib/etcd",
    "--initial-advertise-peer-urls=https://10.0.0.1:2380",
    "--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379",
    "--initial-cluster=m0=https://10.0.0.1:2380,m1=https://10.0.0.2:2380",
];

fn home() -> Home {
    of_pod("etcd.yaml", false, &pod(&FLAGS)).unwrap().unwrap()
}

fn member(id: u64, name: &str, url: &str, learner: bool) -> Member {
    Member {
        id,
        name: name.to_owned(),
        peer_urls: vec![url.to_owned()],
        client_urls: Vec::new(),
        learner,
    }
}

#[test]
fn the_home_is_read_from_what_starts_etcd() {
    let home = home();
    assert_eq!(home.data_dir.to_str(), Some("/disk/var/etcd"));
    assert_eq!(home.name, "m0");
    let runs = Runs::StaticPod {
        file: "etcd.yaml".to_owned(),
        namespace: "kube-system".to_owned(),
        pod: "etcd".to_owned(),
    };
    assert_eq!(home.runs, runs);
    let configured = ["https://10.0.0.2:2379", "https://10.0.0.1:2379"].map(str::to_owned);
    assert_eq!(
        home.endpoint(&configured).as_deref(),
        Some("https://10.0.0.1:2379")
    );
    assert_eq!(
        home.endpoint(&[]).as_deref(),
        Some("https://127.0.0.1:2379")
    );
    assert_eq!(home.guessed_clients(), ["https://10.0.0.2:2379"]);
    assert!(!home.listens_on("https://127.0.0.1:12379"));

    let ours = of_pod("rekindle-x.json", true, &pod(&FLAGS))
        .unwrap()
        .unwrap();
    assert!(matches!(ours.runs, Runs::SelfHosted { .. }));
    assert!(of_pod("a", false, &pod(&["kube-apiserver", "--etcd-servers=x"])).is_none());
    let why = |command: &[&str]| of_pod("a", false, &pod(command)).unwrap().unwrap_err();
    assert!(why(&["etcd"]).contains("--data-dir"));
    assert!(why(&["etcd", "--data-dir=/elsewhere"]).contains("hostPath"));
    let wal = [FLAGS.as_slice(), &["--wal-dir=/wal"]].concat();
    assert!(why(&wal).contains("--wal-dir"));
}

#[test]
fn flags_win_over_the_environment() {
    let environment = [
        ("ETCD_NAME", "e"),
        ("ETCD_INITIAL_ADVERTISE_PEER_URLS", "http://1:2"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let words = ["/usr/bin/etcd", "--name", "f", "--data-dir=/d"].map(str::to_owned);
    let flags = Flags::of_words(&words, environment);
    let unit = "etcd.service".to_owned();
    let home = flags.home(Runs::Unit { unit }, None, None).unwrap();
    assert_eq!((home.name.as_str(), home.peer_urls.len()), ("f", 1));
}

#[test]
fn every_step_of_a_restore_leads_on_and_survives_its_journal() {
    for (source, steps) in [
        (Source::DataDirectory, 9),
        (Source::Backup("b".to_owned()), 7),
    ] {
        let mut it = Restore::new("id", source.clone(), home(), Some(7));
        let mut passed = vec![it.stage];
        while it.stage != Stage::Done {
            let text = serde_json::to_string(&it).unwrap();
            let again: Restore = serde_json::from_str(&text).unwrap();
            assert_eq!(again, it);
            let resumed = it.stage.resumed();
            // What is done again is never beyond the commit point from before it.
            assert!(resumed <= it.stage && resumed.committed() == it.stage.committed());
            let next = it.stage.next(&source);
            assert!(next > it.stage && !it.stage.said().is_empty());
            it.stage = next;
            passed.push(next);
        }
        assert_eq!(passed.len(), steps, "{passed:?}");
        assert_eq!(Stage::Done.next(&source), Stage::Done);
    }
}

#[test]
fn another_source_is_taken_only_before_anything_was_restored() {
    for stage in Stage::ALL {
        let mut it = Restore::new("id", Source::DataDirectory, home(), None);
        it.stage = stage;
        let instead = it.instead(Source::Backup("b".to_owned()));
        assert_eq!(instead.is_none(), stage.committed(), "{stage:?}");
        if let Some(instead) = instead {
            assert!(instead.stage <= Stage::Stopping && instead.restored.is_none());
        }
    }
}

#[test]
fn the_swap_goes_on_from_whatever_it_finds_and_never_over_something_new() {
    for had in [true, false] {
        // Followed from the beginning it ends, with a kill after either rename.
        let (mut current, mut aside, mut fresh) = (had, false, true);
        for _ in 0..3 {
            match swap(had, current, aside, fresh) {
                Swap::MoveOld => (current, aside) = (false, true),
                Swap::MoveNew => (current, fresh) = (true, false),
                Swap::Done => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((current, aside, fresh), (true, had, false));
        assert_eq!(swap(had, true, true, true), Swap::InTheWay);
        assert_eq!(swap(had, false, false, false), Swap::Lost);
    }
    assert_eq!(swap(true, false, false, true), Swap::Lost);
    assert_eq!(swap(true, true, false, false), Swap::Lost);
    assert_eq!(swap(false, true, false, true), Swap::InTheWay);
}

#[test]
fn every_step_of_a_replacement_leads_on() {
    let mut stage = ReplaceStage::Prepared;
    let mut passed = 1;
    while stage != ReplaceStage::Done {
        assert!(stage.next() > stage && !stage.said().is_empty());
        stage = stage.next();
        passed += 1;
    }
    assert_eq!((passed, stage.next()), (10, ReplaceStage::Done));
    let it = Replace {
        id: "id".to_owned(),
        stage,
        home: home(),
        cluster_id: 1,
        others: Vec::new(),
        old_member: Some(2),
        new_member: None,
        place: rekindle::core::recovery::etcd::Place::new("/d".into(), "id"),
    };
    let text = serde_json::to_string(&it).unwrap();
    assert_eq!(serde_json::from_str::<Replace>(&text).unwrap(), it);
}

#[test]
fn r13_a_member_is_taken_out_only_where_the_others_have_a_quorum_with_and_without_it() {
    // Voters as `h`ealthy or `s`ilent, learners as `l`; the first is ours.
    for (set, allowed) in [
        ("shh", true),
        ("hhh", false),
        ("shs", false),
        ("s", false),
        ("sh", false),
        ("shhhh", true),
        ("shhhs", true),
        ("shhss", false),
        ("shhl", true),
        ("shl", false),
    ] {
        let members: Vec<Seen> = (1..)
            .zip(set.chars())
            .map(|(id, how)| Seen {
                member: member(id, "m", "u", how == 'l'),
                healthy: how != 's',
            })
            .collect();
        assert_eq!(replaceable(&members, Some(1)).is_ok(), allowed, "{set}");
    }
}

#[test]
fn the_own_member_is_found_by_its_peer_url_first_and_joins_under_its_name() {
    let home = home();
    let members = [
        member(1, "m0", "https://10.9.9.9:2380", false),
        member(2, "", "https://10.0.0.1:2380", true),
        member(3, "", "https://10.0.0.3:2380", true),
    ];
    let seen = members.clone().map(|member| Seen {
        member,
        healthy: false,
    });
    assert_eq!(own(&seen, &home).unwrap().member.id, 2);
    assert_eq!(
        initial_cluster(&members[1..], &home),
        "m0=https://10.0.0.1:2380,3=https://10.0.0.3:2380"
    );
}
