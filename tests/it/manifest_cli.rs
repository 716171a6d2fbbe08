//! `rekindle checkpoint render`, without a daemon.

use rekindle::cli::checkpoint_render::{Format, render_pod_list};
use serde_json::{Value, json};

use crate::manifest_pods::{fixture, parent};

fn shown(list: &Value, format: Format) -> String {
    render_pod_list(list.to_string().as_bytes(), "node-1", None, format).expect("shown")
}

#[test]
fn a_captured_list_is_shown_as_yaml() {
    let list = fixture("pods-20-selfhosted-10255.json");
    let yaml = render_pod_list(&list, "labnode", None, Format::Yaml).expect("shown");
    insta::assert_snapshot!(yaml);
}

#[test]
fn json_and_yaml_say_the_same() {
    let list = fixture("pods-20-selfhosted-10255.json");
    let json = render_pod_list(&list, "labnode", None, Format::Json).expect("shown");
    let yaml = render_pod_list(&list, "labnode", None, Format::Yaml).expect("shown");
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let yaml: Value = serde_saphyr::from_str(&yaml).expect("YAML");
    assert_eq!(json, yaml);
}

#[test]
fn references_are_shown_by_name_and_needs_by_key() {
    let parent = parent(json!({
        "imagePullSecrets": [{"name": "pull"}],
        "volumes": [{"name": "v", "secret": {"secretName": "s"}},
                    {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}]}}],
        "containers": [{"name": "main", "image": "i", "envFrom": [{"configMapRef": {"name": "c"}}],
            "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]}],
    }));
    let text = shown(&json!({"kind": "PodList", "items": [parent]}), Format::Json);
    let value: Value = serde_json::from_str(&text).expect("JSON");
    let one = &value["checkpoints"][0];
    assert_eq!(one["id"], "daemonset.kube-system.web");
    assert_eq!(one["parent"], "kube-system/web-x1");
    assert_eq!(one["refused"], json!([]));
    let env = &one["staticPod"]["spec"]["containers"][0]["env"];
    assert_eq!(
        env,
        &json!([{"name": "PASSWORD", "value": "<key password of Secret kube-system/db>"}])
    );
    assert_eq!(
        one["needs"],
        json!([
            {"kind": "Secret", "namespace": "kube-system", "name": "db", "keys": ["password"], "optional": false},
            {"kind": "Secret", "namespace": "kube-system", "name": "s", "keys": ["*"], "optional": false},
            {"kind": "ConfigMap", "namespace": "kube-system", "name": "c", "keys": ["*"], "optional": false},
            {"kind": "ServiceAccountToken", "namespace": "kube-system", "name": "default", "keys": [],
             "optional": false, "expirationSeconds": 600},
        ])
    );
}

#[test]
fn a_refused_parent_shows_its_reasons_and_no_pod() {
    let refused =
        parent(json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "p"}}]}));
    let mut nameless = parent(json!({}));
    nameless.metadata.owner_references = None;
    nameless.metadata.name = Some("Bad_Name".to_owned());
    let text = shown(
        &json!({"kind": "List", "items": [refused, nameless]}),
        Format::Json,
    );
    let value: Value = serde_json::from_str(&text).expect("JSON");
    let both = &value["checkpoints"];
    assert_eq!(both[0]["staticPod"], Value::Null);
    assert_eq!(
        both[0]["refused"],
        json!(["volume v is of kind persistentVolumeClaim, which needs more than this node"])
    );
    assert_eq!(
        (&both[1]["id"], &both[1]["staticPod"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(both[1]["refused"].as_array().map(Vec::len), Some(1));
}

#[test]
fn yaml_keeps_texts_that_a_yaml_1_1_reader_would_take_for_something_else() {
    let texts: Vec<&str> = vec![
        "yes",
        "No",
        "on",
        "off",
        "y",
        "n",
        "true",
        "null",
        "~",
        "",
        "0x10",
        "1e3",
        "0o14",
        "014",
        "1_000",
        "12:30:45",
        "2001-01-01",
        ".inf",
        "-.NaN",
        "=",
        "<<",
        "- a",
        "a: b",
        "a #b",
        "#",
        " lead",
        "trail ",
        "two\nlines\n",
        "tab\t",
        "\u{7}",
        "\u{85}",
        "\u{feff}x",
        "'",
        "\"",
        "\\",
        "%",
        "@",
        "`",
        "&a",
        "*a",
        "!x",
        "{a}",
        "[a]",
        "|",
        ">",
        "?",
        "---",
        "...",
        "é",
        "😀",
    ];
    let parent = parent(json!({"containers": [{"name": "main", "image": "i", "args": texts}]}));
    let yaml = shown(&json!({"kind": "PodList", "items": [parent]}), Format::Yaml);
    let value: Value = serde_saphyr::from_str(&yaml).expect("YAML");
    let args = &value["checkpoints"][0]["staticPod"]["spec"]["containers"][0]["args"];
    assert_eq!(args, &json!(texts));
    let line = |text: &str| yaml.lines().any(|line| line.trim() == format!("- {text}"));
    for plain in [
        "yes",
        "No",
        "on",
        "off",
        "y",
        "n",
        "0x10",
        "1e3",
        "014",
        "1_000",
        "12:30:45",
        "2001-01-01",
    ] {
        assert!(!line(plain), "{plain} is not quoted");
    }
}

#[test]
fn what_is_no_list_is_an_error() {
    let denied = render_pod_list(
        &fixture("pods-10250-apiserver-dead.txt"),
        "n",
        None,
        Format::Json,
    );
    assert!(denied.is_err());
}
