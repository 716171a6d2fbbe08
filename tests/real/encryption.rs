//! Values that a real kube-apiserver encrypted at rest are opened, for each provider.

use std::path::{Path, PathBuf};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, LimitRange, LimitRangeSpec, Namespace, Secret};
use kube::api::{Api, PostParams};
use rekindle::encryption::{EncryptionConfiguration, Scheme};
use rekindle::objects::{REGISTRY, Value, place};
use secrecy::ExposeSecret;

use crate::control_plane::ControlPlane;
use crate::etcd_cluster::until;
use crate::rehearsal::{Flaw, Node, answer};

const CONFIGURATION: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/encryption/configuration.yaml"
);

#[tokio::test]
async fn b09_what_a_real_api_server_encrypts_is_opened() {
    let plane = ControlPlane::start_encrypting(Some(PathBuf::from(CONFIGURATION))).await;
    let client = plane.admin().await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    // Made by the API server itself, a moment after it is ready.
    until("there is a default namespace", async || {
        namespaces.get("default").await.is_ok()
    })
    .await;
    let post = PostParams::default();
    let mut secret = Secret::default();
    secret.metadata.name = Some("sealed".to_owned());
    let password = ByteString(b"for nobody's eyes".to_vec());
    secret.data = Some([("password".to_owned(), password)].into());
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "default");
    secrets.create(&post, &secret).await.unwrap();
    let mut map = ConfigMap::default();
    map.metadata.name = Some("sealed".to_owned());
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    maps.create(&post, &map).await.unwrap();
    let mut range = LimitRange::default();
    range.metadata.name = Some("sealed".to_owned());
    range.spec = Some(LimitRangeSpec::default());
    let ranges: Api<LimitRange> = Api::namespaced(client, "default");
    ranges.create(&post, &range).await.unwrap();

    let text = std::fs::read(CONFIGURATION).unwrap();
    let configuration = EncryptionConfiguration::parse(&text).unwrap();
    let stored = plane
        .etcdctl(&["get", "--prefix", "/registry/", "-w", "json"])
        .await;
    let stored: serde_json::Value = serde_json::from_slice(&stored).unwrap();
    let mut opened = Vec::new();
    let mut heads = 0;
    for pair in stored["kvs"].as_array().unwrap() {
        let bytes = |name: &str| {
            serde_json::from_value::<ByteString>(pair[name].clone())
                .unwrap()
                .0
        };
        let (key, value) = (bytes("key"), bytes("value"));
        let name = String::from_utf8(key.clone()).unwrap();
        let Some(object) = place(&key, REGISTRY) else {
            panic!("{name} is no object's key");
        };
        let scheme = Scheme::of(&value);
        let plain = configuration.open(&object.full_resource(), &key, &value);
        let plain = plain.unwrap_or_else(|error| panic!("{name}: {error}"));
        let plain = plain.expose_secret();
        let head = Value::of(plain).unwrap().head();
        let head = head.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!head.kind.is_empty(), "{name}");
        heads += 1;
        if object.name == "sealed" {
            assert_eq!(
                (head.name.as_str(), head.namespace.as_str()),
                ("sealed", "default")
            );
            opened.push((head.kind, scheme.unwrap().provider));
            if object.resource == "secrets" {
                let word = b"for nobody's eyes";
                assert!(plain.windows(word.len()).any(|window| window == word));
                assert!(!value.windows(word.len()).any(|window| window == word));
            }
        }
    }
    let expected = [
        ("ConfigMap", "aesgcm"),
        ("LimitRange", "secretbox"),
        ("Secret", "aescbc"),
    ];
    let expected = expected.map(|(kind, provider)| (kind.to_owned(), provider.to_owned()));
    assert_eq!(opened, expected);
    println!("{heads} objects of a fresh cluster decode");
    assert!(heads > 50, "{heads}");
    rehearsed(&plane, heads).await;
    plane.stop().await;
}

/// The same cluster's snapshot is rehearsed with the configuration in its bundle.
async fn rehearsed(plane: &ControlPlane, objects: usize) {
    let node = Node::new(Path::new("/usr/bin"));
    let saved = node.path("snapshot.db");
    plane
        .etcdctl(&["snapshot", "save", saved.to_str().unwrap()])
        .await;
    let configuration = std::fs::read_to_string(CONFIGURATION).unwrap();
    node.bundle("3.4.0", Some(&configuration), 1, &Flaw::default());
    let output = tokio::process::Command::from(node.rehearse(&[]))
        .output()
        .await
        .unwrap();
    let answer = answer(&output);
    println!("{answer:#}");
    assert_eq!(answer["passed"], true);
    let keys = answer["content"]["live_keys"].as_u64().unwrap();
    // The API server goes on writing between the two looks.
    assert!(keys >= objects as u64, "{keys} keys, {objects} objects");
    assert!(answer["checked"].to_string().contains("secretbox v1"));
}
