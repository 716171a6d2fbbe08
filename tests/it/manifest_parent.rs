//! Which pods are parents, and their keys.

use k8s_openapi::api::core::v1::Pod;
use rekindle::core::id::CheckpointId;
use rekindle::core::manifest::finish::label_value;
use rekindle::core::manifest::names::{mirror_name, static_name};
use rekindle::core::manifest::parent::checkpoint_id;
use serde_json::{Value, json};

use crate::manifest_pods::pod;

fn owned(kind: &str, api_version: &str, owner: &str, hash: Option<&str>) -> Pod {
    let mut labels = json!({});
    if let Some(hash) = hash {
        labels["pod-template-hash"] = Value::from(hash);
    }
    pod(json!({"metadata": {
        "name": "web-0", "namespace": "shop", "labels": labels,
        "annotations": {"checkpointer.alpha.coreos.com/checkpoint": "true"},
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "Other", "name": "bystander", "uid": "1"},
            {"apiVersion": api_version, "kind": kind, "name": owner, "uid": "2", "controller": true},
        ],
    }}))
}

fn annotated(annotations: &Value) -> Pod {
    pod(json!({"metadata": {"name": "web", "namespace": "shop", "annotations": annotations}}))
}

#[track_caller]
fn key(pod: &Pod) -> String {
    checkpoint_id(pod)
        .expect("a parent")
        .expect("a key")
        .to_string()
}

#[test]
fn the_key_is_that_of_the_controller() {
    let cases = [
        ("DaemonSet", "apps/v1", "web", None, "daemonset.shop.web"),
        (
            "ReplicaSet",
            "apps/v1",
            "web-5f7",
            Some("5f7"),
            "deployment.shop.web",
        ),
        (
            "ReplicaSet",
            "apps/v1",
            "web-5f7",
            None,
            "replicaset.shop.web-5f7",
        ),
        (
            "ReplicaSet",
            "apps/v1",
            "web-5f7",
            Some("f7"),
            "replicaset.shop.web-5f7",
        ),
        (
            "ReplicaSet",
            "apps/v1",
            "-5f7",
            Some("5f7"),
            "replicaset.shop.-5f7",
        ),
        (
            "StatefulSet",
            "apps/v1",
            "web",
            None,
            "statefulset.shop.web-0",
        ),
        ("Job", "batch/v1", "web", None, "job.shop.web"),
        (
            "ReplicationController",
            "v1",
            "web",
            None,
            "replicationcontroller.shop.web",
        ),
        (
            "DaemonSet",
            "apps.kruise.io/v1",
            "web",
            None,
            "daemonset-apps-kruise-io.shop.web",
        ),
    ];
    for (kind, api_version, owner, hash, expected) in cases {
        assert_eq!(key(&owned(kind, api_version, owner, hash)), expected);
    }
}

#[test]
fn a_pod_without_controller_has_its_own_key() {
    let alone = annotated(&json!({"checkpointer.alpha.coreos.com/checkpoint": "true"}));
    assert_eq!(key(&alone), "pod.shop.web");
}

#[test]
fn only_annotated_pods_of_the_api_are_parents() {
    let mark = "checkpointer.alpha.coreos.com/checkpoint";
    let not_parents = [
        json!({}),
        json!({mark: "True"}),
        json!({mark: "yes"}),
        json!({mark: ""}),
        json!({mark: "true", "kubernetes.io/config.source": "file"}),
        json!({mark: "true", "kubernetes.io/config.mirror": "abc"}),
        json!({mark: "true", "checkpointer.alpha.coreos.com/checkpoint-of": ""}),
    ];
    for annotations in not_parents {
        assert_eq!(
            checkpoint_id(&annotated(&annotations)),
            None,
            "{annotations}"
        );
    }
    let from_kubelet = json!({mark: "true", "kubernetes.io/config.source": "api"});
    assert_eq!(key(&annotated(&from_kubelet)), "pod.shop.web");
}

#[test]
fn a_name_that_makes_no_key_is_an_error_and_not_silence() {
    for name in ["", "../etc", "Web", "a/b", "web\0", &"x".repeat(250)] {
        let pod = pod(json!({"metadata": {
            "name": name, "namespace": "shop",
            "annotations": {"checkpointer.alpha.coreos.com/checkpoint": "true"},
        }}));
        assert!(checkpoint_id(&pod).expect("a parent").is_err(), "{name:?}");
    }
}

#[test]
fn c13_any_namespace_has_parents() {
    for namespace in ["kube-system", "default", "shop"] {
        let mut pod = owned("DaemonSet", "apps/v1", "web", None);
        pod.metadata.namespace = Some(namespace.to_owned());
        assert_eq!(key(&pod), format!("daemonset.{namespace}.web"));
    }
}

#[test]
fn c15_names_cannot_collide() {
    let ids = [
        ("pod", "a-b", "c"),
        ("pod", "a", "b-c"),
        ("pod", "a", "b.c"),
        ("daemonset", "a", "b-c"),
        ("daemonset-x", "a", "b-c"),
    ]
    .map(|(kind, namespace, name)| CheckpointId::new(kind, namespace, name).expect("an id"));
    for (index, one) in ids.iter().enumerate() {
        for other in &ids[index + 1..] {
            assert_ne!(one.as_str(), other.as_str());
            assert_ne!(label_value(one), label_value(other));
            assert_ne!(static_name(one, "n"), static_name(other, "n"));
        }
    }
}

#[test]
fn c15_groups_that_read_alike_have_keys_of_their_own() {
    let one = owned("Set", "a-b.c/v1", "web", None);
    let other = owned("Set", "a.b-c/v1", "web", None);
    assert_ne!(key(&one), key(&other));
}

#[test]
fn static_names_are_short_plain_and_stable() {
    let id = CheckpointId::new("daemonset", "kube-system", "kube-apiserver").expect("an id");
    let name = static_name(&id, "labnode").expect("a name");
    insta::assert_snapshot!(name, @"kube-apiserver-checkpoint-5804bdee13");
    assert_eq!(mirror_name(&name, "LabNode"), format!("{name}-labnode"));
    let long = "n".repeat(63) + "." + &"m".repeat(120);
    for controller in ["a", "-a-", "a.b.c", &"x".repeat(180)] {
        let Ok(id) = CheckpointId::new("pod", "kube-system", controller) else {
            continue;
        };
        for node in ["n", &long] {
            let name = match static_name(&id, node) {
                Ok(name) => name,
                Err(reason) => {
                    assert!(node.len() > 150, "{reason}");
                    continue;
                }
            };
            let mirror = mirror_name(&name, node);
            assert!(mirror.len() <= 253, "{mirror}");
            assert!(
                name.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            );
            assert!(!name.starts_with('-') && !name.ends_with('-'));
        }
    }
}
