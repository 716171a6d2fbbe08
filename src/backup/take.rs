//! Taking a backup: from the choice of a member to the sealed bundle.
//!
//! One at a time on a node, over all processes. What fails leaves no backup, no rest that could be
//! taken for one, and those of before untouched. Nothing here knows a schedule, prunes, or sends
//! anything away.

mod error;
mod inspect;
mod room;
mod stream;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use self::error::TakeError;
use super::bundle::{self, Bundle, BundleError, BundleWriter, HostPath};
use super::signing::Signer;
use super::{Progress, STATE};
use crate::core::backup::id::BackupId;
use crate::core::backup::manifest::Trigger;
use crate::core::backup::outcome::Outcome;
use crate::daemon::clock;
use crate::etcd::{Allow, Chosen, Etcd, Status};
use crate::store::lock;

/// Directory in `backup/` of the state directory whose lock a process holds that takes a backup.
const TAKING: &str = "taking";
/// Most names that are tried within one second.
const SAME_SECOND: u32 = 100;

/// What to take, and where to.
#[derive(Debug, Clone)]
pub struct Request {
    /// Directory of backups.
    pub backups: PathBuf,
    /// State directory: signing key, high-water mark, lock.
    pub state_dir: PathBuf,
    /// This node's name.
    pub node: String,
    /// Why it is taken.
    pub trigger: Trigger,
    /// Which members are good enough.
    pub allow: Allow,
    /// The API server's prefix of keys (`--etcd-prefix`), as `/registry`: what is counted by
    /// resource lies below.
    pub prefix: String,
    /// Of zstd, 1 to 19; 0: not compressed.
    pub compression_level: i32,
    /// So many bytes of the file system stay free (scenario B03).
    pub min_free_bytes: u64,
    /// Files and directories of the host.
    pub host_paths: Vec<HostPath>,
    /// Versions of other programs, by name.
    pub versions: BTreeMap<String, String>,
    /// Images of the control plane: reference to digest.
    pub images: BTreeMap<String, String>,
}

/// A backup that was taken and verified.
#[derive(Debug)]
pub struct Taken {
    /// It.
    pub bundle: Bundle,
    /// The verification before it was sealed: for the index.
    pub verified: Outcome,
    /// Rests of earlier backups that were removed first.
    pub swept: Vec<String>,
    /// How long all of it took, in milliseconds.
    pub took_ms: u64,
}

/// Everything that is known when the snapshot is on the disk.
struct Streamed {
    writer: BundleWriter,
    id: BackupId,
    part: crate::core::backup::manifest::Part,
    chosen: Chosen,
    /// How the member was afterwards; `None`: it did not say.
    after: Option<Status>,
    taken_at: jiff::Timestamp,
}

/// Takes one backup.
///
/// # Errors
/// The step that failed; there is no such backup then. [`TakeError::Busy`] where one is being
/// taken already.
pub async fn take(etcd: &Etcd, request: &Request, progress: &Progress) -> Result<Taken, TakeError> {
    let begun = clock::now();
    let taking = request.state_dir.join(STATE).join(TAKING);
    let _lock = blocking(move || lock::hold(&taking).map_err(TakeError::from)).await?;
    let (backups, state_dir) = (request.backups.clone(), request.state_dir.clone());
    let (swept, signer) = blocking(move || {
        let swept = bundle::sweep(&backups)?;
        Ok((swept, Signer::open_or_create(&state_dir)?))
    })
    .await?;
    progress.begin("choosing", 0);
    let chosen = etcd.choose(request.allow).await?;
    let streamed = stream_from(etcd, request, chosen, progress).await?;
    let (request, progress) = (request.clone(), progress.clone());
    blocking(move || {
        let (bundle, verified) = inspect::seal(streamed, &request, &signer, &progress)?;
        Ok(Taken {
            bundle,
            verified,
            swept,
            took_ms: clock::now().0.saturating_sub(begun.0),
        })
    })
    .await
}

async fn stream_from(
    etcd: &Etcd,
    request: &Request,
    chosen: Chosen,
    progress: &Progress,
) -> Result<Streamed, TakeError> {
    let taken_at = clock::wall();
    let guard = room::Guard::new(request, chosen.status.db_bytes);
    let (backups, node, level) = (
        request.backups.clone(),
        request.node.clone(),
        request.compression_level,
    );
    let (writer, id, sink) = blocking(move || {
        guard.before()?;
        let (writer, id) = begin(&backups, &node, taken_at)?;
        let sink = writer.snapshot_sink(level)?;
        Ok((writer, id, (sink, guard)))
    })
    .await?;
    let (sink, guard) = sink;
    let snapshot = etcd.snapshot(&chosen.endpoint).await?;
    let part = stream::store(snapshot, sink, guard, progress).await?;
    let after = etcd.status(&chosen.endpoint).await.ok();
    Ok(Streamed {
        writer,
        id,
        part,
        chosen,
        after,
        taken_at,
    })
}

/// Begins the bundle under the first name of this second that is free.
fn begin(
    backups: &Path,
    node: &str,
    at: jiff::Timestamp,
) -> Result<(BundleWriter, BackupId), TakeError> {
    let mut again = 0;
    loop {
        let id = BackupId::new(at, node, again)?;
        match BundleWriter::begin(backups, &id) {
            Err(BundleError::AlreadyThere { .. }) if again < SAME_SECOND => again += 1,
            begun => return Ok((begun?, id)),
        }
    }
}

/// Runs what blocks beside the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TakeError> + Send + 'static,
) -> Result<T, TakeError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(TakeError::Ending))
}
