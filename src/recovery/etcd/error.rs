//! Why etcd was not recovered.

use std::path::PathBuf;

use crate::backup::restore::RestoreError;
use crate::backup::signing::KeyError;
use crate::cleanup::CleanupError;
use crate::etcd::EtcdError;
use crate::operation::RecordError;
use crate::store::dir::ReadError;
use crate::store::durable::DurableError;
use crate::systemd::units::UnitError;

/// A refusal or a failure. Before the commit point nothing of etcd's data was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Where etcd runs is not known: nothing is done to it.
    #[error("where etcd runs on this node is not known: {0}")]
    Homeless(String),
    /// It is known, and cannot be done from here.
    #[error("{home} cannot be handled here: {why}")]
    NotAutomatic {
        /// What starts etcd, in words.
        home: String,
        /// Why.
        why: String,
    },
    /// A member of the cluster answers (invariant 6).
    #[error("etcd is not restored while a member of it answers: {0}")]
    Answers(String),
    /// Whether one answers is not known.
    #[error("whether a member of etcd answers is not known: {0}")]
    Unknown(String),
    /// Nothing to restore from (invariant 7).
    #[error("there is nothing to restore etcd from: {0}")]
    NoSource(String),
    /// The source holds no key (invariant 7).
    #[error("{0} holds no key: an empty cluster is never made of it")]
    Empty(String),
    /// One restore has one source (R03).
    #[error("recovery {id} restores from {began}, not from {asked}")]
    OtherSource {
        /// The recovery.
        id: String,
        /// What it began with.
        began: String,
        /// What was asked for now.
        asked: String,
    },
    /// The source is damaged; nothing was changed.
    #[error("{what} is damaged: {why}")]
    Damaged {
        /// Which source.
        what: String,
        /// How that shows.
        why: String,
    },
    /// The source is whole, and older than what this node has seen; nothing was changed.
    #[error(
        "{what} ends at revision {ends}, and this node has seen {seen}: what was there is gone"
    )]
    Behind {
        /// Which source.
        what: String,
        /// Its revision.
        ends: i64,
        /// The highest that was recorded here.
        seen: i64,
    },
    /// The quarantine could not be made, which says nothing about the data.
    #[error("etcd cannot be started in quarantine: {0}")]
    Quarantine(String),
    /// A backup or a snapshot is not restored.
    #[error("etcd's data directory cannot be made")]
    Restore(#[from] RestoreError),
    /// The keys of backups.
    #[error("whose backups are trusted is not known")]
    Trust(#[from] KeyError),
    /// Not enough room; nothing was begun.
    #[error("{} has {free} bytes free, and {needed} are needed", path.display())]
    Room {
        /// Where.
        path: PathBuf,
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// etcd did not stop.
    #[error("etcd does not stop: {0}")]
    Runs(String),
    /// It did not come back.
    #[error("etcd does not come back within {seconds} s: {why}")]
    Silent {
        /// How long was waited.
        seconds: u64,
        /// What it said last.
        why: String,
    },
    /// It came back with less than was restored.
    #[error("etcd serves less than was restored: {0}")]
    Less(String),
    /// Something stands in the way of a rename.
    #[error("{} is in the way: {why}", path.display())]
    InTheWay {
        /// What.
        path: PathBuf,
        /// Why that is none of ours.
        why: String,
    },
    /// It cannot be taken back any more.
    #[error("it cannot be taken back: {0}")]
    Committed(String),
    /// The member may not be replaced.
    #[error("the member is not replaced: {0}")]
    NotReplaced(String),
    /// The id is none for a file name.
    #[error("{0:?} cannot be a recovery's id")]
    BadId(String),
    /// etcd said no, or nothing.
    #[error("etcd")]
    Etcd(#[from] EtcdError),
    /// systemd.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// containerd.
    #[error("containerd")]
    Containerd(#[from] crate::containerd::Error),
    /// Whether etcd has its data open.
    #[error("whether etcd has its data open is not known")]
    InUse(#[source] Box<CleanupError>),
    /// The journal: the step was not done.
    #[error("the step cannot be written down, and was not done")]
    Record(#[from] RecordError),
    /// Reading.
    #[error("it cannot be read")]
    Read(#[from] ReadError),
    /// Writing.
    #[error("it cannot be written")]
    Write(#[from] DurableError),
    /// A task of our own ended without an answer.
    #[error("the work was cut off")]
    CutOff,
}

impl Error {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Homeless(_) => {
                "paths.manifest_dir and etcd.unit say where it is looked for; `rekindle doctor`"
            }
            Self::NotAutomatic { .. } => {
                "`rekindle backup restore` makes a data directory by hand, `rekindle recover` and \
                 `rekindle start` a temporary control plane"
            }
            Self::Answers(_) => {
                "`etcdctl endpoint status --cluster` shows who; while a quorum lives, the member \
                 is replaced instead: `rekindle recovery-mode enter --from replace-member`"
            }
            Self::Unknown(_) => "etcd.endpoints and etcd.ca_file say how etcd is asked",
            Self::NoSource(_) | Self::Empty(_) | Self::Damaged { .. } => {
                "`rekindle backup list` shows what else there is"
            }
            Self::Behind { .. } => {
                "`rekindle backup list` shows what else there is; if its data was exchanged on \
                 purpose, `rekindle backup restore` of a snapshot of it raises the revision: \
                 README, \"Back to a backup\""
            }
            Self::OtherSource { .. } => "`rekindle recovery-mode exit` takes the other one back",
            Self::Room { .. } => "make room there and run it again; nothing was begun",
            Self::Runs(_) => "see what holds it: `crictl ps --name etcd`, `fuser` on its database",
            Self::Silent { .. } => {
                "see its log: `crictl logs`, `journalctl -u etcd`; run again, it goes on from here"
            }
            Self::Restore(error) => return error.hint(),
            Self::Etcd(error) => return error.hint(),
            Self::InTheWay { .. } => "look at what it is; it is not touched",
            Self::Committed(_) => "`rekindle recovery-mode enter` goes on with it",
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// The source is useless, and another one may be tried with nothing changed.
    #[must_use]
    pub fn is_of_the_source(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. }
                | Self::Behind { .. }
                | Self::NoSource(_)
                | Self::Empty(_)
                | Self::Restore(_)
        )
    }
}
