//! Why a step of a clean-up, or its undoing, failed.

use std::path::PathBuf;

use crate::backup::verify::VerifyError;
use crate::store::dir::ReadError;
use crate::store::durable::DurableError;
use crate::store::lock::LockError;
use crate::systemd::units::UnitError;

/// What went wrong. What was done stays done, and is gone on with by the next run.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// Something cannot be read.
    #[error("it cannot be read")]
    Read(#[from] ReadError),
    /// Something cannot be moved or written.
    #[error("it cannot be moved or written")]
    Write(#[from] DurableError),
    /// Whether somebody uses it is not known.
    #[error("whether etcd uses its data is not known")]
    Lock(#[from] LockError),
    /// An archive cannot be written.
    #[error("the archive {} cannot be written", path.display())]
    Archive {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// systemd did not do it.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// The kubelet is said to be stopped and still answers.
    #[error("the kubelet is stopped and somebody still listens on {0}")]
    KubeletAnswers(String),
    /// containerd did not do it.
    #[error("containerd")]
    Containerd(#[from] crate::containerd::Error),
    /// A file system cannot be unmounted.
    #[error("{} cannot be unmounted", path.display())]
    Unmount {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What is mounted cannot be told.
    #[error("what is mounted cannot be read")]
    Mounts(#[source] std::io::Error),
    /// Still mounted, after it was unmounted.
    #[error("{} is still mounted", .0.display())]
    StillMounted(PathBuf),
    /// The database was copied and is not whole.
    #[error("etcd's database is not whole; its data stays where it is")]
    Database(#[from] VerifyError),
    /// An etcd runs on the data.
    #[error("an etcd has {} open: its data is not touched", .0.display())]
    EtcdRuns(PathBuf),
    /// The list of a quarantine is damaged.
    #[error("the list of quarantine {id} cannot be used: {why}")]
    List {
        /// Which quarantine.
        id: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no such quarantine.
    #[error("there is no quarantine{}", if .0.is_empty() { String::new() } else { format!(" {}", .0) })]
    NoQuarantine(String),
    /// It was put back already.
    #[error("quarantine {0} was put back already")]
    Undone(String),
    /// Something new is in the way.
    #[error("something new stands where it came from: {}", .0.join(", "))]
    InTheWay(Vec<String>),
    /// What was moved is nowhere.
    #[error("neither in the quarantine nor where they came from: {}", .0.join(", "))]
    Lost(Vec<String>),
    /// A thread of work ended.
    #[error("the work ended: {0}")]
    Ended(String),
}

impl CleanupError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::InTheWay(_) => {
                "move it away or remove it, then run `rekindle cleanup --undo` again; nothing was \
                 put back"
                    .to_owned()
            }
            Self::Lost(_) => "look at list.json in the quarantine".to_owned(),
            Self::NoQuarantine(_) | Self::Undone(_) => {
                "`rekindle cleanup --list` shows what there is".to_owned()
            }
            Self::Database(_) => {
                "the copy is backup.db in the quarantine; --keep-etcd cleans everything else"
                    .to_owned()
            }
            Self::EtcdRuns(_) => {
                "stop it and run `rekindle cleanup` again, or say --keep-etcd".to_owned()
            }
            Self::Unmount { .. } | Self::StillMounted(_) => {
                "see who uses it (`fuser -vm PATH`), then run `rekindle cleanup` again".to_owned()
            }
            _ => "run `rekindle cleanup` again: it goes on where it ended".to_owned(),
        }
    }
}
