//! Stored objects are decoded into what an API server says of them.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use proptest::prelude::*;
use rekindle::objects::{Content, Value};
use rekindle::recover::decode::{
    DecodeError, config_map, daemon_set, deployment, json, listed, secret,
};
use serde_json::Value as Json;

pub(crate) const DEPLOYMENT: &[u8] = include_bytes!("../fixtures/recover/deployment.pb");
pub(crate) const DAEMON_SET: &[u8] = include_bytes!("../fixtures/recover/daemonset.pb");
const DEPLOYMENT_JSON: &[u8] = include_bytes!("../fixtures/recover/deployment.json");
const DAEMON_SET_JSON: &[u8] = include_bytes!("../fixtures/recover/daemonset.json");

/// A field of protobuf.
pub(crate) fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![(number << 3) | 2];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7F).unwrap() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes.extend(content);
    bytes
}

/// A stored object.
pub(crate) fn stored(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let kind = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    let rest = [field(3, b""), field(4, b"")].concat();
    [b"k8s\0".to_vec(), field(1, &kind), field(2, raw), rest].concat()
}

/// The message within a stored object.
fn raw(value: &[u8]) -> Vec<u8> {
    let body = Value::of(value).unwrap().body().unwrap();
    let Content::Protobuf(raw) = body.content else {
        panic!("no protobuf")
    };
    raw
}

fn parsed(bytes: &[u8]) -> Json {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn what_an_api_server_stored_is_what_it_says() {
    let (stored, left) = deployment(DEPLOYMENT).unwrap();
    let said: (Deployment, _) = listed(parsed(DEPLOYMENT_JSON)).unwrap();
    assert_eq!(stored, said.0);
    assert_eq!((left, said.1), (vec![], vec![]));
    // Zero is not nothing: these would come back as defaults.
    let spec = stored.spec;
    assert_eq!(spec.replicas, Some(0));
    let pod = spec.template.spec.unwrap();
    assert_eq!(pod.automount_service_account_token, Some(false));
    assert_eq!(pod.termination_grace_period_seconds, Some(0));
    assert_eq!(pod.security_context.unwrap().run_as_user, Some(0));
    let (stored, left) = daemon_set(DAEMON_SET).unwrap();
    let said: (DaemonSet, _) = listed(parsed(DAEMON_SET_JSON)).unwrap();
    assert_eq!(stored, said.0);
    assert_eq!((left, said.1), (vec![], vec![]));
}

#[test]
fn stored_as_json_it_is_the_same() {
    let (protobuf, _) = deployment(DEPLOYMENT).unwrap();
    assert_eq!(deployment(DEPLOYMENT_JSON).unwrap(), (protobuf, vec![]));
}

#[test]
fn r18_older_versions_of_the_same_kinds_are_read() {
    let (now, _) = deployment(DEPLOYMENT).unwrap();
    let raw_bytes = raw(DEPLOYMENT);
    for version in ["extensions/v1beta1", "apps/v1beta1", "apps/v1beta2"] {
        let old = stored(version, "Deployment", &raw_bytes);
        assert_eq!(deployment(&old).unwrap(), (now.clone(), vec![]));
        let mut written = parsed(DEPLOYMENT_JSON);
        written["apiVersion"] = version.into();
        written["spec"]["rollbackTo"] = serde_json::json!({"revision": 3});
        let written = serde_json::to_vec(&written).unwrap();
        assert_eq!(deployment(&written).unwrap(), (now.clone(), vec![]));
    }
    let (now, _) = daemon_set(DAEMON_SET).unwrap();
    // templateGeneration, which apps/v1 has no more: field 5 of the spec, here behind all others.
    let old = stored("extensions/v1beta1", "DaemonSet", &raw(DAEMON_SET));
    assert_eq!(daemon_set(&old).unwrap(), (now, vec![]));
    for version in ["apps/v2", "v1", ""] {
        let other = stored(version, "Deployment", &raw_bytes);
        let told = deployment(&other).unwrap_err();
        assert!(matches!(told, DecodeError::Kind { .. }), "{told}");
    }
    let told = daemon_set(DEPLOYMENT).unwrap_err().to_string();
    let expected = "it is a \"Deployment\" of \"apps/v1\", which is not read as a DaemonSet";
    assert_eq!(told, expected);
}

#[test]
fn what_is_not_known_is_named_and_not_lost_without_a_word() {
    let newer = [raw(DEPLOYMENT), field(14, b"anything")].concat();
    let (read, left) = deployment(&stored("apps/v1", "Deployment", &newer)).unwrap();
    assert_eq!(read, deployment(DEPLOYMENT).unwrap().0);
    assert_eq!(left, ["field 14 of Deployment"]);
    let mut written = parsed(DEPLOYMENT_JSON);
    written["spec"]["template"]["spec"]["containers"][0]["newField"] = "x".into();
    let (_, left) = listed::<Deployment>(written).unwrap();
    assert_eq!(left, ["spec.template.spec.containers[0].newField"]);
}

#[test]
fn secrets_and_config_maps_in_both_forms() {
    let entry =
        |key: &str, value: &[u8]| field(2, &[field(1, key.as_bytes()), field(2, value)].concat());
    let message = [field(1, b""), entry("a", b"\xff\0"), entry("b", b"")].concat();
    let protobuf = secret(&stored("v1", "Secret", &message)).unwrap();
    let written = br#"{"apiVersion":"v1","kind":"Secret","data":{"a":"/wA=","b":""},"type":"x"}"#;
    assert_eq!(secret(written).unwrap(), protobuf);
    assert_eq!(protobuf.data["a"], b"\xff\0");
    assert_eq!(protobuf.data.len(), 2);
    let binary = field(3, &[field(1, b"c"), field(2, b"\xff")].concat());
    let message = [entry("a", "ü".as_bytes()), binary].concat();
    let protobuf = config_map(&stored("v1", "ConfigMap", &message)).unwrap();
    let written =
        r#"{"apiVersion":"v1","kind":"ConfigMap","data":{"a":"ü"},"binaryData":{"c":"/w=="}}"#;
    assert_eq!(config_map(written.as_bytes()).unwrap(), protobuf);
    assert_eq!(protobuf.binary_data["c"], b"\xff");
    assert!(secret(&stored("v1", "ConfigMap", &message)).is_err());
    assert!(config_map(br#"{"apiVersion":"v1","kind":"Secret"}"#).is_err());
}

#[test]
fn no_error_holds_what_could_not_be_read() {
    let secrets = [
        stored("v1", "Secret", b"\x12\xffhunter2"),
        br#"{"apiVersion":"v1","kind":"Secret","data":"hunter2"}"#.to_vec(),
        br#"{"apiVersion":"v1","kind":"Secret","data":{"a":"hunter2 "#.to_vec(),
        b"hunter2".to_vec(),
    ];
    for stored in secrets {
        for told in [
            format!("{:?}", secret(&stored)),
            format!("{:?}", deployment(&stored)),
            format!("{:?}", config_map(&stored)),
        ] {
            assert!(
                told.starts_with("Err") && !told.contains("hunter2"),
                "{told}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_objects_never_panic(
        cut in 0_usize..11_000,
        flips in prop::collection::vec((0_usize..11_000, any::<u8>()), 0..6),
    ) {
        for stored in [DEPLOYMENT, DAEMON_SET, DEPLOYMENT_JSON] {
            let mut bytes = stored.to_vec();
            for (at, mask) in &flips {
                let length = bytes.len();
                bytes[at % length] ^= mask;
            }
            bytes.truncate(cut.max(1));
            let _ = deployment(&bytes);
            let _ = daemon_set(&bytes);
            let _ = secret(&bytes);
            let _ = config_map(&bytes);
            let _ = json(&bytes);
        }
    }
}
