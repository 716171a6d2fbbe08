//! Encryption at rest: values that a real kube-apiserver stored, every way to be refused, and keys
//! that never show.

use k8s_openapi::ByteString;
use proptest::prelude::*;
use rekindle::encryption::{EncryptionConfiguration, Refusal, Unreadable};
use rekindle::objects::{REGISTRY, Value, place};
use secrecy::ExposeSecret;
use serde::Deserialize;

const CONFIGURATION: &str = include_str!("../fixtures/encryption/configuration.yaml");
const VECTORS: &str = include_str!("../fixtures/encryption/vectors.json");

#[derive(Deserialize)]
struct Stored {
    key: ByteString,
    value: ByteString,
}

fn stored(resource: &str) -> (Vec<u8>, Vec<u8>) {
    let vectors: Vec<Stored> = serde_json::from_str(VECTORS).unwrap();
    let wanted = format!("/registry/{resource}/default/sealed");
    let found = vectors.into_iter().find(|it| it.key.0 == wanted.as_bytes());
    let found = found.unwrap();
    (found.key.0, found.value.0)
}

fn open(configuration: &str, resource: &str) -> Result<Vec<u8>, Refusal> {
    let (key, value) = stored(resource);
    let configuration = EncryptionConfiguration::parse(configuration.as_bytes()).unwrap();
    let plain = configuration.open(resource, &key, &value)?;
    Ok(plain.expose_secret().to_vec())
}

const EACH: [(&str, &str); 3] = [
    ("secrets", "Secret"),
    ("configmaps", "ConfigMap"),
    ("limitranges", "LimitRange"),
];

#[test]
fn every_provider_opens_what_the_api_server_stored() {
    for (resource, kind) in EACH {
        let plain = open(CONFIGURATION, resource).unwrap();
        let head = Value::of(&plain).unwrap().head().unwrap();
        assert_eq!((head.kind.as_str(), head.name.as_str()), (kind, "sealed"));
    }
    let secret = open(CONFIGURATION, "secrets").unwrap();
    let word = b"for nobody's eyes";
    assert!(secret.windows(word.len()).any(|window| window == word));
}

#[test]
fn wildcards_mean_what_they_mean_to_the_api_server() {
    for written in ["'*.*'", "'*.'"] {
        let all = CONFIGURATION.replace("[secrets]", &format!("[{written}]"));
        open(&all, "secrets").unwrap();
    }
    // The key does not tell that Secrets are of the core group; a group of its own is told.
    let widgets = CONFIGURATION.replace("[secrets]", "['*.example.com']");
    let configuration = EncryptionConfiguration::parse(widgets.as_bytes()).unwrap();
    let (key, value) = stored("secrets");
    configuration
        .open("example.com/widgets", &key, &value)
        .unwrap();
    let refused = configuration
        .open("example.org/widgets", &key, &value)
        .unwrap_err();
    assert!(
        matches!(refused, Refusal::NotConfigured { .. }),
        "{refused}"
    );
}

#[test]
fn another_key_of_the_same_name_is_told() {
    for (letter, resource) in [
        ("Y2Nj", "secrets"),
        ("Z2dn", "configmaps"),
        ("c3Nz", "limitranges"),
    ] {
        let wrong = CONFIGURATION.replace(letter, "eHh4");
        let (key, value) = stored(resource);
        let configuration = EncryptionConfiguration::parse(wrong.as_bytes()).unwrap();
        match configuration.open(resource, &key, &value) {
            Err(Refusal::WrongKey { .. }) => {}
            // AES-CBC cannot always tell; noise is no object.
            Ok(plain) => assert!(Value::of(plain.expose_secret()).is_err()),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn the_etcd_key_is_authenticated_by_aesgcm() {
    let (_, value) = stored("configmaps");
    let configuration = EncryptionConfiguration::parse(CONFIGURATION.as_bytes()).unwrap();
    let moved = b"/registry/configmaps/default/other";
    let refused = configuration.open("configmaps", moved, &value).unwrap_err();
    assert!(matches!(refused, Refusal::WrongKey { .. }), "{refused}");
}

#[test]
fn a_missing_key_and_a_missing_resource_are_told_apart() {
    let renamed = CONFIGURATION.replace("key1", "key2");
    let refused = open(&renamed, "secrets").unwrap_err();
    insta::assert_snapshot!(refused, @r#"it is encrypted (aescbc v1, key "key1"), and the encryption configuration has no such key"#);
    let other = CONFIGURATION.replace("[secrets]", "[pods]");
    let refused = open(&other, "secrets").unwrap_err();
    insta::assert_snapshot!(refused, @r#"it is encrypted (aescbc v1, key "key1"), and the encryption configuration says nothing of secrets"#);
}

#[test]
fn kms_is_refused_by_name() {
    let kms = "
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - kms: {apiVersion: v2, name: vault, endpoint: 'unix:///run/kms.sock', timeout: 3s}
  - identity: {}
";
    let configuration = EncryptionConfiguration::parse(kms.as_bytes()).unwrap();
    assert_eq!(configuration.kms(), ["vault (v2)"]);
    let value = b"k8s:enc:kms:v2:vault:\x0a\x01";
    let refused = configuration
        .open("secrets", b"/registry/secrets/a/b", value)
        .unwrap_err();
    insta::assert_snapshot!(refused, @r#"it is encrypted by the KMS plug-in "vault" (v2), which alone has the key: it cannot be opened here"#);
}

#[test]
fn json_and_the_old_kind_are_read() {
    let json = r#"{"kind": "EncryptionConfig", "apiVersion": "v1", "resources": [{"resources":
        ["secrets"], "providers": [{"aescbc": {"keys": [{"name": "key1", "secret":
        "Y2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2M="}]}}, {"identity": {}}]}]}"#;
    open(json, "secrets").unwrap();
}

#[test]
fn what_the_api_server_refuses_is_refused_without_repeating_it() {
    let cases = [
        (
            CONFIGURATION.replace("aescbc:", "aesxyz:"),
            Unreadable::Form,
        ),
        (
            CONFIGURATION.replace("config.k8s.io/v1", "config.k8s.io/v9"),
            Unreadable::Kind,
        ),
        (
            CONFIGURATION
                .replace("[pods]", "[]")
                .replace("[secrets]", "[]"),
            Unreadable::Empty {
                entry: 0,
                missing: "resources",
            },
        ),
        (
            CONFIGURATION.replace("Y2Nj", ""),
            Unreadable::KeyLength {
                provider: "aescbc",
                name: "key1".to_owned(),
                bytes: 2,
            },
        ),
        ("not: [yaml".to_owned(), Unreadable::Form),
    ];
    for (text, expected) in cases {
        let error = EncryptionConfiguration::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error, expected);
    }
}

#[test]
fn keys_never_show() {
    let configuration = EncryptionConfiguration::parse(CONFIGURATION.as_bytes()).unwrap();
    let shown = format!("{configuration:?}");
    assert!(shown.contains("key1"), "{shown}");
    for secret in ["cccc", "99, 99", "Y2Nj", "gggg", "ssss"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

proptest! {
    #[test]
    fn hostile_values_and_keys_never_panic(
        key in proptest::collection::vec(any::<u8>(), 0..80),
        value in proptest::collection::vec(any::<u8>(), 0..300),
        start in 0_usize..7,
        cut in 0_usize..400,
    ) {
        let starts: [&[u8]; 7] = [
            b"", b"k8s\0", b"k8s:enc:", b"k8s:enc:aescbc:v1:key1:", b"k8s:enc:aesgcm:v1:key1:",
            b"k8s:enc:secretbox:v1:key1:", b"{",
        ];
        let value = [starts[start], &value].concat();
        let configuration = EncryptionConfiguration::parse(CONFIGURATION.as_bytes()).unwrap();
        let head = |bytes: &[u8]| Value::of(bytes).and_then(|value| value.head());
        let _ = head(&value);
        let _ = place(&key, REGISTRY);
        for (resource, _) in EACH {
            if let Ok(plain) = configuration.open(resource, &key, &value) {
                let _ = head(plain.expose_secret());
            }
            // A real value cut short, and its plain form.
            let (key, stored) = stored(resource);
            let cut_off = &stored[..cut.min(stored.len().saturating_sub(1))];
            let opened = configuration.open(resource, &key, cut_off);
            if resource != "secrets" && cut_off.starts_with(b"k8s:enc:") {
                prop_assert!(opened.is_err());
            }
            let plain = configuration.open(resource, &key, &stored).unwrap();
            let plain = plain.expose_secret();
            let _ = head(&plain[..cut.min(plain.len())]);
        }
    }
}
