//! Why a copy was not made, or not fetched back.

use std::io;
use std::path::PathBuf;

use super::seal::SealError;
use crate::backup::bundle::BundleError;
use crate::objectstore::StoreError;
use crate::store::dir::ReadError;
use crate::store::durable::DurableError;

/// A failure with a copy. Never holds a credential.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The target fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The local backup cannot be opened.
    #[error("the local backup cannot be copied")]
    Bundle(#[from] BundleError),
    /// A file of the local backup cannot be read.
    #[error("cannot read {}", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the local backup is not what its manifest, or an earlier attempt, says.
    #[error("{} is not what it was: the local backup is damaged", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The target has something else under this name.
    #[error("{place} holds another {object}; it is not overwritten")]
    Different {
        /// The target's place.
        place: String,
        /// The object.
        object: String,
    },
    /// The target's copy lost something that it had.
    #[error("the copy at {place} is not whole any more: {object} is missing or has another length")]
    Incomplete {
        /// The target's place.
        place: String,
        /// The first object that is missing.
        object: String,
    },
    /// No such copy there, or one that was never completed.
    #[error("{place} has no complete copy of {id}")]
    Absent {
        /// The target's place.
        place: String,
        /// The backup.
        id: String,
    },
    /// An object of ours there is not understood.
    #[error("{object} at {place} is not understood: {why}")]
    Garbled {
        /// The target's place.
        place: String,
        /// The object.
        object: String,
        /// Why.
        why: String,
    },
    /// A recipient is none.
    #[error("{text:?} is no age recipient: {why}")]
    Recipient {
        /// As configured.
        text: String,
        /// Why.
        why: &'static str,
    },
    /// Encryption failed.
    #[error("the backup cannot be encrypted")]
    Seal(#[from] SealError),
    /// A copy cannot be decrypted.
    #[error("{object} cannot be decrypted: {why}")]
    Open {
        /// The object.
        object: String,
        /// Why.
        why: String,
    },
    /// The copy is encrypted, and no identity was given.
    #[error("the copy is encrypted, and no identity to decrypt it was given")]
    NoIdentity,
    /// The identity file is none.
    #[error("{} holds no age identity", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
    },
    /// What came back is not what was sent.
    #[error("{object} at {place} is damaged: its SHA-256 is {found} instead of {expected}")]
    Damaged {
        /// The target's place.
        place: String,
        /// The object.
        object: String,
        /// The recorded digest.
        expected: String,
        /// The digest of what came.
        found: String,
    },
    /// Something local cannot be written: the state of the upload, what is fetched.
    #[error("the state of the copy cannot be kept")]
    Write(#[from] DurableError),
    /// Something local cannot be read.
    #[error("the state of the copy cannot be read")]
    Read(#[from] ReadError),
    /// The thread for it cannot be started, or ended without an answer.
    #[error("the copying ended without an answer")]
    Lost,
}

impl CopyError {
    /// What to do about it; `None`: nothing general can be said.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Store(error) => error.hint(),
            Self::Bundle(error) => return error.hint(),
            Self::Changed { path } => format!(
                "`rekindle backup verify {}` says more",
                path.parent().unwrap_or(path).display()
            ),
            Self::Different { .. } => "two nodes must not share a name and a prefix: give one of \
                 them a prefix of its own at the target"
                .to_owned(),
            Self::Incomplete { .. } => {
                "something deleted objects there; delete the rest of this copy, and it is made anew"
                    .to_owned()
            }
            Self::Absent { .. } => {
                "`rekindle backup list --target NAME` shows what is there".to_owned()
            }
            Self::NoIdentity | Self::Open { .. } | Self::Identity { .. } => {
                "give the file with the age identity (AGE-SECRET-KEY-…): --identity FILE".to_owned()
            }
            Self::Recipient { .. } => {
                "recipients begin with age1; `age-keygen -y` prints one".to_owned()
            }
            Self::Damaged { .. } => "fetch it from another target, or another backup".to_owned(),
            Self::Source { .. }
            | Self::Garbled { .. }
            | Self::Seal(_)
            | Self::Write(_)
            | Self::Read(_)
            | Self::Lost => String::new(),
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// Whether another backup would fail in the same way now: the target is at fault, not this
    /// backup.
    pub fn is_the_targets(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Recipient { .. } | Self::Lost)
    }
}
