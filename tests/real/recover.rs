//! The three sources of a recovery on real components: each gives the same of the same cluster.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, DeleteParams, PostParams};
use rekindle::core::recover::found::{Found, Stored};
use rekindle::encryption::EncryptionConfiguration;
use rekindle::recover::{Source, SourceError, Want, read};

use crate::control_plane::ControlPlane;
use crate::etcd_cluster::until;

const KUBE_SYSTEM: &str = "kube-system";
const DEPLOYMENT: &[u8] = include_bytes!("../fixtures/recover/deployment.json");
const DAEMON_SET: &[u8] = include_bytes!("../fixtures/recover/daemonset.json");

/// The same but for what a source says of itself.
pub fn told(found: Found) -> Found {
    Found {
        notes: Vec::new(),
        ..found
    }
}

async fn good(source: &Source, want: &Want) -> Found {
    let found = read(source, want).await;
    found.unwrap_or_else(|error| panic!("{source:?}: {error}"))
}

/// As it may be posted.
fn fresh(text: &[u8]) -> serde_json::Value {
    let mut object: serde_json::Value = serde_json::from_slice(text).unwrap();
    let metadata = object["metadata"].as_object_mut().unwrap();
    for own in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "generation",
        "selfLink",
    ] {
        metadata.remove(own);
    }
    object.as_object_mut().unwrap().remove("status");
    object
}

/// Objects of a control plane: two controllers with all the fields there are, a Secret, a
/// `ConfigMap`, and one of each that is deleted again.
async fn fill(plane: &ControlPlane) {
    let client = plane.admin().await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    until("there is kube-system", async || {
        namespaces.get(KUBE_SYSTEM).await.is_ok()
    })
    .await;
    let post = PostParams::default();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), KUBE_SYSTEM);
    let deployment = serde_json::from_value(fresh(DEPLOYMENT)).unwrap();
    deployments.create(&post, &deployment).await.unwrap();
    let daemon_sets: Api<DaemonSet> = Api::namespaced(client.clone(), KUBE_SYSTEM);
    let daemon_set = serde_json::from_value(fresh(DAEMON_SET)).unwrap();
    daemon_sets.create(&post, &daemon_set).await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), KUBE_SYSTEM);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), KUBE_SYSTEM);
    for name in ["kept", "gone"] {
        let mut secret = Secret::default();
        secret.metadata.name = Some(name.to_owned());
        let bytes = ByteString(b"for nobody's eyes \xff".to_vec());
        secret.data = Some([("key".to_owned(), bytes)].into());
        secrets.create(&post, &secret).await.unwrap();
        let mut map = ConfigMap::default();
        map.metadata.name = Some(name.to_owned());
        map.data = Some([("text".to_owned(), "ü".to_owned())].into());
        map.binary_data = Some([("binary".to_owned(), ByteString(vec![0xFF, 0]))].into());
        maps.create(&post, &map).await.unwrap();
    }
    secrets
        .delete("gone", &DeleteParams::default())
        .await
        .unwrap();
    maps.delete("gone", &DeleteParams::default()).await.unwrap();
}

async fn saved(plane: &ControlPlane, dir: &Path) -> PathBuf {
    let path = dir.join("saved.db");
    let save = ["snapshot", "save", path.to_str().unwrap()];
    plane.etcdctl(&save).await;
    path
}

fn apiserver(plane: &ControlPlane, user: &str) -> Source {
    Source::ApiServer {
        kubeconfig: plane.kubeconfig(user),
        server: Some(plane.server()),
    }
}

fn etcd(endpoint: String) -> Source {
    Source::Etcd {
        endpoints: vec![endpoint],
        ca: None,
        certificate: None,
        key: None,
    }
}

#[track_caller]
fn check(found: &Found) {
    let Some(Stored::Plain(kept)) = found.secrets.get("kept") else {
        panic!("{:?}", found.secrets)
    };
    assert_eq!(kept.data["key"], b"for nobody's eyes \xff");
    let Some(Stored::Plain(map)) = found.config_maps.get("kept") else {
        panic!("{:?}", found.config_maps)
    };
    assert_eq!(map.data["text"], "ü".as_bytes());
    assert_eq!(map.binary_data["binary"], [0xFF, 0]);
    assert!(!found.secrets.contains_key("gone") && !found.config_maps.contains_key("gone"));
    let names = |name: &Option<String>| name.clone().unwrap();
    let controllers: Vec<String> = found
        .deployments
        .iter()
        .map(|it| names(&it.metadata.name))
        .chain(found.daemon_sets.iter().map(|it| names(&it.metadata.name)))
        .collect();
    assert_eq!(controllers, ["sink", "sink"]);
    assert_eq!(found.unreadable, []);
}

#[tokio::test]
async fn an_api_server_its_etcd_and_a_snapshot_give_the_same() {
    let mut plane = ControlPlane::start().await;
    fill(&plane).await;
    let dir = tempfile::tempdir().unwrap();
    let want = Want::default();
    let by_api = good(&apiserver(&plane, "admin"), &want).await;
    check(&by_api);
    assert_eq!(by_api.notes, Vec::<String>::new());
    // What a controller or two write meanwhile is none of what is compared.
    let live = good(&etcd(plane.etcd_endpoint()), &want).await;
    assert_eq!(told(live), told(by_api.clone()));
    let path = saved(&plane, dir.path()).await;
    let file = good(&Source::File(path.clone()), &want).await;
    assert_eq!(told(file), told(by_api.clone()));
    Box::pin(read_only(&path, &by_api)).await;
    Box::pin(refused(&mut plane)).await;
    // A database as `cp` takes it from an etcd that was stopped.
    let raw = plane.data_dir().join("member/snap/db");
    let in_use = read(&Source::File(raw.clone()), &want).await.unwrap_err();
    assert!(in_use.to_string().contains("in use"), "{in_use}");
    plane.kill_etcd().await;
    let file = good(&Source::File(raw), &want).await;
    assert!(file.notes[0].contains("no hash"), "{:?}", file.notes);
    assert_eq!(told(file), told(by_api));
    plane.stop().await;
}

/// From a file system that cannot be written to.
async fn read_only(path: &Path, expected: &Found) {
    let dir = path.parent().unwrap();
    let mount = |arguments: &[&str]| {
        let done = Command::new("mount").args(arguments).arg(dir).status();
        assert!(done.unwrap().success(), "mount {arguments:?}");
    };
    mount(&["--bind", dir.to_str().unwrap()]);
    mount(&["-o", "remount,bind,ro"]);
    assert!(std::fs::File::create(dir.join("x")).is_err());
    let found = good(&Source::File(path.to_owned()), &Want::default()).await;
    let away = Command::new("umount").arg(dir).status();
    assert!(away.unwrap().success());
    assert_eq!(told(found), told(expected.clone()));
}

/// What an API server does not give, or is not there to give.
async fn refused(plane: &mut ControlPlane) {
    let want = Want::default();
    let denied = read(&apiserver(plane, "kubelet"), &want).await.unwrap_err();
    assert!(denied.to_string().contains("403"), "{denied}");
    assert!(denied.hint().unwrap().contains("administrator"));
    plane.kill_apiserver().await;
    let silent = read(&apiserver(plane, "admin"), &want).await.unwrap_err();
    assert!(silent.to_string().contains("cannot connect"), "{silent}");
    assert!(silent.hint().unwrap().contains("--etcd-servers"));
    let none = Source::ApiServer {
        kubeconfig: "/nowhere/kubeconfig".into(),
        server: None,
    };
    let error = read(&none, &want).await.unwrap_err();
    assert!(matches!(error, SourceError::ApiServer(_)), "{error}");
}

#[tokio::test]
async fn r17_secrets_of_a_real_api_server_with_each_provider() {
    let long = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let keys = format!("{{keys: [{{name: one, secret: {long}}}]}}");
    for provider in ["aescbc", "aesgcm", "secretbox", "identity"] {
        let keys = if provider == "identity" { "{}" } else { &keys };
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
             - resources: [secrets, configmaps]\n  providers: [{{{provider}: {keys}}}]\n"
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("encryption.yaml");
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(&file, &text).unwrap();
        let plane = ControlPlane::start_encrypting(Some(file)).await;
        fill(&plane).await;
        let path = saved(&plane, dir.path()).await;
        let by_api = good(&apiserver(&plane, "admin"), &Want::default()).await;
        check(&by_api);
        let closed = good(&Source::File(path.clone()), &Want::default()).await;
        if provider == "identity" {
            assert_eq!(told(closed), told(by_api.clone()));
        } else {
            let Stored::Unreadable(why) = &closed.secrets["kept"] else {
                panic!("{provider}: {closed:?}")
            };
            let expected = format!("it is encrypted at rest ({provider} v1, key \"one\")");
            assert!(why.starts_with(&expected), "{why}");
            // Controllers are not encrypted here, and are there.
            assert_eq!((closed.deployments.len(), closed.daemon_sets.len()), (1, 1));
        }
        let configuration = EncryptionConfiguration::parse(text.as_bytes()).unwrap();
        let want = Want {
            encryption: Some(Arc::new(configuration)),
            ..Want::default()
        };
        let open = good(&Source::File(path), &want).await;
        assert_eq!(told(open), told(by_api.clone()), "{provider}");
        let live = good(&etcd(plane.etcd_endpoint()), &want).await;
        assert_eq!(told(live), told(by_api), "{provider}");
        plane.stop().await;
        println!("{provider}: opened");
    }
}
