//! A self-hosted etcd: the member that is restored, and what the operator is given.

use rekindle::core::recover::found::{Found, Stored};
use rekindle::core::recover::plan::{Backup, Plan, Wanted};
use serde_json::{Value, json};

use crate::recover_samples::{
    SECRET, addresses, command, lab, mistakes, plain, planned, pod, wanted,
};

const BACKUP: Backup<'_> = Backup {
    path: "/root/backup.db",
    plain: true,
    prefix: "/registry",
    token: "word",
};

fn cluster(tls: &Value) -> Value {
    json!({
        "apiVersion": "etcd.database.coreos.com/v1beta2",
        "kind": "EtcdCluster",
        "metadata": {"name": "kube-etcd", "namespace": "kube-system", "uid": "u", "resourceVersion": "1"},
        "spec": {
            "size": 1,
            "version": "3.1.8",
            "selfHosted": {"bootMemberClientEndpoint": "https://10.3.0.20:12379"},
            "TLS": tls,
        },
        "status": {"phase": "Running"},
    })
}

fn with_tls() -> Found {
    let mut found = lab();
    let names = json!({"static": {
        "member": {"peerSecret": "etcd-peer-tls", "serverSecret": "etcd-server-tls"},
        "operatorSecret": "etcd-client-tls",
    }});
    found.etcd_cluster = Some(cluster(&names));
    for (secret, prefix) in [
        ("etcd-peer-tls", "peer"),
        ("etcd-server-tls", "server"),
        ("etcd-client-tls", "etcd-client"),
    ] {
        let keys = ["-ca.crt", ".crt", ".key"].map(|end| format!("{prefix}{end}"));
        let entries = keys.each_ref().map(|key| (key.as_str(), SECRET));
        found.secrets.insert(secret.to_owned(), plain(&entries));
    }
    found
}

fn asked<'a>(addresses: &'a std::collections::BTreeSet<String>, backup: Backup<'a>) -> Wanted<'a> {
    Wanted {
        backup: Some(backup),
        ..wanted(addresses)
    }
}

fn etcd_of(found: &Found) -> Plan {
    planned(found, &asked(&addresses(), BACKUP))
}

#[test]
fn the_tree_is_the_seeds_file_for_file() {
    let plan = etcd_of(&with_tls());
    let etcd: Vec<&str> = plan
        .files
        .keys()
        .map(String::as_str)
        .filter(|path| path.starts_with("tls/etcd"))
        .collect();
    assert_eq!(
        etcd,
        [
            "tls/etcd-client-ca.crt",
            "tls/etcd-client.crt",
            "tls/etcd-client.key",
            "tls/etcd/peer-ca.crt",
            "tls/etcd/peer.crt",
            "tls/etcd/peer.key",
            "tls/etcd/server-ca.crt",
            "tls/etcd/server.crt",
            "tls/etcd/server.key",
        ]
    );
    let documents: Vec<_> = plan.documents.keys().collect();
    assert_eq!(
        documents,
        [
            "etcd/bootstrap-etcd-service.json",
            "etcd/migrate-etcd-cluster.json"
        ]
    );
    let made = pod(&plan, "etcd");
    insta::assert_snapshot!(
        "recovered_etcd",
        serde_json::to_string_pretty(&made).unwrap()
    );
    let servers = "--etcd-servers=http://127.0.0.1:2379,https://127.0.0.1:12379".to_owned();
    assert!(command(&pod(&plan, "kube-apiserver")).contains(&servers));
    let migrate = &plan.documents["etcd/migrate-etcd-cluster.json"];
    assert_eq!(
        migrate["metadata"],
        json!({"name": "kube-etcd", "namespace": "kube-system"})
    );
    assert_eq!(
        (&migrate["kind"], migrate.get("status")),
        (&json!("EtcdCluster"), None)
    );
    assert_eq!(migrate["spec"]["size"], 1);
    let service = &plan.documents["etcd/bootstrap-etcd-service.json"];
    assert_eq!(service["spec"]["clusterIP"], "10.3.0.20");
    assert_eq!(service["spec"]["selector"], made["metadata"]["labels"]);
}

#[test]
fn bootkube_612_a_cluster_without_tls_is_recovered_too() {
    let mut found = lab();
    found.etcd_cluster = Some(cluster(&Value::Null));
    let plan = etcd_of(&found);
    assert!(plan.files.keys().all(|path| !path.starts_with("tls/etcd")));
    let made = pod(&plan, "etcd");
    let line = command(&made);
    assert!(
        line.contains(&"--listen-client-urls=http://0.0.0.0:12379".to_owned()),
        "{line:?}"
    );
    assert!(line.iter().all(|word| !word.contains("cert")), "{line:?}");
    let servers = "--etcd-servers=http://127.0.0.1:2379,http://127.0.0.1:12379".to_owned();
    assert!(command(&pod(&plan, "kube-apiserver")).contains(&servers));
}

#[test]
fn everything_that_is_wrong_with_it_is_told_at_once() {
    let mut found = with_tls();
    found.secrets.remove("etcd-peer-tls");
    let why = Stored::Unreadable("it is encrypted at rest".to_owned());
    found.secrets.insert("etcd-server-tls".to_owned(), why);
    found
        .secrets
        .insert("etcd-client-tls".to_owned(), plain(&[("../x", SECRET)]));
    found.etcd_cluster.as_mut().unwrap()["spec"]["selfHosted"] =
        json!({"skipBootMemberRemoval": true});
    let packed = Backup {
        plain: false,
        path: "/b/snapshot.db.zst",
        ..BACKUP
    };
    let all = mistakes(&found, &asked(&addresses(), packed)).join("\n");
    for word in [
        "needs Secret kube-system/etcd-peer-tls, which does not exist",
        "needs Secret kube-system/etcd-server-tls, which cannot be read: it is encrypted",
        "etcd-client-tls has a key that is no file name",
        "bootMemberClientEndpoint names no address",
        "unpack /b/snapshot.db.zst",
    ] {
        assert!(all.contains(word), "{word}: {all}");
    }
}

#[test]
fn it_is_left_out_where_the_source_is_no_file_or_it_is_not_self_hosted() {
    let mut found = with_tls();
    let plan = planned(&found, &wanted(&addresses()));
    assert_eq!(plan.pods.len(), 3);
    found.etcd_cluster.as_mut().unwrap()["spec"]["selfHosted"] = Value::Null;
    let plan = etcd_of(&found);
    assert_eq!(plan.pods.len(), 3);
    assert!(
        plan.warnings
            .iter()
            .any(|w| w.contains("does not say that it is self-hosted"))
    );
    found.etcd_cluster = None;
    let unreadable = (
        "/registry/etcd.database.coreos.com/etcdclusters/x".to_owned(),
        "no JSON".to_owned(),
    );
    found.unreadable.push(unreadable);
    assert!(mistakes(&found, &asked(&addresses(), BACKUP))[0].contains("no JSON"));
}
