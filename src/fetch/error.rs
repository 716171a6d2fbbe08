//! How a question over HTTP fails, and what class of unknown that is.

use std::error::Error;
use std::io::ErrorKind;
use std::time::Duration;

use http::Uri;

use crate::core::reading::{Unseen, UnseenKind};

/// Longest text of a server that is repeated in an error, in characters.
const WORDS: usize = 300;

/// Why there is no usable answer. `url` never holds a query or credentials.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection, or the TLS handshake failed.
    #[error("cannot connect to {url}")]
    Connect {
        /// Where to.
        url: String,
        /// Why.
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    /// The connection ended, or spoke no HTTP, before an answer began.
    #[error("{url} gives no answer")]
    Broken {
        /// Whose.
        url: String,
        /// Why.
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    /// No whole answer in time.
    #[error("no answer from {url} within {} ms", after.as_millis())]
    Deadline {
        /// Whose.
        url: String,
        /// The deadline.
        after: Duration,
    },
    /// The answer ended early.
    #[error("the answer of {url} breaks off")]
    Truncated {
        /// Whose.
        url: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// The answer is larger than its bound; the rest was not read.
    #[error("the answer of {url} is larger than {limit} bytes")]
    TooLarge {
        /// Whose.
        url: String,
        /// The bound.
        limit: u64,
    },
    /// An answer that says no.
    #[error("{url} answers {status}: {text}")]
    Status {
        /// Whose.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's own words, shortened.
        text: String,
    },
    /// The answer is not what was asked for.
    #[error("the answer of {url} cannot be used")]
    Content {
        /// Whose.
        url: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl FetchError {
    pub(super) fn deadline(url: &Uri, after: Duration) -> Self {
        Self::Deadline {
            url: shown(url),
            after,
        }
    }

    pub(super) fn sending(url: &Uri, source: hyper_util::client::legacy::Error) -> Self {
        let url = shown(url);
        if source.is_connect() {
            Self::Connect { url, source }
        } else {
            Self::Broken { url, source }
        }
    }

    pub(super) fn truncated(url: &Uri, source: hyper::Error) -> Self {
        Self::Truncated {
            url: shown(url),
            source,
        }
    }

    /// An answer whose content cannot be used, and why.
    pub fn content(url: &Uri, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Content {
            url: shown(url),
            source: source.into(),
        }
    }

    /// The class of the failure.
    #[must_use]
    pub fn kind(&self) -> UnseenKind {
        match self {
            Self::Connect { source, .. } => connecting(source),
            Self::Broken { source, .. } => {
                let parse = causes(source)
                    .into_iter()
                    .filter_map(|cause| cause.downcast_ref::<hyper::Error>())
                    .any(hyper::Error::is_parse);
                if parse {
                    UnseenKind::Unreadable
                } else {
                    UnseenKind::Unreachable
                }
            }
            Self::Deadline { .. } => UnseenKind::TimedOut,
            Self::Status {
                status: 401 | 403, ..
            } => UnseenKind::Denied,
            Self::Truncated { .. } | Self::Status { .. } | Self::Content { .. } => {
                UnseenKind::Unreadable
            }
            Self::TooLarge { .. } => UnseenKind::TooLarge,
        }
    }

    /// The HTTP status of an answer that says no.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl From<&FetchError> for Unseen {
    fn from(error: &FetchError) -> Self {
        Self::because(error.kind(), error)
    }
}

/// A handshake that fails is an answer of somebody (`Unreadable`), not silence.
fn connecting(source: &hyper_util::client::legacy::Error) -> UnseenKind {
    let mut io = None;
    for cause in causes(source) {
        // An `io::Error` hides what it wraps from `source()`.
        let mut next = cause.downcast_ref::<std::io::Error>();
        while let Some(error) = next {
            io = Some(error.kind());
            let inner = error.get_ref();
            if let Some(inner) = inner
                && inner.is::<rustls::Error>()
            {
                return UnseenKind::Unreadable;
            }
            next = inner.and_then(|inner| inner.downcast_ref::<std::io::Error>());
        }
    }
    match io {
        Some(ErrorKind::TimedOut) => UnseenKind::TimedOut,
        _ => UnseenKind::Unreachable,
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut all = vec![error];
    let mut next = error.source();
    while let Some(cause) = next {
        all.push(cause);
        next = cause.source();
    }
    all
}

/// An address as it may be shown: without query and credentials.
#[must_use]
pub fn shown(url: &Uri) -> String {
    let port = url.port().map(|port| format!(":{port}"));
    format!(
        "{}://{}{}{}",
        url.scheme_str().unwrap_or("http"),
        url.host().unwrap_or_default(),
        port.unwrap_or_default(),
        url.path()
    )
}

/// The server's own words in one line: the `message` of a Kubernetes `Status`, else the text.
#[must_use]
pub fn words(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Status {
        message: String,
    }
    let text = match serde_json::from_slice::<Status>(body) {
        Ok(status) => status.message,
        Err(_) => String::from_utf8_lossy(&body[..body.len().min(4 * WORDS)]).into_owned(),
    };
    let text: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    text.join(" ").chars().take(WORDS).collect()
}
