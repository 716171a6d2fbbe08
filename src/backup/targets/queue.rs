//! The task that keeps every target's copies complete. Each target works in a thread of its own,
//! with a runtime of its own: neither its digests nor its failures reach the daemon's thread.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Copied, CopyError, Target, TargetSettings, backoff, copy, forget, resume};
use crate::backup::Progress;
use crate::backup::bundle;
use crate::backup::index::{IndexError, IndexFile};
use crate::core::backup::id::BackupId;
use crate::core::backup::record::{Copy, Index};
use crate::core::reading::chain;
use crate::daemon::clock;

/// Longest time between two looks at the index, should a wake-up be lost.
const LOOK: Duration = Duration::from_secs(300);

/// What the task works on.
#[derive(Debug, Clone)]
pub struct Queue {
    /// The targets.
    pub targets: Vec<TargetSettings>,
    /// The directory of the local backups.
    pub backups: PathBuf,
    /// The directory of the states: [`super::uploads_dir`].
    pub uploads: PathBuf,
    /// The index, which gets the results.
    pub index: IndexFile,
    /// This node's name, for its own rhythm of retries.
    pub node: String,
    /// Shows how far the copy is that moved last.
    pub progress: Progress,
}

/// One thing to do at one target.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Job {
    Copy(BackupId),
    /// The local backup is gone, its copy was never finished.
    Abandon(BackupId),
    Forget(BackupId),
}

impl Job {
    fn id(&self) -> &BackupId {
        match self {
            Self::Copy(id) | Self::Abandon(id) | Self::Forget(id) => id,
        }
    }
}

type Ended = (TargetSettings, Job, Result<Copied, CopyError>);

/// What the task remembers between two looks.
#[derive(Debug, Default)]
struct Memory {
    busy: BTreeSet<String>,
    /// Targets that failed, and until when nothing is tried there.
    resting: BTreeMap<String, Timestamp>,
}

/// Copies what is not copied, until `shutdown`. `wake` is notified after a new backup, or when a
/// person asks. A backup that fails its verification is not copied.
pub async fn run(queue: Queue, wake: Arc<Notify>, shutdown: CancellationToken) {
    if queue.targets.is_empty() {
        return;
    }
    let mut memory = Memory::default();
    let (ended, mut endings) = tokio::sync::mpsc::unbounded_channel::<Ended>();
    loop {
        let pause = match look(&queue, &memory).await {
            Ok((jobs, pause)) => {
                for (target, job) in jobs {
                    memory.busy.insert(target.name.clone());
                    start(&queue, target, job, &ended, &shutdown);
                }
                pause
            }
            Err(error) => {
                tracing::warn!(
                    cause = chain(&error),
                    "copies wait: the index cannot be read"
                );
                LOOK
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = wake.notified() => memory.resting.clear(),
            () = tokio::time::sleep(pause) => {}
            Some((target, job, result)) = endings.recv() => {
                memory.busy.remove(&target.name);
                settle(&queue, &mut memory, &target, &job, result).await;
            }
        }
    }
}

/// What is to be done now, at most one thing for each idle target, and how long to wait for more.
async fn look(
    queue: &Queue,
    memory: &Memory,
) -> Result<(Vec<(TargetSettings, Job)>, Duration), IndexError> {
    let now = clock::wall();
    let mut pause = LOOK;
    let idle = queue.targets.iter().filter(|target| {
        let rest = memory.resting.get(&target.name);
        // A wait that is too long is of a clock that was wrong.
        let left = rest.map_or(Duration::ZERO, |until| {
            let not_before = Some(*until);
            backoff::wait(
                &Copy {
                    not_before,
                    ..Copy::default()
                },
                now,
            )
        });
        if !left.is_zero() {
            pause = pause.min(left);
        }
        left.is_zero() && !memory.busy.contains(&target.name)
    });
    let idle: Vec<TargetSettings> = idle.cloned().collect();
    let (work, pause_of_copies) = blocking(queue.clone(), move |queue| {
        let index = queue.index.read()?.index;
        let mut pause = LOOK;
        let mut work = Vec::new();
        for target in idle {
            let (job, wait) = next(queue, &target, &index, now);
            pause = pause.min(wait);
            work.extend(job.map(|job| (target, job)));
        }
        Ok((work, pause))
    })
    .await?;
    let pause = pause.min(pause_of_copies);
    Ok((work, pause.max(Duration::from_millis(100))))
}

/// The first thing to do at a target: newest backups first, they are worth most.
fn next(
    queue: &Queue,
    target: &TargetSettings,
    index: &Index,
    now: Timestamp,
) -> (Option<Job>, Duration) {
    // What cannot be listed is unknown, not absent: nothing is abandoned for it.
    let Ok(listing) = bundle::list(&queue.backups, index, &[]) else {
        return (None, LOOK);
    };
    let local: BTreeSet<BackupId> = listing.kept().into_iter().map(|kept| kept.id).collect();
    let mut pause = LOOK;
    for id in local.iter().rev() {
        let record = index.records.get(id);
        let failed = record.and_then(|record| record.verified.as_ref()?.failure.as_ref());
        let copy = record.and_then(|record| record.copies.get(&target.name));
        let copy = copy.cloned().unwrap_or_default();
        if failed.is_some() || copy.complete_at.is_some() {
            continue;
        }
        if backoff::is_due(&copy, now) {
            return (Some(Job::Copy(id.clone())), pause);
        }
        pause = pause.min(backoff::wait(&copy, now));
    }
    let intended = forget::intended(&queue.uploads, &target.name).unwrap_or_default();
    let mut intended = intended.into_iter().filter(|id| !local.contains(id));
    if let Some(id) = intended.next().filter(|_| target.prune) {
        return (Some(Job::Forget(id)), pause);
    }
    let begun = resume::begun(&queue.uploads, &target.name).unwrap_or_default();
    let gone = |id: &BackupId| !exists(&queue.backups, id);
    let abandoned = begun.into_iter().find(gone).map(Job::Abandon);
    (abandoned, pause)
}

/// Whether anything of this name is there, damaged or not.
fn exists(backups: &Path, id: &BackupId) -> bool {
    std::fs::symlink_metadata(backups.join(id.as_str())).map_or_else(
        |error| error.kind() != std::io::ErrorKind::NotFound,
        |_| true,
    )
}

/// Does one thing in a thread of its own.
fn start(
    queue: &Queue,
    target: TargetSettings,
    job: Job,
    ended: &tokio::sync::mpsc::UnboundedSender<Ended>,
    shutdown: &CancellationToken,
) {
    let (queue, ended, shutdown) = (queue.clone(), ended.clone(), shutdown.clone());
    let (lost_target, lost_job, lost_ended) = (target.clone(), job.clone(), ended.clone());
    let work = move || {
        let done = in_runtime(&queue, &target, &job, &shutdown);
        let _ = ended.send((target, job, done));
    };
    let thread = std::thread::Builder::new().name("copies".to_owned());
    if thread.spawn(work).is_err() {
        let _ = lost_ended.send((lost_target, lost_job, Err(CopyError::Lost)));
    }
}

fn in_runtime(
    queue: &Queue,
    target: &TargetSettings,
    job: &Job,
    shutdown: &CancellationToken,
) -> Result<Copied, CopyError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|_| CopyError::Lost)?;
    runtime.block_on(async {
        let target = Target::open(target)?;
        let work = async {
            let (uploads, progress) = (&queue.uploads, &queue.progress);
            match job {
                Job::Copy(id) => {
                    let bundle = queue.backups.join(id.as_str());
                    copy::copy_once(&target, &bundle, uploads, progress).await
                }
                Job::Abandon(id) => {
                    copy::abandon(&target, id, uploads).await?;
                    if target.settings.prune && copy::find(&target, id).await?.is_none() {
                        forget::forget(&target, id, uploads).await?;
                    }
                    Ok(Copied { sent: 0 })
                }
                Job::Forget(id) => {
                    forget::forget(&target, id, uploads).await?;
                    Ok(Copied { sent: 0 })
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => Err(CopyError::Lost),
            done = work => done,
        }
    })
}

/// Writes down how it ended.
async fn settle(
    queue: &Queue,
    memory: &mut Memory,
    target: &TargetSettings,
    job: &Job,
    result: Result<Copied, CopyError>,
) {
    let (name, id, now) = (target.name.clone(), job.id().clone(), clock::wall());
    let failure = result.as_ref().err().map(|error| match error.hint() {
        Some(hint) => format!("{} (hint: {hint})", chain(error)),
        None => chain(error),
    });
    match (&result, &failure) {
        (Ok(Copied { sent }), _) => {
            tracing::info!(target_name = name, %id, sent, "{}", done(job));
            memory.resting.remove(&name);
        }
        (Err(_), why) => {
            let why = why.as_deref().unwrap_or_default();
            tracing::warn!(target_name = name, %id, why, "{} failed", doing(job));
        }
    }
    let is_failed = failure.is_some();
    let at_fault = result.err().is_some_and(|error| error.is_the_targets());
    let is_copy = matches!(job, Job::Copy(_));
    let kept = blocking(queue.clone(), move |queue| {
        queue.index.with(|index| {
            if !is_copy {
                if !is_failed {
                    drop_copy(index, &id, &name, exists(&queue.backups, &id));
                }
                return None;
            }
            let copies = &mut index.records.entry(id).or_default().copies;
            let copy = copies.entry(name.clone()).or_default();
            *copy = match &failure {
                None => backoff::completed(now),
                Some(why) => backoff::failed(copy, why.clone(), now, &queue.node, &name),
            };
            copy.not_before
        })
    })
    .await;
    let soon = || later(now, queue, &target.name);
    let until = match kept {
        Ok(_) if !is_failed => None,
        // This backup waits by the index, the others need not.
        Ok(_) if is_copy && !at_fault => None,
        Ok(until) => until.or_else(soon),
        // Nothing to remember it by but this: another look at once would be a loop.
        Err(error) => {
            tracing::warn!(cause = chain(&error), "a copy's result is not in the index");
            soon()
        }
    };
    if let Some(until) = until {
        memory.resting.insert(target.name.clone(), until);
    }
}

/// There is no copy at this target any more, nor a begun one. A backup that is nowhere any more is
/// forgotten.
fn drop_copy(index: &mut Index, id: &BackupId, target: &str, is_local: bool) {
    if let Some(record) = index.records.get_mut(id) {
        record.copies.remove(target);
        if record.copies.is_empty() && !is_local {
            index.records.remove(id);
        }
    }
}

fn later(now: Timestamp, queue: &Queue, target: &str) -> Option<Timestamp> {
    let wait = backoff::delay(2, &queue.node, target);
    jiff::SignedDuration::try_from(wait)
        .ok()
        .and_then(|wait| now.checked_add(wait).ok())
}

fn doing(job: &Job) -> &'static str {
    match job {
        Job::Copy(_) => "copying a backup",
        Job::Abandon(_) => "giving up an unfinished copy",
        Job::Forget(_) => "deleting a copy",
    }
}

fn done(job: &Job) -> &'static str {
    match job {
        Job::Copy(_) => "a backup is copied",
        Job::Abandon(_) => "an unfinished copy is given up",
        Job::Forget(_) => "a copy is deleted",
    }
}

/// Blocking work beside the daemon's thread.
async fn blocking<T: Send + 'static>(
    queue: Queue,
    work: impl FnOnce(&Queue) -> Result<T, IndexError> + Send + 'static,
) -> Result<T, IndexError> {
    let (done, answer) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let _ = done.send(work(&queue));
    });
    match answer.await {
        Ok(answer) => answer,
        // The runtime ends: the caller is told the same in a moment.
        Err(_) => std::future::pending().await,
    }
}
