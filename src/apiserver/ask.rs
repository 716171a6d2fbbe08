//! Single questions, for commands that do more than follow the pods of a node.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Uri};
use serde::de::DeserializeOwned;

use super::access::Access;
use super::feed::LIST_LIMIT;
pub use super::feed::escaped;
use crate::core::reading::Unseen;
use crate::fetch;
use crate::fetch::error::{FetchError, words};

/// Asks one API server.
pub struct Asker {
    pub(super) access: Arc<Access>,
    pub(super) deadline: Duration,
}

impl std::fmt::Debug for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asker").finish_non_exhaustive()
    }
}

/// An answer of any status.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
    url: Uri,
}

impl Reply {
    /// 200 to 299.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The server's own words, cut short.
    #[must_use]
    pub fn words(&self) -> String {
        words(&self.body)
    }

    /// What a good answer holds.
    pub(super) fn object<T: DeserializeOwned>(&self) -> Result<T, Unseen> {
        let url = &self.url;
        if !self.is_success() {
            return Err(Unseen::from(&FetchError::Status {
                url: fetch::error::shown(url),
                status: self.status,
                text: self.words(),
            }));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            // Says where, not what: a parser's message may repeat what it could not parse.
            let text = format!("not readable at column {}", error.column());
            Unseen::from(&FetchError::content(url, text))
        })
    }
}

impl Asker {
    /// Address and credentials of `kubeconfig`, which is read when there is something to ask.
    /// `deadline` is for each question.
    #[must_use]
    pub fn new(kubeconfig: PathBuf, deadline: Duration) -> Self {
        Self::at(kubeconfig, None, deadline)
    }

    /// The same; `server` is asked instead of the one that the kubeconfig names.
    #[must_use]
    pub fn at(kubeconfig: PathBuf, server: Option<String>, deadline: Duration) -> Self {
        Self {
            access: Arc::new(Access::new(kubeconfig, server)),
            deadline,
        }
    }

    /// Whether there is anything to ask with: the kubeconfig and the files that it names.
    ///
    /// # Errors
    /// Why not. Nothing of their content.
    pub async fn usable(&self) -> Result<(), Unseen> {
        self.access.means().await.map(drop)
    }

    /// Asks once. `path` begins with `/` and may have a query; `body` is JSON.
    ///
    /// # Errors
    /// Where there is no whole answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Reply, Unseen> {
        let means = self.access.means().await?;
        let mut request = means.request(path, body)?;
        *request.method_mut() = method;
        let url = request.uri().clone();
        let answer = fetch::fetch(&means.client, request, self.deadline, LIST_LIMIT).await;
        let answer = answer.map_err(|error| Unseen::from(&error))?;
        let status = answer.head.status.as_u16();
        if status == 401 {
            self.access.doubt().await;
        }
        Ok(Reply {
            status,
            body: answer.body,
            url,
        })
    }

    /// The object at `path`; `None`: the server says that there is none.
    ///
    /// # Errors
    /// Where there is no answer, or none that can be used.
    pub async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Unseen> {
        let reply = self.send(Method::GET, path, None).await?;
        match reply.status {
            404 => Ok(None),
            _ => reply.object().map(Some),
        }
    }
}
