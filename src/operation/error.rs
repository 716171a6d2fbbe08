//! Why an operation was not begun, or could not be written down.

use super::Head;
use crate::core::operation::OperationKind;
use crate::store::dir::ReadError;
use crate::store::durable::DurableError;
use crate::store::lock::LockError;
use crate::store::sealed::SealError;

/// Why an operation was not begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// Another one is under way.
    #[error("another operation has this node: {}", holder.as_ref().map_or("its journal is not readable".to_owned(), Head::said))]
    Busy {
        /// What its journal says.
        holder: Option<Head>,
    },
    /// Another one was cut off.
    #[error("another operation is unfinished: {}", .0.said())]
    Unfinished(Head),
    /// The journal of another one is damaged.
    #[error("the journal of `rekindle {}` is damaged ({why})", kind.word())]
    Damaged {
        /// Which.
        kind: OperationKind,
        /// What is wrong with it.
        why: String,
    },
    /// The lock cannot be taken.
    #[error("this node cannot be taken for an operation")]
    Lock(#[from] LockError),
    /// Its place cannot be read.
    #[error("the place of operations cannot be read")]
    Read(#[from] ReadError),
    /// The journal cannot be written.
    #[error("the operation cannot be written down")]
    Record(#[from] RecordError),
    /// Its place cannot be made.
    #[error("the place of operations cannot be written")]
    Write(#[from] DurableError),
}

impl BeginError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Busy { .. } => {
                "wait until it has ended; `rekindle status` shows what it does".to_owned()
            }
            Self::Unfinished(Head { kind, .. }) | Self::Damaged { kind, .. } => {
                kind.ends().to_owned()
            }
            Self::Lock(_) | Self::Read(_) | Self::Record(_) | Self::Write(_) => {
                "run it as root; look at paths.state_dir, and whether its disk is full".to_owned()
            }
        }
    }
}

/// Why a step could not be written down: it is then not to be done.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The place cannot be read.
    #[error("the place of operations cannot be read")]
    Read(#[from] ReadError),
    /// Its lock cannot be taken.
    #[error("the place of operations cannot be locked")]
    Lock(#[from] LockError),
    /// It is no JSON.
    #[error("the step cannot be encoded")]
    Encode(#[from] SealError),
    /// More than a journal may hold.
    #[error("the step is larger than {} bytes", super::LIMIT)]
    TooLarge,
    /// It cannot be written.
    #[error("the step cannot be written")]
    Write(#[from] DurableError),
    /// The journal is damaged.
    #[error("the journal of `rekindle {}` is damaged ({why})", kind.word())]
    Damaged {
        /// Which.
        kind: OperationKind,
        /// What is wrong with it.
        why: String,
    },
}
