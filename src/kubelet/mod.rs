//! The kubelet's list of pods: `/pods` of its read-only port, else of its authenticated one.
//!
//! It says which pods are bound to this node as far as the kubelet remembers. Never that one runs:
//! it repeats what the kubelet last told the API server, and forgets the API server's pods when it
//! restarts without one. Source: kubelet 1.20 `pkg/kubelet/server/server.go`, `getPods`.

mod credentials;
mod doors;

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{Notify, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::core::id::{BadId, PodRef};
use crate::core::manifest::list::{ListError, ListedPod, pod_item, pod_items};
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
    let mut asking = Asking::new(config);
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
    seen: Option<(Print, &'static str)>,
    /// The parents of the answer before, by the bytes that they were read from.
    read: HashMap<Print, ListedPod>,
    hashes: RandomState,
}

/// Stands for some bytes: a hash under a key that nobody else knows, and the length.
type Print = (u64, usize);

impl Asking {
    fn new(config: Config) -> Self {
        Self {
            doors: Doors::new(config),
            seen: None,
            read: HashMap::new(),
            hashes: RandomState::new(),
        }
    }

    /// Asks once; `None` where the kubelet says the same bytes as before.
    async fn ask(&mut self) -> Option<Reading<KubeletSnapshot>> {
        let (body, via) = match self.doors.ask().await {
            Ok(answer) => answer,
            Err(unseen) => {
                self.seen = None;
                return Some(Reading::Unknown(unseen));
            }
        };
        let print = self.print(&body);
        if self.seen == Some((print, via)) {
            return None;
        }
        Some(match self.pods(&body).await {
            Ok(pods) => {
                self.seen = Some((print, via));
                Reading::Known(snapshot(pods, via))
            }
            Err(error) => {
                self.seen = None;
                Reading::Unknown(Unseen::because(UnseenKind::Unreadable, &error))
            }
        })
    }

    /// The pods of an answer. A parent that stands there as in the answer before is not read again,
    /// and what is urgent comes between two pods that are: it runs on the same thread.
    async fn pods(&mut self, body: &[u8]) -> Result<Vec<ListedPod>, ListError> {
        let items = pod_items(body)?;
        let mut pods = Vec::with_capacity(items.len());
        let mut read = HashMap::new();
        for (index, raw) in items.into_iter().enumerate() {
            let print = self.print(raw.get().as_bytes());
            let known = self.read.get(&print).cloned();
            let pod = if let Some(pod) = known {
                pod
            } else {
                yield_now().await;
                pod_item(index, raw)?
            };
            // Others are read so lightly that remembering them would not pay.
            if pod.spec.is_some() {
                read.insert(print, pod.clone());
            }
            pods.push(pod);
        }
        self.read = read;
        Ok(pods)
    }

    fn print(&self, bytes: &[u8]) -> Print {
        (self.hashes.hash_one(bytes), bytes.len())
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
        snapshot.parents.extend(pod.spec);
        snapshot.bad_ids.extend(pod.bad_id);
    }
    snapshot
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const CAPTURED: &[u8] =
        include_bytes!("../../tests/fixtures/kubelet/pods-33-parent-recovered.json");

    fn asking() -> Asking {
        let config = Config {
            read_only_url: None,
            secure_url: None,
            client_certificate_file: None,
            client_key_file: None,
            token_file: None,
            ca_file: None,
            poll: Duration::ZERO,
            deadline: Duration::ZERO,
            limit: 0,
        };
        Asking::new(config)
    }

    /// A parent as a kubelet wrote it, by another name.
    fn parent(name: &str) -> Value {
        let captured: Value = serde_json::from_slice(CAPTURED).unwrap();
        let mut items = captured["items"].as_array().unwrap().iter();
        let annotation = "checkpointer.alpha.coreos.com/checkpoint";
        let found = items.find(|item| !item["metadata"]["annotations"][annotation].is_null());
        let mut parent = found.unwrap().clone();
        parent["metadata"]["name"] = name.into();
        parent
    }

    async fn read(asking: &mut Asking, items: &[&Value]) -> Vec<ListedPod> {
        let list = json!({"kind": "PodList", "apiVersion": "v1", "items": items}).to_string();
        asking.pods(list.as_bytes()).await.unwrap()
    }

    fn same(one: &ListedPod, other: &ListedPod) -> bool {
        Arc::ptr_eq(one.spec.as_ref().unwrap(), other.spec.as_ref().unwrap())
    }

    #[tokio::test]
    async fn a_parent_that_stands_there_as_before_is_not_read_again_and_a_changed_one_is() {
        let mut asking = asking();
        let (one, other) = (parent("one"), parent("other"));
        let before = read(&mut asking, &[&one, &other]).await;
        let mut changed = other.clone();
        changed["status"]["phase"] = "Failed".into();
        // In another order, too, as the kubelet has it.
        let after = read(&mut asking, &[&changed, &one]).await;
        assert!(same(&before[0], &after[1]));
        assert_eq!(before[0], after[1]);
        assert!(!same(&before[1], &after[0]));
        assert!(!before[1].seen.finished && after[0].seen.finished);
        let phase = |pod: &ListedPod| pod.spec.as_ref()?.status.as_ref()?.phase.clone();
        assert_eq!(phase(&after[0]).as_deref(), Some("Failed"));
        // What it was before is forgotten: it is read where it comes again.
        let again = read(&mut asking, &[&one, &other]).await;
        assert!(same(&before[0], &again[0]) && !same(&before[1], &again[1]));
        assert_eq!(before, again);
    }

    #[tokio::test]
    async fn a_parent_that_has_gone_is_gone_and_not_kept() {
        let mut asking = asking();
        let (one, other) = (parent("one"), parent("other"));
        let before = read(&mut asking, &[&one, &other]).await;
        let after = read(&mut asking, &[&other]).await;
        assert!(after.len() == 1 && same(&before[1], &after[0]));
        assert_eq!(asking.read.len(), 1);
        assert_eq!(read(&mut asking, &[]).await, []);
        assert!(asking.read.is_empty());
    }

    #[tokio::test]
    async fn two_equal_items_are_two_pods() {
        let mut asking = asking();
        let one = parent("one");
        for _ in 0..2 {
            let pods = read(&mut asking, &[&one, &one]).await;
            assert!(pods.len() == 2 && pods[0] == pods[1]);
            assert_eq!(asking.read.len(), 1);
        }
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_read_says_where_and_the_next_one_is_whole() {
        let mut asking = asking();
        let (one, bad) = (parent("one"), json!({"metadata": {"name": 7}}));
        let before = read(&mut asking, &[&one]).await;
        let list = json!({"kind": "PodList", "items": [one, bad]}).to_string();
        let refused = asking.pods(list.as_bytes()).await;
        assert!(matches!(refused, Err(ListError::Item { index: 1, .. })));
        assert_eq!(read(&mut asking, &[&one]).await, before);
    }
}
