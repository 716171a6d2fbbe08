//! A surviving data directory, copied, its log replayed by an etcd of our own on the copy, and a
//! snapshot taken of that: the way from a member's data to a backup (`peers.md`, finding 4). The
//! data directory itself is only read.
//!
//! The etcd is that of a rehearsal: a Unix socket, limited memory, where the kernel lets us no
//! network, and everything of it gone with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use super::Limits;
use super::confine::Confinement;
use super::error::{RehearseError, Stop};
use super::restore::DATA;
use super::scratch::Scratch;
use super::server::Server;
use super::tools::Tools;
use crate::backup::Progress;
use crate::core::reading::chain;
use crate::failpoints::hit;
use crate::store::dir::Dir;
use crate::store::durable::{self, DurableError, DurableFile};

/// What etcd keeps below a data directory.
const MEMBER: &str = "member";
/// Pieces between connection and disk.
const BETWEEN: usize = 32;
/// Of the snapshot, whatever its name is: an etcd that is alone begins it at once.
const BEGIN: Duration = Duration::from_secs(30);

/// How to do it.
#[derive(Debug, Clone)]
pub struct Ways {
    /// Directory for the copy; made (0700) where it is missing, and nobody else's.
    pub scratch: PathBuf,
    /// Where `etcd` is looked for before the usual directories.
    pub tools: Option<PathBuf>,
    /// How much it may take.
    pub limits: Limits,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// etcd cannot serve the copy: the data is damaged.
    #[error("{0}")]
    Damaged(String),
    /// It could not be tried, which says nothing about the data.
    #[error("the data cannot be looked at in quarantine")]
    Untried(#[from] RehearseError),
    /// The snapshot cannot be written.
    #[error("the snapshot cannot be written")]
    Write(#[from] DurableError),
}

impl From<Stop> for QuarantineError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Failed(why) => Self::Damaged(why),
            Stop::Error(error) => Self::Untried(error),
        }
    }
}

/// A copy of a data directory, for as long as this lives.
#[derive(Debug)]
pub struct Quarantine {
    scratch: Scratch,
    tools: Tools,
    limits: Limits,
    bytes: u64,
}

impl Quarantine {
    /// Copies `data_dir`, on which nobody may work.
    ///
    /// # Errors
    /// Where there is no program, no room, or it cannot be read or written.
    pub async fn copy(
        data_dir: &Path,
        ways: &Ways,
        progress: &Progress,
    ) -> Result<Self, QuarantineError> {
        let (data_dir, ways, progress) = (data_dir.to_owned(), ways.clone(), progress.clone());
        let work = tokio::task::spawn_blocking(move || copy(&data_dir, &ways, &progress));
        work.await.map_err(|_| RehearseError::CutOff)?
    }

    /// Starts etcd on the copy and writes its snapshot to `name` in `into`, digest and all.
    /// `alone`: the cluster had this member only, so that all of its log counts; otherwise what it
    /// cannot know to be committed is left out.
    ///
    /// # Errors
    /// [`QuarantineError::Damaged`] where etcd does not serve the copy.
    pub async fn replay(
        self,
        alone: bool,
        into: &Dir,
        name: &str,
        progress: &Progress,
    ) -> Result<(), QuarantineError> {
        let confinement = Confinement::probe_with(&self.limits, false).await;
        // A member that is alone commits its whole log by electing itself; `--force-new-cluster`
        // would drop what it has not marked as committed yet, which a kill leaves behind
        // acknowledged writes. Source: etcd 3.5 `server/etcdserver/raft.go`,
        // `restartAsStandaloneNode`.
        let flags: &[&str] = if alone { &[] } else { &["--force-new-cluster"] };
        let place = (&self.scratch, &confinement);
        let mut etcd = Server::start(&self.tools.etcd, place, "quarantine", flags)?;
        let taken = self.take(&mut etcd, into, name, progress).await;
        etcd.stop().await;
        let removed = self.scratch.finish().await;
        taken?;
        Ok(removed?)
    }

    async fn take(
        &self,
        etcd: &mut Server,
        into: &Dir,
        name: &str,
        progress: &Progress,
    ) -> Result<(), QuarantineError> {
        let size = (self.bytes, self.limits.stall);
        let mut client = etcd.ready(&self.scratch, size, progress).await?;
        progress.begin("snapshot", self.bytes);
        let begun = tokio::time::timeout(BEGIN, client.snapshot()).await;
        let stream = match begun {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                let why = etcd.blame(chain(&error)).await;
                return Err(QuarantineError::Damaged(why));
            }
            Err(_) => return Err(silent(BEGIN)),
        };
        let (to_disk, pieces) = mpsc::channel(BETWEEN);
        let file = DurableFile::create_in(into, name, 0o600)?;
        let writing = tokio::task::spawn_blocking(move || write(file, pieces));
        let passed = pass(stream, to_disk, self.limits.stall, progress).await;
        let written = writing.await.map_err(|_| RehearseError::CutOff)?;
        if let Err(QuarantineError::Damaged(why)) = passed {
            return Err(QuarantineError::Damaged(etcd.blame(why).await));
        }
        passed?;
        Ok(written?)
    }
}

fn silent(after: Duration) -> QuarantineError {
    let seconds = after.as_secs();
    QuarantineError::Damaged(format!("etcd sends no snapshot of it for {seconds} s"))
}

/// Hands on what comes; `None` at its end, without which nothing is kept.
async fn pass(
    mut stream: etcd_client::SnapshotStreaming,
    to_disk: mpsc::Sender<Option<Vec<u8>>>,
    stall: Duration,
    progress: &Progress,
) -> Result<(), QuarantineError> {
    loop {
        let piece = match tokio::time::timeout(stall, stream.message()).await {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => return Err(QuarantineError::Damaged(chain(&error))),
            Err(_) => return Err(silent(stall)),
        };
        let ended = piece.is_none();
        let piece = piece.map(|piece| piece.blob().to_vec());
        progress.advance(piece.as_ref().map_or(0, |piece| piece.len() as u64));
        // The disk's own error is the one to tell.
        if to_disk.send(piece).await.is_err() || ended {
            return Ok(());
        }
    }
}

fn write(
    mut file: DurableFile,
    mut pieces: mpsc::Receiver<Option<Vec<u8>>>,
) -> Result<(), DurableError> {
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Some(piece) => file.write(&piece)?,
            None => {
                file.finish()?;
                hit("quarantine.snapshot-written");
                return Ok(());
            }
        }
    }
    // Cut off: what was written has no name.
    Ok(())
}

/// Blocks.
fn copy(data_dir: &Path, ways: &Ways, progress: &Progress) -> Result<Quarantine, QuarantineError> {
    let tools = Tools::find(ways.tools.as_deref())?;
    let scratch = Scratch::make(&ways.scratch)?;
    let copied = copy_into(data_dir, &scratch, progress);
    match copied {
        Ok(bytes) => Ok(Quarantine {
            scratch,
            tools,
            limits: ways.limits,
            bytes,
        }),
        Err(error) => {
            scratch.abandon();
            Err(error)
        }
    }
}

fn copy_into(
    data_dir: &Path,
    scratch: &Scratch,
    progress: &Progress,
) -> Result<u64, QuarantineError> {
    let from = Dir::open(data_dir).map_err(RehearseError::from)?;
    let database = data_dir.join(MEMBER).join("snap/db");
    let bytes = std::fs::metadata(database).map_or(0, |meta| meta.len());
    progress.begin("copying", 0);
    let data = durable::ensure_dir(scratch.dir(), DATA, 0o700)?;
    match durable::copy_in(&from, MEMBER, &data, MEMBER) {
        Ok(_) => {}
        Err(DurableError::Write { path, source })
            if source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) =>
        {
            let path = path.display();
            let why = format!("the disk cannot read what was to be copied to {path}: {source}");
            return Err(QuarantineError::Damaged(why));
        }
        Err(error) => return Err(error.into()),
    }
    hit("quarantine.copied");
    Ok(bytes)
}
