//! One Secret or `ConfigMap`, followed by a watch of its own: a change arrives at once (C18).
//! A failure changes nothing of what is known; only an answer without the object makes it absent.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Patience;
use super::access::Access;
use super::feed::{Feed, Listed, escaped};
use super::gather::News;
use super::stream::{End, Event};
use crate::core::manifest::gathered::Object;
use crate::core::manifest::needs::{ObjectKind, ObjectRef};
use crate::core::reading::{Unseen, UnseenKind};

/// A watch of an object is renewed this often.
const WINDOW: Duration = Duration::from_secs(120);

/// Follows one object for ever.
pub(super) async fn follow(
    object: ObjectRef,
    access: Arc<Access>,
    mut patience: Patience,
    news: mpsc::Sender<News>,
) {
    let collection = match object.kind {
        ObjectKind::Secret => "secrets",
        ObjectKind::ConfigMap => "configmaps",
    };
    let follower = Follower {
        feed: Feed {
            access,
            path: format!(
                "/api/v1/namespaces/{}/{collection}",
                escaped(&object.namespace)
            ),
            selector: format!("metadata.name%3D{}", escaped(&object.name)),
            deadline: patience.deadline,
            window: super::jittered(WINDOW),
        },
        object,
        news,
    };
    let mut failures = 0;
    loop {
        let begun = Instant::now();
        let unseen = follower.list_and_watch().await;
        if begun.elapsed() > WINDOW {
            failures = 0;
        }
        failures += 1;
        if failures > 1 || unseen.kind == UnseenKind::Denied {
            follower.tell(Err(unseen.detail)).await;
        }
        patience.wait(failures).await;
    }
}

struct Follower {
    feed: Feed,
    object: ObjectRef,
    news: mpsc::Sender<News>,
}

impl Follower {
    async fn list_and_watch(&self) -> Unseen {
        let Listed { body, mut version } = match self.feed.list().await {
            Ok(listed) => listed,
            Err(unseen) => return unseen,
        };
        match self.found(&body) {
            Ok(found) => self.tell(Ok(found)).await,
            Err(error) => return self.unreadable(&error),
        }
        drop(body);
        loop {
            let begun = Instant::now();
            let mut stream = match self.feed.watch(&version).await {
                Ok(stream) => stream,
                Err(unseen) => return unseen,
            };
            loop {
                let (event, seen) = match stream.next().await {
                    Ok(next) => next,
                    Err(End::Closed) if begun.elapsed() > Duration::from_secs(1) => break,
                    Err(End::Closed) => {
                        return Unseen::new(UnseenKind::Unreadable, "its watch ends at once");
                    }
                    Err(End::Broken(unseen)) => return unseen,
                };
                version = seen;
                let state = match event {
                    Event::Bookmark => continue,
                    Event::Deleted(_) => None,
                    Event::Applied(raw) => match self.data(raw.get()) {
                        Ok(data) => Some(data),
                        Err(error) => return self.unreadable(&error),
                    },
                };
                self.tell(Ok(state)).await;
            }
        }
    }

    /// The object in a list that can hold no other; `None` where the list is empty.
    fn found(&self, body: &[u8]) -> serde_json::Result<Option<Object>> {
        match self.object.kind {
            ObjectKind::Secret => Ok(first::<Secret>(body)?.map(Object::secret)),
            ObjectKind::ConfigMap => Ok(first::<ConfigMap>(body)?.map(Object::config_map)),
        }
    }

    fn data(&self, json: &str) -> serde_json::Result<Object> {
        match self.object.kind {
            ObjectKind::Secret => serde_json::from_str(json).map(Object::secret),
            ObjectKind::ConfigMap => serde_json::from_str(json).map(Object::config_map),
        }
    }

    /// Says where, not what: a parser's message may repeat what it could not parse.
    fn unreadable(&self, error: &serde_json::Error) -> Unseen {
        let text = format!("{} is not readable, column {}", self.object, error.column());
        Unseen::new(UnseenKind::Unreadable, text)
    }

    async fn tell(&self, state: Result<Option<Object>, String>) {
        // Fails only where the daemon ends.
        let _ = self
            .news
            .send(News::Object(self.object.clone(), state))
            .await;
    }
}

fn first<K: DeserializeOwned>(body: &[u8]) -> serde_json::Result<Option<K>> {
    #[derive(Deserialize)]
    struct List<K> {
        items: Option<Vec<K>>,
    }
    let list: List<K> = serde_json::from_slice(body)?;
    Ok(list.items.unwrap_or_default().into_iter().next())
}
