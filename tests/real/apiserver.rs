//! The API server adapter with a kubelet's own credential against a real kube-apiserver: what the
//! Node authorizer grants, and what a watch delivers.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use rekindle::apiserver::{ApiSnapshot, ApiSource, Config, Wanted, spawn};
use rekindle::core::manifest::needs::{ObjectKind, ObjectRef, TokenRef};
use rekindle::core::reading::UnseenKind;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::control_plane::{ControlPlane, NODE};

const PATIENCE: Duration = Duration::from_secs(30);
const SPACE: &str = "kube-system";

async fn reaches<T: Clone>(
    receiver: &mut watch::Receiver<T>,
    what: &str,
    when: impl FnMut(&T) -> bool,
) -> T {
    match tokio::time::timeout(PATIENCE, receiver.wait_for(when)).await {
        Ok(Ok(value)) => return value.clone(),
        Ok(Err(_)) => panic!("{what}: the source ended"),
        Err(_) => {}
    }
    panic!("{what}: not within {PATIENCE:?}")
}

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn pod(name: &str, parent: bool) -> Pod {
    let annotations = if parent {
        json!({"checkpointer.alpha.coreos.com/checkpoint": "true"})
    } else {
        json!({})
    };
    object(json!({
        "metadata": {"name": name, "namespace": SPACE, "annotations": annotations},
        "spec": {
            "nodeName": NODE,
            "serviceAccountName": "critical",
            "automountServiceAccountToken": false,
            "containers": [{"name": "main", "image": "none"}],
            "volumes": [
                {"name": "keys", "secret": {"secretName": "keys"}},
                {"name": "missing", "secret": {"secretName": "missing", "optional": true}},
                {"name": "settings", "configMap": {"name": "settings"}},
                {"name": "token", "projected": {"sources": [
                    {"serviceAccountToken": {"path": "token"}}
                ]}},
            ],
        },
    }))
}

fn secret(name: &str, text: &str) -> Secret {
    object(json!({"metadata": {"name": name}, "stringData": {"tls.key": text}}))
}

fn reference(kind: ObjectKind, name: &str) -> ObjectRef {
    ObjectRef {
        kind,
        namespace: SPACE.to_owned(),
        name: name.to_owned(),
    }
}

async fn prepare(admin: &kube::Client) {
    let new = PostParams::default();
    let node: Node = object(json!({"metadata": {"name": NODE}}));
    Api::<Node>::all(admin.clone())
        .create(&new, &node)
        .await
        .unwrap();
    let account: ServiceAccount = object(json!({"metadata": {"name": "critical"}}));
    Api::namespaced(admin.clone(), SPACE)
        .create(&new, &account)
        .await
        .unwrap();
    for name in ["keys", "foreign"] {
        let secret: Secret =
            object(json!({"metadata": {"name": name}, "stringData": {"tls.key": "first"}}));
        Api::namespaced(admin.clone(), SPACE)
            .create(&new, &secret)
            .await
            .unwrap();
    }
    let map: ConfigMap = object(json!({
        "metadata": {"name": "settings"}, "data": {"a": "1"}, "binaryData": {"b": "AAE="},
    }));
    Api::namespaced(admin.clone(), SPACE)
        .create(&new, &map)
        .await
        .unwrap();
    let pods: Api<Pod> = Api::namespaced(admin.clone(), SPACE);
    pods.create(&new, &pod("api", true)).await.unwrap();
    pods.create(&new, &pod("other", false)).await.unwrap();
}

/// One adapter with the kubelet's credential on a control plane of its own.
struct Stage {
    plane: ControlPlane,
    admin: kube::Client,
    source: ApiSource,
    shutdown: CancellationToken,
}

impl Stage {
    async fn set() -> Self {
        let plane = ControlPlane::start().await;
        let admin = plane.admin().await;
        prepare(&admin).await;
        let shutdown = CancellationToken::new();
        let config = Config {
            kubeconfig: plane.kubeconfig("kubelet"),
            server_override: Some(plane.server()),
            node_name: NODE.to_owned(),
            deadline: Duration::from_secs(5),
            relist: Duration::from_secs(300),
            retry: Duration::from_millis(500),
        };
        let source = spawn(&config, shutdown.clone());
        Self {
            plane,
            admin,
            source,
            shutdown,
        }
    }

    async fn clear(self) {
        self.shutdown.cancel();
        self.plane.stop().await;
    }

    async fn pods(&mut self, number: usize) -> ApiSnapshot {
        let reading = reaches(&mut self.source.pods, "this many pods", |reading| {
            reading
                .known()
                .is_some_and(|snapshot| snapshot.view.pods.len() == number)
        })
        .await;
        reading.known().unwrap().clone()
    }

    fn want(&self, objects: &[&ObjectRef], token: Option<&TokenRef>) {
        self.source.want.send_replace(Wanted {
            objects: objects.iter().copied().cloned().collect(),
            tokens: token.into_iter().cloned().collect(),
        });
    }

    async fn set_secret(&self, text: &str) {
        let secrets: Api<Secret> = Api::namespaced(self.admin.clone(), SPACE);
        let change = Patch::Merge(json!({"stringData": {"tls.key": text}}));
        secrets
            .patch("keys", &PatchParams::default(), &change)
            .await
            .unwrap();
    }

    /// Waits until the Secret `keys` holds this; `None`: is known to be absent.
    async fn secret_is(&mut self, text: Option<&str>) {
        let keys = reference(ObjectKind::Secret, "keys");
        reaches(
            &mut self.source.gathered,
            "the Secret's state",
            |gathered| {
                gathered.objects.get(&keys).is_some_and(|object| {
                    let data = object
                        .as_ref()
                        .map(|object| object.data["tls.key"].as_slice());
                    data == text.map(str::as_bytes)
                })
            },
        )
        .await;
    }

    async fn user_of(&self, token: &str) -> Value {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token},
        });
        let request = http::Request::post("/apis/authentication.k8s.io/v1/tokenreviews")
            .header("content-type", "application/json")
            .body(serde_json::to_vec(&review).unwrap())
            .unwrap();
        let review: Value = self.admin.request(request).await.unwrap();
        review["status"]["user"]["username"].clone()
    }
}

fn token_of(parent: &Pod) -> TokenRef {
    TokenRef {
        namespace: SPACE.to_owned(),
        service_account: "critical".to_owned(),
        audience: None,
        expiration_seconds: Some(3607),
        pod_name: parent.metadata.name.clone().unwrap(),
        pod_uid: parent.metadata.uid.clone().unwrap(),
    }
}

#[tokio::test]
async fn a_kubelets_credential_may_read_what_its_pods_use_and_nothing_else() {
    let mut stage = Stage::set().await;
    let snapshot = stage.pods(2).await;
    assert_eq!(snapshot.parents.len(), 1);
    let parent = &snapshot.parents[0];
    assert_eq!(parent.metadata.name.as_deref(), Some("api"));
    assert_eq!(parent.metadata.managed_fields, None);

    stage.source.confirm.notify_one();
    reaches(&mut stage.source.pods, "another list", |reading| {
        reading
            .known()
            .is_some_and(|now| now.view.lists > snapshot.view.lists)
    })
    .await;

    let secret = |name| reference(ObjectKind::Secret, name);
    let (keys, missing, foreign) = (secret("keys"), secret("missing"), secret("foreign"));
    let settings = reference(ObjectKind::ConfigMap, "settings");
    let token = token_of(parent);
    stage.want(&[&keys, &missing, &foreign, &settings], Some(&token));
    let gathered = reaches(
        &mut stage.source.gathered,
        "objects and token",
        |gathered| gathered.objects.len() == 3 && gathered.tokens.len() == 1,
    )
    .await;
    assert_eq!(
        gathered.objects[&keys].as_ref().unwrap().data["tls.key"],
        b"first"
    );
    assert_eq!(gathered.objects[&missing], None, "a known absence");
    assert_eq!(
        gathered.objects[&settings].as_ref().unwrap().binary_data["b"],
        [0, 1]
    );
    let jwt = String::from_utf8(gathered.tokens[&token].clone()).unwrap();
    let user = format!("system:serviceaccount:{SPACE}:critical");
    assert_eq!(stage.user_of(&jwt).await, json!(user));

    let problems = reaches(&mut stage.source.problems, "a refusal", |problems| {
        problems.contains_key(&foreign)
    })
    .await;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[&foreign].contains("403"), "{problems:?}");
    assert!(stage.source.token_problems.borrow().is_empty());

    stage.want(&[], None);
    reaches(&mut stage.source.gathered, "nothing", |gathered| {
        gathered.objects.is_empty() && gathered.tokens.is_empty()
    })
    .await;
    stage.clear().await;
}

#[tokio::test]
async fn c18_a_changed_secret_and_a_deleted_pod_arrive_by_watch() {
    let mut stage = Stage::set().await;
    stage.pods(2).await;
    stage.want(&[&reference(ObjectKind::Secret, "keys")], None);
    stage.secret_is(Some("first")).await;
    let begun = Instant::now();
    stage.set_secret("second").await;
    stage.secret_is(Some("second")).await;
    println!(
        "a changed Secret arrived after {} ms",
        begun.elapsed().as_millis()
    );
    assert!(begun.elapsed() < Duration::from_secs(20));

    let secrets: Api<Secret> = Api::namespaced(stage.admin.clone(), SPACE);
    secrets
        .delete("keys", &DeleteParams::default())
        .await
        .unwrap();
    stage.secret_is(None).await;
    secrets
        .create(&PostParams::default(), &secret("keys", "third"))
        .await
        .unwrap();
    stage.secret_is(Some("third")).await;

    let pods: Api<Pod> = Api::namespaced(stage.admin.clone(), SPACE);
    let at_once = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    let begun = Instant::now();
    pods.delete("other", &at_once).await.unwrap();
    stage.pods(1).await;
    println!(
        "a deleted pod was missed after {} ms",
        begun.elapsed().as_millis()
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
    stage.clear().await;
}

#[tokio::test]
async fn a_restart_of_the_api_server_is_noticed_and_survived() {
    let mut stage = Stage::set().await;
    let snapshot = stage.pods(2).await;
    let token = token_of(&snapshot.parents[0]);
    stage.want(&[&reference(ObjectKind::Secret, "keys")], Some(&token));
    stage.secret_is(Some("first")).await;
    reaches(&mut stage.source.gathered, "a token", |all| {
        all.tokens.len() == 1
    })
    .await;

    let begun = Instant::now();
    stage.plane.kill_apiserver().await;
    let reading = reaches(&mut stage.source.pods, "silence", |reading| {
        reading.known().is_none()
    })
    .await;
    println!(
        "a dead API server was noticed after {} ms",
        begun.elapsed().as_millis()
    );
    assert_eq!(
        reading.unseen().unwrap().kind,
        UnseenKind::Unreachable,
        "{reading:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
    // Unknown is not absent: nothing known of the objects is dropped.
    stage.secret_is(Some("first")).await;
    assert_eq!(stage.source.gathered.borrow().tokens.len(), 1);

    stage.plane.start_apiserver().await;
    let begun = Instant::now();
    stage.pods(2).await;
    println!(
        "a ready API server was noticed after {} ms",
        begun.elapsed().as_millis()
    );
    stage.set_secret("second").await;
    stage.secret_is(Some("second")).await;
    println!(
        "… and its Secret, changed since, after {} ms",
        begun.elapsed().as_millis()
    );
    stage.clear().await;
}
