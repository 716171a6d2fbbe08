//! What the API server says of the required pods and of the nodes they are bound to: listed by one
//! task when a watch says that something has changed, and now and then without being told. It also
//! remembers since when it has seen what it sees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::List;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node as ApiNode, Pod};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::apiserver::ask::{Asker, escaped};
use crate::core::id::PodRef;
use crate::core::reading::{Reading, Unseen};
use crate::core::start::observed::{Bound, Cluster, Node};
use crate::core::start::required::Required;
use crate::core::time::Moment;
use crate::daemon::clock;

/// A round at least this often: no reliance on events alone.
const PERIOD: Duration = Duration::from_secs(10);
/// After a round without an answer.
const RETRY: Duration = Duration::from_secs(1);
/// Between two rounds, however much changes.
const BREATH: Duration = Duration::from_millis(200);
/// Where the kubelets' leases are. Source: Kubernetes 1.20 `pkg/apis/core`, `NamespaceNodeLease`.
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
/// Annotation of a static pod's mirror. Source: kubelet 1.20 `pkg/kubelet/types/pod_update.go`.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) required: Vec<Required>,
    pub(super) node: String,
    pub(super) forget: Vec<String>,
}

/// The answer: facts for decisions, and the specs of pods bound to this node for their probes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Said {
    pub(super) cluster: Cluster,
    pub(super) specs: BTreeMap<PodRef, Arc<Pod>>,
}

struct Memory {
    ready_since: BTreeMap<PodRef, Moment>,
    leases: BTreeMap<String, Watched>,
    bell: Arc<Notify>,
    bells: BTreeMap<String, AbortOnDropHandle<()>>,
}

struct Watched {
    /// The lease as it was seen first: a kubelet that lives renews it.
    first: Option<String>,
    renewed: bool,
    since: Moment,
}

/// Starts listing, also whenever `bell` is rung; ends with `shutdown`.
pub(super) fn spawn(
    asker: Arc<Asker>,
    wanted: Wanted,
    bell: Arc<Notify>,
    shutdown: &CancellationToken,
) -> watch::Receiver<Reading<Said>> {
    let (sender, receiver) = watch::channel(Reading::not_asked());
    let rounds = async move {
        let mut memory = Memory {
            ready_since: BTreeMap::new(),
            leases: BTreeMap::new(),
            bells: BTreeMap::new(),
            bell,
        };
        for namespace in wanted.namespaces() {
            memory.hang(&asker, &pods_of(&namespace), "");
        }
        loop {
            let (said, wait) = match round(&asker, &wanted, &mut memory).await {
                Ok(said) => (Reading::Known(said), PERIOD),
                Err(unseen) => {
                    // No kubelet could report meanwhile: who was silent is watched anew.
                    memory.leases.retain(|_, watched| watched.renewed);
                    (Reading::Unknown(unseen), RETRY)
                }
            };
            sender.send_if_modified(|seen| {
                let news = *seen != said;
                *seen = said;
                news
            });
            tokio::time::sleep(BREATH).await;
            // That nothing rings is no reason not to look.
            let _silent = tokio::time::timeout(wait, memory.bell.notified()).await;
        }
    };
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(rounds));
    receiver
}

impl Wanted {
    fn namespaces(&self) -> BTreeSet<String> {
        let required = self.required.iter();
        required.map(|it| it.namespace.clone()).collect()
    }
}

impl Memory {
    /// Has a collection ring the bell; once.
    fn hang(&mut self, asker: &Asker, path: &str, selector: &str) {
        let bell = &self.bell;
        let hang = || asker.hang(path.to_owned(), selector.to_owned(), Arc::clone(bell));
        let key = format!("{path}?{selector}");
        self.bells.entry(key).or_insert_with(hang);
    }
}

fn pods_of(namespace: &str) -> String {
    format!("/api/v1/namespaces/{}/pods", escaped(namespace))
}

async fn round(asker: &Asker, wanted: &Wanted, memory: &mut Memory) -> Result<Said, Unseen> {
    let mut said = Said::default();
    let mut nodes: BTreeSet<String> = wanted.forget.iter().cloned().collect();
    for namespace in wanted.namespaces() {
        take(
            asker.find(&pods_of(&namespace)).await?,
            wanted,
            memory,
            &mut said,
        );
    }
    for node in &wanted.forget {
        let selector = format!("spec.nodeName%3D{}", escaped(node));
        let path = format!("/api/v1/pods?fieldSelector={selector}&limit=1");
        take(asker.find(&path).await?, wanted, memory, &mut said);
    }
    let seen: BTreeSet<PodRef> = said.cluster.pods.iter().map(|it| it.pod.clone()).collect();
    memory.ready_since.retain(|pod, _| seen.contains(pod));
    // Not of every pod there: one of a DaemonSet is on each node of the cluster.
    let names = |bound: &&Bound| {
        let mut required = wanted.required.iter();
        required.any(|it| it.names(&bound.pod.namespace, &bound.pod.name))
    };
    let bound = said.cluster.pods.iter().filter(names);
    let bound = bound.map(|bound| bound.node.clone());
    nodes.extend(bound.filter(|node| !node.is_empty() && *node != wanted.node));
    for node in nodes {
        let selector = format!("metadata.name%3D{}", escaped(&node));
        memory.hang(asker, LEASES, &selector);
        let seen = look(asker, &node, memory).await?;
        said.cluster.nodes.insert(node, seen);
    }
    Ok(said)
}

fn take(list: Option<List<Pod>>, wanted: &Wanted, memory: &mut Memory, said: &mut Said) {
    let now = clock::now();
    for pod in list.into_iter().flat_map(|list| list.items) {
        let bound = bound(&pod, now, memory);
        if bound.node == wanted.node && !bound.mirror {
            said.specs.insert(bound.pod.clone(), Arc::new(pod));
        }
        if !said.cluster.pods.contains(&bound) {
            said.cluster.pods.push(bound);
        }
    }
}

fn bound(pod: &Pod, now: Moment, memory: &mut Memory) -> Bound {
    let meta = &pod.metadata;
    let reference = PodRef {
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
    };
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    let ready = status.is_some_and(|status| {
        let mut conditions = status.conditions.iter().flatten();
        conditions.any(|it| it.type_ == "Ready" && it.status == "True")
    });
    let ready_since = if ready {
        let since = memory.ready_since.entry(reference.clone());
        Some(*since.or_insert(now))
    } else {
        memory.ready_since.remove(&reference);
        None
    };
    let annotations = meta.annotations.as_ref();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    Bound {
        pod: reference,
        node: node.unwrap_or_default(),
        ready_since,
        mirror: annotations.is_some_and(|all| all.contains_key(MIRROR)),
        ends: meta.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed")),
    }
}

async fn look(asker: &Asker, name: &str, memory: &mut Memory) -> Result<Node, Unseen> {
    let node: Option<ApiNode> = asker
        .find(&format!("/api/v1/nodes/{}", escaped(name)))
        .await?;
    let lease = format!("{LEASES}/{}", escaped(name));
    let lease: Option<Lease> = asker.find(&lease).await?;
    let renewed = lease
        .and_then(|lease| lease.spec?.renew_time)
        .map(|time| time.0.to_string());
    let now = clock::now();
    let watched = memory.leases.entry(name.to_owned()).or_insert(Watched {
        first: renewed.clone(),
        renewed: false,
        since: now,
    });
    // One that vanishes was not renewed: it goes with its node.
    watched.renewed |= renewed.is_some() && renewed != watched.first;
    Ok(Node {
        exists: node.is_some(),
        renewed: watched.renewed,
        watched_since: watched.since,
        last: renewed,
    })
}

/// Deletes a node and every pod bound to it, at once: nobody is there who could end them in order.
///
/// # Errors
/// What could not be deleted.
pub(super) async fn forget(asker: &Asker, node: &str) -> Result<(), String> {
    // The node first: until it is gone, the scheduler binds the next pods to it.
    let own = format!("/api/v1/nodes/{}", escaped(node));
    delete(asker, &own).await?;
    let selector = format!("spec.nodeName%3D{}", escaped(node));
    let path = format!("/api/v1/pods?fieldSelector={selector}");
    let pods: Option<List<Pod>> = asker.find(&path).await.map_err(|unseen| unseen.detail)?;
    for pod in pods.into_iter().flat_map(|list| list.items) {
        let meta = pod.metadata;
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}?gracePeriodSeconds=0",
            escaped(meta.namespace.as_deref().unwrap_or_default()),
            escaped(meta.name.as_deref().unwrap_or_default())
        );
        delete(asker, &path).await?;
    }
    Ok(())
}

async fn delete(asker: &Asker, path: &str) -> Result<(), String> {
    let reply = asker.send(http::Method::DELETE, path, None).await;
    let reply = reply.map_err(|unseen| unseen.detail)?;
    if reply.is_success() || reply.status == 404 {
        return Ok(());
    }
    Err(format!("{path}: {} {}", reply.status, reply.words()))
}
