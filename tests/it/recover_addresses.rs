//! Addresses of another host and of another etcd (`predecessor.md` R7; R10).

use std::collections::BTreeSet;

use rekindle::core::recover::plan::Wanted;
use serde_json::json;

use crate::recover_samples::{
    NOW, Pki, addresses, changes, command, edit, lab, lab_with, plain, planned, pod, simply, wanted,
};

#[test]
fn predecessor_r7_etcd_endpoints_replace_the_recorded_ones() {
    let mut found = lab();
    let addresses = addresses();
    let endpoints = ["https://e1:2379".to_owned(), "https://e2:2379".to_owned()];
    let asked = Wanted {
        etcd_endpoints: &endpoints,
        ..wanted(&addresses)
    };
    let wants = "--etcd-servers=https://e1:2379,https://e2:2379";
    let plan = planned(&found, &asked);
    assert!(command(&pod(&plan, "kube-apiserver")).contains(&wants.to_owned()));
    assert!(changes(&plan, "kube-apiserver").contains("was http://127.0.0.1:2379"));

    // Two words, an override, and a script.
    edit(&mut found, "kube-apiserver", |spec| {
        spec["containers"][0]["command"] = json!([
            "kube-apiserver",
            "--etcd_servers",
            "https://old:2379",
            "--etcd-servers-overrides=/events#https://old:1;https://old:2,apps/deployments#https://o:3",
            "--service-account-issuer=i",
            "--service-account-signing-key-file=k",
        ]);
    });
    let line = command(&pod(&planned(&found, &asked), "kube-apiserver"));
    assert_eq!(line[2], "https://e1:2379,https://e2:2379");
    assert_eq!(
        line[3],
        "--etcd-servers-overrides=/events#https://e1:2379;https://e2:2379,\
         apps/deployments#https://e1:2379;https://e2:2379"
    );
    edit(&mut found, "kube-apiserver", |spec| {
        let script = "exec kube-apiserver \\\n --etcd-servers='https://old:2379' --v=2\n";
        spec["containers"][0]["command"] = json!(["/bin/sh", "-c", script]);
    });
    let line = command(&pod(&planned(&found, &asked), "kube-apiserver"));
    assert_eq!(
        line[2],
        "exec kube-apiserver \\\n --etcd-servers='https://e1:2379,https://e2:2379' --v=2\n"
    );

    edit(&mut found, "kube-apiserver", |spec| {
        spec["containers"][0]["command"] = json!(["kube-apiserver", "--v=2"]);
    });
    let plan = planned(&found, &asked);
    assert!(
        plan.warnings
            .iter()
            .any(|w| w.contains("--etcd-endpoint changes nothing"))
    );
}

#[test]
fn r10_addresses_of_another_host_are_told_and_rewritten_where_one_is_given() {
    let pki = Pki::new(NOW);
    let mut found = lab_with(&pki);
    edit(&mut found, "kube-apiserver", |spec| {
        let container = &mut spec["containers"][0];
        container["command"].as_array_mut().unwrap().extend([
            json!("--advertise-address=10.0.0.1"),
            json!("--bind-address=$(OLD)"),
        ]);
        container["env"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "OLD", "value": "10.0.0.1"}));
        container["livenessProbe"] =
            json!({"httpGet": {"host": "10.0.0.1", "port": 6443, "path": "/livez"}});
    });
    edit(&mut found, "kube-scheduler", |spec| {
        let command = spec["containers"][0]["command"].as_array_mut().unwrap();
        command.push(json!("--bind-address=0.0.0.0"));
    });
    let old = pki.kubeconfig("system:kube-scheduler", "https://10.0.0.1:6443", NOW);
    found.secrets.insert(
        "kube-scheduler".to_owned(),
        plain(&[("scheduler.kubeconfig", &old)]),
    );
    let other = pki.kubeconfig("system:kcm", "https://10.0.0.99:6443", NOW);
    let kcm = [
        ("kcm.kubeconfig", other.as_str()),
        ("ca.crt", &pki.authority),
    ];
    found
        .secrets
        .insert("kube-controller-manager".to_owned(), plain(&kcm));

    let told = simply(&found).warnings.join("\n");
    for word in [
        "--advertise-address=10.0.0.1 names an address that this host does not have (it has 10.0.0.5, fd00::5)",
        "--bind-address=10.0.0.1 names",
        "a probe of 10.0.0.1 names",
        "scheduler.kubeconfig leads to https://10.0.0.1:6443, which is not this host",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }

    let addresses = addresses();
    let asked = Wanted {
        node_address: Some("10.0.0.5"),
        ..wanted(&addresses)
    };
    let plan = planned(&found, &asked);
    let api = pod(&plan, "kube-apiserver");
    let line = command(&api);
    assert!(
        line.contains(&"--advertise-address=10.0.0.5".to_owned()),
        "{line:?}"
    );
    assert!(
        line.contains(&"--bind-address=10.0.0.5".to_owned()),
        "{line:?}"
    );
    let container = &api["spec"]["containers"][0];
    assert_eq!(container["livenessProbe"]["httpGet"]["host"], "10.0.0.5");
    let line = command(&pod(&plan, "kube-scheduler"));
    assert!(
        line.contains(&"--bind-address=0.0.0.0".to_owned()),
        "{line:?}"
    );
    // Of the address that nobody knows only the operator can say what it was.
    let told = plan.warnings.join("\n");
    assert!(
        told.contains("kcm.kubeconfig leads to https://10.0.0.99:6443"),
        "{told}"
    );
    assert!(!told.contains("10.0.0.1"), "{told}");
}

#[test]
fn nothing_is_said_where_the_hosts_addresses_are_not_known_or_are_right() {
    let mut found = lab();
    edit(&mut found, "kube-apiserver", |spec| {
        let command = spec["containers"][0]["command"].as_array_mut().unwrap();
        command.push(json!("--advertise-address=10.0.0.7"));
    });
    let unknown = BTreeSet::new();
    assert_eq!(
        planned(&found, &wanted(&unknown)).warnings,
        Vec::<String>::new()
    );
    let own = ["10.0.0.7".to_owned()].into();
    assert_eq!(
        planned(&found, &wanted(&own)).warnings,
        Vec::<String>::new()
    );
}

#[test]
fn r10_a_recovered_kubeconfig_of_the_lost_host_leads_to_the_new_one() {
    let pki = Pki::new(NOW);
    let mut found = lab_with(&pki);
    edit(&mut found, "kube-scheduler", |spec| {
        let command = spec["containers"][0]["command"].as_array_mut().unwrap();
        command.push(json!("--bind-address=10.0.0.1"));
    });
    let old = pki.kubeconfig("system:kube-scheduler", "https://10.0.0.1:6443", NOW);
    found.secrets.insert(
        "kube-scheduler".to_owned(),
        plain(&[("scheduler.kubeconfig", &old)]),
    );
    let addresses = addresses();
    let asked = Wanted {
        node_address: Some("fd00::5"),
        ..wanted(&addresses)
    };
    let plan = planned(&found, &asked);
    let path = "tls/secrets/kube-scheduler/scheduler.kubeconfig";
    let text = String::from_utf8(plan.files[path].0.clone()).unwrap();
    assert!(
        text.contains("server: \"https://[fd00::5]:6443\""),
        "{text}"
    );
    assert!(plan.changes[0].contains("leads to https://[fd00::5]:6443, not https://10.0.0.1:6443"));
}
