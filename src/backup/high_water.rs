//! The largest revision of each etcd cluster that this node has ever seen, durably: a restore must
//! bump above it, and a backup is always older than that.
//!
//! The mark of a cluster is never lowered. A revision that goes back and a cluster that is another
//! one are what a restore looks like: both are kept beside the mark and said. On the disk it is
//! `backup/high-water.json` of the state directory, written (and fsynced) only when it changes.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{LOCK, STATE};
use crate::core::reading::chain;
use crate::daemon::clock;
use crate::etcd::{Etcd, EtcdError};
use crate::failpoints::hit;
use crate::store::dir::{Dir, ReadError};
use crate::store::durable::{self, Attributes, DurableError};
use crate::store::lock::{self, LockError};
use crate::store::sealed::{self, Format, SealError};

/// Its file.
pub const FILE: &str = "high-water.json";
const DAMAGED: &str = "high-water.damaged-";
/// Version of the file: see [`crate::store::sealed`] for what a change of it means.
pub const FORMAT: Format = Format {
    kind: "rekindle high water",
    major: 1,
    minor: 0,
};
/// Largest file that is read: thousands of clusters.
const LIMIT: u64 = 4 << 20; // 4 MiB
/// Most falls that are kept of a cluster, the newest.
const FALLS: usize = 16;

/// All marks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Marks {
    /// One for each cluster, in the order in which they were first seen.
    pub clusters: Vec<Mark>,
    /// Id of the cluster that answered last.
    pub current: Option<u64>,
}

/// The mark of one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Cluster id.
    pub cluster_id: u64,
    /// Largest revision ever seen.
    pub revision: i64,
    /// When it was seen first.
    pub at: Timestamp,
    /// The revision that was seen last.
    pub seen: i64,
    /// When the revision went back, the newest last, at most sixteen.
    #[serde(default)]
    pub falls: Vec<Fall>,
}

/// A revision that went back: somebody restored etcd, or only a member that is behind answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fall {
    /// Seen before.
    pub from: i64,
    /// Seen then.
    pub to: i64,
    /// When.
    pub at: Timestamp,
}

/// The mark of the cluster that answered, after an observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HighWater {
    /// Which.
    pub cluster_id: u64,
    /// Its mark: at least `seen`.
    pub revision: i64,
    /// What was just seen.
    pub seen: i64,
    /// What somebody should know, one sentence each, said once: when it happens.
    pub notices: Vec<String>,
}

/// Why the mark is not known or not kept.
#[derive(Debug, thiserror::Error)]
pub enum HighWaterError {
    /// etcd does not say.
    #[error("the revision of etcd is not known")]
    Etcd(#[from] EtcdError),
    /// Its directory cannot be made or locked.
    #[error("the high-water mark cannot be locked")]
    Lock(#[from] LockError),
    /// It is there and cannot be read: what it holds is unknown.
    #[error("the high-water mark cannot be read")]
    Read(#[from] ReadError),
    /// Another version of rekindle wrote it, or it cannot be encoded.
    #[error("the high-water mark cannot be used")]
    Format(#[from] SealError),
    /// It cannot be written; the one before is intact.
    #[error("the high-water mark cannot be written")]
    Write(#[from] DurableError),
    /// The program ends.
    #[error("the high-water mark was not recorded: the program ends")]
    Ending,
}

/// Asks etcd for its revision and records it. For every ten seconds.
///
/// # Errors
/// Where etcd does not answer, or the disk does not take it.
pub async fn observe(etcd: &Etcd, state_dir: &Path) -> Result<HighWater, HighWaterError> {
    let (cluster_id, revision) = etcd.revision().await?;
    let state_dir = state_dir.to_owned();
    let now = clock::wall();
    let recorded =
        tokio::task::spawn_blocking(move || record(&state_dir, cluster_id, revision, now));
    recorded.await.unwrap_or(Err(HighWaterError::Ending))
}

/// Records that `cluster_id` was seen at `revision`. Blocks. Safe beside other processes.
///
/// # Errors
/// Where the file of before cannot be read, or the disk does not take it.
pub fn record(
    state_dir: &Path,
    cluster_id: u64,
    revision: i64,
    at: Timestamp,
) -> Result<HighWater, HighWaterError> {
    let place = state_dir.join(STATE);
    let _lock = lock::wait(&place.join(LOCK))?;
    let dir = durable::ensure_root(&place)?;
    let mut notices = Vec::new();
    let (before, generation) = match find(&dir)? {
        Found::Whole(marks, generation) => (marks, generation),
        Found::Absent => (Marks::default(), 0),
        Found::Damaged(why) => {
            let aside = durable::set_aside(&dir, FILE, DAMAGED)?;
            hit("high-water.damaged-moved");
            notices.push(format!(
                "the high-water mark was damaged ({why}) and is begun anew; the old one is {}",
                dir.path().join(aside).display()
            ));
            (Marks::default(), 0)
        }
    };
    let mut marks = before.clone();
    notices.extend(marks.see(cluster_id, revision, at));
    if marks != before {
        let bytes = sealed::seal(FORMAT, generation.saturating_add(1), &marks)?;
        durable::write_in(&dir, FILE, &bytes, &Attributes::ours(0o600), &dir)?;
        hit("high-water.recorded");
    }
    Ok(HighWater {
        cluster_id,
        revision: marks.of(cluster_id).map_or(revision, |mark| mark.revision),
        seen: revision,
        notices,
    })
}

/// The marks as they are on the disk; none where there is no file. Blocks, and changes nothing.
///
/// # Errors
/// Where it is there and cannot be read.
pub fn read(state_dir: &Path) -> Result<Marks, HighWaterError> {
    let dir = match Dir::open(&state_dir.join(STATE)) {
        Ok(dir) => dir,
        Err(error) if error.is_absent() => return Ok(Marks::default()),
        Err(error) => return Err(error.into()),
    };
    match find(&dir)? {
        Found::Whole(marks, _) => Ok(marks),
        Found::Absent | Found::Damaged(_) => Ok(Marks::default()),
    }
}

impl Marks {
    /// The mark of a cluster.
    pub fn of(&self, cluster_id: u64) -> Option<&Mark> {
        self.clusters
            .iter()
            .find(|mark| mark.cluster_id == cluster_id)
    }

    /// The highest revision of any cluster that this node has ever seen.
    #[must_use]
    pub fn highest(&self) -> Option<i64> {
        self.clusters.iter().map(|mark| mark.revision).max()
    }

    /// The mark of the cluster that answered last.
    #[must_use]
    pub fn current_mark(&self) -> Option<&Mark> {
        self.of(self.current?)
    }

    /// Takes an observation in; gives what is to be said about it.
    pub fn see(&mut self, cluster_id: u64, revision: i64, at: Timestamp) -> Option<String> {
        let before = self.current.replace(cluster_id);
        let mut notice = None;
        if let Some(before) = before.filter(|before| *before != cluster_id) {
            notice = Some(format!(
                "etcd is another cluster now ({cluster_id:x}, before {before:x}): it was restored \
                 or begun anew; the mark of the former is kept"
            ));
        }
        let known = self
            .clusters
            .iter_mut()
            .find(|mark| mark.cluster_id == cluster_id);
        let Some(mark) = known else {
            self.clusters.push(Mark {
                cluster_id,
                revision,
                at,
                seen: revision,
                falls: Vec::new(),
            });
            return notice;
        };
        if revision < mark.seen {
            let (from, to) = (mark.seen, revision);
            mark.falls.push(Fall { from, to, at });
            if mark.falls.len() > FALLS {
                mark.falls.remove(0);
            }
            let mark = mark.revision;
            notice = notice.or(Some(format!(
                "the revision of etcd went back from {from} to {to}: a member that is behind, or \
                 old data; the mark stays {mark}"
            )));
        }
        mark.seen = revision;
        if revision > mark.revision {
            mark.revision = revision;
            mark.at = at;
        }
        notice
    }
}

/// The file as it was found.
enum Found {
    Whole(Marks, u64),
    Absent,
    Damaged(String),
}

fn find(dir: &Dir) -> Result<Found, HighWaterError> {
    let bytes = match dir.read(FILE, LIMIT) {
        Ok((bytes, _)) => bytes,
        Err(error) if error.is_absent() => return Ok(Found::Absent),
        Err(error @ (ReadError::NotAFile { .. } | ReadError::TooLarge { .. })) => {
            return Ok(Found::Damaged(chain(&error)));
        }
        Err(error) => return Err(error.into()),
    };
    match sealed::unseal(FORMAT, &bytes) {
        Ok((marks, generation)) => Ok(Found::Whole(marks, generation)),
        // Another version's is no damage: it must not be replaced.
        Err(error @ (SealError::OtherVersion(_) | SealError::NotUnderstood(_))) => {
            Err(error.into())
        }
        Err(error) => Ok(Found::Damaged(chain(&error))),
    }
}
