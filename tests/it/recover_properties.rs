//! Whatever is found, planning ends without a panic, and what comes out needs no API server.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rekindle::core::manifest::references::api_references;
use rekindle::core::recover::found::{Found, Stored};
use rekindle::core::recover::plan::{Backup, Mistakes, Wanted, plan};
use serde_json::{Value, json};

use crate::recover_samples::{SECRET, daemon_set, deployment, label, plain, wanted};

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("kube-apiserver".to_owned()),
        Just("--kubeconfig=/m/k".to_owned()),
        Just("--kubeconfig".to_owned()),
        Just("--etcd-servers=https://10.0.0.1:2379".to_owned()),
        Just("--advertise-address=10.0.0.1".to_owned()),
        Just("--config=/m/a".to_owned()),
        Just("exec kube-scheduler --etcd-servers='x' --kubeconfig=\"/m/k\"\n".to_owned()),
        Just("hyperkube".to_owned()),
        Just("--tls-cert-file=/m/../k".to_owned()),
        Just("=".to_owned()),
        "[-=a-z$()/\u{e9} ]{0,12}",
    ]
}

fn volume() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("a"),
        Just("b"),
        Just("kubeconfig"),
        Just(""),
        Just("../x")
    ];
    let kind = prop_oneof![
        Just(json!({"secret": {"secretName": "s"}})),
        Just(json!({"secret": {"secretName": "../s", "optional": true}})),
        Just(json!({"secret": {"secretName": "s", "items": [{"key": "k", "path": "../../p"}]}})),
        Just(json!({"secret": {"secretName": "t", "items": [{"key": "k", "path": "x/y"}]}})),
        Just(json!({"configMap": {"name": "m", "optional": true}})),
        Just(
            json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}, {"secret": {"name": "s"}}]}})
        ),
        Just(json!({"hostPath": {"path": "/etc/kubernetes/bootstrap-secrets"}})),
        Just(json!({"emptyDir": {}})),
        Just(json!({"nfs": {"server": "s", "path": "/"}})),
        Just(json!({})),
    ];
    (name, kind).prop_map(|(name, mut kind)| {
        kind["name"] = json!(name);
        kind
    })
}

prop_compose! {
    fn spec()(
        command in prop::collection::vec(word(), 0..6),
        args in prop::collection::vec(word(), 0..3),
        volumes in prop::collection::vec(volume(), 0..4),
        image in prop_oneof![Just("kube-scheduler:v1.31.0"), Just("x"), Just(""), Just("@:")],
        network in any::<bool>(),
        account in any::<bool>(),
    ) -> Value {
        let mounts: Vec<Value> = volumes
            .iter()
            .map(|volume| json!({"name": volume["name"], "mountPath": "/m"}))
            .collect();
        let mut spec = json!({
            "hostNetwork": network,
            "containers": [{"name": "c", "image": image, "command": command, "args": args, "volumeMounts": mounts}],
            "volumes": volumes,
        });
        if account {
            spec["serviceAccountName"] = json!("sa");
            spec["affinity"] = json!({"podAffinity": {}});
        }
        spec
    }
}

fn component() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("kube-apiserver"),
        Just("kube-controller-manager"),
        Just("kube-scheduler"),
        Just("other"),
    ]
}

fn stored() -> impl Strategy<Value = Stored> {
    prop_oneof![
        Just(plain(&[("k", SECRET), ("a", "x")])),
        Just(plain(&[("..", SECRET), ("a/b", SECRET)])),
        Just(plain(&[])),
        Just(Stored::Unreadable("encrypted".to_owned())),
        Just(plain(&[(
            "k",
            "kind: Config\nclusters:\nserver: https://[::9]:1\n"
        )])),
    ]
}

prop_compose! {
    fn found()(
        sets in prop::collection::vec((component(), spec()), 0..3),
        deployments in prop::collection::vec((component(), spec()), 0..4),
        secrets in prop::collection::btree_map(prop_oneof![Just("s"), Just("t"), Just("../s")], stored(), 0..3),
        maps in prop::collection::btree_map(Just("m"), stored(), 0..2),
        cluster in prop::option::of(prop_oneof![
            Just(json!({})),
            Just(json!({"spec": {"selfHosted": {"bootMemberClientEndpoint": "https://[fd00::1]:1"}}})),
            Just(json!({"spec": {"TLS": {}, "selfHosted": {"bootMemberClientEndpoint": 7}}})),
        ]),
    ) -> Found {
        Found {
            namespace: "kube-system".to_owned(),
            daemon_sets: sets.iter().map(|(name, spec)| daemon_set(name, &label(name), spec)).collect(),
            deployments: deployments.iter().map(|(name, spec)| deployment(name, &label(name), spec)).collect(),
            secrets: secrets.into_iter().map(|(name, stored)| (name.to_owned(), stored)).collect(),
            config_maps: maps.into_iter().map(|(name, stored)| (name.to_owned(), stored)).collect(),
            etcd_cluster: cluster,
            ..Found::default()
        }
    }
}

proptest! {
    #[test]
    fn any_found_is_planned_or_refused_and_a_plan_needs_no_api_server(
        found in found(),
        kubeconfig in any::<bool>(),
        moved in any::<bool>(),
    ) {
        let addresses: BTreeSet<String> = ["10.0.0.5".to_owned()].into();
        let endpoints = ["https://e:2379".to_owned()];
        let wanted = Wanted {
            kubeconfig,
            etcd_endpoints: if moved { &endpoints } else { &[] },
            node_address: moved.then_some("10.0.0.5"),
            backup: Some(Backup { path: "/b", plain: true, prefix: "/registry", token: "t" }),
            ..wanted(&addresses)
        };
        match plan(&found, &wanted) {
            Ok(plan) => {
                for planned in &plan.pods {
                    prop_assert_eq!(api_references(&planned.pod), Vec::<String>::new());
                    let spec = planned.pod.spec.as_ref().unwrap();
                    prop_assert_eq!(spec.host_network, Some(true));
                }
                for path in plan.files.keys().chain(&plan.empty_dirs) {
                    prop_assert!(path.starts_with("tls/"), "{}", path);
                    prop_assert!(path.split('/').all(|part| !["", ".", ".."].contains(&part)), "{}", path);
                }
                let shown = format!("{plan:?}");
                prop_assert!(!shown.contains(SECRET));
            }
            Err(Mistakes(all)) => {
                prop_assert!(!all.is_empty());
                prop_assert!(all.iter().all(|mistake| !mistake.contains(SECRET)));
            }
        }
    }
}
