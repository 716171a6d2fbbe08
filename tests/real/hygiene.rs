//! R07 and the rest of what is stale after a restore, on a real etcd and a real API server whose
//! reconciler writes the endpoints of `default/kubernetes`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use rekindle::apiserver::ask::Asker;
use rekindle::core::reading::Reading;
use rekindle::core::recovery::hygiene::{Act, Planned};
use rekindle::core::recovery::policy::Hygiene;
use rekindle::core::recovery::record::Ending;
use rekindle::etcd::{Etcd, Settings};
use rekindle::recovery::hygiene::{Known, Means, carry_out, survey};
use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, NODE};

/// An address of nobody: where the API server says that it is, and where another one was.
const OURS: &str = "192.0.2.1";
const GONE: &str = "192.0.2.9";

pub(crate) struct Stage {
    pub(crate) plane: ControlPlane,
    etcd: Etcd,
    pub(crate) asker: Asker,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let plane = ControlPlane::start_advertising(OURS).await;
        let etcd = Etcd::connect(&Settings {
            endpoints: vec![plane.etcd_endpoint()],
            ..Settings::default()
        })
        .await
        .unwrap();
        let kubeconfig = plane.kubeconfig_here("admin");
        let asker = Asker::new(kubeconfig, Duration::from_secs(10));
        Self { plane, etcd, asker }
    }

    pub(crate) async fn create(&self, path: &str, object: &Value) -> Value {
        let body = serde_json::to_vec(object).unwrap();
        let reply = self
            .asker
            .send(Method::POST, path, Some(body))
            .await
            .unwrap();
        assert!(
            reply.is_success(),
            "{path}: {} {}",
            reply.status,
            reply.words()
        );
        serde_json::from_slice(&reply.body).unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        self.asker.find(path).await.unwrap()
    }

    fn known(lost: Timestamp) -> Known {
        Known {
            node: NODE.to_owned(),
            addresses: BTreeSet::from([OURS.parse::<IpAddr>().unwrap()]),
            other_masters: BTreeSet::new(),
            named_gone: BTreeSet::new(),
            allowed: Hygiene::ALL.into_iter().collect(),
            prefix: "/registry".to_owned(),
            lost_at: lost,
            restored_at: Timestamp::now() - SignedDuration::from_secs(1),
            running: Reading::not_asked(),
        }
    }

    /// Keys with their revisions, those left out that the API server itself renews.
    async fn keys(&self) -> BTreeSet<(String, i64)> {
        let all = self.etcd.revisions("/registry/").await.unwrap();
        let moving = [
            "masterleases/",
            "services/endpoints/",
            "endpointslices/",
            "events/",
            "ranges/",
            "flowschemas/",
            "prioritylevelconfigurations/",
            "apiregistration.k8s.io/",
        ];
        let moves = |key: &str| {
            let below = key.strip_prefix("/registry/").unwrap_or(key);
            moving.iter().any(|prefix| below.starts_with(prefix))
        };
        all.into_iter().filter(|(key, _)| !moves(key)).collect()
    }

    async fn endpoints(&self) -> BTreeSet<String> {
        let path = "/api/v1/namespaces/default/endpoints/kubernetes";
        let Some(endpoints) = self.get(path).await else {
            return BTreeSet::new();
        };
        let subsets = endpoints["subsets"].as_array().cloned().unwrap_or_default();
        let addresses = subsets
            .iter()
            .filter_map(|it| it["addresses"].as_array().cloned());
        let each = addresses
            .flatten()
            .map(|it| it["ip"].as_str().unwrap().to_owned());
        each.collect()
    }

    /// Waits until the endpoints are these.
    async fn endpoints_become(&self, expected: &[&str]) {
        let expected: BTreeSet<String> = expected.iter().map(|it| (*it).to_owned()).collect();
        let waiting = async {
            let mut every = tokio::time::interval(Duration::from_millis(300));
            while self.endpoints().await != expected {
                every.tick().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        assert!(waited.is_ok(), "{:?}", self.endpoints().await);
    }
}

pub(crate) fn lease(name: &str, holder: &str, renewed: Timestamp) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": 15,
            "renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string(),
        },
    })
}

fn pod(name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": false,
            "containers": [{"name": "c", "image": "i"}],
        },
    })
}

#[tokio::test]
async fn r07_what_is_stale_is_cleared_up_and_nothing_else_changes() {
    let stage = Stage::new().await;
    let lost = Timestamp::now() - SignedDuration::from_secs(600);
    // A master that is gone: its key, as a restore without leases of etcd leaves it.
    let own = format!("/registry/masterleases/{OURS}");
    stage.endpoints_become(&[OURS]).await;
    let value = stage
        .plane
        .etcdctl(&["get", "--print-value-only", &own])
        .await;
    // Protobuf, and what `etcdctl` prints after it.
    let mut value = value.strip_suffix(b"\n").unwrap_or(&value).to_vec();
    let found = value
        .windows(OURS.len())
        .position(|it| it == OURS.as_bytes());
    let at = found.unwrap();
    assert_eq!(OURS.len(), GONE.len());
    value[at..at + OURS.len()].copy_from_slice(GONE.as_bytes());
    let gone = format!("/registry/masterleases/{GONE}");
    stage.plane.put(&gone, &value).await;
    stage.endpoints_become(&[OURS, GONE]).await;
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
    let before = lost - SignedDuration::from_secs(30);
    stage
        .create(leases, &lease("kube-scheduler", "gone_1", before))
        .await;
    stage
        .create(
            leases,
            &lease(
                "kube-controller-manager",
                "labnode_2",
                Timestamp::now() + SignedDuration::from_secs(60),
            ),
        )
        .await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}});
    stage.create("/api/v1/nodes", &node).await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    stage.create(accounts, &account).await;
    let pods = "/api/v1/namespaces/default/pods";
    stage.create(pods, &pod("here", NODE)).await;
    stage.create(pods, &pod("lost", "gone")).await;

    let keys = stage.keys().await;
    let means = Means {
        etcd: &stage.etcd,
        asker: &stage.asker,
    };
    let known = Stage::known(lost);
    let planned = survey(&means, &known).await;
    let kinds: Vec<Hygiene> = planned.iter().map(|one| one.kind).collect();
    assert_eq!(
        kinds,
        [Hygiene::Endpoints, Hygiene::Leases, Hygiene::Pods],
        "{planned:?}"
    );
    assert_eq!(stage.keys().await, keys, "a plan changes nothing");
    assert_eq!(stage.endpoints().await.len(), 2);

    let mut heard = 0;
    let findings = carry_out(&means, &planned, &mut |_| heard += 1).await;
    assert_eq!(heard, 3);
    assert!(
        findings.iter().all(|it| it.end == Ending::Done),
        "{findings:?}"
    );
    stage.endpoints_become(&[OURS]).await;
    let left = stage
        .etcd
        .revisions("/registry/masterleases/")
        .await
        .unwrap();
    assert_eq!(left.keys().collect::<Vec<_>>(), [&own]);
    let holder = async |name: &str| {
        let lease = stage.get(&format!("{leases}/{name}")).await.unwrap();
        lease["spec"]["holderIdentity"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(holder("kube-scheduler").await, "");
    assert_eq!(holder("kube-controller-manager").await, "labnode_2");
    // Nothing else has changed.
    let name = |key: &str| {
        let ours = [
            "/registry/leases/kube-system/kube-scheduler",
            "/registry/pods/default/lost",
        ];
        ours.contains(&key)
    };
    let rest = |all: BTreeSet<(String, i64)>| -> BTreeSet<(String, i64)> {
        all.into_iter().filter(|(key, _)| !name(key)).collect()
    };
    assert_eq!(rest(stage.keys().await), rest(keys));
    // The same plan again finds another state than its own, and does nothing.
    let again = carry_out(&means, &planned, &mut |_| ()).await;
    assert!(
        again.iter().all(|it| matches!(it.end, Ending::Left(_))),
        "{again:?}"
    );
    assert_eq!(survey(&means, &known).await, []);
    stage.plane.stop().await;
}

#[tokio::test]
async fn what_was_renewed_meanwhile_is_left() {
    let stage = Stage::new().await;
    let means = Means {
        etcd: &stage.etcd,
        asker: &stage.asker,
    };
    let key = format!("/registry/masterleases/{GONE}");
    stage.plane.etcdctl(&["put", &key, "one"]).await;
    let seen = stage.etcd.revisions(&key).await.unwrap()[&key];
    stage.plane.etcdctl(&["put", &key, "two"]).await;
    let act = Act::DeleteKey {
        key: key.clone(),
        mod_revision: seen,
        address: GONE.to_owned(),
    };
    let planned = [Planned {
        kind: Hygiene::Endpoints,
        what: "a test".to_owned(),
        act: Ok(act),
    }];
    let findings = carry_out(&means, &planned, &mut |_| ()).await;
    let expected = "somebody renewed or deleted it meanwhile".to_owned();
    assert_eq!(findings[0].end, Ending::Left(expected));
    let kept = stage
        .plane
        .etcdctl(&["get", "--print-value-only", &key])
        .await;
    assert_eq!(kept, b"two\n");
    stage.plane.etcdctl(&["del", &key]).await;
    stage.plane.stop().await;
}

#[tokio::test]
async fn a_silent_api_server_means_that_nothing_is_done() {
    let mut stage = Stage::new().await;
    let key = format!("/registry/masterleases/{GONE}");
    stage.plane.kill_apiserver().await;
    stage.plane.etcdctl(&["put", &key, "one"]).await;
    let means = Means {
        etcd: &stage.etcd,
        asker: &stage.asker,
    };
    let mut known = Stage::known(Timestamp::now());
    known.allowed.remove(&Hygiene::Endpoints);
    let planned = survey(&means, &known).await;
    let acting = planned.iter().filter(|one| one.act.is_ok());
    assert_eq!(acting.count(), 0, "{planned:?}");
    assert!(planned.len() >= 4, "{planned:?}");
    assert!(stage.etcd.revisions(&key).await.unwrap().contains_key(&key));
}

#[tokio::test]
async fn requests_of_this_node_are_approved_and_of_another_not() {
    let stage = Stage::new().await;
    let means = Means {
        etcd: &stage.etcd,
        asker: &stage.asker,
    };
    let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let as_node = Asker::new(
        stage.plane.kubeconfig_here("kubelet"),
        Duration::from_secs(10),
    );
    let ask = async |asker: &Asker, name: &str, subject: &str| {
        let object = json!({
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": name},
            "spec": {
                "request": base64(&signing_request(subject)),
                "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
                "usages": ["digital signature", "key encipherment", "client auth"],
            },
        });
        let body = serde_json::to_vec(&object).unwrap();
        let reply = asker.send(Method::POST, path, Some(body)).await.unwrap();
        assert!(
            reply.is_success(),
            "{name}: {} {}",
            reply.status,
            reply.words()
        );
    };
    let ours = format!("/O=system:nodes/CN=system:node:{NODE}");
    ask(&as_node, "ours", &ours).await;
    // The administrator asks for this node's certificate: not the node itself.
    ask(&stage.asker, "foreign", &ours).await;
    ask(
        &stage.asker,
        "other",
        "/O=system:nodes/CN=system:node:other",
    )
    .await;
    let planned = survey(&means, &Stage::known(Timestamp::now())).await;
    let findings = carry_out(&means, &planned, &mut |_| ()).await;
    let ends: Vec<(bool, &Ending)> = findings
        .iter()
        .filter(|it| it.kind == "certificate-requests")
        .map(|it| (it.what.contains("ours"), &it.end))
        .collect();
    assert_eq!(ends.len(), 2, "{findings:?}");
    for (is_ours, end) in ends {
        assert_eq!(*end == Ending::Done, is_ours, "{findings:?}");
    }
    let conditions = async |name: &str| {
        let request = stage.get(&format!("{path}/{name}")).await.unwrap();
        request["status"]["conditions"].clone()
    };
    assert_eq!(conditions("ours").await[0]["type"], "Approved");
    assert_eq!(conditions("ours").await[0]["reason"], "RekindleApproved");
    assert_eq!(conditions("foreign").await, Value::Null);
    assert_eq!(conditions("other").await, Value::Null);
    stage.plane.stop().await;
}

/// A request as a kubelet makes it, by openssl.
fn signing_request(subject: &str) -> Vec<u8> {
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-keyout", "/dev/null", "-subj", subject])
        .output()
        .expect("openssl: install the package openssl");
    assert!(made.status.success(), "{made:?}");
    made.stdout
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
