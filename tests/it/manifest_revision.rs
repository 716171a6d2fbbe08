//! Revisions are the same for the same template and data, and finishing makes them runnable.

use rekindle::core::id::CheckpointId;
use rekindle::core::manifest::finish::{finish, label_value};
use rekindle::core::manifest::needs::ObjectKind;
use serde_json::json;

use crate::manifest_pods::{data, env, everything, object, parent, whole};

#[test]
fn a_new_pod_of_the_same_template_has_the_same_revision() {
    let one = parent(json!({
        "volumes": [
            {"name": "s", "secret": {"secretName": "s"}},
            {"name": "d", "downwardAPI": {"items": [
                {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
                {"path": "uid", "fieldRef": {"fieldPath": "metadata.uid"}},
                {"path": "all", "fieldRef": {"fieldPath": "metadata.annotations"}}]}},
            {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        ],
        "containers": [{"name": "main", "image": "i", "env": [
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}],
    }));
    let mut other = one.clone();
    other.metadata.name = Some("web-y2".to_owned());
    other.metadata.uid = Some("another".to_owned());
    other.metadata.resource_version = Some("99".to_owned());
    other.metadata.generate_name = Some("web-".to_owned());
    let labels = other.metadata.labels.as_mut().expect("labels");
    labels.insert("pod-template-generation".to_owned(), "2".to_owned());
    let annotations = other.metadata.annotations.as_mut().expect("annotations");
    annotations.insert("kubernetes.io/config.seen".to_owned(), "now".to_owned());
    other.status = Some(k8s_openapi::api::core::v1::PodStatus::default());
    other.spec.as_mut().expect("a spec").node_name = Some("node-1".to_owned());
    let (one, other) = (
        whole(&one, &everything(&one)),
        whole(&other, &everything(&other)),
    );
    assert_eq!(one.revision, other.revision);
    assert_ne!(env(&one), env(&other), "each still has its own name");
}

#[test]
fn other_data_or_another_spec_is_another_revision() {
    let pod = parent(json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}));
    let mut gathered = everything(&pod);
    let before = whole(&pod, &gathered).revision;
    let secret = object(ObjectKind::Secret, "s");
    gathered
        .objects
        .insert(secret, Some(data(&[("key", "other")])));
    let rotated = whole(&pod, &gathered).revision;
    let mut changed = pod.clone();
    let spec = changed.spec.as_mut().expect("a spec");
    spec.containers[0].args = Some(vec!["--new".to_owned()]);
    let respecified = whole(&changed, &gathered).revision;
    assert_ne!(before, rotated);
    assert_ne!(rotated, respecified);
    assert_eq!(rotated, whole(&pod, &gathered).revision);
}

#[test]
fn finishing_puts_in_the_data_directory_and_the_activation() {
    let parent = parent(json!({"volumes": [
        {"name": "v", "secret": {"secretName": "s"}},
        {"name": "log", "hostPath": {"path": "/var/log"}},
    ]}));
    let rendered = whole(&parent, &everything(&parent));
    let first = finish(rendered.pod.clone(), "/var/lib/rekindle/r1/data", 1);
    let second = finish(rendered.pod, "/var/lib/rekindle/r1/data", 2);
    assert_ne!(first, second);
    let annotations = second.metadata.annotations.expect("annotations");
    assert_eq!(annotations["rekindle.dev/activation"], "2");
    let volumes = first.spec.expect("a spec").volumes.expect("volumes");
    let paths = volumes
        .iter()
        .map(|v| v.host_path.as_ref().expect("a host path").path.as_str());
    let paths: Vec<_> = paths.collect();
    assert_eq!(paths, ["/var/lib/rekindle/r1/data/v", "/var/log"]);
}

#[test]
fn the_label_is_a_digest_of_the_key() {
    let id = CheckpointId::new("daemonset", "kube-system", "kube-apiserver").expect("an id");
    insta::assert_snapshot!(label_value(&id), @"5804bdee138ce682");
}
