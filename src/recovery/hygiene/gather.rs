//! One look at everything that may be stale. What does not answer is unknown, and stays so.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease as ApiLease;
use k8s_openapi::api::core::v1::Node as ApiNode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Known, Means, request};
use crate::apiserver::ask::{Asker, escaped};
use crate::core::reading::{Reading, Unseen, UnseenKind};
use crate::core::recovery::hygiene::facts::{Lease, Look, Node, Pod, Request};
use crate::daemon::clock;
use crate::etcd::AlarmKind;

/// Objects in one answer.
const PAGE: usize = 500;
/// Most answers of one list.
const PAGES: usize = 400;
/// Label of the leases by which API servers know each other.
/// Source: Kubernetes 1.26 `pkg/controlplane/controller/apiserverleasegc`.
const IDENTITY: [&str; 2] = ["apiserver.kubernetes.io/identity", "k8s.io/component"];

pub(super) async fn look(means: &Means<'_>, known: &Known) -> Look {
    let asker = means.asker;
    Look {
        at: clock::now(),
        wall: clock::wall(),
        master_leases: master_leases(means, &known.prefix).await,
        leases: reading(leases(asker)).await,
        nodes: reading(nodes(asker)).await,
        pods: reading(pods(asker)).await,
        running: known.running.clone(),
        alarms: alarms(means).await,
        requests: reading(requests(asker)).await,
    }
}

async fn reading<T>(asked: impl Future<Output = Result<T, Unseen>>) -> Reading<T> {
    match asked.await {
        Ok(value) => Reading::Known(value),
        Err(unseen) => Reading::Unknown(unseen),
    }
}

async fn master_leases(means: &Means<'_>, prefix: &str) -> Reading<BTreeMap<String, i64>> {
    let below = format!("{}/masterleases/", prefix.trim_end_matches('/'));
    match means.etcd.revisions(&below).await {
        Ok(keys) => Reading::Known(keys),
        Err(error) => Reading::Unknown(Unseen::because(UnseenKind::Unreachable, &error)),
    }
}

async fn alarms(means: &Means<'_>) -> Reading<BTreeSet<String>> {
    let word = |kind| match kind {
        AlarmKind::NoSpace => "NOSPACE".to_owned(),
        AlarmKind::Corrupt => "CORRUPT".to_owned(),
    };
    match means.etcd.alarms().await {
        Ok(all) => Reading::Known(all.into_iter().map(|alarm| word(alarm.kind)).collect()),
        Err(error) => Reading::Unknown(Unseen::because(UnseenKind::Unreachable, &error)),
    }
}

/// A page of a list.
#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: PageMeta,
    items: Vec<T>,
}

#[derive(Deserialize, Default)]
struct PageMeta {
    #[serde(default, rename = "continue")]
    next: String,
}

/// Everything at `path`, page by page; `take` keeps what is needed of an object.
async fn list<T: DeserializeOwned, U>(
    asker: &Asker,
    path: &str,
    take: impl Fn(T) -> Option<U>,
) -> Result<Vec<U>, Unseen> {
    let mut all = Vec::new();
    let mut next = String::new();
    for _ in 0..PAGES {
        let question = if next.is_empty() {
            format!("{path}?limit={PAGE}")
        } else {
            format!("{path}?limit={PAGE}&continue={}", escaped(&next))
        };
        let page: Option<Page<T>> = asker.find(&question).await?;
        let Some(page) = page else {
            let detail = format!("the API server knows no {path}");
            return Err(Unseen::new(UnseenKind::Unreadable, detail));
        };
        all.extend(page.items.into_iter().filter_map(&take));
        next = page.metadata.next;
        if next.is_empty() {
            return Ok(all);
        }
    }
    let detail = format!("{path} has more than {} objects", PAGE * PAGES);
    Err(Unseen::new(UnseenKind::TooLarge, detail))
}

pub(super) async fn leases(asker: &Asker) -> Result<Vec<Lease>, Unseen> {
    let path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
    list(asker, path, |lease: ApiLease| {
        let (meta, spec) = (lease.metadata, lease.spec.unwrap_or_default());
        let name = meta.name?;
        let labels = meta.labels.unwrap_or_default();
        let identity = labels
            .keys()
            .any(|label| IDENTITY.contains(&label.as_str()));
        let prefixes = ["apiserver-", "kube-apiserver-"];
        Some(Lease {
            of_an_apiserver: identity || prefixes.iter().any(|it| name.starts_with(it)),
            name,
            holder: spec.holder_identity,
            renewed: spec.renew_time.and_then(|time| timestamp(&time)),
            duration_seconds: spec.lease_duration_seconds.map(i64::from),
            resource_version: meta.resource_version?,
        })
    })
    .await
}

/// k8s-openapi has a version of jiff of its own.
fn timestamp(time: &MicroTime) -> Option<Timestamp> {
    Timestamp::from_nanosecond(time.0.as_nanosecond()).ok()
}

async fn nodes(asker: &Asker) -> Result<Vec<Node>, Unseen> {
    let path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let leases = list(asker, path, |lease: ApiLease| {
        let renewed = lease.spec?.renew_time?;
        Some((lease.metadata.name?, renewed.0.to_string()))
    });
    let leases: BTreeMap<String, String> = leases.await?.into_iter().collect();
    list(asker, "/api/v1/nodes", |node: ApiNode| {
        let name = node.metadata.name?;
        let addresses = node.status.and_then(|status| status.addresses);
        let addresses = addresses.into_iter().flatten().map(|it| it.address);
        Some(Node {
            uid: node.metadata.uid?,
            addresses: addresses.collect(),
            renewed: leases.get(&name).cloned(),
            name,
        })
    })
    .await
}

/// What is needed of a pod: a cluster may have many.
#[derive(Deserialize)]
struct PodSeen {
    metadata: PodMeta,
    #[serde(default)]
    spec: PodSpec,
}

#[derive(Deserialize)]
struct PodMeta {
    namespace: String,
    name: String,
    uid: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    #[serde(default)]
    node_name: String,
}

async fn pods(asker: &Asker) -> Result<Vec<Pod>, Unseen> {
    list(asker, "/api/v1/pods", |pod: PodSeen| {
        let PodMeta {
            namespace,
            name,
            uid,
        } = pod.metadata;
        let node = pod.spec.node_name;
        let bound = !node.is_empty();
        bound.then_some(Pod {
            namespace,
            name,
            uid,
            node,
        })
    })
    .await
}

async fn requests(asker: &Asker) -> Result<Vec<Request>, Unseen> {
    let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    list(asker, path, |asked: CertificateSigningRequest| {
        let status = asked.status.unwrap_or_default();
        let decided = status.certificate.is_some()
            || status
                .conditions
                .is_some_and(|conditions| !conditions.is_empty());
        let spec = asked.spec;
        (!decided).then_some(())?;
        Some(Request {
            name: asked.metadata.name?,
            uid: asked.metadata.uid?,
            signer: spec.signer_name,
            requestor: spec.username.unwrap_or_default(),
            groups: spec.groups.into_iter().flatten().collect(),
            usages: spec.usages.into_iter().flatten().collect(),
            subject: request::subject(&spec.request.0),
        })
    })
    .await
}
