//! The pods of this node: list, watch, list again.
//!
//! ```text
//!          ┌────────────── retry ──────────────┐
//!          ▼                                   │
//!   list ──┬─ fails ──► publish Unknown ───────┘
//!          └─ answers ─► publish, count ─► watch ─┬─ ended in order ─► watch on
//!                                                 └─ broken, relist due, confirm asked ─► list
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::{Notify, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use super::access::Access;
use super::feed::{Feed, Listed, escaped};
use super::stream::{End, Event, Stream};
use super::{ApiSnapshot, Config, jittered};
use crate::core::id::PodRef;
use crate::core::manifest::list::{ListError, ListedPod, pod_item, pod_items};
use crate::core::observed::ApiView;
use crate::core::reading::{Reading, Unseen, UnseenKind};

/// A watch of the pods is renewed this often; each renewal proves that the server answers.
const WINDOW: Duration = Duration::from_secs(30);

/// Follows the pods of the node for ever.
pub(super) async fn follow(
    access: Arc<Access>,
    config: Config,
    sender: watch::Sender<Reading<ApiSnapshot>>,
    confirm: Arc<Notify>,
) {
    let mut follower = Follower {
        feed: Feed {
            access,
            path: "/api/v1/pods".to_owned(),
            selector: format!("spec.nodeName%3D{}", escaped(&config.node_name)),
            deadline: config.deadline,
            window: WINDOW,
        },
        relist: config.relist,
        retry: config.retry,
        sender,
        lists: 0,
        short: false,
        pods: BTreeMap::new(),
    };
    loop {
        match follower.list().await {
            Ok(version) => follower.attend(version, &confirm).await,
            Err(unseen) => {
                follower.publish(Reading::Unknown(unseen));
                follower.pause(&confirm).await;
            }
        }
    }
}

struct Follower {
    feed: Feed,
    relist: Duration,
    retry: Duration,
    sender: watch::Sender<Reading<ApiSnapshot>>,
    lists: u64,
    /// The last watch did not last.
    short: bool,
    pods: BTreeMap<PodRef, ListedPod>,
}

impl Follower {
    /// A complete list: everything known before is replaced. A pod that did not change stays the
    /// same one in memory, so that nobody looks at it again.
    async fn list(&mut self) -> Result<String, Unseen> {
        let Listed { body, version } = self.feed.list().await?;
        let mut pods = BTreeMap::new();
        let items = pod_items(&body).map_err(|error| unreadable(&error))?;
        for (index, raw) in items.into_iter().enumerate() {
            // Parsing many takes a while, and what is urgent runs on the same thread.
            yield_now().await;
            let pod = pod_item(index, raw).map_err(|error| unreadable(&error))?;
            let key = pod.seen.pod.clone();
            let same = self.pods.get(&key).filter(|known| **known == pod).cloned();
            pods.insert(key, same.unwrap_or(pod));
        }
        drop(body);
        self.pods = pods;
        self.lists += 1;
        self.publish_known();
        Ok(version)
    }

    /// Watches from `version` on until a complete list is due.
    async fn attend(&mut self, mut version: String, confirm: &Notify) {
        let due = Instant::now() + jittered(self.relist);
        loop {
            let begun = Instant::now();
            let on = tokio::select! {
                on = self.watch(&mut version) => on,
                () = confirm.notified() => return,
                () = sleep_until(due) => return,
            };
            // Watches that do not last: whatever the reason, do not ask without a pause. One that
            // has just begun may still break with its server, which the list is to find at once.
            let short = begun.elapsed() < self.retry;
            if short && self.short {
                self.pause(confirm).await;
            }
            self.short = short;
            if !on {
                return;
            }
        }
    }

    /// One watch; true where the next may go on from `version`.
    async fn watch(&mut self, version: &mut String) -> bool {
        let Ok(mut stream) = self.feed.watch(version).await else {
            return false; // The list that follows tells why.
        };
        loop {
            match self.event(&mut stream).await {
                Ok(seen) if seen.is_empty() => return false,
                Ok(seen) => *version = seen,
                Err(End::Closed) => return true,
                Err(End::Broken(unseen)) => {
                    tracing::debug!(cause = unseen.detail, "watch of pods broke");
                    return false;
                }
            }
        }
    }

    async fn event(&mut self, stream: &mut Stream) -> Result<String, End> {
        let (event, version) = stream.next().await?;
        let changed = match event {
            Event::Bookmark => false,
            Event::Applied(object) => {
                let (key, pod) = one(&object)?;
                self.pods.get(&key) != Some(&pod) && {
                    self.pods.insert(key, pod);
                    true
                }
            }
            Event::Deleted(object) => self.pods.remove(&one(&object)?.0).is_some(),
        };
        if changed {
            self.publish_known();
        }
        Ok(version)
    }

    fn publish_known(&self) {
        let pods = self.pods.values();
        self.publish(Reading::Known(ApiSnapshot {
            view: ApiView {
                pods: pods.clone().map(|pod| pod.seen.clone()).collect(),
                lists: self.lists,
            },
            parents: pods.clone().filter_map(|pod| pod.spec.clone()).collect(),
            bad_ids: pods.clone().filter_map(|pod| pod.bad_id.clone()).collect(),
            unknown_fields: pods
                .filter(|pod| !pod.unknown_fields.is_empty())
                .map(|pod| (pod.seen.pod.clone(), pod.unknown_fields.clone()))
                .collect(),
        }));
    }

    fn publish(&self, reading: Reading<ApiSnapshot>) {
        self.sender.send_if_modified(|last| {
            let new = *last != reading;
            if new {
                *last = reading;
            }
            new
        });
    }

    async fn pause(&self, confirm: &Notify) {
        tokio::select! {
            () = sleep(jittered(self.retry)) => {}
            () = confirm.notified() => {}
        }
    }
}

/// A watched pod, read by the same light parser as a list: only parents are parsed whole.
fn one(object: &RawValue) -> Result<(PodRef, ListedPod), End> {
    match pod_item(0, object) {
        Ok(pod) => Ok((pod.seen.pod.clone(), pod)),
        Err(error) => Err(End::Broken(unreadable(&error))),
    }
}

fn unreadable(error: &ListError) -> Unseen {
    Unseen::because(UnseenKind::Unreadable, error)
}
