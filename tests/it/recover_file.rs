//! A control plane's objects out of a file: snapshots, databases and backups.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rekindle::core::recover::found::{Found, Stored};
use rekindle::encryption::EncryptionConfiguration;
use rekindle::recover::{Source, SourceError, Want, read};

use crate::backup_samples::{Node, backup_id};
use crate::recover_database::Records;
use crate::recover_decode::{DAEMON_SET, DEPLOYMENT};

pub(crate) fn read_as(path: &Path, want: &Want) -> Result<Found, SourceError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let source = Source::File(path.to_owned());
    runtime.unwrap().block_on(read(&source, want))
}

pub(crate) fn read_file(path: &Path) -> Found {
    read_as(path, &Want::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn fixture(name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fixtures.join(name)
}

pub(crate) fn secret(value: &str) -> Vec<u8> {
    let value = rekindle_base64(value);
    format!(r#"{{"apiVersion":"v1","kind":"Secret","data":{{"key":"{value}"}}}}"#).into_bytes()
}

fn rekindle_base64(value: &str) -> String {
    let bytes = k8s_openapi::ByteString(value.as_bytes().to_vec());
    let text = serde_json::to_value(bytes).unwrap();
    text.as_str().unwrap().to_owned()
}

#[track_caller]
fn value(found: &Found, name: &str) -> String {
    let Some(Stored::Plain(object)) = found.secrets.get(name) else {
        panic!("{name}: {:?}", found.secrets.get(name))
    };
    String::from_utf8(object.data["key"].clone()).unwrap()
}

/// Two controllers, Secrets that changed, went and came back, and the rest of a cluster.
pub(crate) fn control_plane(prefix: &str, others: usize) -> Records {
    let mut records = Records::default();
    let key = |rest: &str| format!("{prefix}/{rest}");
    records.put(&key("deployments/kube-system/sink"), DEPLOYMENT);
    records.put(&key("secrets/kube-system/gone"), &secret("never"));
    records.put(&key("secrets/kube-system/back"), &secret("before"));
    records.put(&key("secrets/kube-system/same"), &secret("old"));
    for number in 0..others {
        let pod = key(&format!("pods/default/p{number}"));
        records.put(&pod, &vec![b'x'; 100 + number % 3000]);
    }
    records.put(&key("secrets/kube-system/same"), &secret("new"));
    records.delete(&key("secrets/kube-system/back"));
    records.delete(&key("secrets/kube-system/gone"));
    records.put(&key("secrets/kube-system/back"), &secret("after"));
    records.put(&key("secrets/other/same"), &secret("of another namespace"));
    records.put(&key("daemonsets/kube-system/sink"), DAEMON_SET);
    let map = br#"{"apiVersion":"v1","kind":"ConfigMap","data":{"a":"b"}}"#;
    records.put(&key("configmaps/kube-system/map"), map);
    records
}

#[track_caller]
fn check(found: &Found) {
    assert_eq!(found.namespace, "kube-system");
    let names: Vec<&str> = found.secrets.keys().map(String::as_str).collect();
    assert_eq!(names, ["back", "same"]);
    assert_eq!(value(found, "same"), "new");
    assert_eq!(value(found, "back"), "after");
    assert_eq!(found.config_maps.len(), 1);
    assert_eq!(found.deployments.len(), 1);
    assert_eq!(found.daemon_sets.len(), 1);
    assert_eq!(found.unreadable, []);
    assert_eq!(found.etcd_cluster, None);
}

#[test]
fn the_newest_of_each_key_and_what_was_deleted_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    for (others, page_size) in [(0, 4096), (40, 1024), (3000, 4096), (3000, 16384)] {
        let records = control_plane("/registry", others);
        let snapshot = records.write(dir.path(), "saved.db", page_size, true);
        let found = read_file(&snapshot);
        check(&found);
        assert_eq!(found.notes.len(), 1);
        assert!(found.notes[0].contains("hash of the whole file was not checked"));
        let want = Want {
            whole_file: true,
            ..Want::default()
        };
        assert_eq!(
            read_as(&snapshot, &want).unwrap().notes,
            Vec::<String>::new()
        );
        let raw = read_file(&records.write(dir.path(), "db", page_size, false));
        check(&raw);
        assert!(raw.notes[0].contains("has no hash"), "{:?}", raw.notes);
    }
}

#[test]
fn any_prefix_and_any_namespace() {
    let dir = tempfile::tempdir().unwrap();
    let path = control_plane("/a/b", 10).write(dir.path(), "saved.db", 4096, true);
    let empty = read_file(&path);
    assert_eq!((empty.secrets.len(), empty.deployments.len()), (0, 0));
    for prefix in ["/a/b", "a/b/", "/a/b/"] {
        let want = Want {
            prefix: prefix.to_owned(),
            ..Want::default()
        };
        check(&read_as(&path, &want).unwrap());
    }
    let want = Want {
        prefix: "/a/b".to_owned(),
        namespace: "other".to_owned(),
        ..Want::default()
    };
    let other = read_as(&path, &want).unwrap();
    assert_eq!(value(&other, "same"), "of another namespace");
}

#[test]
fn a_self_hosted_etcds_object_below_the_prefix_or_without_it() {
    let cluster = |name: &str| {
        format!(
            r#"{{"apiVersion":"etcd.database.coreos.com/v1beta2","kind":"EtcdCluster",
                "metadata":{{"name":"kube-etcd","annotations":{{"of":"{name}"}}}}}}"#
        )
    };
    let rest = "etcd.database.coreos.com/etcdclusters/kube-system/kube-etcd";
    let dir = tempfile::tempdir().unwrap();
    let mut records = Records::default();
    for base in ["", "/", "/registry/"] {
        records.put(&format!("{base}{rest}"), cluster(base).as_bytes());
        let path = records.write(dir.path(), "db", 4096, true);
        let found = read_file(&path).etcd_cluster.unwrap();
        assert_eq!(found["metadata"]["annotations"]["of"], base);
    }
}

#[test]
fn revisions_that_were_bumped_are_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut records = control_plane("/registry", 20);
    records.bump(1_000_000);
    check(&read_file(&records.write(dir.path(), "db", 4096, true)));
    records.put("/registry/secrets/kube-system/same", &secret("newest"));
    let found = read_file(&records.write(dir.path(), "db", 4096, true));
    assert_eq!(value(&found, "same"), "newest");
}

#[test]
fn a_real_etcds_snapshot_and_database() {
    for name in ["etcd/small.snap", "etcd/member/snap/db"] {
        let found = read_file(&fixture(name));
        assert_eq!(found.secrets.len(), 19, "{name}");
        assert!(!found.secrets.contains_key("token-1"), "{name}: deleted");
        for stored in found.secrets.values() {
            let Stored::Unreadable(why) = stored else {
                panic!("{stored:?}")
            };
            assert!(why.contains("--encryption-config"), "{why}");
        }
    }
}

#[test]
fn what_cannot_be_read_alone_hides_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut records = control_plane("/registry", 3);
    records.put("/registry/deployments/kube-system/broken", b"k8s\0\xff\xff");
    records.put("/registry/secrets/kube-system/broken", b"what");
    let found = read_file(&records.write(dir.path(), "db", 4096, true));
    let place = "deployments kube-system/broken";
    assert_eq!(found.unreadable[0].0, place);
    assert!(matches!(found.secrets["broken"], Stored::Unreadable(_)));
    assert_eq!((found.secrets.len(), found.deployments.len()), (3, 1));
}

#[test]
fn r17_a_secret_is_opened_by_the_given_configuration() {
    let vectors = std::fs::read(fixture("encryption/vectors.json")).unwrap();
    let vectors: serde_json::Value = serde_json::from_slice(&vectors).unwrap();
    let text = std::fs::read(fixture("encryption/configuration.yaml")).unwrap();
    let configuration = EncryptionConfiguration::parse(&text).unwrap();
    let bytes = |json: &serde_json::Value| {
        let bytes: k8s_openapi::ByteString = serde_json::from_value(json.clone()).unwrap();
        bytes.0
    };
    let dir = tempfile::tempdir().unwrap();
    let mut records = Records::default();
    for pair in vectors.as_array().unwrap() {
        let key = String::from_utf8(bytes(&pair["key"])).unwrap();
        records.put(&key, &bytes(&pair["value"]));
    }
    let path = records.write(dir.path(), "db", 4096, true);
    let mut want = Want {
        namespace: "default".to_owned(),
        ..Want::default()
    };
    let closed = read_as(&path, &want).unwrap();
    let Stored::Unreadable(why) = &closed.secrets["sealed"] else {
        panic!("{closed:?}")
    };
    assert!(why.starts_with("it is encrypted at rest (aescbc"), "{why}");
    want.encryption = Some(Arc::new(configuration));
    let open = read_as(&path, &want).unwrap();
    let Stored::Plain(object) = &open.secrets["sealed"] else {
        panic!("{open:?}")
    };
    assert_eq!(object.data["password"], b"for nobody's eyes");
    assert!(matches!(open.config_maps["sealed"], Stored::Plain(_)));
    assert!(!format!("{open:?}").contains("nobody"));
}

#[test]
fn a_backup_by_its_directory_and_by_its_snapshot_compressed_or_not() {
    for level in [0_i32, 3] {
        let node = Node::new();
        let bundle = node.take(&backup_id(level.unsigned_abs()), level).unwrap();
        let part = bundle.path().join(&bundle.snapshot().name);
        for path in [bundle.path(), &part] {
            let mut want = Want::default();
            let found = read_as(path, &want).unwrap();
            let unsigned = "The signature of the backup was not looked at.";
            assert_eq!(found.notes[0], unsigned);
            want.trust = Some(node.trust());
            let found = read_as(path, &want).unwrap();
            // A compressed one is compared with its digest when it is unpacked.
            assert_eq!(
                found.notes.len(),
                usize::from(level == 0),
                "{:?}",
                found.notes
            );
            want.trust = Some(Node::new().trust());
            let error = read_as(path, &want).unwrap_err();
            assert!(error.hint().is_some(), "{error}");
        }
    }
}

#[test]
fn what_is_no_database_is_refused_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let records = control_plane("/registry", 3);
    let good = records.write(dir.path(), "saved.db", 4096, true);
    let content = std::fs::read(&good).unwrap();
    let of = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(&path, content).unwrap();
        let error = read_as(&path, &Want::default()).unwrap_err();
        assert!(error.hint().is_some(), "{name}: {error}");
        error.to_string()
    };
    assert!(of("empty", b"").contains("the file ends"));
    assert!(of("short", &content[..9000]).contains("neither a database"));
    assert!(of("saved.db.part", &content).contains("unfinished"));
    assert!(of("text", &vec![b'x'; 8192]).contains("magic number"));
    assert!(of("cut", &content[..8192]).contains("its end is missing"));
    let missing = read_as(&dir.path().join("nothing"), &Want::default()).unwrap_err();
    assert!(missing.to_string().contains("cannot read"), "{missing}");
    let dir = read_as(dir.path(), &Want::default()).unwrap_err();
    assert!(
        dir.hint().is_some() || dir.to_string().contains("not named"),
        "{dir}"
    );
}

#[test]
fn a_database_that_a_running_etcd_holds_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = control_plane("/registry", 3).write(dir.path(), "db", 4096, false);
    let held = std::fs::File::open(&path).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let error = read_as(&path, &Want::default()).unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
    assert!(error.hint().unwrap().contains("--etcd-servers"));
}
