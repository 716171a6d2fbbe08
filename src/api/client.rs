//! Asks the daemon over its socket; used by the command line only.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::wire;

/// Largest answer that is read.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;
/// For connecting and for an answer that is not held back on purpose.
const DEADLINE: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens, or the socket may not be opened.
    #[error("the daemon does not answer on {path}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No answer in time.
    #[error("the daemon did not answer within {seconds} s")]
    TimedOut {
        /// The deadline.
        seconds: u64,
    },
    /// The conversation broke.
    #[error("the daemon's answer cannot be read")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The daemon answered no.
    #[error("{}", answer.error)]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// What it said.
        answer: wire::Error,
    },
}

impl ClientError {
    /// What the operator can do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "run it as root, or as a member of the group `rekindle`".to_owned()
            }
            Self::Connect { .. } => {
                "is it running? `systemctl status rekindle`; another socket: --socket".to_owned()
            }
            Self::TimedOut { .. } | Self::Broken(_) => "see `journalctl -u rekindle`".to_owned(),
            Self::Refused { answer, .. } => answer.hint.clone(),
        }
    }

    /// The daemon was there and said no.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// Asks for `target` (path and query). `patience` is added to the deadline where the daemon is
/// asked to wait.
///
/// # Errors
/// As the variants of [`ClientError`] say.
pub async fn get<T: DeserializeOwned>(
    socket: &Path,
    target: &str,
    patience: Duration,
) -> Result<T, ClientError> {
    answer(socket, Method::GET, target, DEADLINE + patience).await
}

/// Asks for something to be begun.
///
/// # Errors
/// As the variants of [`ClientError`] say.
pub async fn post<T: DeserializeOwned>(socket: &Path, target: &str) -> Result<T, ClientError> {
    answer(socket, Method::POST, target, DEADLINE).await
}

async fn answer<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    target: &str,
    deadline: Duration,
) -> Result<T, ClientError> {
    let asked = tokio::time::timeout(deadline, ask(socket, method, target)).await;
    let (status, body) = asked.map_err(|_| ClientError::TimedOut {
        seconds: deadline.as_secs(),
    })??;
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(broken);
    }
    let answer = serde_json::from_slice(&body).unwrap_or_else(|_| wire::Error {
        error: format!("the daemon answered {status}"),
        hint: "see `journalctl -u rekindle`".to_owned(),
    });
    Err(ClientError::Refused { status, answer })
}

async fn ask(
    socket: &Path,
    method: Method,
    target: &str,
) -> Result<(StatusCode, Bytes), ClientError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| ClientError::Connect {
            path: socket.to_owned(),
            source,
        })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, "rekindle")
        .body(Empty::<Bytes>::new())
        .map_err(broken)?;
    // The connection must be driven beside the request; it ends with it.
    let conversation = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_LIMIT)
            .collect()
            .await
            .map_err(ClientError::Broken)?;
        drop(sender);
        Ok((status, body.to_bytes()))
    };
    let (answer, _) = tokio::join!(conversation, connection);
    answer
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
    ClientError::Broken(error.into())
}
