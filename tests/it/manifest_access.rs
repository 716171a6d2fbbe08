//! Owners and modes of data files follow the pod's security context (scenario C20).

use serde_json::{Value, json};

use crate::manifest_pods::{file, gathered, parent, whole};

#[test]
fn c20_owner_and_mode_follow_the_security_context() {
    // pod context, container contexts, declared mode -> file mode, uid, gid, directory mode
    let cases = [
        (
            json!({"runAsUser": 65534}),
            vec![json!({})],
            0o644,
            (0o600, 65534, 0, 0o700),
        ),
        (
            json!({}),
            vec![json!({"runAsUser": 7})],
            0o400,
            (0o400, 7, 0, 0o700),
        ),
        (
            json!({}),
            vec![json!({"runAsUser": 7})],
            0o755,
            (0o700, 7, 0, 0o700),
        ),
        (
            json!({"runAsUser": 1}),
            vec![json!({"runAsUser": 7})],
            0o644,
            (0o600, 7, 0, 0o700),
        ),
        (
            json!({"runAsUser": 7, "fsGroup": 8}),
            vec![json!({})],
            0o644,
            (0o640, 7, 8, 0o750),
        ),
        (
            json!({"fsGroup": 8}),
            vec![json!({})],
            0o400,
            (0o440, 0, 8, 0o750),
        ),
        (
            json!({"fsGroup": 8}),
            vec![json!({"runAsUser": 1}), json!({"runAsUser": 2})],
            0o555,
            (0o550, 0, 8, 0o750),
        ),
        (
            json!({}),
            vec![json!({"runAsUser": 1}), json!({"runAsUser": 2})],
            0o644,
            (0o644, 0, 0, 0o755),
        ),
        (
            json!({}),
            vec![json!({"runAsUser": 1}), json!({})],
            0o640,
            (0o640, 0, 0, 0o755),
        ),
        (
            json!({"runAsNonRoot": true}),
            vec![json!({})],
            0o644,
            (0o644, 0, 0, 0o755),
        ),
        (json!({}), vec![json!({})], 0o644, (0o600, 0, 0, 0o700)),
    ];
    for (pod, contexts, mode, expected) in cases {
        let containers: Vec<Value> = contexts
            .iter()
            .enumerate()
            .map(|(index, context)| {
                json!({"name": format!("c{index}"), "image": "i", "securityContext": context})
            })
            .collect();
        let parent = parent(json!({
            "securityContext": pod, "containers": containers,
            "volumes": [{"name": "v", "secret": {"secretName": "s", "defaultMode": mode}}],
        }));
        let rendered = whole(&parent, &gathered(&[("k", "v")], &[]));
        let file = file(&rendered, "v/k");
        let found = (file.mode, file.uid, file.gid, rendered.dirs[0].mode);
        assert_eq!(found, expected, "{pod} {contexts:?} {mode:o}");
    }
}

#[test]
fn c20_init_containers_count() {
    let parent = parent(json!({
        "initContainers": [{"name": "init", "image": "i", "securityContext": {"runAsUser": 1}}],
        "containers": [{"name": "main", "image": "i", "securityContext": {"runAsUser": 2}}],
        "volumes": [{"name": "v", "secret": {"secretName": "s"}}],
    }));
    let rendered = whole(&parent, &gathered(&[("k", "v")], &[]));
    assert_eq!(file(&rendered, "v/k").mode, 0o644);
    assert_eq!(rendered.notes.len(), 1, "{:?}", rendered.notes);
}
