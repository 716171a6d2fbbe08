//! What a clean-up plans: facts and the operator's words in, steps and refusals out.

use rekindle::core::cleanup::facts::{
    Answer, Containers, EtcdOwner, Facts, Kubelet, Place, Served, Unit,
};
use rekindle::core::cleanup::plan::{Asked, Layout, Plan, StepKind, plan};
use rekindle::core::reading::{Reading, UnseenKind};

use crate::world::silent;

/// A master whose control plane is lost: everything is there, nobody serves.
fn lost() -> Facts {
    let place = |path: &str, entries: &[&str]| Place {
        entries: entries.iter().map(|&entry| entry.to_owned()).collect(),
        ..Place::empty(path)
    };
    Facts {
        control_plane: vec![Served {
            who: "the API server".into(),
            answer: Answer::Silent("refused".into()),
        }],
        kubelet: Kubelet {
            unit: Unit::Known("active".into()),
            unit_name: "kubelet.service".into(),
            processes: vec![7],
            ports: vec!["http://127.0.0.1:10255".into()],
        },
        containers: Reading::Known(Containers {
            kubernetes: 6,
            ours: 2,
            foreign: 1,
            pods: vec!["kube-system/etcd".into()],
        }),
        mounts: Reading::Known(vec!["/var/lib/kubelet/pods/u/volumes/token".into()]),
        manifests: place("/etc/kubernetes/manifests", &["etcd.yaml"]),
        pods: place("/var/lib/kubelet/pods", &["u"]),
        etcd: place("/var/lib/etcd", &["member"]),
        etcd_owner: EtcdOwner::Pod,
        database: Some("/var/lib/etcd/member/snap/db".into()),
        database_copied: false,
        logs: 9,
        logs_archived: false,
    }
}

/// The same node afterwards.
fn clean() -> Facts {
    let mut facts = lost();
    facts.kubelet.unit = Unit::Known("inactive".into());
    facts.kubelet.processes.clear();
    facts.kubelet.ports.clear();
    facts.containers = Reading::Known(Containers::default());
    facts.mounts = Reading::Known(vec![]);
    for place in [&mut facts.manifests, &mut facts.pods, &mut facts.etcd] {
        place.entries.clear();
    }
    facts.database = None;
    facts
}

fn layout() -> Layout {
    Layout {
        quarantine_dir: "/var/lib/rekindle/quarantine".into(),
        state_dir: "/var/lib/rekindle".into(),
        backup_dir: "/var/lib/rekindle/backups".into(),
    }
}

fn planned(facts: &Facts, asked: &Asked) -> Plan {
    plan(facts, asked, &layout())
}

fn kinds(plan: &Plan) -> Vec<StepKind> {
    plan.steps.iter().map(|step| step.kind).collect()
}

/// Refused with these words, and a hint.
#[track_caller]
fn refused(facts: &Facts, words: &str) {
    let plan = planned(facts, &Asked::default());
    let all: Vec<&str> = plan.refused.iter().map(|r| r.why.as_str()).collect();
    assert!(
        all.iter().any(|why| why.contains(words)),
        "{words}: {all:?}"
    );
    assert!(plan.refused.iter().all(|refusal| !refusal.hint.is_empty()));
}

#[test]
fn a_lost_master_is_taken_apart_in_the_seeds_order() {
    use StepKind::*;
    let asked = Asked {
        restart_kubelet: true,
        ..Asked::default()
    };
    let plan = planned(&lost(), &asked);
    assert_eq!(plan.refused, []);
    let expected = [
        ArchiveLogs,
        StopKubelet,
        RemoveContainers,
        Unmount,
        MoveManifests,
        MovePods,
        CopyDatabase,
        MoveEtcd,
        StartKubelet,
    ];
    assert_eq!(kinds(&plan), expected);
    assert!(
        plan.left
            .iter()
            .any(|left| left.contains("1 containers that are not")),
        "{plan:?}"
    );
}

#[test]
fn a_clean_node_needs_nothing_and_logs_alone_are_no_reason() {
    let plan = planned(&clean(), &Asked::default());
    assert_eq!(plan, Plan::default());
    let asked = Asked {
        restart_kubelet: true,
        ..Asked::default()
    };
    assert_eq!(kinds(&planned(&clean(), &asked)), [StepKind::StartKubelet]);
}

#[test]
fn a_control_plane_that_serves_or_may_is_not_cleaned_away_but_with_a_reason() {
    for (answer, is) in [
        (Answer::Healthy, true),
        (Answer::Lives("401".into()), true),
        (Answer::Silent("500".into()), false),
    ] {
        let mut facts = lost();
        facts.control_plane.push(Served {
            who: "etcd".into(),
            answer,
        });
        let plan = planned(&facts, &Asked::default());
        assert_eq!(!plan.refused.is_empty(), is, "{plan:?}");
        let reason = Some("it is the wrong cluster".to_owned());
        let forced = planned(
            &facts,
            &Asked {
                force_reason: reason,
                ..Asked::default()
            },
        );
        assert_eq!(forced.refused, []);
        let resumed = planned(
            &facts,
            &Asked {
                resumed: true,
                ..Asked::default()
            },
        );
        assert_eq!(resumed.refused, [], "it was asked when the run was begun");
    }
}

#[test]
fn what_is_not_known_refuses() {
    let mut facts = lost();
    facts.containers = silent(UnseenKind::TimedOut);
    refused(&facts, "what containerd runs is not known");
    let mut facts = lost();
    facts.mounts = silent(UnseenKind::Unreadable);
    refused(&facts, "what is mounted is not known");
    let mut facts = lost();
    facts.kubelet.unit = Unit::Unknown("timed out".into());
    refused(&facts, "whether kubelet.service runs is not known");
    let mut facts = lost();
    facts.etcd_owner = EtcdOwner::Unknown("no answer".into());
    refused(&facts, "whose the data of /var/lib/etcd is");
    let mut facts = lost();
    facts.pods.unreadable = Some("denied".into());
    refused(&facts, "/var/lib/kubelet/pods cannot be read");
    let mut facts = lost();
    facts
        .etcd
        .stuck
        .push(("wal".into(), "a file system is mounted there".into()));
    refused(
        &facts,
        "/var/lib/etcd/wal cannot be moved: a file system is mounted there",
    );
}

#[test]
fn a_kubelet_that_cannot_be_stopped_here_refuses() {
    for unit in [
        Unit::NoSystemd,
        Unit::Missing,
        Unit::Known("inactive".into()),
    ] {
        let mut facts = lost();
        facts.kubelet.unit = unit;
        refused(&facts, "a kubelet that is not kubelet.service answers");
        let word = Asked {
            kubelet_stopped: true,
            ..Asked::default()
        };
        assert!(
            !planned(&facts, &word).refused.is_empty(),
            "a word against an answer"
        );
        facts.kubelet.ports.clear();
        refused(&facts, "a process named kubelet runs");
        assert_eq!(
            planned(&facts, &word).refused,
            [],
            "the operator's word counts"
        );
        facts.kubelet.processes.clear();
        let plan = planned(&facts, &Asked::default());
        assert_eq!(plan.refused, [], "nobody answers and no process is there");
        assert!(!kinds(&plan).contains(&StepKind::StopKubelet));
    }
}

#[test]
fn etcd_that_is_not_kubernetes_is_left_alone_and_it_is_said() {
    for owner in [EtcdOwner::Unit("etcd.service".into()), EtcdOwner::Process] {
        let mut facts = lost();
        facts.etcd_owner = owner;
        let plan = planned(&facts, &Asked::default());
        assert_eq!(plan.refused, []);
        assert!(!kinds(&plan).contains(&StepKind::MoveEtcd), "{plan:?}");
        assert!(!kinds(&plan).contains(&StepKind::CopyDatabase), "{plan:?}");
        assert!(
            plan.left.iter().any(|left| left.contains("etcd's data")),
            "{plan:?}"
        );
    }
    let kept = planned(
        &lost(),
        &Asked {
            keep_etcd: true,
            ..Asked::default()
        },
    );
    assert!(!kinds(&kept).contains(&StepKind::MoveEtcd));
}

#[test]
fn the_database_is_copied_before_anything_of_etcd_is_moved_and_only_once() {
    let steps = kinds(&planned(&lost(), &Asked::default()));
    let at = |kind| steps.iter().position(|step| *step == kind);
    assert!(at(StepKind::CopyDatabase) < at(StepKind::MoveEtcd));
    let mut facts = lost();
    facts.database_copied = true;
    let steps = kinds(&planned(&facts, &Asked::default()));
    assert!(!steps.contains(&StepKind::CopyDatabase) && steps.contains(&StepKind::MoveEtcd));
}

#[test]
fn what_is_kept_never_lies_in_what_is_moved() {
    for (dir, kept) in [
        ("/var/lib/rekindle", "/var/lib/rekindle"),
        ("/var/lib", "/var/lib/rekindle/quarantine"),
        ("/var/lib/rekindle/backups/etcd", "/var/lib/rekindle"),
    ] {
        let mut facts = lost();
        facts.etcd.path = dir.into();
        refused(&facts, &format!("{kept} and {dir} lie in one another"));
    }
}
