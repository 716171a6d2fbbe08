//! One list and its watch: the two questions from which both pods and objects are followed.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::access::{Access, Means};
use super::stream::Stream;
use crate::core::reading::Unseen;
use crate::fetch;
use crate::fetch::error::FetchError;

/// Largest answer to a list, in bytes: 500 pods are about 5 MB.
pub(super) const LIST_LIMIT: u64 = 64 * 1024 * 1024;

/// What is listed and watched.
pub(super) struct Feed {
    pub(super) access: Arc<Access>,
    /// Path of the collection.
    pub(super) path: String,
    /// Field selector, already escaped for a query.
    pub(super) selector: String,
    /// Deadline of a list, and of a watch until it is accepted.
    pub(super) deadline: Duration,
    /// The API server is asked to end a watch after this, and it counts as broken when it has not
    /// after `deadline` more: a dead connection is not mistaken for a quiet one.
    pub(super) window: Duration,
}

/// A complete list as sent, and its resource version.
pub(super) struct Listed {
    pub(super) body: Vec<u8>,
    pub(super) version: String,
}

impl Feed {
    /// A complete list. No resource version is named, so that the answer is as new as etcd's
    /// quorum, not a cache's. Source: Kubernetes API concepts, "resource versions".
    pub(super) async fn list(&self) -> Result<Listed, Unseen> {
        let means = self.access.means().await?;
        let request = means.request(
            &format!("{}?fieldSelector={}", self.path, self.selector),
            None,
        )?;
        let url = request.uri().clone();
        let answer = fetch::fetch(&means.client, request, self.deadline, LIST_LIMIT).await;
        let body = match answer.and_then(|answer| answer.success(&url)) {
            Ok(body) => body,
            Err(error) => return Err(self.failed(&error).await),
        };
        match serde_json::from_slice::<Head>(&body) {
            Ok(head) => Ok(Listed {
                body,
                version: head.metadata.resource_version,
            }),
            Err(error) => Err(Unseen::from(&FetchError::content(&url, error))),
        }
    }

    /// A watch from `version` on, accepted by the server.
    pub(super) async fn watch(&self, version: &str) -> Result<Stream, Unseen> {
        let means: Means = self.access.means().await?;
        let request = means.request(
            &format!(
                "{}?fieldSelector={}&watch=true&allowWatchBookmarks=true&resourceVersion={version}\
                 &timeoutSeconds={}",
                self.path,
                self.selector,
                self.window.as_secs().max(1)
            ),
            None,
        )?;
        let url = request.uri().clone();
        match fetch::open(&means.client, request, self.deadline).await {
            Ok(response) if response.status().is_success() => Ok(Stream::new(
                response.into_body(),
                self.window + self.deadline,
                url,
            )),
            Ok(response) => {
                let (head, body) = response.into_parts();
                let body =
                    tokio::time::timeout(self.deadline, fetch::collect(body, 64 * 1024, &url))
                        .await;
                let body = body.ok().and_then(Result::ok).unwrap_or_default();
                let answer = fetch::Answer { head, body };
                match answer.success(&url) {
                    Err(error) => Err(self.failed(&error).await),
                    Ok(_) => Err(Unseen::from(&FetchError::content(&url, "it is no watch"))),
                }
            }
            Err(error) => Err(self.failed(&error).await),
        }
    }

    async fn failed(&self, error: &FetchError) -> Unseen {
        if error.status() == Some(401) {
            self.access.doubt().await;
        }
        Unseen::from(error)
    }
}

#[derive(Deserialize)]
struct Head {
    metadata: Meta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    resource_version: String,
}

/// A name as it may stand in a query: everything but letters, digits, `-`, `.`, `_` is escaped.
#[must_use]
pub fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
