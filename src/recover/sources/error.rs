//! Why a source could not be read.

use crate::backup::bundle::BundleError;
use crate::backup::verify::VerifyError;

/// A source that gives nothing. Never holds a value.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file that cannot be read, or is no database of etcd.
    #[error(transparent)]
    File(#[from] VerifyError),
    /// A bare database that is damaged or cannot be read somewhere: it may have been copied from a
    /// running etcd.
    #[error(transparent)]
    Raw(VerifyError),
    /// A backup that cannot be read or trusted.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The thread that read ended.
    #[error("reading ended early")]
    EndedEarly,
}

impl SourceError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(VerifyError::InUse { .. }) => Some(
                "read the running etcd itself (--etcd-servers), or stop it first".to_owned(),
            ),
            Self::File(error) => Some(error.hint().to_owned()),
            Self::Raw(error) if error.is_damage() => Some(
                "if it was copied while etcd ran, stop etcd and copy it again; else use a backup or \
                 another member's database"
                    .to_owned(),
            ),
            Self::Raw(error) => Some(error.hint().to_owned()),
            Self::Bundle(error) => error.hint(),
            Self::EndedEarly => None,
        }
    }
}
