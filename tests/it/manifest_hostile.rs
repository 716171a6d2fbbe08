//! Hostile input: nothing leaves its directory, nothing panics (scenarios D04 and D05).

use std::path::{Component, Path};

use proptest::prelude::*;
use rekindle::core::id::CheckpointId;
use rekindle::core::manifest::gathered::Gathered;
use rekindle::core::manifest::list::pod_list;
use rekindle::core::manifest::names::{mirror_name, static_name};
use rekindle::core::manifest::needs::ObjectKind;
use rekindle::core::manifest::references::api_references;
use rekindle::core::manifest::render::{Outcome, render};
use serde_json::{Value, json};

use crate::manifest_pods::{data, everything, fixture, gathered, object, parent, pod, refusals};

const HOSTILE: [&str; 12] = [
    "..",
    "../x",
    "a/../../x",
    "/etc/passwd",
    "",
    ".",
    "..data",
    "a\0b",
    "a\nb",
    "./..",
    "x/..",
    "//",
];

#[test]
fn d05_keys_that_are_no_file_names_are_refused() {
    let parent = parent(json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}));
    let long = "k".repeat(254);
    for key in HOSTILE.into_iter().chain(["a/b", "é", &long]) {
        let reasons = refusals(&parent, &gathered(&[(key, "v")], &[]));
        assert!(
            reasons[0].contains("a key that is no file name"),
            "{key:?}: {reasons:?}"
        );
    }
}

#[test]
fn d05_paths_that_leave_the_volume_are_refused() {
    let part = "p".repeat(256);
    let long = "p/".repeat(3000);
    for path in HOSTILE.into_iter().chain([part.as_str(), &long]) {
        let volumes = [
            json!({"name": "v", "secret": {"secretName": "s", "items": [{"key": "k", "path": path}]}}),
            json!({"name": "v", "projected": {"sources": [{"configMap": {"name": "c", "items": [{"key": "k", "path": path}]}}]}}),
            json!({"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": path}}]}}),
            json!({"name": "v", "downwardAPI": {"items": [{"path": path, "fieldRef": {"fieldPath": "metadata.name"}}]}}),
        ];
        for volume in volumes {
            let parent = parent(json!({"volumes": [volume]}));
            let mut all = gathered(&[("k", "v")], &[("k", "v")]);
            all.tokens = everything(&parent).tokens;
            let reasons = refusals(&parent, &all);
            assert!(
                reasons[0].contains("a file path that"),
                "{path:?}: {reasons:?}"
            );
        }
    }
}

#[test]
fn d05_odd_volume_names_and_sub_paths_are_refused() {
    for name in HOSTILE.into_iter().chain(["A", "a/b", "-a", "a-"]) {
        let parent = parent(json!({"volumes": [{"name": name, "emptyDir": {}}]}));
        let reasons = refusals(&parent, &Gathered::default());
        assert!(
            reasons[0].contains("is no DNS label"),
            "{name:?}: {reasons:?}"
        );
    }
    for path in ["..", "/etc", "a/../..", "k/x"] {
        let parent = parent(json!({
            "volumes": [{"name": "v", "configMap": {"name": "c"}}],
            "containers": [{"name": "m", "image": "i", "volumeMounts": [
                {"name": "v", "mountPath": "/x", "subPath": path}]}],
        }));
        let reasons = refusals(&parent, &gathered(&[], &[("k", "v")]));
        assert!(reasons[0].contains("subPath"), "{path:?}: {reasons:?}");
    }
}

#[test]
fn d05_a_file_is_never_also_a_directory() {
    for (one, other) in [("a", "a/b"), ("a/b", "a"), ("a/b", "a/b/c")] {
        let parent = parent(
            json!({"volumes": [{"name": "v", "secret": {"secretName": "s", "items": [
            {"key": "k", "path": one}, {"key": "k", "path": other}]}}]}),
        );
        let reasons = refusals(&parent, &gathered(&[("k", "v")], &[]));
        assert!(
            reasons[0].contains("both a file and a directory"),
            "{reasons:?}"
        );
    }
}

#[test]
fn d05_two_volumes_of_one_name_are_refused() {
    let parent = parent(json!({"volumes": [
        {"name": "v", "secret": {"secretName": "s"}}, {"name": "v", "configMap": {"name": "c"}}]}));
    let reasons = refusals(&parent, &gathered(&[], &[]));
    assert_eq!(reasons, ["two volumes are named v"]);
}

#[test]
fn d04_data_beyond_the_bound_is_refused() {
    let parent = parent(json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}));
    let big = "x".repeat((16 << 20) + 1);
    let reasons = refusals(&parent, &gathered(&[("k", &big)], &[]));
    assert!(reasons[0].contains("16777217 bytes"), "{reasons:?}");
}

#[test]
fn d05_odd_users_are_refused() {
    for user in [-1_i64, 1 << 32] {
        let parent = parent(json!({"securityContext": {"runAsUser": user}}));
        let reasons = refusals(&parent, &Gathered::default());
        assert_eq!(reasons, [format!("runAsUser {user} is out of range")]);
    }
}

/// Values that a mutation puts anywhere into a pod.
fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("..".to_owned()),
        Just("/REKINDLE-DATA".to_owned()),
        Just("$(X)".to_owned()),
        Just("metadata.labels['".to_owned()),
        "[a-z./\\x00-\\x1f$()']{0,12}",
    ];
    prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        Just(json!({"name": "s", "secretName": "s", "key": "k", "path": "p"})),
        Just(
            json!({"secret": {"name": "s"}, "secretRef": {"name": "s"}, "serviceAccountToken": {"path": ".."}})
        ),
        any::<i32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        text.prop_map(Value::from),
    ]
}

/// Paths of all places in a JSON value.
fn places(value: &Value, path: &str, all: &mut Vec<String>) {
    all.push(path.to_owned());
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                places(value, &format!("{path}/{key}"), all);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                places(value, &format!("{path}/{index}"), all);
            }
        }
        _ => {}
    }
}

/// A pod that uses every conversion there is.
fn rich() -> Value {
    let parent = parent(json!({
        "serviceAccountName": "web", "priorityClassName": "system-node-critical",
        "securityContext": {"runAsUser": 7, "fsGroup": 8},
        "volumes": [
            {"name": "a", "secret": {"secretName": "s", "items": [{"key": "key", "path": "d/p", "mode": 256}]}},
            {"name": "b", "configMap": {"name": "c", "optional": true, "defaultMode": 420}},
            {"name": "c", "projected": {"sources": [
                {"secret": {"name": "s"}}, {"serviceAccountToken": {"path": "token"}},
                {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}},
            {"name": "d", "downwardAPI": {"items": [
                {"path": "m", "resourceFieldRef": {"containerName": "main", "resource": "limits.memory", "divisor": "1Ki"}}]}},
            {"name": "e", "hostPath": {"path": "/var/log"}}, {"name": "f", "emptyDir": {}},
        ],
        "initContainers": [{"name": "init", "image": "i", "envFrom": [{"prefix": "P", "configMapRef": {"name": "c"}}]}],
        "containers": [{"name": "main", "image": "i", "imagePullPolicy": "Always",
            "resources": {"limits": {"memory": "1Gi"}},
            "volumeMounts": [{"name": "a", "mountPath": "/a", "subPath": "d"}],
            "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
                    {"name": "Y", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['note']"}}}]}],
    }));
    serde_json::to_value(parent).expect("JSON")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn d04_rendering_a_mutated_pod_never_panics_and_leaves_no_reference(
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any_value()), 0..4),
    ) {
        let mut value = rich();
        for (at, new) in mutations {
            let mut all = Vec::new();
            places(&value, "", &mut all);
            let path = all[at.index(all.len())].clone();
            if let Some(place) = value.pointer_mut(&path) {
                *place = new;
            }
        }
        let Ok(parent) = serde_json::from_value::<k8s_openapi::api::core::v1::Pod>(value) else {
            return Ok(());
        };
        let id = CheckpointId::new("daemonset", "kube-system", "web").expect("an id");
        let found = everything(&parent);
        if let Outcome::Whole(rendered) = render(&parent, &id, "node-1", None, &found) {
            prop_assert_eq!(api_references(&rendered.pod), Vec::<String>::new());
            for path in rendered.files.iter().map(|f| &f.path).chain(rendered.dirs.iter().map(|d| &d.path)) {
                let plain = Path::new(path).components().all(|c| matches!(c, Component::Normal(_)));
                prop_assert!(plain && !path.contains('\0'), "{}", path);
            }
        }
    }

    #[test]
    fn d04_a_damaged_list_never_panics(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), length in 0_usize..40,
    ) {
        let mut bytes = fixture("pods-20-selfhosted-10255.json");
        let start = at.index(bytes.len());
        let end = (start + length).min(bytes.len());
        bytes[start..end].fill(byte);
        // Either way is right; what counts is that it returns.
        let _ = pod_list(&bytes);
    }

    #[test]
    fn c15_no_two_checkpoints_share_a_name(
        one in ("(pod|daemonset|job)", "[a-z]([-a-z]{0,8}[a-z])?", "[a-z]([-.a-z]{0,150}[a-z])?"),
        other in ("(pod|daemonset|job)", "[a-z]([-a-z]{0,8}[a-z])?", "[a-z]([-.a-z]{0,150}[a-z])?"),
        node in "[a-zA-Z0-9]([-.a-zA-Z0-9]{0,60}[a-z])?",
    ) {
        let id = |(kind, namespace, name): &(String, String, String)| CheckpointId::new(kind, namespace, name);
        let (Ok(one), Ok(other)) = (id(&one), id(&other)) else {
            return Ok(());
        };
        let name = static_name(&one, &node).expect("room");
        prop_assert!(mirror_name(&name, &node).len() <= 253);
        prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
        prop_assert_eq!(one == other, name == static_name(&other, &node).expect("room"));
    }
}

#[test]
fn d05_a_secret_of_another_name_is_never_used() {
    let parent = pod(rich());
    let mut found = everything(&parent);
    let other = object(ObjectKind::Secret, "t");
    found
        .objects
        .insert(other, Some(data(&[("key", "foreign")])));
    let Outcome::Whole(rendered) = crate::manifest_pods::outcome(&parent, &found) else {
        panic!("not whole");
    };
    assert!(rendered.files.iter().all(|file| file.content != b"foreign"));
}
