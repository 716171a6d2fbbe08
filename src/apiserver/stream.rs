//! The events of an accepted watch: bounded lines of JSON, with a deadline for silence.

use std::time::Duration;

use http::Uri;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use crate::core::reading::Unseen;
use crate::fetch::error::{FetchError, shown};

/// Largest event in bytes: etcd takes no object above 1.5 MiB, JSON and base64 make it larger.
const EVENT_LIMIT: usize = 8 * 1024 * 1024;

/// An accepted watch.
pub(super) struct Stream {
    body: Incoming,
    /// Bytes that are not a whole line yet.
    rest: Vec<u8>,
    /// How much of `rest` is known to hold no end of line.
    searched: usize,
    ends: Instant,
    window: Duration,
    url: Uri,
}

/// What a watch says.
pub(super) enum Event {
    /// Added or modified: the object.
    Applied(Box<RawValue>),
    /// Deleted: its last state.
    Deleted(Box<RawValue>),
    /// Nothing happened up to here.
    Bookmark,
}

/// How a watch ends.
pub(super) enum End {
    /// By the server, in order: the next watch may go on from the last version.
    Closed,
    /// Broken, or the version is too old: only a list helps.
    Broken(Unseen),
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    of: &'a str,
    object: Box<RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Head {
    metadata: Meta,
    message: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    resource_version: String,
}

impl Stream {
    pub(super) fn new(body: Incoming, window: Duration, url: Uri) -> Self {
        Self {
            body,
            rest: Vec::new(),
            searched: 0,
            ends: Instant::now() + window,
            window,
            url,
        }
    }

    /// The next event and the resource version up to which all is known then.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Result<(Event, String), End> {
        loop {
            if let Some(line) = self.line() {
                return self.event(&line);
            }
            if self.rest.len() > EVENT_LIMIT {
                return Err(broken(&FetchError::TooLarge {
                    url: shown(&self.url),
                    limit: EVENT_LIMIT as u64,
                }));
            }
            match timeout_at(self.ends, self.body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.rest.extend_from_slice(&data);
                    }
                }
                Ok(None) => return Err(End::Closed),
                Ok(Some(Err(source))) => {
                    let url = shown(&self.url);
                    return Err(broken(&FetchError::Truncated { url, source }));
                }
                Err(_) => {
                    return Err(broken(&FetchError::Deadline {
                        url: shown(&self.url),
                        after: self.window,
                    }));
                }
            }
        }
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let found = self.rest[self.searched..].iter().position(|b| *b == b'\n');
        let Some(end) = found.map(|end| self.searched + end) else {
            self.searched = self.rest.len();
            return None;
        };
        let rest = self.rest.split_off(end + 1);
        self.searched = 0;
        Some(std::mem::replace(&mut self.rest, rest))
    }

    fn event(&self, line: &[u8]) -> Result<(Event, String), End> {
        let unreadable = |error| broken(&FetchError::content(&self.url, error));
        let line: Line<'_> = serde_json::from_slice(line).map_err(unreadable)?;
        let head: Head = serde_json::from_str(line.object.get()).map_err(unreadable)?;
        let event = match line.of {
            "ADDED" | "MODIFIED" => Event::Applied(line.object),
            "DELETED" => Event::Deleted(line.object),
            "BOOKMARK" => Event::Bookmark,
            _ => {
                let text = head.message.unwrap_or_default();
                return Err(broken(&FetchError::content(&self.url, text)));
            }
        };
        Ok((event, head.metadata.resource_version))
    }
}

fn broken(error: &FetchError) -> End {
    End::Broken(Unseen::from(error))
}
