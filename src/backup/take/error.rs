//! Why no backup was taken.

use std::path::PathBuf;

use crate::backup::bundle::BundleError;
use crate::backup::signing::KeyError;
use crate::backup::verify::VerifyError;
use crate::core::backup::id::BadBackupId;
use crate::etcd::EtcdError;
use crate::store::lock::LockError;

/// The step that failed. Those of before are untouched.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// Another one is being taken.
    #[error("a backup is being taken already")]
    Busy,
    /// The lock cannot be taken.
    #[error("backups cannot be locked")]
    Lock(#[source] LockError),
    /// The key that backups are signed with.
    #[error("the backup cannot be signed")]
    Key(#[from] KeyError),
    /// etcd.
    #[error("etcd cannot be backed up")]
    Etcd(#[from] EtcdError),
    /// The node's name is none for a file.
    #[error("the backup cannot be named")]
    Name(#[from] BadBackupId),
    /// Writing it.
    #[error("the backup cannot be made")]
    Bundle(#[from] BundleError),
    /// Not enough room.
    #[error(
        "{} has {free} bytes free; the backup may need {needed}, and {min_free} have to stay free",
        path.display()
    )]
    Room {
        /// Directory of backups.
        path: PathBuf,
        /// Free bytes.
        free: u64,
        /// Bytes that are still needed, at most.
        needed: u64,
        /// Bytes that stay free.
        min_free: u64,
    },
    /// The free room is not known.
    #[error("the free room of {} is not known", path.display())]
    RoomUnknown {
        /// Directory of backups.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The stream ended without the digest at its end.
    #[error(
        "the snapshot of etcd at {endpoint} ended after {received} bytes without the digest that \
         belongs at its end"
    )]
    Cut {
        /// The member.
        endpoint: String,
        /// What had come.
        received: u64,
    },
    /// It is damaged, or was when it was sent.
    #[error("the snapshot is not whole")]
    Verify(#[from] VerifyError),
    /// The disk does not give back what was written.
    #[error("the snapshot reads back from the disk of {} as something else", path.display())]
    ReadBack {
        /// The backup.
        path: PathBuf,
    },
    /// Verified, and yet it cannot be this member's data of this time.
    #[error("the snapshot of etcd at {endpoint} is not of now: {why}")]
    Implausible {
        /// The member.
        endpoint: String,
        /// What does not fit.
        why: String,
    },
    /// The program ends.
    #[error("no backup was taken: the program ends")]
    Ending,
}

impl From<LockError> for TakeError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Held { .. } => Self::Busy,
            other => Self::Lock(other),
        }
    }
}

impl TakeError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Busy => "wait for it: `rekindle status` shows how far it is",
            Self::Room { .. } => {
                "`rekindle backup prune --dry-run` says which backups could go; \
                 backup.min_free_bytes is what has to stay free"
            }
            Self::Verify(_) => {
                "try again; if it stays, the member's own database may be damaged: \
                 `etcdctl endpoint hashkv --cluster` compares the members"
            }
            Self::ReadBack { .. } => "look at the disk: `dmesg`, `smartctl -a`",
            Self::Cut { .. } => "try again; nothing was kept of it",
            Self::Implausible { .. } => {
                "try again; if it stays, compare the members: `etcdctl endpoint status --cluster`, \
                 `etcdctl endpoint hashkv --cluster`"
            }
            Self::Etcd(error) => return error.hint(),
            Self::Bundle(error) => return error.hint(),
            Self::Key(error) => return error.hint(),
            Self::Lock(_) | Self::Name(_) | Self::RoomUnknown { .. } | Self::Ending => return None,
        };
        Some(text.to_owned())
    }

    /// The disk is full, or would be.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Room { .. } => true,
            Self::Bundle(error) => error.is_full(),
            _ => false,
        }
    }
}
