//! A running etcd as the source of a recovery: TLS, several members, and what it cannot give.

use std::path::Path;

use rekindle::recover::{Source, SourceError, Want, read};

use crate::etcd_cluster::Cluster;
use crate::etcd_load::{client, fill};

const SECRET: &[u8] = br#"{"apiVersion":"v1","kind":"Secret","data":{"key":"dmFsdWU="}}"#;

async fn with_secrets(cluster: &Cluster, count: usize) {
    let mut client = client(cluster, 0).await;
    for number in 0..count {
        let key = format!("/registry/secrets/kube-system/s{number:05}");
        client.put(key, SECRET, None).await.unwrap();
    }
    // Beside them: more than one page of keys, none of which is wanted.
    fill(&client, 3000, 100).await;
}

fn source(cluster: &Cluster, endpoints: Vec<String>) -> Source {
    Source::Etcd {
        endpoints,
        ca: Some(cluster.path("ca.crt")),
        certificate: Some(cluster.path("client.crt")),
        key: Some(cluster.path("client.key")),
    }
}

fn bare(endpoint: &str) -> String {
    endpoint.trim_start_matches("https://").to_owned()
}

#[tokio::test]
async fn a_dead_member_is_passed_over_and_a_lost_quorum_is_said() {
    let mut cluster = Cluster::start("3.5", 3).await;
    with_secrets(&cluster, 1234).await;
    let all = source(&cluster, cluster.endpoints());
    let want = Want::default();
    let before = read(&all, &want).await.unwrap();
    assert_eq!(before.secrets.len(), 1234);
    cluster.kill(0);
    // Without a scheme, as the predecessor took them.
    let endpoints = cluster.endpoints();
    let bare = source(&cluster, endpoints.iter().map(|it| bare(it)).collect());
    assert_eq!(read(&bare, &want).await.unwrap(), before);
    cluster.kill(1);
    let error = read(&all, &want).await.unwrap_err();
    assert!(matches!(error, SourceError::NoQuorum { .. }), "{error}");
    assert!(error.to_string().contains(&cluster.endpoint(2)), "{error}");
    assert!(error.hint().unwrap().contains("--etcd-backup-file"));
    cluster.kill(2);
    let error = read(&all, &want).await.unwrap_err();
    assert!(matches!(error, SourceError::Etcd(_)), "{error}");
    for endpoint in cluster.endpoints() {
        assert!(error.to_string().contains(&endpoint), "{error}");
    }
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn the_authority_alone_is_enough_where_etcd_wants_no_more() {
    // With an authority for clients etcd wants a certificate of each, whatever else it is told.
    let none = ["--client-cert-auth=false", "--trusted-ca-file="];
    let cluster = Cluster::start_with("3.5", 1, &none).await;
    with_secrets(&cluster, 3).await;
    let ask = |ca: Option<&str>, certificate: Option<&str>, key: Option<&str>| {
        let path = |name: &str| cluster.path(name);
        Source::Etcd {
            endpoints: vec![cluster.endpoint(0)],
            ca: ca.map(path),
            certificate: certificate.map(path),
            key: key.map(path),
        }
    };
    let want = Want::default();
    let found = read(&ask(Some("ca.crt"), None, None), &want).await.unwrap();
    assert_eq!(found.secrets.len(), 3);
    let none = read(&ask(None, None, None), &want).await.unwrap_err();
    assert!(none.hint().unwrap().contains("--etcd-ca-path"), "{none}");
    let half = ask(Some("ca.crt"), Some("client.crt"), None);
    let half = read(&half, &want).await.unwrap_err();
    assert!(matches!(half, SourceError::HalfIdentity), "{half}");
    let foreign = Cluster::start("3.5", 1).await;
    let unknown = Source::Etcd {
        endpoints: vec![foreign.endpoint(0)],
        ca: Some(foreign.path("ca.crt")),
        certificate: None,
        key: None,
    };
    let unknown = read(&unknown, &want).await.unwrap_err();
    let hint = unknown.hint().unwrap();
    assert!(
        hint.contains("--etcd-certificate-path"),
        "{unknown}: {hint}"
    );
    let wrong = Source::Etcd {
        endpoints: vec![cluster.endpoint(0)],
        ca: Some(foreign.path("ca.crt")),
        certificate: None,
        key: None,
    };
    let wrong = read(&wrong, &want).await.unwrap_err();
    assert!(wrong.to_string().contains("certificate"), "{wrong}");
    assert!(wrong.hint().unwrap().contains("--etcd-ca-path"));
    let missing = Source::Etcd {
        endpoints: vec![cluster.endpoint(0)],
        ca: Some(Path::new("/nowhere/ca.crt").into()),
        certificate: None,
        key: None,
    };
    let missing = read(&missing, &want).await.unwrap_err();
    assert!(missing.to_string().contains("/nowhere/ca.crt"), "{missing}");
}
