//! Complete lists of what an API server has, for a recovery: asked once, in pages, followed never.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::access::Access;
use super::feed::escaped;
use crate::core::reading::{Unseen, UnseenKind};
use crate::fetch;
use crate::fetch::error::FetchError;

/// Objects in one answer: twenty of the largest Secrets stay below [`LIMIT`].
const PAGE: usize = 20;
/// Largest answer, in bytes.
const LIMIT: u64 = 64 << 20;
/// Most objects of one list.
const MOST: usize = 128 << 10;

/// Lists objects.
pub struct Lister {
    access: Access,
    deadline: Duration,
}

impl std::fmt::Debug for Lister {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lister").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: Meta,
    items: Option<Vec<Value>>,
}

#[derive(Deserialize, Default)]
struct Meta {
    #[serde(default, rename = "continue")]
    next: String,
}

impl Lister {
    /// By the kubeconfig; `server` is asked instead of the one that it names. `deadline` is for
    /// each question.
    pub fn new(kubeconfig: PathBuf, server: Option<String>, deadline: Duration) -> Self {
        Self {
            access: Access::new(kubeconfig, server),
            deadline,
        }
    }

    /// The objects of the collection at `path`, passed to `take` one by one.
    ///
    /// # Errors
    /// Where the API server cannot be asked, or does not give all of them.
    pub async fn each(&self, path: &str, mut take: impl FnMut(Value)) -> Result<(), Unseen> {
        let mut next = String::new();
        let mut count = 0;
        loop {
            let query = format!("{path}?limit={PAGE}&continue={}", escaped(&next));
            let body = self.ask(&query).await.map_err(|(_, unseen)| unseen)?;
            let list: List = serde_json::from_slice(&body).map_err(|error| {
                // Says where, not what: a parser's message may repeat what it could not parse.
                let text = format!("the list {path} is not readable, column {}", error.column());
                Unseen::new(UnseenKind::Unreadable, text)
            })?;
            let items = list.items.unwrap_or_default();
            count += items.len();
            items.into_iter().for_each(&mut take);
            next = list.metadata.next;
            if next.is_empty() {
                return Ok(());
            }
            if count > MOST {
                let text = format!("the list {path} has more than {MOST} objects");
                return Err(Unseen::new(UnseenKind::TooLarge, text));
            }
        }
    }

    /// The object at `path`; `None`: the API server says that there is none, or no such kind.
    ///
    /// # Errors
    /// Where the API server cannot be asked.
    pub async fn one(&self, path: &str) -> Result<Option<Value>, Unseen> {
        match self.ask(path).await {
            Ok(body) => serde_json::from_slice(&body).map(Some).map_err(|error| {
                let text = format!("{path} is not readable, column {}", error.column());
                Unseen::new(UnseenKind::Unreadable, text)
            }),
            Err((Some(404), _)) => Ok(None),
            Err((_, unseen)) => Err(unseen),
        }
    }

    async fn ask(&self, path: &str) -> Result<Vec<u8>, (Option<u16>, Unseen)> {
        let means = self.access.means().await.map_err(|unseen| (None, unseen))?;
        let request = means.request(path, None).map_err(|unseen| (None, unseen))?;
        let url = request.uri().clone();
        let answer = fetch::fetch(&means.client, request, self.deadline, LIMIT).await;
        let body = answer.and_then(|answer| answer.success(&url));
        body.map_err(|error: FetchError| (error.status(), Unseen::from(&error)))
    }
}
