//! What can go wrong between us and containerd, by the step that failed.

use std::path::PathBuf;
use std::time::Duration;

use containerd_client::tonic::{self, Code};

use crate::core::reading::{Unseen, UnseenKind};

/// Why containerd did not do or say what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection to its socket.
    #[error("cannot connect to containerd at {}", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: tonic::transport::Error,
    },
    /// No answer within the deadline.
    #[error("containerd did not answer {call} within {after:?}")]
    TimedOut {
        /// The call.
        call: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// It has no such thing.
    #[error("containerd knows no such object ({call})")]
    NotFound {
        /// The call.
        call: &'static str,
    },
    /// It has such a thing already.
    #[error("containerd has that object already ({call})")]
    Exists {
        /// The call.
        call: &'static str,
    },
    /// It answered with an error.
    #[error("containerd refused {call}: {message}")]
    Refused {
        /// The call.
        call: &'static str,
        /// Class of the refusal.
        code: Code,
        /// Its own words, at most 1000 characters.
        message: String,
    },
    /// It answered something that cannot be used.
    #[error("containerd's answer to {call} cannot be used: {cause}")]
    Unreadable {
        /// The call.
        call: &'static str,
        /// What is wrong with it.
        cause: String,
    },
}

impl Error {
    pub(crate) fn status(call: &'static str, status: &tonic::Status) -> Self {
        match status.code() {
            Code::NotFound => Self::NotFound { call },
            Code::AlreadyExists => Self::Exists { call },
            code => Self::Refused {
                call,
                code,
                message: status.message().chars().take(1000).collect(),
            },
        }
    }

    pub(crate) fn unreadable(call: &'static str, cause: impl std::fmt::Display) -> Self {
        Self::Unreadable {
            call,
            cause: cause.to_string(),
        }
    }

    /// It has no such thing: the one error that says "absent" and not "unknown".
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// The shim of the task has closed its socket while it was asked. It is going, or was killed;
    /// containerd knows better in a moment.
    ///
    /// Source: containerd/ttrpc 1.1 `client.go`, `ErrClosed` ("ttrpc: closed").
    pub(crate) fn is_shim_gone(&self) -> bool {
        matches!(self, Self::Refused { message, .. } if message.contains("ttrpc: closed"))
    }

    /// The connection is not usable any more.
    pub(crate) fn is_transport(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::Refused {
                    code: Code::Unavailable | Code::Unknown | Code::Cancelled,
                    ..
                }
        )
    }

    /// The same as a reading.
    #[must_use]
    pub fn unseen(&self) -> Unseen {
        let kind = match self {
            Self::Connect { .. } => UnseenKind::Unreachable,
            Self::Refused { code, .. } => match code {
                Code::Unavailable => UnseenKind::Unreachable,
                Code::DeadlineExceeded | Code::Cancelled => UnseenKind::TimedOut,
                Code::PermissionDenied | Code::Unauthenticated => UnseenKind::Denied,
                Code::ResourceExhausted | Code::OutOfRange => UnseenKind::TooLarge,
                _ => UnseenKind::Unreadable,
            },
            Self::TimedOut { .. } => UnseenKind::TimedOut,
            Self::NotFound { .. } | Self::Exists { .. } | Self::Unreadable { .. } => {
                UnseenKind::Unreadable
            }
        };
        Unseen::because(kind, self)
    }
}

/// Takes "there is no such thing" for an answer.
pub(crate) fn found<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
