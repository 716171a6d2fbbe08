//! Which of the found objects are the control plane (`predecessor.md` R6), and R19.

use rekindle::core::recover::found::Found;
use serde_json::{Value, json};

use crate::recover_samples::{
    addresses, daemon_set, deployment, lab, label, mistakes, planned, simply, spec, wanted,
};

fn froms(found: &Found) -> Vec<String> {
    let addresses = addresses();
    let mut wanted = wanted(&addresses);
    wanted.kubeconfig = true;
    let plan = planned(found, &wanted);
    plan.pods.iter().map(|pod| pod.from.clone()).collect()
}

/// A controller that needs no data.
fn bare(words: &[&str], image: &str) -> Value {
    json!({"containers": [{"name": "main", "image": image, "command": words}]})
}

#[test]
fn the_lab_is_found_by_its_labels() {
    assert_eq!(
        froms(&lab()),
        [
            "DaemonSet kube-system/kube-apiserver",
            "Deployment kube-system/kube-controller-manager",
            "Deployment kube-system/kube-scheduler",
        ]
    );
}

#[test]
fn each_label_the_name_and_the_program_are_known() {
    let api = ["kube-apiserver", "--x=1"];
    let ways: [(&str, Value, Value); 9] = [
        ("a", json!({"k8s-app": "kube-apiserver"}), bare(&["x"], "i")),
        (
            "a",
            json!({"component": "kube-apiserver"}),
            bare(&["x"], "i"),
        ),
        (
            "a",
            json!({"app.kubernetes.io/name": "kube-apiserver"}),
            bare(&["x"], "i"),
        ),
        ("kube-apiserver", json!({}), bare(&["x"], "i")),
        ("a", json!({}), bare(&api, "i")),
        (
            "a",
            json!({}),
            bare(
                &[
                    "/usr/bin/flock",
                    "/lock",
                    "/hyperkube",
                    "apiserver",
                    "--x=1",
                ],
                "i",
            ),
        ),
        ("a", json!({}), bare(&["/hyperkube", "kube-apiserver"], "i")),
        (
            "a",
            json!({}),
            bare(&["/bin/sh", "-c", "exec kube-apiserver --x=1\n"], "i"),
        ),
        (
            "a",
            json!({}),
            bare(&[], "registry:5000/kube-apiserver:v1.20.2@sha256:00"),
        ),
    ];
    for (name, labels, spec) in ways {
        let found = Found {
            namespace: "kube-system".to_owned(),
            deployments: vec![deployment(name, &labels, &spec)],
            ..Found::default()
        };
        assert_eq!(
            froms(&found),
            [format!("Deployment kube-system/{name}")],
            "{labels} {spec}"
        );
    }
}

#[test]
fn a_label_is_believed_before_a_name_and_a_name_before_a_program() {
    let found = Found {
        daemon_sets: vec![
            daemon_set(
                "kube-scheduler",
                &json!({}),
                &bare(&["kube-scheduler"], "i"),
            ),
            daemon_set("other", &json!({}), &bare(&["kube-scheduler"], "i")),
            daemon_set(
                "real",
                &label("kube-scheduler"),
                &bare(&["kube-scheduler"], "i"),
            ),
        ],
        ..lab()
    };
    assert!(froms(&found).contains(&"DaemonSet kube-system/real".to_owned()));
}

#[test]
fn a_daemon_set_goes_before_a_deployment_and_that_is_said() {
    let mut found = lab();
    let labels = label("kube-scheduler");
    let spec = spec("kube-scheduler", &["kube-scheduler"]);
    found.daemon_sets.push(daemon_set("sched", &labels, &spec));
    let addresses = addresses();
    let mut wanted = wanted(&addresses);
    wanted.kubeconfig = true;
    let plan = planned(&found, &wanted);
    assert_eq!(plan.pods[2].from, "DaemonSet kube-system/sched");
    let told = "DaemonSet kube-system/sched is taken, not Deployment kube-system/kube-scheduler";
    assert!(
        plan.warnings.iter().any(|warning| warning.contains(told)),
        "{:?}",
        plan.warnings
    );
}

#[test]
fn two_that_claim_the_same_are_both_named() {
    let mut found = lab();
    let labels = label("kube-scheduler");
    let spec = spec("kube-scheduler", &["kube-scheduler"]);
    found
        .deployments
        .push(deployment("scheduler-2", &labels, &spec));
    let all = mistakes(&found, &wanted(&addresses()));
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(
        all[0].contains("kube-system/kube-scheduler and Deployment kube-system/scheduler-2"),
        "{all:?}"
    );
}

#[test]
fn r19_nothing_found_says_what_was_looked_for_and_where() {
    let found = Found {
        namespace: "kube-system".to_owned(),
        daemon_sets: vec![daemon_set(
            "proxy",
            &label("kube-proxy"),
            &bare(&["p"], "i"),
        )],
        ..Found::default()
    };
    let all = mistakes(&found, &wanted(&addresses()));
    assert_eq!(all.len(), 1, "{all:?}");
    for word in [
        "nothing to recover",
        "namespace kube-system in etcd backup file at \"/b\"",
        "k8s-app, component, app.kubernetes.io/name",
        "kube-apiserver, kube-controller-manager, kube-scheduler",
        "1 DaemonSet and 0 Deployments were looked at",
    ] {
        assert!(all[0].contains(word), "{word}: {all:?}");
    }
}

#[test]
fn a_component_that_is_missing_is_told_and_the_others_are_recovered() {
    let mut found = lab();
    found.deployments.pop();
    let plan = simply(&found);
    assert_eq!(plan.pods.len(), 2);
    assert!(
        plan.warnings
            .iter()
            .any(|w| w.contains("not recovered") && w.contains("kube-scheduler"))
    );
}

#[test]
fn an_unreadable_controller_is_a_mistake_only_where_nothing_else_answers() {
    let unreadable = vec![(
        "/registry/deployments/kube-system/kube-scheduler".to_owned(),
        "its form is not known".to_owned(),
    )];
    let mut found = Found {
        unreadable,
        ..lab()
    };
    assert_eq!(simply(&found).pods.len(), 3);
    found.deployments.pop();
    let all = mistakes(&found, &wanted(&addresses()));
    assert!(
        all[0].contains("kube-system/kube-scheduler cannot be read: its form"),
        "{all:?}"
    );
}
