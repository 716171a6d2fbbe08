//! A restore of etcd as a state machine: what is done next, what may still be taken back, and
//! everything that is needed to go on after a kill.
//!
//! ```text
//! Prepared ─► Stopping ─► Copying ─► Replaying ─► Restoring ─► Swapping ─► Starting ─► Verifying ─► Done
//!                 └───────── a backup: ────────────────┘           ▲
//!                                                    commit point ─┘
//! ```
//!
//! The data directory is never written to. It is copied, an etcd in quarantine replays the copy's
//! log, its snapshot is restored into a new directory, and then the two change places: the old
//! one is moved aside under a name that nothing starts (`peers.md`, finding 4).

use serde::{Deserialize, Serialize};

use super::home::Home;
use super::place::Place;

/// What etcd is restored from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The data directory of this node's member.
    DataDirectory,
    /// A backup: its name, or a path to a bundle or a snapshot.
    Backup(String),
}

impl Source {
    /// In words.
    #[must_use]
    pub fn said(&self) -> String {
        match self {
            Self::DataDirectory => "this node's data directory".to_owned(),
            Self::Backup(name) => format!("the backup {name}"),
        }
    }
}

/// A step. It is on the disk before it is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Everything was looked at, nothing was done.
    Prepared,
    /// This node's member is stopped.
    Stopping,
    /// Its data directory is copied.
    Copying,
    /// An etcd in quarantine replays the copy's log and gives a snapshot of it.
    Replaying,
    /// The snapshot becomes a new data directory beside the old one.
    Restoring,
    /// The commit point: the old directory is moved aside, the new one takes its place.
    Swapping,
    /// The member is started again.
    Starting,
    /// It is asked what it has.
    Verifying,
    /// It serves.
    Done,
}

impl Stage {
    /// Each, in order.
    pub const ALL: [Self; 9] = [
        Self::Prepared,
        Self::Stopping,
        Self::Copying,
        Self::Replaying,
        Self::Restoring,
        Self::Swapping,
        Self::Starting,
        Self::Verifying,
        Self::Done,
    ];

    /// What comes next; `Done` stays.
    #[must_use]
    pub fn next(self, source: &Source) -> Self {
        match (self, source) {
            (Self::Prepared, _) => Self::Stopping,
            (Self::Stopping, Source::DataDirectory) => Self::Copying,
            (Self::Copying, Source::DataDirectory) => Self::Replaying,
            (Self::Stopping | Self::Copying, Source::Backup(_)) | (Self::Replaying, _) => {
                Self::Restoring
            }
            (Self::Restoring, _) => Self::Swapping,
            (Self::Swapping, _) => Self::Starting,
            (Self::Starting, _) => Self::Verifying,
            (Self::Verifying | Self::Done, _) => Self::Done,
        }
    }

    /// Where a run that was cut off in this step goes on: what an etcd in quarantine had is gone
    /// with it.
    #[must_use]
    pub fn resumed(self) -> Self {
        match self {
            Self::Replaying => Self::Copying,
            other => other,
        }
    }

    /// It cannot be taken back any more, only gone on with.
    #[must_use]
    pub fn committed(self) -> bool {
        self >= Self::Swapping
    }

    /// What is done, in words for people.
    #[must_use]
    pub fn said(self) -> &'static str {
        match self {
            Self::Prepared => "etcd's restore is prepared",
            Self::Stopping => "stopping etcd",
            Self::Copying => "copying etcd's data directory",
            Self::Replaying => "replaying etcd's log on the copy",
            Self::Restoring => "restoring etcd into a new data directory",
            Self::Swapping => "changing the data directories",
            Self::Starting => "starting etcd",
            Self::Verifying => "asking etcd what it has",
            Self::Done => "etcd is restored",
        }
    }
}

/// One restore: everything that is needed to go on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// The recovery's id: a part of file names.
    pub id: String,
    /// The only source of this restore (R03).
    pub source: Source,
    /// The step that is being done.
    pub stage: Stage,
    /// The member.
    pub home: Home,
    /// Highest revision of the cluster on record.
    pub high_water: Option<i64>,
    /// The data directory.
    pub place: Place,
    /// What was restored: known from [`Stage::Swapping`] on.
    pub restored: Option<Figures>,
}

/// What the new data directory holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Revision of the snapshot.
    pub revision: i64,
    /// The member is at this revision at least once it serves: above everything that was seen.
    pub expected_revision: i64,
    /// Live keys of the snapshot; `None`: not to be told exactly.
    pub live_keys: Option<u64>,
    /// Token of the new cluster.
    pub token: String,
    /// What is less than perfect about it, one sentence each.
    pub remarks: Vec<String>,
}

impl Restore {
    /// A new one.
    #[must_use]
    pub fn new(id: &str, source: Source, home: Home, high_water: Option<i64>) -> Self {
        Self {
            id: id.to_owned(),
            source,
            stage: Stage::Prepared,
            place: Place::new(home.data_dir.clone(), id),
            home,
            high_water,
            restored: None,
        }
    }

    /// The same restore from another source, where the first proved useless before anything of it
    /// was restored: the member stays stopped. `None` after the commit point.
    #[must_use]
    pub fn instead(self, source: Source) -> Option<Self> {
        if self.stage.committed() {
            return None;
        }
        let stage = self.stage.min(Stage::Stopping);
        Some(Self {
            source,
            stage,
            restored: None,
            ..self
        })
    }
}
