//! Why an etcd member did not do or say what it was asked, naming the member and the cause.

use std::error::Error as _;
use std::path::PathBuf;
use std::time::Duration;

use tonic::Code;

use crate::core::reading::chain;
use crate::core::recovery::evidence::DoorAnswer;
use crate::fetch::fault::silence;

/// Longest text of a server that is repeated, in characters.
const WORDS: usize = 400;

/// A failure with etcd. Never holds a key or a value.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// A credential file cannot be read.
    #[error("the {what} of etcd cannot be read from {}", path.display())]
    File {
        /// `authority`, `client certificate`, `client key`.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An endpoint or the credentials cannot be used at all.
    #[error("etcd at {endpoint} cannot be asked: {cause}")]
    Unusable {
        /// The address.
        endpoint: String,
        /// What is wrong with it.
        cause: String,
    },
    /// No endpoint is configured.
    #[error("no endpoint of etcd is configured")]
    NoEndpoint,
    /// No connection, or it broke.
    #[error("etcd at {endpoint} cannot be reached for {call}: {cause}")]
    Unreachable {
        /// Whose.
        endpoint: String,
        /// The call.
        call: &'static str,
        /// Why, in words.
        cause: String,
        /// And as a class.
        how: DoorAnswer,
    },
    /// No answer in time.
    #[error("etcd at {endpoint} did not answer {call} within {} ms", after.as_millis())]
    TimedOut {
        /// Whose.
        endpoint: String,
        /// The call.
        call: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// It answered with an error.
    #[error("etcd at {endpoint} refused {call}: {message}")]
    Refused {
        /// Whose.
        endpoint: String,
        /// The call.
        call: &'static str,
        /// Class of the refusal.
        code: Code,
        /// Its own words.
        message: String,
    },
    /// The answer cannot be used.
    #[error("the answer of etcd at {endpoint} to {call} cannot be used: {cause}")]
    Unreadable {
        /// Whose.
        endpoint: String,
        /// The call.
        call: &'static str,
        /// What is wrong with it.
        cause: String,
    },
    /// The next piece of a snapshot did not come in time.
    #[error(
        "etcd at {endpoint} sent nothing for {} in the middle of a snapshot, after {received} bytes",
        whole(*after)
    )]
    Stalled {
        /// Whose.
        endpoint: String,
        /// The deadline between two pieces.
        after: Duration,
        /// What had come until then.
        received: u64,
    },
    /// A snapshot broke off.
    #[error("the snapshot of etcd at {endpoint} broke off after {received} bytes: {cause}")]
    BrokeOff {
        /// Whose.
        endpoint: String,
        /// What had come until then.
        received: u64,
        /// Why, in words.
        cause: String,
    },
    /// No member to take a snapshot from.
    #[error("no member of etcd is fit to be backed up: {}", why.join("; "))]
    NoneFit {
        /// For each endpoint, what is against it.
        why: Vec<String>,
        /// Somebody could allow it in spite of that.
        could_be_allowed: bool,
    },
}

impl EtcdError {
    /// What a failed call was.
    pub(super) fn of(endpoint: &str, call: &'static str, error: &etcd_client::Error) -> Self {
        let endpoint = endpoint.to_owned();
        match error {
            etcd_client::Error::GRpcStatus(status) => {
                let message = short(status.message());
                match status.source() {
                    // A status that the client made up because there was no answer.
                    Some(source) => Self::Unreachable {
                        endpoint,
                        call,
                        cause: short(&chain(source)),
                        how: silence(source),
                    },
                    None => Self::Refused {
                        endpoint,
                        call,
                        code: status.code(),
                        message,
                    },
                }
            }
            etcd_client::Error::TransportError(error) => Self::Unreachable {
                endpoint,
                call,
                cause: short(&chain(error)),
                how: silence(error),
            },
            other => Self::Unreadable {
                endpoint,
                call,
                cause: short(&other.to_string()),
            },
        }
    }

    /// What it says of the member that was asked; never [`DoorAnswer::Serving`].
    #[must_use]
    pub fn answer(&self) -> DoorAnswer {
        match self {
            Self::File { .. } | Self::Unusable { .. } | Self::NoEndpoint | Self::NoneFit { .. } => {
                DoorAnswer::NotAsked
            }
            Self::Unreachable { how, .. } => *how,
            Self::TimedOut { .. } | Self::Stalled { .. } => DoorAnswer::TimedOut,
            Self::Refused {
                code: Code::Unauthenticated | Code::PermissionDenied,
                ..
            } => DoorAnswer::Denied,
            Self::Refused { .. } => DoorAnswer::NotReady,
            Self::Unreadable { .. } => DoorAnswer::Unreadable,
            Self::BrokeOff { .. } => DoorAnswer::Unreachable,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::File { .. } => {
                "etcd.ca_file, etcd.certificate_file and etcd.key_file name the files; kubeadm keeps them \
                 in /etc/kubernetes/pki/etcd"
            }
            Self::NoEndpoint | Self::Unusable { .. } => {
                "etcd.endpoints has the form [\"https://127.0.0.1:2379\"]"
            }
            Self::Unreachable { cause, .. } if cause.contains("certificate") => {
                "etcd.ca_file must be the authority of etcd's server certificate, and etcd must \
                 trust the authority of etcd.certificate_file"
            }
            Self::Unreachable { .. } | Self::TimedOut { .. } => {
                "see whether etcd runs on that address: `crictl ps --name etcd`, `rekindle status`"
            }
            Self::Refused {
                code: Code::Unauthenticated | Code::PermissionDenied,
                ..
            } => "the client certificate must be one that etcd lets take snapshots (role root)",
            Self::Stalled { .. } | Self::BrokeOff { .. } => {
                "nothing was kept of it; the next try takes another member where there is one"
            }
            Self::NoneFit {
                could_be_allowed: true,
                ..
            } => "`rekindle backup now --allow-doubtful` takes one all the same and marks it",
            Self::NoneFit { .. } | Self::Refused { .. } | Self::Unreadable { .. } => return None,
        };
        Some(text.to_owned())
    }

    /// The member is not there or not talking, so another connection is worth a try.
    pub(super) fn is_transport(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::TimedOut { .. }
                | Self::Stalled { .. }
                | Self::BrokeOff { .. }
        )
    }
}

/// A deadline for people, and none of it cut off.
fn whole(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}

/// In one line, and not too much of it.
pub(super) fn short(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").chars().take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b11_a_deadline_below_a_second_is_said_as_it_is() {
        let said = |after| {
            let stalled = EtcdError::Stalled {
                endpoint: "https://m1".to_owned(),
                after,
                received: 7,
            };
            stalled.to_string()
        };
        for (after, words) in [
            (500, "for 500 ms in"),
            (1500, "for 1500 ms in"),
            (30_000, "for 30 s in"),
        ] {
            let text = said(Duration::from_millis(after));
            assert!(text.contains(words), "{text}");
        }
    }
}
