//! The API server adapter with a kubelet's own credential against a real kube-apiserver: what the
//! Node authorizer grants, and what a watch delivers.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use rekindle::apiserver::{ApiSnapshot, Config, Wanted, spawn};
use rekindle::core::manifest::gathered::Object;
use rekindle::core::manifest::needs::{ObjectKind, ObjectRef, TokenRef};
use rekindle::core::reading::{Reading, UnseenKind};
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
    let annotations = match parent {
        true => json!({"checkpointer.alpha.coreos.com/checkpoint": "true"}),
        false => json!({}),
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

fn lists(reading: &Reading<ApiSnapshot>) -> u64 {
    reading.known().map_or(0, |snapshot| snapshot.view.lists)
}

#[tokio::test]
async fn c18_a_kubelets_credential_follows_its_pods_their_secrets_and_tokens() {
    let mut plane = ControlPlane::start().await;
    let admin = plane.admin().await;
    prepare(&admin).await;
    let secrets: Api<Secret> = Api::namespaced(admin.clone(), SPACE);
    let pods: Api<Pod> = Api::namespaced(admin.clone(), SPACE);
    let shutdown = CancellationToken::new();
    let config = Config {
        kubeconfig: plane.kubeconfig("kubelet"),
        server_override: Some(plane.server()),
        node_name: NODE.to_owned(),
        deadline: Duration::from_secs(5),
        relist: Duration::from_secs(300),
        retry: Duration::from_millis(500),
    };
    let mut source = spawn(&config, shutdown.clone());

    // Its pods, and no more than that.
    let both = |reading: &Reading<ApiSnapshot>| {
        reading
            .known()
            .is_some_and(|snapshot| snapshot.view.pods.len() == 2)
    };
    let reading = reaches(&mut source.pods, "two pods", both).await;
    let snapshot = reading.known().unwrap();
    assert_eq!(snapshot.parents.len(), 1);
    let parent = &snapshot.parents[0].metadata;
    assert_eq!(parent.name.as_deref(), Some("api"));
    assert_eq!(parent.managed_fields, None);

    // A complete list on demand.
    let counted = lists(&reading);
    source.confirm.notify_one();
    reaches(&mut source.pods, "another list", |reading| {
        lists(reading) > counted
    })
    .await;

    // Objects by name, absence, refusal, a token.
    let (keys, missing, foreign) = (
        reference(ObjectKind::Secret, "keys"),
        reference(ObjectKind::Secret, "missing"),
        reference(ObjectKind::Secret, "foreign"),
    );
    let settings = reference(ObjectKind::ConfigMap, "settings");
    let token = TokenRef {
        namespace: SPACE.to_owned(),
        service_account: "critical".to_owned(),
        audience: None,
        expiration_seconds: Some(3607),
        pod_name: "api".to_owned(),
        pod_uid: parent.uid.clone().unwrap(),
    };
    let objects = [&keys, &missing, &foreign, &settings];
    source.want.send_replace(Wanted {
        objects: objects.into_iter().cloned().collect(),
        tokens: [token.clone()].into(),
    });
    let gathered = reaches(&mut source.gathered, "objects and token", |gathered| {
        gathered.objects.len() == 3 && gathered.tokens.len() == 1
    })
    .await;
    let value = |object: &Option<Object>, key: &str| {
        object
            .as_ref()
            .and_then(|object| object.data.get(key).cloned())
    };
    assert_eq!(
        value(&gathered.objects[&keys], "tls.key"),
        Some(b"first".to_vec())
    );
    assert_eq!(gathered.objects[&missing], None, "a known absence");
    let map = gathered.objects[&settings].clone().unwrap();
    assert_eq!(map.binary_data["b"], [0, 1]);
    let jwt = String::from_utf8(gathered.tokens[&token].clone()).unwrap();
    assert_eq!(jwt.split('.').count(), 3, "it is a JWT");
    let problems = reaches(&mut source.problems, "a refusal", |problems| {
        problems.contains_key(&foreign)
    })
    .await;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[&foreign].contains("403"), "{problems:?}");
    assert!(source.token_problems.borrow().is_empty());

    // The token works for the one it is for.
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": {"token": jwt},
    });
    let request = http::Request::post("/apis/authentication.k8s.io/v1/tokenreviews")
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&review).unwrap())
        .unwrap();
    let review: Value = admin.request(request).await.unwrap();
    let user = format!("system:serviceaccount:{SPACE}:critical");
    assert_eq!(
        review["status"]["user"]["username"],
        json!(user),
        "{review}"
    );

    // A change arrives by the watch.
    let change = |text: &str| Patch::Merge(json!({"stringData": {"tls.key": text}}));
    let begun = Instant::now();
    secrets
        .patch("keys", &PatchParams::default(), &change("second"))
        .await
        .unwrap();
    reaches(&mut source.gathered, "the change", |gathered| {
        value(&gathered.objects[&keys], "tls.key") == Some(b"second".to_vec())
    })
    .await;
    println!(
        "a changed Secret arrived after {} ms",
        begun.elapsed().as_millis()
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    secrets
        .delete("keys", &DeleteParams::default())
        .await
        .unwrap();
    reaches(&mut source.gathered, "the absence", |gathered| {
        gathered.objects[&keys].is_none()
    })
    .await;
    let again: Secret =
        object(json!({"metadata": {"name": "keys"}, "stringData": {"tls.key": "third"}}));
    secrets
        .create(&PostParams::default(), &again)
        .await
        .unwrap();
    reaches(&mut source.gathered, "it is back", |gathered| {
        gathered.objects[&keys].is_some()
    })
    .await;

    // A deletion is seen.
    let begun = Instant::now();
    let at_once = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    pods.delete("other", &at_once).await.unwrap();
    let one = |reading: &Reading<ApiSnapshot>| {
        reading
            .known()
            .is_some_and(|snapshot| snapshot.view.pods.len() == 1)
    };
    reaches(&mut source.pods, "the deletion", one).await;
    println!(
        "a deleted pod was missed after {} ms",
        begun.elapsed().as_millis()
    );

    // The API server dies: unknown, but nothing known of objects is dropped.
    let begun = Instant::now();
    plane.kill_apiserver().await;
    let reading = reaches(&mut source.pods, "silence", |reading| {
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
    assert!(begun.elapsed() < Duration::from_secs(2));
    let kept = source.gathered.borrow().clone();
    assert_eq!(
        value(&kept.objects[&keys], "tls.key"),
        Some(b"third".to_vec())
    );
    assert_eq!(kept.tokens.len(), 1);

    // It comes back: pods, and the watches of the objects.
    plane.start_apiserver().await;
    let begun = Instant::now();
    reaches(&mut source.pods, "the pods again", one).await;
    println!(
        "a ready API server was noticed after {} ms",
        begun.elapsed().as_millis()
    );
    secrets
        .patch("keys", &PatchParams::default(), &change("fourth"))
        .await
        .unwrap();
    let begun = Instant::now();
    reaches(
        &mut source.gathered,
        "the change after the restart",
        |gathered| value(&gathered.objects[&keys], "tls.key") == Some(b"fourth".to_vec()),
    )
    .await;
    println!(
        "… and a changed Secret after {} ms",
        begun.elapsed().as_millis()
    );

    // What is not wanted any more is dropped.
    source.want.send_replace(Wanted::default());
    reaches(&mut source.gathered, "nothing", |gathered| {
        gathered.objects.is_empty() && gathered.tokens.is_empty()
    })
    .await;
    shutdown.cancel();
    plane.stop().await;
}
