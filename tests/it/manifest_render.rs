//! A parent becomes a static pod that every kubelet takes.

use k8s_openapi::api::core::v1::Pod;
use rekindle::core::manifest::list::pod_list;
use rekindle::core::manifest::references::api_references;
use rekindle::core::manifest::render::Outcome;
use serde_json::json;

use crate::manifest_pods::{everything, fixture, outcome, parent, pod, refusals, whole};

fn captured_apiserver() -> Pod {
    let pods = pod_list(&fixture("pods-32-checkpoint-and-parent.json")).expect("a list");
    let parent = pods
        .into_iter()
        .find_map(|listed| listed.spec)
        .expect("a parent");
    Pod::clone(&parent)
}

#[test]
fn the_captured_apiserver_becomes_a_static_pod() {
    let parent = captured_apiserver();
    let rendered = whole(&parent, &everything(&parent));
    assert_eq!(api_references(&rendered.pod), Vec::<String>::new());
    insta::assert_snapshot!(serde_json::to_string_pretty(&rendered.pod).expect("JSON"));
    let files: Vec<String> = rendered
        .files
        .iter()
        .map(|f| format!("{:o} {}:{} {}", f.mode, f.uid, f.gid, f.path))
        .collect();
    let dirs = rendered
        .dirs
        .iter()
        .map(|d| format!("{:o} {}:{} {}/", d.mode, d.uid, d.gid, d.path));
    let all: Vec<String> = dirs.chain(files).collect();
    insta::assert_snapshot!(all.join("\n"), @"
755 0:0 config/
700 0:0 default-token-r7vz2/
700 0:0 secrets/
644 0:0 config/key
644 0:0 config/tls.crt
600 0:0 default-token-r7vz2/key
600 0:0 default-token-r7vz2/tls.crt
600 0:0 secrets/key
600 0:0 secrets/tls.crt
");
    insta::assert_snapshot!(rendered.notes.join("\n"), @"no runAsUser is set: files of Secrets and tokens belong to root and are closed to a process that the image runs as another user");
}

#[test]
fn c07_bound_tokens_become_files_and_no_reference_is_left() {
    let parent = parent(json!({
        "serviceAccountName": "web",
        "volumes": [{"name": "kube-api-access-x", "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "key", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        ]}}],
        "containers": [{"name": "main", "image": "i", "volumeMounts": [{
            "name": "kube-api-access-x", "readOnly": true,
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
        }]}],
    }));
    let rendered = whole(&parent, &everything(&parent));
    assert_eq!(api_references(&rendered.pod), Vec::<String>::new());
    let files: Vec<_> = rendered
        .files
        .iter()
        .map(|f| {
            (
                f.path.as_str(),
                String::from_utf8_lossy(&f.content).into_owned(),
                f.mode,
            )
        })
        .collect();
    assert_eq!(
        files,
        [
            ("kube-api-access-x/ca.crt", "value".to_owned(), 0o600),
            (
                "kube-api-access-x/namespace",
                "kube-system".to_owned(),
                0o600
            ),
            ("kube-api-access-x/token", "a token".to_owned(), 0o600),
        ]
    );
}

#[test]
fn every_reference_of_a_pod_is_seen_by_the_checker() {
    let pod = pod(json!({
        "metadata": {"name": "x", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "y", "uid": "z"}]},
        "spec": {
            "serviceAccountName": "a", "serviceAccount": "a", "nodeName": "n", "nodeSelector": {"a": "b"},
            "imagePullSecrets": [{"name": "p"}], "runtimeClassName": "r", "affinity": {},
            "resourceClaims": [{"name": "c"}], "schedulingGates": [{"name": "g"}],
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule"}],
            "ephemeralContainers": [{"name": "e"}],
            "volumes": [
                {"name": "1", "secret": {"secretName": "s"}}, {"name": "2", "configMap": {"name": "c"}},
                {"name": "3", "persistentVolumeClaim": {"claimName": "p"}}, {"name": "4", "csi": {"driver": "d"}},
                {"name": "5", "ephemeral": {}}, {"name": "6", "projected": {"sources": [{"secret": {"name": "s"}}]}},
                {"name": "7", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
                {"name": "8", "projected": {"sources": [{"clusterTrustBundle": {"path": "t"}}]}},
                {"name": "9", "glusterfs": {"endpoints": "e", "path": "p"}},
                {"name": "10", "azureFile": {"secretName": "e", "shareName": "p"}},
                {"name": "fine-1", "hostPath": {"path": "/"}}, {"name": "fine-2", "emptyDir": {}},
                {"name": "fine-3", "projected": {"sources": [{"downwardAPI": {}}]}},
                {"name": "fine-4", "downwardAPI": {}},
            ],
            "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "s"}}, {"configMapRef": {"name": "c"}}]}],
            "containers": [{"name": "c", "resources": {"claims": [{"name": "c"}]}, "env": [
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "s", "key": "k"}}},
                {"name": "FINE", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
            ]}],
        },
    }));
    insta::assert_snapshot!(api_references(&pod).join("\n"), @"
metadata.ownerReferences
spec.serviceAccountName
spec.serviceAccount
spec.imagePullSecrets
spec.resourceClaims
spec.runtimeClassName
spec.schedulingGates
spec.ephemeralContainers
spec.nodeName
spec.nodeSelector
spec.affinity
spec.topologySpreadConstraints
spec.volumes[0].secret
spec.volumes[1].configMap
spec.volumes[2].persistentVolumeClaim
spec.volumes[3].csi
spec.volumes[4].ephemeral
spec.volumes[5].projected
spec.volumes[6].projected
spec.volumes[7].projected
spec.volumes[8].glusterfs
spec.volumes[9].azureFile
spec container i: envFrom secretRef
spec container i: envFrom configMapRef
spec container c: env A secretKeyRef
spec container c: env B configMapKeyRef
spec container c: resources.claims
");
}

#[test]
fn what_only_a_scheduler_or_api_server_could_use_goes() {
    let parent = parent(json!({
        "serviceAccountName": "web", "serviceAccount": "web", "nodeName": "node-1",
        "nodeSelector": {"a": "b"}, "affinity": {"nodeAffinity": {}}, "schedulerName": "mine",
        "imagePullSecrets": [{"name": "pull"}], "schedulingGates": [{"name": "g"}],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule"}],
        "ephemeralContainers": [{"name": "debug", "image": "i"}], "readinessGates": [{"conditionType": "x"}],
        "priorityClassName": "mine", "priority": 7, "preemptionPolicy": "Never",
        "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}],
        "containers": [{"name": "main", "image": "i:latest", "imagePullPolicy": "Always"},
                       {"name": "side", "image": "i:latest"},
                       {"name": "never", "image": "i", "imagePullPolicy": "Never"}],
    }));
    let rendered = whole(&parent, &everything(&parent));
    insta::assert_snapshot!(serde_json::to_string_pretty(&rendered.pod).expect("JSON"));
    insta::assert_snapshot!(rendered.notes.join("\n"), @r#"
imagePullSecrets are left out: the images must be on the node
ephemeral containers are left out
readiness gates are left out: only the API server could open them
priority class "mine" is left out: a static pod is critical to the kubelet without it
"#);
}

#[test]
fn system_priority_classes_stay_with_their_own_value() {
    for (class, priority) in [
        ("system-node-critical", 2_000_001_000),
        ("system-cluster-critical", 2_000_000_000),
    ] {
        let parent = parent(json!({"priorityClassName": class, "priority": 5}));
        let spec = whole(&parent, &everything(&parent))
            .pod
            .spec
            .expect("a spec");
        assert_eq!(spec.priority_class_name.as_deref(), Some(class));
        assert_eq!(spec.priority, Some(priority));
    }
}

#[test]
fn annotations_that_change_how_a_pod_runs_stay() {
    let mut parent = parent(json!({}));
    let annotations = parent.metadata.annotations.as_mut().expect("annotations");
    for key in [
        "container.apparmor.security.beta.kubernetes.io/main",
        "seccomp.security.alpha.kubernetes.io/pod",
        "kubernetes.io/config.seen",
        "kubectl.kubernetes.io/last-applied-configuration",
    ] {
        annotations.insert(key.to_owned(), "x".to_owned());
    }
    let rendered = whole(&parent, &everything(&parent));
    let kept = rendered.pod.metadata.annotations.expect("annotations");
    let kept: Vec<&String> = kept.keys().collect();
    assert_eq!(
        kept,
        [
            "checkpointer.alpha.coreos.com/checkpoint-of",
            "container.apparmor.security.beta.kubernetes.io/main",
            "rekindle.dev/checkpoint-id",
            "rekindle.dev/revision",
            "seccomp.security.alpha.kubernetes.io/pod",
        ]
    );
}

#[test]
fn all_reasons_are_named_at_once() {
    let parent = parent(json!({
        "runtimeClassName": "kata", "resourceClaims": [{"name": "gpu"}],
        "volumes": [
            {"name": "claim", "persistentVolumeClaim": {"claimName": "p"}},
            {"name": "csi", "csi": {"driver": "d"}},
            {"name": "ephemeral", "ephemeral": {}},
            {"name": "nfs", "nfs": {"server": "s", "path": "/"}},
            {"name": "trust", "projected": {"sources": [{"clusterTrustBundle": {"path": "t"}}]}},
            {"name": "none"},
            {"name": "two", "emptyDir": {}, "hostPath": {"path": "/"}},
            {"name": "reserved", "hostPath": {"path": "/REKINDLE-DATA/x"}},
        ],
    }));
    insta::assert_snapshot!(refusals(&parent, &everything(&parent)).join("\n"), @r#"
its runtimeClassName "kata" is resolved through the API server
it uses resource claims, which are allocated through the API server
volume claim is of kind persistentVolumeClaim, which needs more than this node
volume csi is of kind csi, which needs more than this node
volume ephemeral is of kind ephemeral, which needs more than this node
volume nfs is of kind nfs, which needs more than this node
volume trust projects a ClusterTrustBundle, which only an API server has
volume none must have one kind, not none that is known
volume two must have one kind, not emptyDir, hostPath
volume reserved uses the reserved host path /REKINDLE-DATA
"#);
}

#[test]
fn data_not_read_yet_is_waited_for() {
    let parent = parent(json!({"volumes": [
        {"name": "a", "secret": {"secretName": "s", "optional": true}},
        {"name": "b", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
    ]}));
    let Outcome::Waiting(missing) = outcome(
        &parent,
        &rekindle::core::manifest::gathered::Gathered::default(),
    ) else {
        panic!("it does not wait");
    };
    insta::assert_snapshot!(missing, @"Secret kube-system/s has not been read yet; the token of service account kube-system/default for audience of the API server has not been read yet");
}
