//! Lists of pods as the kubelet writes them.

use rekindle::core::manifest::list::{ListError, listed, pod_list};

use crate::manifest_pods::{fixture, parent};

#[test]
fn a_real_list_gives_the_facts_of_every_pod_and_the_spec_of_parents() {
    let pods = pod_list(&fixture("pods-32-checkpoint-and-parent.json")).expect("a list");
    let facts: Vec<String> = pods
        .iter()
        .map(|listed| {
            let seen = &listed.seen;
            let parent = seen.parent_of.as_ref().map_or("-", |id| id.as_str());
            let whole = listed.spec.is_some();
            let ready = seen.ready;
            format!("{} {parent} ready={ready} whole={whole}", seen.pod)
        })
        .collect();
    insta::assert_snapshot!(facts.join("\n"), @"
kube-system/kube-apiserver-7d8f9-labnode - ready=true whole=false
kube-system/kube-apiserver-7d8f9 daemonset.kube-system.kube-apiserver ready=false whole=true
kube-system/kube-controller-manager-784f8c4df9-pj5td - ready=true whole=false
kube-system/kube-scheduler-654ff48d97-8x2bt - ready=true whole=false
");
    assert!(pods.iter().all(|listed| listed.unknown_fields.is_empty()));
}

#[test]
fn a_typed_pod_gives_the_same_facts_as_its_json() {
    for name in [
        "pods-20-selfhosted-10255.json",
        "pods-32-checkpoint-and-parent.json",
    ] {
        let bytes = fixture(name);
        let document: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        let items = document["items"].as_array().expect("items");
        for (read, item) in pod_list(&bytes).expect("a list").iter().zip(items) {
            let typed = serde_json::from_value(item.clone()).expect("a pod");
            assert_eq!(*read, listed(&typed));
        }
    }
}

#[test]
fn an_empty_list_is_null_or_empty_and_never_a_missing_field() {
    assert_eq!(
        pod_list(&fixture("pods-00-empty.json")).expect("a list"),
        []
    );
    assert_eq!(
        pod_list(br#"{"kind":"PodList","items":[]}"#).expect("a list"),
        []
    );
    let missing = pod_list(br#"{"kind":"PodList","apiVersion":"v1"}"#);
    assert!(matches!(missing, Err(ListError::NoItems)), "{missing:?}");
}

#[test]
fn another_answer_is_no_list() {
    let status = br#"{"kind":"Status","status":"Failure","code":403}"#;
    assert!(matches!(pod_list(status), Err(ListError::Kind(kind)) if kind == "Status"));
    let denied = pod_list(&fixture("pods-10250-apiserver-dead.txt"));
    assert!(matches!(denied, Err(ListError::Document(_))), "{denied:?}");
}

#[test]
fn d04_a_list_cut_anywhere_is_an_error_and_never_shorter() {
    let bytes = fixture("pods-32-checkpoint-and-parent.json");
    let end = bytes.trim_ascii_end().len();
    for cut in (0..end).step_by(7).chain(end - 20..end) {
        assert!(pod_list(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let mut more = bytes[..end].to_vec();
    more.extend_from_slice(b"{}");
    assert!(pod_list(&more).is_err());
}

#[test]
fn d04_an_item_of_another_shape_is_named_by_its_index() {
    let good = r#"{"metadata":{"name":"a","namespace":"b","uid":"c"}}"#;
    let cases = [
        "null",
        "[]",
        "7",
        "{}",
        r#"{"metadata":null}"#,
        r#"{"metadata":{"name":7}}"#,
        r#"{"metadata":{"name":"x","annotations":{"a":1}}}"#,
        r#"{"metadata":{"name":""}}"#,
        r#"{"metadata":{"name":"x","name":"y"}}"#,
        r#"{"metadata":{"name":"x","annotations":{"checkpointer.alpha.coreos.com/checkpoint":"true"}},"spec":{"containers":7}}"#,
    ];
    for bad in cases {
        let list = format!(r#"{{"kind":"PodList","items":[{good},{bad}]}}"#);
        match pod_list(list.as_bytes()) {
            Err(ListError::Item { index: 1, .. } | ListError::NoName(1)) => {}
            other => panic!("{bad}: {other:?}"),
        }
    }
}

#[test]
fn d04_deep_nesting_neither_overflows_nor_hides_other_pods() {
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    let plain = format!(
        r#"{{"kind":"PodList","items":[{{"metadata":{{"name":"a"}},"spec":{{"x":{deep}}}}}]}}"#
    );
    assert_eq!(pod_list(plain.as_bytes()).expect("not looked at").len(), 1);
    let parent = format!(
        r#"{{"kind":"PodList","items":[{{"metadata":{{"name":"a","annotations":{{"checkpointer.alpha.coreos.com/checkpoint":"true"}}}},"spec":{{"containers":{deep}}}}}]}}"#
    );
    let refused = pod_list(parent.as_bytes());
    assert!(
        matches!(refused, Err(ListError::Item { index: 0, .. })),
        "{refused:?}"
    );
}

#[test]
fn a_parent_whose_name_makes_no_key_is_reported() {
    let list = br#"{"kind":"PodList","items":[{"metadata":{"name":"A","namespace":"b","annotations":{"checkpointer.alpha.coreos.com/checkpoint":"true"}}}]}"#;
    let pods = pod_list(list).expect("a list");
    assert!(pods[0].bad_id.is_some());
    assert_eq!((&pods[0].seen.parent_of, &pods[0].spec), (&None, &None));
}

#[test]
fn fields_that_are_newer_than_this_build_are_named() {
    let mut pod = serde_json::to_value(parent(serde_json::json!({}))).expect("JSON");
    pod["spec"]["quantumEntanglement"] = true.into();
    pod["spec"]["containers"][0]["telepathy"] = serde_json::json!({"range": 3});
    pod["spec"]["containers"][0]["nothing"] = serde_json::json!([]);
    let list = serde_json::json!({"kind": "PodList", "items": [pod]}).to_string();
    let pods = pod_list(list.as_bytes()).expect("a list");
    let unknown = &pods[0].unknown_fields;
    assert_eq!(
        unknown,
        &["spec.containers[0].telepathy", "spec.quantumEntanglement"]
    );
}

/// 500 pods and 5 MB, three of them parents: measured with
/// `cargo test --release --test it -- --nocapture a_list_of_500`.
#[test]
fn a_list_of_500_pods_is_read_whole() {
    let bytes = fixture("pods-20-selfhosted-10255.json");
    let document: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    let items = document["items"].as_array().expect("items");
    let is_parent = |item: &&serde_json::Value| {
        let annotations = &item["metadata"]["annotations"];
        annotations["checkpointer.alpha.coreos.com/checkpoint"] == "true"
    };
    let (parents, others): (Vec<_>, Vec<_>) = items.iter().partition(is_parent);
    let mut many: Vec<serde_json::Value> = parents.into_iter().cycle().take(3).cloned().collect();
    many.extend(others.into_iter().cycle().take(497).cloned());
    for item in &mut many {
        let fields = item["metadata"]["managedFields"].as_array_mut();
        let fields = fields.expect("managed fields");
        fields.extend(fields.clone());
        fields.extend(fields.clone());
    }
    let list = serde_json::json!({"kind": "PodList", "items": many}).to_string();
    let mut times = Vec::new();
    for _ in 0..9 {
        let started = std::time::Instant::now();
        let pods = pod_list(list.as_bytes()).expect("a list");
        times.push(started.elapsed());
        assert_eq!(pods.len(), 500);
        assert_eq!(pods.iter().filter(|pod| pod.spec.is_some()).count(), 3);
    }
    times.sort();
    println!(
        "500 pods, {} bytes: median {:?}, best {:?}",
        list.len(),
        times[4],
        times[0]
    );
}
