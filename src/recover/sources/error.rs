//! Why a source could not be read.

use crate::backup::bundle::BundleError;
use crate::backup::verify::VerifyError;
use crate::core::reading::{Unseen, UnseenKind, chain};
use crate::etcd::EtcdError;

/// A source that gives nothing. Never holds a value.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file that cannot be read, or is no database of etcd.
    #[error(transparent)]
    File(Box<VerifyError>),
    /// A bare database that is damaged or cannot be read somewhere: it may have been copied from a
    /// running etcd.
    #[error(transparent)]
    Raw(Box<VerifyError>),
    /// A backup that cannot be read or trusted.
    #[error(transparent)]
    Bundle(Box<BundleError>),
    /// No endpoint of etcd gives an answer.
    #[error("etcd gives no answer: {}", told(.0))]
    Etcd(Vec<EtcdError>),
    /// Members of etcd answer, and know no leader.
    #[error("etcd has no quorum: {} answers and knows no leader", endpoints.join(", "))]
    NoQuorum {
        /// Who answers.
        endpoints: Vec<String>,
    },
    /// An address with `https` and no authority.
    #[error("{endpoint} is to be asked with TLS, and no authority is given")]
    NoAuthority {
        /// The address.
        endpoint: String,
    },
    /// A certificate without key, or the reverse.
    #[error("etcd's client certificate and its key are given both or neither")]
    HalfIdentity,
    /// The API server gives no answer, or none of use.
    #[error("the API server cannot be read: {}", .0.detail)]
    ApiServer(Unseen),
    /// The thread that read ended.
    #[error("reading ended early")]
    EndedEarly,
}

impl From<VerifyError> for SourceError {
    fn from(error: VerifyError) -> Self {
        Self::File(Box::new(error))
    }
}

impl From<BundleError> for SourceError {
    fn from(error: BundleError) -> Self {
        Self::Bundle(Box::new(error))
    }
}

impl SourceError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) if matches!(**error, VerifyError::InUse { .. }) => Some(
                "read the running etcd itself (--etcd-servers), or stop it first".to_owned(),
            ),
            Self::Raw(error) if error.is_damage() => Some(
                "if it was copied while etcd ran, stop etcd and copy it again; else use a backup or \
                 another member's database"
                    .to_owned(),
            ),
            Self::File(error) | Self::Raw(error) => Some(error.hint().to_owned()),
            Self::Bundle(error) => error.hint(),
            Self::Etcd(errors) => Some(of_etcd(errors)),
            Self::NoQuorum { .. } => Some(
                "stop etcd on one of its machines and read its database: --etcd-backup-file \
                 DATA-DIR/member/snap/db; or read a backup (`rekindle backup list`)"
                    .to_owned(),
            ),
            Self::NoAuthority { .. } => Some(
                "name the authority of etcd's certificates: --etcd-ca-path FILE".to_owned(),
            ),
            Self::HalfIdentity => Some(
                "give both --etcd-certificate-path and --etcd-private-key-path, or neither"
                    .to_owned(),
            ),
            Self::ApiServer(unseen) => Some(of_apiserver(unseen.kind).to_owned()),
            Self::EndedEarly => None,
        }
    }
}

fn told(errors: &[EtcdError]) -> String {
    let told: Vec<String> = errors.iter().map(|error| chain(error)).collect();
    told.join("; ")
}

fn of_etcd(errors: &[EtcdError]) -> String {
    let denied = |error: &EtcdError| match error {
        EtcdError::Refused { message, .. } => message.contains("permission denied"),
        _ => false,
    };
    let tls = |error: &EtcdError| error.to_string().contains("certificate");
    let compacted = |error: &EtcdError| error.to_string().contains("compacted");
    // A server that misses the client's certificate says so after the handshake; whether its word
    // or the end of the connection arrives first is a matter of chance (TLS 1.3).
    let closed = |error: &EtcdError| {
        let text = error.to_string().to_lowercase();
        let ends = [
            "connection closed",
            "connection reset",
            "broken pipe",
            "certificaterequired",
        ];
        ends.iter().any(|end| text.contains(end))
    };
    if errors.iter().any(closed) {
        "etcd may want a client certificate: --etcd-certificate-path and --etcd-private-key-path"
    } else if errors.iter().any(compacted) {
        "etcd was compacted while it was read: run it again"
    } else if errors.iter().any(denied) {
        "the client certificate must be one that etcd lets read all keys"
    } else if errors.iter().any(tls) {
        "--etcd-ca-path must be the authority of etcd's certificate, and etcd must trust the \
         authority of --etcd-certificate-path"
    } else {
        "see whether etcd runs on those addresses (`crictl ps --name etcd`); where it does not, read \
         its database or a backup: --etcd-backup-file"
    }
    .to_owned()
}

fn of_apiserver(kind: UnseenKind) -> &'static str {
    match kind {
        UnseenKind::Denied => {
            "the kubeconfig must be of an administrator: it reads Secrets of the namespace"
        }
        UnseenKind::Unreachable | UnseenKind::TimedOut | UnseenKind::NotAsked => {
            "where no API server runs any more, read etcd (--etcd-servers) or a backup of it \
             (--etcd-backup-file)"
        }
        UnseenKind::Unreadable | UnseenKind::TooLarge => {
            "see whether the kubeconfig is of this cluster and its server is the API server itself"
        }
    }
}
