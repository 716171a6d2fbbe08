//! Pods and data that the manifest tests share.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::Pod;
use rekindle::core::id::CheckpointId;
use rekindle::core::manifest::gathered::{Gathered, Object};
use rekindle::core::manifest::needs::{ObjectKind, ObjectRef, TokenRef, needs};
use rekindle::core::manifest::parent::checkpoint_id;
use rekindle::core::manifest::render::{Outcome, render};
use rekindle::core::manifest::rendered::{DataFile, Rendered};
use serde_json::{Value, json};

pub fn fixture(name: &str) -> Vec<u8> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    std::fs::read(root.join("tests/fixtures/kubelet").join(name)).expect("the fixture is there")
}

/// A parent `kube-system/web-x1` of DaemonSet `web` with `spec` over a minimal pod spec.
pub fn parent(spec: Value) -> Pod {
    let mut whole = json!({
        "containers": [{"name": "main", "image": "registry.example/web:v1"}],
        "hostNetwork": true,
        "restartPolicy": "Always",
    });
    let (Value::Object(whole_map), Value::Object(spec)) = (&mut whole, spec) else {
        panic!("a spec is an object");
    };
    whole_map.extend(spec);
    pod(json!({
        "metadata": {
            "name": "web-x1", "namespace": "kube-system", "uid": "1186fe7d",
            "labels": {"app": "web", "pod-template-generation": "1"},
            "annotations": {"checkpointer.alpha.coreos.com/checkpoint": "true", "note": "a\"b"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": "2",
                "controller": true,
            }],
        },
        "spec": whole,
    }))
}

pub fn pod(value: Value) -> Pod {
    serde_json::from_value(value).expect("a pod")
}

pub fn id_of(pod: &Pod) -> CheckpointId {
    checkpoint_id(pod).expect("a parent").expect("a good id")
}

pub fn outcome(pod: &Pod, gathered: &Gathered) -> Outcome {
    render(pod, &id_of(pod), "node-1", Some("10.0.0.1"), gathered)
}

#[track_caller]
pub fn whole(pod: &Pod, gathered: &Gathered) -> Rendered {
    match outcome(pod, gathered) {
        Outcome::Whole(rendered) => *rendered,
        other => panic!("not whole: {other:?}"),
    }
}

#[track_caller]
pub fn refusals(pod: &Pod, gathered: &Gathered) -> Vec<String> {
    match outcome(pod, gathered) {
        Outcome::Refused(reasons) => reasons,
        other => panic!("not refused: {other:?}"),
    }
}

pub fn object(kind: ObjectKind, name: &str) -> ObjectRef {
    ObjectRef {
        kind,
        namespace: "kube-system".to_owned(),
        name: name.to_owned(),
    }
}

pub fn data(pairs: &[(&str, &str)]) -> Object {
    let pairs = pairs.iter();
    Object {
        data: pairs
            .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
            .collect(),
        ..Object::default()
    }
}

/// Secret `s` and ConfigMap `c` of kube-system with these values.
pub fn gathered(secret: &[(&str, &str)], map: &[(&str, &str)]) -> Gathered {
    let mut gathered = Gathered::default();
    let objects = &mut gathered.objects;
    objects.insert(object(ObjectKind::Secret, "s"), Some(data(secret)));
    objects.insert(object(ObjectKind::ConfigMap, "c"), Some(data(map)));
    gathered
}

/// Everything that `pod` needs, each object with one key.
pub fn everything(pod: &Pod) -> Gathered {
    let needs = needs(pod);
    let mut gathered = Gathered::default();
    for object in needs.objects.into_keys() {
        let some = data(&[("key", "value"), ("tls.crt", "certificate")]);
        gathered.objects.insert(object, Some(some));
    }
    for token in needs.tokens {
        gathered.tokens.insert(token, b"a token".to_vec());
    }
    gathered
}

pub fn token(audience: Option<&str>, expiration_seconds: Option<i64>) -> TokenRef {
    TokenRef {
        namespace: "kube-system".to_owned(),
        service_account: "web".to_owned(),
        audience: audience.map(str::to_owned),
        expiration_seconds,
        pod_name: "web-x1".to_owned(),
        pod_uid: "1186fe7d".to_owned(),
    }
}

#[track_caller]
pub fn file<'a>(rendered: &'a Rendered, path: &str) -> &'a DataFile {
    let found = rendered.files.iter().find(|file| file.path == path);
    found.unwrap_or_else(|| panic!("no file {path} in {:?}", rendered.files))
}

pub fn content<'a>(rendered: &'a Rendered, path: &str) -> &'a str {
    std::str::from_utf8(&file(rendered, path).content).expect("text")
}

/// The environment of the first container as name and value; a reference has no value.
pub fn env(rendered: &Rendered) -> Vec<(String, Option<String>)> {
    let spec = rendered.pod.spec.as_ref().expect("a spec");
    let env = spec.containers[0].env.iter().flatten();
    env.map(|v| (v.name.clone(), v.value.clone())).collect()
}
