//! Data of Secrets, ConfigMaps and the pod itself (scenario C08).

use rekindle::core::manifest::expand::{expand, literal};
use rekindle::core::manifest::gathered::Gathered;
use rekindle::core::manifest::needs::{Keys, ObjectKind, needs};
use serde_json::{Value, json};

use crate::manifest_pods::{
    content, data, env, everything, file, gathered, object, parent, refusals, token, whole,
};

fn with_volume(volume: Value) -> k8s_openapi::api::core::v1::Pod {
    let mut volume = volume;
    volume["name"] = "v".into();
    parent(json!({"volumes": [volume]}))
}

fn with_env(env: &Value) -> k8s_openapi::api::core::v1::Pod {
    parent(json!({"containers": [{"name": "main", "image": "i", "env": env}]}))
}

#[test]
fn c08_every_key_of_a_secret_becomes_a_file() {
    let parent = with_volume(json!({"secret": {"secretName": "s"}}));
    let rendered = whole(&parent, &gathered(&[("a", "1"), (".b", "2")], &[]));
    assert_eq!(
        (content(&rendered, "v/a"), content(&rendered, "v/.b")),
        ("1", "2")
    );
    let spec = rendered.pod.spec.expect("a spec");
    let host = spec.volumes.expect("volumes")[0]
        .host_path
        .clone()
        .expect("a host path");
    assert_eq!(host.path, "/REKINDLE-DATA/v");
    assert_eq!(host.type_.as_deref(), Some("Directory"));
}

#[test]
fn c08_items_and_modes_are_kept() {
    let parent = with_volume(
        json!({"configMap": {"name": "c", "defaultMode": 0o444, "items": [
            {"key": "a", "path": "deep/er/a.conf"}, {"key": "b", "path": "run", "mode": 0o755},
        ]}}),
    );
    let rendered = whole(
        &parent,
        &gathered(&[], &[("a", "1"), ("b", "2"), ("c", "3")]),
    );
    let files: Vec<_> = rendered
        .files
        .iter()
        .map(|f| (f.path.as_str(), f.mode))
        .collect();
    assert_eq!(files, [("v/deep/er/a.conf", 0o444), ("v/run", 0o755)]);
    let dirs: Vec<_> = rendered.dirs.iter().map(|d| d.path.as_str()).collect();
    assert_eq!(dirs, ["v", "v/deep", "v/deep/er"]);
}

#[test]
fn c08_binary_data_is_a_file_and_no_variable() {
    let parent = parent(json!({
        "volumes": [{"name": "v", "configMap": {"name": "c"}}],
        "containers": [{"name": "main", "image": "i", "envFrom": [{"configMapRef": {"name": "c"}}]}],
    }));
    let mut gathered = gathered(&[], &[("TEXT", "t")]);
    let map = gathered
        .objects
        .get_mut(&object(ObjectKind::ConfigMap, "c"));
    let map = map.expect("there").as_mut().expect("known");
    map.binary_data
        .insert("BIN".to_owned(), vec![0, 159, 146, 150]);
    let rendered = whole(&parent, &gathered);
    assert_eq!(file(&rendered, "v/BIN").content, [0, 159, 146, 150]);
    assert_eq!(env(&rendered), [("TEXT".to_owned(), Some("t".to_owned()))]);
}

#[test]
fn c08_a_missing_object_is_empty_if_optional_and_refused_if_not() {
    let mut nothing = Gathered::default();
    nothing
        .objects
        .insert(object(ObjectKind::Secret, "s"), None);
    let optional = with_volume(json!({"secret": {"secretName": "s", "optional": true}}));
    let rendered = whole(&optional, &nothing);
    assert_eq!((rendered.files.len(), rendered.dirs.len()), (0, 1));
    let required = with_volume(json!({"secret": {"secretName": "s"}}));
    assert_eq!(
        refusals(&required, &nothing),
        ["volume v needs Secret kube-system/s, which does not exist"]
    );
}

#[test]
fn c08_a_missing_key_is_left_out_if_optional_and_refused_if_not() {
    let items = json!([{"key": "absent", "path": "x"}]);
    let optional =
        with_volume(json!({"configMap": {"name": "c", "optional": true, "items": items}}));
    assert_eq!(whole(&optional, &gathered(&[], &[])).files, []);
    let required = with_volume(json!({"configMap": {"name": "c", "items": items}}));
    assert_eq!(
        refusals(&required, &gathered(&[], &[])),
        ["volume v needs the missing key \"absent\""]
    );
}

#[test]
fn c08_downward_volumes_are_written_now() {
    let parent = parent(json!({
        "containers": [{"name": "main", "image": "i", "resources": {
            "limits": {"cpu": "1500m", "memory": "64Mi"}, "requests": {"cpu": "100m"}}}],
        "volumes": [{"name": "v", "downwardAPI": {"items": [
            {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
            {"path": "uid", "fieldRef": {"fieldPath": "metadata.uid"}},
            {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}},
            {"path": "app", "fieldRef": {"fieldPath": "metadata.labels['app']"}},
            {"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"}},
            {"path": "milli", "resourceFieldRef": {"containerName": "main", "resource": "requests.cpu", "divisor": "1m"}},
            {"path": "mem", "resourceFieldRef": {"containerName": "main", "resource": "limits.memory", "divisor": "1Mi"}},
            {"path": "bytes", "resourceFieldRef": {"containerName": "main", "resource": "limits.memory"}},
        ]}}],
    }));
    let rendered = whole(&parent, &Gathered::default());
    let expected = [
        ("name", "web-x1"),
        ("uid", "1186fe7d"),
        ("labels", "app=\"web\"\npod-template-generation=\"1\""),
        (
            "annotations",
            "checkpointer.alpha.coreos.com/checkpoint=\"true\"\nnote=\"a\\\"b\"",
        ),
        ("app", "web"),
        ("cpu", "2"),
        ("milli", "100"),
        ("mem", "64"),
        ("bytes", "67108864"),
    ];
    for (path, value) in expected {
        assert_eq!(content(&rendered, &format!("v/{path}")), value, "{path}");
    }
    let unset = with_volume(json!({"downwardAPI": {"items": [
        {"path": "m", "resourceFieldRef": {"containerName": "main", "resource": "limits.memory"}}]}}));
    assert_eq!(
        refusals(&unset, &Gathered::default()),
        [
            "volume v cannot be filled: container main sets no limits.memory, and the node's own is not known here"
        ]
    );
}

#[test]
fn c08_of_two_projected_files_with_one_path_the_later_wins() {
    let parent = with_volume(json!({"projected": {"sources": [
        {"secret": {"name": "s", "items": [{"key": "k", "path": "same"}]}},
        {"configMap": {"name": "c", "items": [{"key": "k", "path": "./same"}]}},
    ]}}));
    let rendered = whole(&parent, &gathered(&[("k", "first")], &[("k", "second")]));
    assert_eq!(content(&rendered, "v/same"), "second");
}

#[test]
fn c08_environment_references_become_values() {
    let parent = parent(json!({
        "serviceAccountName": "web",
        "containers": [{"name": "main", "image": "i",
            "envFrom": [{"prefix": "P_", "secretRef": {"name": "s"}}, {"configMapRef": {"name": "gone", "optional": true}}],
            "env": [
                {"name": "PLAIN", "value": "$(P_user)"},
                {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "user"}}},
                {"name": "MAP", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
                {"name": "ABSENT", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "absent", "optional": true}}},
                {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "SA", "valueFrom": {"fieldRef": {"fieldPath": "spec.serviceAccountName"}}},
                {"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            ]}],
    }));
    let mut gathered = gathered(&[("user", "root"), ("a/b", "x")], &[("k", "v")]);
    gathered
        .objects
        .insert(object(ObjectKind::ConfigMap, "gone"), None);
    let rendered = whole(&parent, &gathered);
    let expected = [
        ("P_user", Some("root")),
        ("PLAIN", Some("$(P_user)")),
        ("SECRET", Some("root")),
        ("MAP", Some("v")),
        ("NAME", Some("web-x1")),
        ("APP", Some("web")),
        ("SA", Some("web")),
        ("HOST", None),
        ("NODE", None),
        ("CPU", None),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
    assert_eq!(env(&rendered), expected);
    assert_eq!(
        rendered.notes,
        [
            "container main gets no environment variable \"P_a/b\": kubelets do not agree on that name"
        ]
    );
}

#[test]
fn c08_values_from_references_are_not_expanded() {
    let env_of = json!([{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
    for value in [
        "$(HOME)",
        "$$(HOME)",
        "a$",
        "$",
        "$$",
        "100% $(",
        "p$$w$(x)d$$$",
    ] {
        let rendered = whole(&with_env(&env_of), &gathered(&[("k", value)], &[]));
        let written = env(&rendered)[0].1.clone().expect("a value");
        assert_eq!(expand(&written, |_| Some("expanded")), value);
    }
}

#[test]
fn expansion_follows_the_kubelet() {
    let value_of = |name: &str| (name == "A").then_some("1");
    let cases = [
        ("$(A)", "1"),
        ("$(B)", "$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A $", "$A $"),
        ("$(A", "$(A"),
        ("x$(A)y$(A)", "x1y1"),
        ("", ""),
    ];
    for (input, expected) in cases {
        assert_eq!(expand(input, value_of), expected, "{input}");
        assert_eq!(expand(&literal(input), value_of), input);
    }
}

#[test]
fn c08_a_value_that_is_no_text_is_refused_without_being_shown() {
    let env = json!([{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
    let reasons = refusals(&with_env(&env), &gathered(&[("k", "hush\0")], &[]));
    assert_eq!(reasons.len(), 1);
    assert!(!reasons[0].contains("hush"), "{reasons:?}");
}

#[test]
fn c08_needs_name_every_object_key_and_token() {
    let parent = parent(json!({
        "serviceAccountName": "web",
        "volumes": [
            {"name": "a", "secret": {"secretName": "s", "items": [{"key": "k1", "path": "p"}]}},
            {"name": "b", "configMap": {"name": "c", "optional": true}},
            {"name": "t", "projected": {"sources": [{"serviceAccountToken": {
                "path": "token", "audience": "vault", "expirationSeconds": 600}}]}},
        ],
        "initContainers": [{"name": "init", "env": [
            {"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k2", "optional": true}}}]}],
        "containers": [{"name": "main", "image": "i", "envFrom": [{"secretRef": {"name": "other"}}]}],
    }));
    let needs = needs(&parent);
    let objects: Vec<_> = needs
        .objects
        .iter()
        .map(|(object, need)| {
            let keys = match &need.keys {
                Keys::All => "*".to_owned(),
                Keys::Named(keys) => keys.iter().cloned().collect::<Vec<_>>().join(","),
            };
            format!("{object} {keys} optional={}", need.optional)
        })
        .collect();
    assert_eq!(
        objects,
        [
            "Secret kube-system/other * optional=false",
            "Secret kube-system/s k1,k2 optional=false",
            "ConfigMap kube-system/c * optional=true",
        ]
    );
    assert_eq!(needs.tokens, [token(Some("vault"), Some(600))].into());
}

#[test]
fn mounts_of_data_are_read_only_and_their_sub_paths_exist() {
    let parent = parent(json!({
        "volumes": [{"name": "v", "configMap": {"name": "c"}}, {"name": "e", "emptyDir": {}}],
        "containers": [{"name": "main", "image": "i", "volumeMounts": [
            {"name": "v", "mountPath": "/a", "subPath": "k"},
            {"name": "v", "mountPath": "/b", "subPath": "absent/dir"},
            {"name": "e", "mountPath": "/c", "subPath": "x"},
        ]}],
    }));
    let rendered = whole(&parent, &gathered(&[], &[("k", "v")]));
    let dirs: Vec<_> = rendered.dirs.iter().map(|d| d.path.as_str()).collect();
    assert_eq!(dirs, ["v", "v/absent", "v/absent/dir"]);
    let spec = rendered.pod.spec.expect("a spec");
    let mounts = spec.containers[0].volume_mounts.clone().expect("mounts");
    let read_only: Vec<_> = mounts.iter().map(|mount| mount.read_only).collect();
    assert_eq!(read_only, [Some(true), Some(true), None]);
}

#[test]
fn nothing_shows_a_secret_value() {
    let parent = parent(json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}));
    let gathered = gathered(&[("k", "hush")], &[]);
    let rendered = whole(&parent, &gathered);
    let shown = format!(
        "{gathered:?} {:?} {:?}",
        rendered.files,
        everything(&parent)
    );
    assert!(
        !shown.contains("hush") && !shown.contains("104, 117"),
        "{shown}"
    );
    assert_eq!(data(&[("k", "hush")]).data["k"], b"hush");
}
