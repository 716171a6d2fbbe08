//! Single questions, for commands that do more than follow the pods of a node.

use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use serde::de::DeserializeOwned;

use super::access::Access;
use super::feed::LIST_LIMIT;
pub use super::feed::escaped;
use crate::core::reading::Unseen;
use crate::fetch;
use crate::fetch::error::{FetchError, words};

/// Asks one API server.
pub struct Asker {
    access: Access,
    deadline: Duration,
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
}

impl Asker {
    /// Address and credentials of `kubeconfig`, which is read when there is something to ask.
    #[must_use]
    pub fn new(kubeconfig: PathBuf, deadline: Duration) -> Self {
        Self {
            access: Access::new(kubeconfig, None),
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
        let answer = fetch::fetch(&means.client, request, self.deadline, LIST_LIMIT).await;
        let answer = answer.map_err(|error| Unseen::from(&error))?;
        let status = answer.head.status.as_u16();
        if status == 401 {
            self.access.doubt().await;
        }
        Ok(Reply {
            status,
            body: answer.body,
        })
    }

    /// The object at `path`; `None`: the server says that there is none.
    ///
    /// # Errors
    /// Where there is no answer, or none that can be used.
    pub async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Unseen> {
        let means = self.access.means().await?;
        let url = means.request(path, None)?.uri().clone();
        let reply = self.send(Method::GET, path, None).await?;
        if reply.status == 404 {
            return Ok(None);
        }
        if !reply.is_success() {
            return Err(Unseen::from(&FetchError::Status {
                url: fetch::error::shown(&url),
                status: reply.status,
                text: reply.words(),
            }));
        }
        match serde_json::from_slice(&reply.body) {
            Ok(object) => Ok(Some(object)),
            Err(error) => Err(Unseen::from(&FetchError::content(&url, error))),
        }
    }
}
