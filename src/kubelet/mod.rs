//! The kubelet's list of pods: `/pods` of its read-only port, else of its authenticated one.
//!
//! It says which pods are bound to this node as far as the kubelet remembers. Never that one runs:
//! it repeats what the kubelet last told the API server, and forgets the API server's pods when it
//! restarts without one. Source: kubelet 1.20 `pkg/kubelet/server/server.go`, `getPods`.

mod credentials;
mod doors;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::core::id::{BadId, PodRef};
use crate::core::manifest::list::{ListedPod, pod_list};
use crate::core::observed::KubeletView;
use crate::core::reading::{Reading, Unseen, UnseenKind};

use doors::Doors;

/// Nudges are answered at most this often.
const BREATH: Duration = Duration::from_millis(250);
/// After a nudge, before the kubelet is asked: reading its answer takes a core for some
/// milliseconds, which belong to what is done about the event that nudged.
const LATER: Duration = Duration::from_millis(50);

/// Where the kubelet is and who we are to it.
#[derive(Debug, Clone)]
pub struct Config {
    /// The read-only port, asked first; `None` leaves it out.
    pub read_only_url: Option<Uri>,
    /// The authenticated port.
    pub secure_url: Option<Uri>,
    /// Client certificate for it, PEM.
    pub client_certificate_file: Option<PathBuf>,
    /// Its key, PEM; may be the same file.
    pub client_key_file: Option<PathBuf>,
    /// Bearer token for it; only ever sent to a kubelet that `ca_file` vouches for.
    pub token_file: Option<PathBuf>,
    /// Authority of the kubelet's serving certificate. Without it the certificate is not checked:
    /// kubelets sign their own by default.
    pub ca_file: Option<PathBuf>,
    /// Time between two questions.
    pub poll: Duration,
    /// Deadline of one question to one port.
    pub deadline: Duration,
    /// Largest answer in bytes.
    pub limit: u64,
}

/// What the kubelet said.
#[derive(Debug, Clone, PartialEq)]
pub struct KubeletSnapshot {
    /// The facts for decisions, ordered by pod.
    pub view: KubeletView,
    /// The parents among them, whole.
    pub parents: Vec<Arc<Pod>>,
    /// Pods that ask to be checkpointed under names that make no key.
    pub bad_ids: Vec<BadId>,
    /// For parents: fields that this build does not know.
    pub unknown_fields: BTreeMap<PodRef, Vec<String>>,
    /// The port that answered: `read-only` or `authenticated`.
    pub via: &'static str,
    /// The node's address as the parents' status tells it.
    pub host_ip: Option<String>,
}

/// Starts asking: each `poll`, and at once when `nudge` is notified. A new reading is published
/// only where it differs from the last one. Ends with `shutdown`.
pub fn spawn(
    config: Config,
    nudge: Arc<Notify>,
    shutdown: CancellationToken,
) -> watch::Receiver<Reading<KubeletSnapshot>> {
    let (sender, receiver) = watch::channel(Reading::not_asked());
    let poll = config.poll;
    let mut asking = Asking {
        doors: Doors::new(config),
        seen: None,
        hashes: RandomState::new(),
    };
    let forever = async move {
        loop {
            let begun = Instant::now();
            if let Some(reading) = asking.ask().await {
                publish(&sender, reading);
            }
            tokio::select! {
                () = sleep_until(begun + poll) => {}
                () = nudge.notified() => {
                    let breath = begun + BREATH.min(poll);
                    sleep_until(breath.max(Instant::now() + LATER.min(poll))).await;
                }
            }
        }
    };
    tokio::spawn(async move {
        shutdown.run_until_cancelled_owned(forever).await;
    });
    receiver
}

struct Asking {
    doors: Doors,
    /// Hash and port of the bytes behind the published reading, where that is known.
    seen: Option<(u64, &'static str)>,
    hashes: RandomState,
}

impl Asking {
    /// Asks once; `None` where the kubelet says the same bytes as before.
    async fn ask(&mut self) -> Option<Reading<KubeletSnapshot>> {
        let (body, via) = match self.doors.ask().await {
            Ok(answer) => answer,
            Err(unseen) => {
                self.seen = None;
                return Some(Reading::Unknown(unseen));
            }
        };
        let hash = self.hashes.hash_one(&body);
        if self.seen == Some((hash, via)) {
            return None;
        }
        Some(match pod_list(&body) {
            Ok(pods) => {
                self.seen = Some((hash, via));
                Reading::Known(snapshot(pods, via))
            }
            Err(error) => {
                self.seen = None;
                Reading::Unknown(Unseen::because(UnseenKind::Unreadable, &error))
            }
        })
    }
}

fn publish(sender: &watch::Sender<Reading<KubeletSnapshot>>, reading: Reading<KubeletSnapshot>) {
    sender.send_if_modified(|last| {
        let new = *last != reading;
        if new {
            *last = reading;
        }
        new
    });
}

/// The kubelet lists its pods in the order of a Go map, another one each time.
fn snapshot(mut pods: Vec<ListedPod>, via: &'static str) -> KubeletSnapshot {
    pods.sort_unstable_by(|a, b| a.seen.pod.cmp(&b.seen.pod));
    let host_ip = pods
        .iter()
        .filter_map(|pod| pod.spec.as_ref()?.status.as_ref()?.host_ip.clone())
        .find(|address| !address.is_empty());
    let mut snapshot = KubeletSnapshot {
        view: KubeletView::default(),
        parents: Vec::new(),
        bad_ids: Vec::new(),
        unknown_fields: BTreeMap::new(),
        via,
        host_ip,
    };
    for pod in pods {
        if !pod.unknown_fields.is_empty() {
            let fields = pod.unknown_fields;
            snapshot.unknown_fields.insert(pod.seen.pod.clone(), fields);
        }
        snapshot.view.pods.push(pod.seen);
        snapshot
            .parents
            .extend(pod.spec.map(without_managed_fields));
        snapshot.bad_ids.extend(pod.bad_id);
    }
    snapshot
}

/// Managed fields are often the larger half of a pod, and say nothing of how it runs.
fn without_managed_fields(mut pod: Arc<Pod>) -> Arc<Pod> {
    Arc::make_mut(&mut pod).metadata.managed_fields = None;
    pod
}
