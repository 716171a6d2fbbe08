//! What decisions learn of a static pod.

use rekindle::core::manifest::facts::facts;
use serde_json::json;

use crate::manifest_pods::{everything, parent, pod, whole};

#[test]
fn facts_of_a_rendered_pod() {
    let parent = parent(json!({
        "initContainers": [{"name": "init", "image": "tools:v1"}],
        "volumes": [{"name": "v", "secret": {"secretName": "s"}}],
    }));
    let rendered = whole(&parent, &everything(&parent));
    let facts = facts(&rendered.pod);
    assert!(facts.host_network);
    assert_eq!(facts.containers, ["main"]);
    assert_eq!(facts.images, ["registry.example/web:v1", "tools:v1"]);
    assert_eq!(facts.engine_refusal, None);
}

#[test]
fn every_reason_why_our_own_engine_cannot_run_it_is_named() {
    let pod = pod(json!({"metadata": {"name": "x"}, "spec": {
        "shareProcessNamespace": true, "hostUsers": false, "os": {"name": "windows"},
        "securityContext": {"sysctls": [{"name": "a", "value": "b"}]},
        "volumes": [{"name": "n", "nfs": {"server": "s", "path": "/"}},
                    {"name": "h", "emptyDir": {"medium": "HugePages"}},
                    {"name": "ok", "emptyDir": {"medium": "Memory"}}, {"name": "p", "hostPath": {"path": "/"}}],
        "initContainers": [{"name": "side", "image": "i", "restartPolicy": "Always"}],
        "containers": [{"name": "a", "image": "i", "volumeDevices": [{"name": "n", "devicePath": "/dev/x"}]},
                       {"name": "b", "image": "i", "securityContext": {"procMount": "Unmasked"}}],
    }}));
    let refusal = facts(&pod).engine_refusal.expect("refused");
    insta::assert_snapshot!(refusal.replace("; ", "\n"), @"
it does not use the host's network
its containers share a process namespace
it has a user namespace of its own
it sets sysctls
it is made for Windows
volume n is of kind nfs
volume h is in huge pages
init container side runs beside the others
container a uses block devices
container b wants an unmasked /proc
");
}
