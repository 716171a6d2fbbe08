//! Pod templates become static pods: each mistake of the predecessor (`predecessor.md` 2.7), and
//! R17, R18.

use rekindle::core::recover::found::Stored;
use rekindle::core::recover::plan::Wanted;
use serde_json::json;

use crate::recover_samples::{
    SECRET, addresses, changes, command, edit, lab, mistakes, plain, planned, pod, simply, wanted,
};

const KCM: &str = "kube-controller-manager";

#[test]
fn the_labs_pods_and_files() {
    let plan = simply(&lab());
    let pods: Vec<_> = plan.pods.iter().map(|planned| &planned.pod).collect();
    insta::assert_snapshot!(
        "recovered_pods",
        serde_json::to_string_pretty(&pods).unwrap()
    );
    let files: Vec<_> = plan.files.keys().collect();
    insta::assert_debug_snapshot!("recovered_files", files);
    assert_eq!(plan.warnings, Vec::<String>::new());
}

#[test]
fn predecessor_r1_no_selector_affinity_or_service_account_is_left() {
    let mut found = lab();
    edit(&mut found, "kube-apiserver", |spec| {
        spec["affinity"] = json!({"nodeAffinity": {}});
        spec["schedulerName"] = json!("mine");
    });
    let plan = simply(&found);
    let spec = &pod(&plan, "kube-apiserver")["spec"];
    for gone in [
        "nodeSelector",
        "affinity",
        "serviceAccountName",
        "schedulerName",
        "nodeName",
    ] {
        assert!(spec.get(gone).is_none(), "{gone}");
    }
    let told = changes(&plan, "kube-apiserver");
    assert!(
        told.contains("nodeSelector") && told.contains("affinity"),
        "{told}"
    );
    let metadata = &pod(&plan, "kube-apiserver")["metadata"];
    // Labels would have a DaemonSet adopt the mirror pod.
    assert_eq!(
        metadata,
        &json!({"name": "bootstrap-kube-apiserver", "namespace": "kube-system"})
    );
}

#[test]
fn predecessor_r2_a_recovered_kubeconfig_is_kept_and_else_the_given_one_is_used() {
    let mut found = lab();
    let told = changes(&simply(&found), KCM);
    assert!(
        told.contains(
            "keeps its own kubeconfig, tls/secrets/kube-controller-manager/kcm.kubeconfig"
        )
    );

    // As bootkube rendered it: no flag, a service account.
    edit(&mut found, KCM, |spec| {
        spec["containers"][0]["command"] = json!(["./hyperkube", "controller-manager", "--v=2"]);
    });
    let all = mistakes(&found, &wanted(&addresses()));
    assert_eq!(all.len(), 1);
    assert!(
        all[0].contains(KCM) && all[0].contains("give --kubeconfig FILE"),
        "{all:?}"
    );
    let addresses = addresses();
    let given = Wanted {
        kubeconfig: true,
        ..wanted(&addresses)
    };
    let made = pod(&planned(&found, &given), KCM);
    assert_eq!(
        command(&made).last().unwrap(),
        "--kubeconfig=/kubeconfig/kubeconfig"
    );
    let volume = json!({
        "name": "kubeconfig",
        "hostPath": {"path": "/etc/kubernetes/bootstrap-secrets/kubeconfig", "type": "File"},
    });
    assert!(
        made["spec"]["volumes"]
            .as_array()
            .unwrap()
            .contains(&volume),
        "{made}"
    );
    let mount = json!({
        "name": "kubeconfig", "mountPath": "/kubeconfig/kubeconfig", "readOnly": true,
    });
    assert!(
        made["spec"]["containers"][0]["volumeMounts"]
            .as_array()
            .unwrap()
            .contains(&mount)
    );

    // One on the host, which may be another host now.
    edit(&mut found, KCM, |spec| {
        spec["containers"][0]["command"] = json!([KCM, "--kubeconfig", "/host/kcm.conf"]);
        spec["containers"][0]["volumeMounts"] = json!([{"name": "host", "mountPath": "/host"}]);
        spec["volumes"] = json!([{"name": "host", "hostPath": {"path": "/etc/k"}}]);
    });
    let plan = simply(&found);
    assert!(
        plan.warnings
            .iter()
            .any(|w| w.contains("/etc/k/kcm.conf is a file of the host"))
    );
    let made = pod(&planned(&found, &given), KCM);
    assert_eq!(
        command(&made),
        [KCM, "--kubeconfig", "/kubeconfig/kubeconfig"]
    );
}

#[test]
fn the_schedulers_configuration_file_tells_its_kubeconfig() {
    let mut found = lab();
    edit(&mut found, "kube-scheduler", |spec| {
        spec["containers"][0]["command"] = json!(["kube-scheduler", "--config=/c/config.yaml"]);
        spec["containers"][0]["volumeMounts"] = json!([{"name": "c", "mountPath": "/c"}]);
        spec["volumes"] = json!([{"name": "c", "configMap": {"name": "scheduler-config"}}]);
    });
    let head =
        "apiVersion: kubescheduler.config.k8s.io/v1beta1\nkind: KubeSchedulerConfiguration\n";
    let config = |text: &str| plain(&[("config.yaml", &format!("{head}{text}"))]);
    let mut with = |text: &str| {
        found
            .config_maps
            .insert("scheduler-config".to_owned(), config(text));
        let addresses = addresses();
        let plan = planned(
            &found,
            &Wanted {
                kubeconfig: true,
                ..wanted(&addresses)
            },
        );
        let file = &plan.files["tls/config-maps/scheduler-config/config.yaml"];
        let text = String::from_utf8(file.0.clone()).unwrap();
        assert_eq!(command(&pod(&plan, "kube-scheduler")).len(), 2);
        (text, plan.warnings)
    };
    let (text, _) = with("");
    assert!(
        text.ends_with("\nclientConnection:\n  kubeconfig: /kubeconfig/kubeconfig\n"),
        "{text}"
    );
    let (text, _) = with("clientConnection:\n  kubeconfig: /gone/kubeconfig\n");
    assert!(text.contains("kubeconfig: /kubeconfig/kubeconfig\n") && !text.contains("gone"));
    let (_, warnings) = with("clientConnection:\n  qps: 3\n");
    assert!(
        warnings.iter().any(|w| w.contains("edit its manifest")),
        "{warnings:?}"
    );
}

#[test]
fn predecessor_r3_flags_go_to_args_where_there_are_any_and_never_make_a_command() {
    let mut found = lab();
    edit(&mut found, KCM, |spec| {
        let container = spec["containers"][0].as_object_mut().unwrap();
        container.remove("command");
        container.insert("args".to_owned(), json!(["--v=2"]));
    });
    let addresses = addresses();
    let given = Wanted {
        kubeconfig: true,
        ..wanted(&addresses)
    };
    let made = pod(&planned(&found, &given), KCM);
    let container = &made["spec"]["containers"][0];
    assert_eq!(
        container["args"],
        json!(["--v=2", "--kubeconfig=/kubeconfig/kubeconfig"])
    );
    assert!(container.get("command").is_none());

    edit(&mut found, KCM, |spec| {
        spec["containers"][0]
            .as_object_mut()
            .unwrap()
            .remove("args");
    });
    let plan = planned(&found, &given);
    let made = pod(&plan, KCM);
    assert!(made["spec"]["containers"][0].get("command").is_none());
    assert!(
        plan.warnings
            .iter()
            .any(|w| w.contains(KCM) && w.contains("edit its manifest"))
    );

    edit(&mut found, KCM, |spec| {
        spec["containers"][0]["command"] =
            json!(["/bin/sh", "-c", "exec kube-controller-manager --v=2\n"]);
    });
    let plan = planned(&found, &given);
    assert_eq!(command(&pod(&plan, KCM)).len(), 3);
    assert!(
        plan.warnings
            .iter()
            .any(|w| w.contains("edit its manifest"))
    );
    assert!(
        plan.warnings
            .iter()
            .any(|w| w.contains("its command line is a script"))
    );
}

#[test]
fn predecessor_r4_items_optional_projected_and_environments_become_files_and_values() {
    let mut found = lab();
    found
        .secrets
        .insert("extra".to_owned(), plain(&[("a", SECRET), ("b", "two")]));
    edit(&mut found, "kube-apiserver", |spec| {
        let volumes = spec["volumes"].as_array_mut().unwrap();
        volumes.extend([
            json!({"name": "items", "secret": {"secretName": "extra", "items": [{"key": "b", "path": "x/y"}]}}),
            json!({"name": "none", "secret": {"secretName": "missing", "optional": true}}),
            json!({"name": "mixed", "projected": {"sources": [
                {"secret": {"name": "extra"}},
                {"configMap": {"name": "kube-apiserver-config", "items": [{"key": "readme.txt", "path": "readme"}]}},
                {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                {"serviceAccountToken": {"path": "token"}},
            ]}}),
        ]);
        let env = spec["containers"][0]["env"].as_array_mut().unwrap();
        env.push(
            json!({"name": "B", "valueFrom": {"secretKeyRef": {"name": "extra", "key": "b"}}}),
        );
        env.push(json!({"name": "C", "valueFrom": {"secretKeyRef": {"name": "no", "key": "c", "optional": true}}}));
    });
    let plan = simply(&found);
    let file = |path: &str| String::from_utf8(plan.files[path].0.clone()).unwrap();
    assert_eq!(file("tls/volumes/kube-apiserver/items/x/y"), "two");
    assert_eq!(file("tls/volumes/kube-apiserver/mixed/a"), SECRET);
    assert_eq!(file("tls/volumes/kube-apiserver/mixed/readme"), "words\n");
    assert_eq!(
        file("tls/volumes/kube-apiserver/mixed/name"),
        "bootstrap-kube-apiserver"
    );
    assert!(plan.empty_dirs.contains("tls/secrets/missing"));
    let made = pod(&plan, "kube-apiserver");
    let env = made["spec"]["containers"][0]["env"].as_array().unwrap();
    assert!(
        env.contains(&json!({"name": "B", "value": "two"})),
        "{env:?}"
    );
    assert!(!env.iter().any(|variable| variable["name"] == "C"));
    let empty = json!({"name": "none", "hostPath": {
        "path": "/etc/kubernetes/bootstrap-secrets/secrets/missing", "type": "DirectoryOrCreate",
    }});
    assert!(made["spec"]["volumes"].as_array().unwrap().contains(&empty));
    assert!(
        plan.warnings
            .iter()
            .any(|w| w.contains("token in volume mixed is left out")),
        "{:?}",
        plan.warnings
    );
}

#[test]
fn a_missing_object_and_a_missing_key_are_told_at_once() {
    let mut found = lab();
    found.secrets.remove("kube-scheduler");
    found.config_maps.clear();
    edit(&mut found, "kube-apiserver", |spec| {
        spec["volumes"].as_array_mut().unwrap().extend([
            json!({"name": "pvc", "persistentVolumeClaim": {"claimName": "c"}}),
            json!({"name": "key", "secret": {"secretName": "kube-apiserver", "items": [{"key": "no", "path": "p"}]}}),
        ]);
    });
    let all = mistakes(&found, &wanted(&addresses())).join("\n");
    for word in [
        "kube-scheduler: volume secrets needs Secret kube-system/kube-scheduler, which does not exist",
        "kube-apiserver: volume config needs ConfigMap kube-system/kube-apiserver-config",
        "volume pvc is of kind persistentVolumeClaim",
        "volume key needs the missing key \"no\"",
    ] {
        assert!(all.contains(word), "{word}: {all}");
    }
}

#[test]
fn r17_a_needed_secret_that_cannot_be_decrypted_is_a_mistake_and_any_other_is_not() {
    let mut found = lab();
    let why = "it is encrypted at rest (aescbc, key k1), and no encryption configuration is given";
    found
        .secrets
        .insert("unneeded".to_owned(), Stored::Unreadable(why.to_owned()));
    simply(&found);
    found.secrets.insert(
        "kube-apiserver".to_owned(),
        Stored::Unreadable(why.to_owned()),
    );
    let all = mistakes(&found, &wanted(&addresses()));
    assert_eq!(
        all,
        [format!(
            "kube-apiserver needs Secret kube-system/kube-apiserver, which cannot be read: {why}"
        )]
    );
}

#[test]
fn r18_what_the_installed_version_refuses_is_told() {
    let mut found = lab();
    let run = |found: &_| simply(found).warnings.join("\n");
    assert_eq!(run(&found), "");
    let image = |name: &str, tag: &str| json!(format!("k8s.gcr.io/{name}:{tag}"));
    edit(&mut found, "kube-apiserver", |spec| {
        spec["containers"][0]["image"] = image("kube-apiserver", "v1.24.0");
    });
    let told = run(&found);
    assert!(
        told.contains("version 1.24 (k8s.gcr.io/kube-apiserver:v1.24.0) refuses --insecure-port")
    );
    let policy = "kind: Policy\napiVersion: audit.k8s.io/v1beta1\n";
    found.config_maps.insert(
        "kube-apiserver-config".to_owned(),
        plain(&[("audit-policy.yaml", policy)]),
    );
    let told = run(&found);
    assert!(
        told.contains("refuses the API version audit.k8s.io/v1beta1, which is in tls/config-maps/kube-apiserver-config/audit-policy.yaml"),
        "{told}"
    );
    edit(&mut found, KCM, |spec| {
        spec["containers"][0]["image"] = image(KCM, "1.31.2-eks");
        let command = spec["containers"][0]["command"].as_array_mut().unwrap();
        command.extend([
            json!("--pod_eviction_timeout=1m"),
            json!("--cloud-provider=aws"),
        ]);
    });
    let told = run(&found);
    assert!(told.contains("refuses --pod-eviction-timeout"), "{told}");
    assert!(told.contains("refuses --cloud-provider=aws"), "{told}");
    edit(&mut found, "kube-apiserver", |spec| {
        spec["containers"][0]["command"] = json!(["kube-apiserver", "--port=0"]);
    });
    assert!(run(&found).contains("does not start without --service-account-issuer"));
    // A version that is not known says nothing.
    for tag in ["latest", "v2.0", "master"] {
        edit(&mut found, "kube-apiserver", |spec| {
            spec["containers"][0]["image"] = image("kube-apiserver", tag);
        });
        assert!(!run(&found).contains("kube-apiserver: version"), "{tag}");
    }
}

#[test]
fn it_runs_as_root_on_the_host_and_resolves_names_as_the_host() {
    let mut found = lab();
    edit(&mut found, KCM, |spec| {
        spec.as_object_mut().unwrap().remove("hostNetwork");
        spec["dnsPolicy"] = json!("ClusterFirstWithHostNet");
        spec["securityContext"] = json!({"runAsNonRoot": true, "runAsUser": 65534, "fsGroup": 7});
        spec["containers"][0]["securityContext"] = json!({"runAsUser": 5, "privileged": false});
        spec["containers"][0]["ports"] = json!([{"containerPort": 10257, "hostPort": 9}]);
    });
    let plan = simply(&found);
    let spec = &pod(&plan, KCM)["spec"];
    assert_eq!(spec["securityContext"], json!({"runAsUser": 0}));
    assert_eq!(
        spec["containers"][0]["securityContext"],
        json!({"privileged": false})
    );
    assert_eq!(spec["dnsPolicy"], "Default");
    assert_eq!(spec["containers"][0]["ports"][0]["hostPort"], 10257);
    let told = changes(&plan, KCM);
    assert!(
        told.contains("runs as root") && told.contains("host's network"),
        "{told}"
    );
}
