//! The task of backups: one piece of work at a time, begun by schedule or by request; its result
//! recorded and published. It reads the disk beside its own thread and waits for nothing else.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::due::{Known, Verdict, back_off, due};
use super::look::{Look, index_file, look};
use super::reporting::{self, Spoken};
use super::{Asked, Refused, off, rehearsal, run, sides};
use crate::backup::Progress;
use crate::config::Settings;
use crate::core::backup::id::BackupId;
use crate::core::backup::manifest::Trigger;
use crate::core::backup::report::{LastRun, Running, Work};
use crate::core::backup::schedule::phase;
use crate::core::time::Moment;
use crate::daemon::clock;
use crate::daemon::execute::blocking;
use crate::daemon::publish::{BackupsPublisher, Tries};
use crate::etcd::Allow;
use crate::store::chain;

/// The schedule is asked again at least this often: the wall clock may jump (scenario D03).
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// While copies are to be made, how far they are is looked at this often.
const COPIES: Duration = Duration::from_secs(10);
/// After the disk could not be read.
const DISK_RETRY: Duration = Duration::from_secs(10);
/// For what runs to end when the daemon stops.
const STOP: Duration = Duration::from_secs(5);

/// What a piece of work comes to: the backup that it made or rehearsed, and notes on it; or why it
/// failed.
pub(super) type Ended = Result<(BackupId, Vec<String>), (Option<BackupId>, String)>;

struct Job {
    running: Running,
    begun: Moment,
    progress: Progress,
    task: JoinHandle<Ended>,
}

/// Since when and until when, by the boot clock, for one kind of work.
#[derive(Debug, Default)]
struct Pace {
    begun_by_schedule: Option<Moment>,
    retry_at: Option<Moment>,
    failures: u32,
}

/// The task's state.
pub(super) struct Task {
    settings: watch::Receiver<Arc<Settings>>,
    asked: mpsc::Receiver<Asked>,
    publisher: BackupsPublisher,
    stop: CancellationToken,
    sides: sides::Sides,
    job: Option<Job>,
    runs: u64,
    tries: Tries,
    backups: Pace,
    rehearsals: Pace,
    spoken: Spoken,
}

impl Task {
    pub(super) fn new(
        settings: watch::Receiver<Arc<Settings>>,
        asked: mpsc::Receiver<Asked>,
        publisher: BackupsPublisher,
        stop: CancellationToken,
    ) -> Self {
        let sides = sides::Sides::start(&settings, &stop);
        Self {
            settings,
            asked,
            publisher,
            stop,
            sides,
            job: None,
            runs: 0,
            tries: Tries::default(),
            backups: Pace::default(),
            rehearsals: Pace::default(),
            spoken: Spoken::default(),
        }
    }

    /// Runs until it is stopped; then what is under way is ended and left to the next start.
    pub(super) async fn run(mut self) {
        self.open().await;
        loop {
            let pause = self.turn().await;
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                ended = ended(&mut self.job) => self.close(ended),
                Some(asked) = self.asked.recv() => self.answer(asked).await,
                changed = self.settings.changed() => if changed.is_err() { break },
                () = self.sides.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        if let Some(job) = self.job.take() {
            job.task.abort();
            // Its blocking part may not be interrupted; it leaves what a kill leaves.
            let _ended = tokio::time::timeout(STOP, job.task).await;
            info!(
                work = job.running.work.word(),
                "ended by the stop of the daemon"
            );
        }
    }

    /// Clears away what a cut-off process left, and notes a run by schedule that it never ended.
    async fn open(&mut self) {
        let settings = self.current();
        let swept = blocking(move || super::sweep::sweep(&settings)).await;
        match swept {
            Ok(found) => {
                if let Some(failures) = found.failures_after_cut_off {
                    self.backups.failures = failures;
                    self.backups.retry_at = Some(clock::now().after(back_off(failures)));
                }
            }
            Err(error) => self.spoken.problem("sweep", error),
        }
    }

    fn current(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.borrow())
    }

    /// Looks, begins what is due, publishes; gives how long nothing is to be done.
    async fn turn(&mut self) -> Duration {
        let settings = Arc::clone(&self.settings.borrow_and_update());
        let off = off::reason(&settings);
        let looked = {
            let settings = Arc::clone(&settings);
            blocking(move || look(&settings)).await
        };
        let mut next = (None, None);
        let mut pause = LONGEST_PAUSE;
        match &looked {
            Ok(found) => {
                self.spoken.solved("look");
                if off.is_none() {
                    self.sides.watch_index(&settings.paths.state_dir);
                    next = self.schedule(&settings, found).await;
                }
            }
            Err(error) => {
                self.spoken.problem("look", error.clone());
                pause = DISK_RETRY;
            }
        }
        let now = clock::wall();
        for at in [next.0, next.1].into_iter().flatten() {
            let left = Duration::try_from(at.duration_since(now)).unwrap_or_default();
            pause = pause.min(left.max(Duration::from_millis(100)));
        }
        let report = reporting::report(&reporting::Facts {
            settings: &settings,
            off,
            look: looked.ok().as_ref(),
            running: self.job.as_ref().map(|job| &job.running),
            next,
            sides: &self.sides.told(),
            spoken: &self.spoken,
        });
        if report.targets.iter().any(|target| target.pending > 0) {
            pause = pause.min(COPIES);
        }
        let progress = self.job.as_ref().map(|job| job.progress.clone());
        self.publisher
            .publish(report, &progress.unwrap_or_default(), self.tries);
        pause
    }

    /// Begins what is due, one thing at a time; gives when the next of each is due.
    async fn schedule(
        &mut self,
        settings: &Arc<Settings>,
        found: &Look,
    ) -> (Option<Timestamp>, Option<Timestamp>) {
        let policy = &settings.backup.policy;
        let phase = phase(&settings.node.name, policy.spread);
        let (now, wall) = (clock::now(), clock::wall());
        let since = |begun: Option<Moment>| begun.map(|begun| now.since(begun));
        let verified = found.newest(|kept| kept.verified);
        let known = [
            Known {
                schedule: policy.schedule.as_ref(),
                phase,
                last_due: found.index.runs.backup_due,
                since_run: since(self.backups.begun_by_schedule),
                retry_at: self.backups.retry_at,
                none_yet: found.listing.backups.is_empty() && found.index.runs.last_try.is_none(),
            },
            Known {
                // Nothing to rehearse: nothing is due.
                schedule: policy.rehearsal.as_ref().filter(|_| verified.is_some()),
                phase,
                last_due: found.index.runs.rehearsal_due,
                since_run: since(self.rehearsals.begun_by_schedule),
                retry_at: self.rehearsals.retry_at,
                none_yet: found
                    .index
                    .records
                    .values()
                    .all(|record| record.rehearsed.is_none()),
            },
        ];
        let mut next = [None, None];
        let works = [Work::Backup, Work::Rehearsal];
        for ((known, work), next) in known.into_iter().zip(works).zip(&mut next) {
            match due(known, now, wall) {
                Verdict::Wait(at) => *next = at,
                // The other one runs: it comes when that has ended.
                Verdict::Begin(..) if self.job.is_some() => *next = Some(wall),
                Verdict::Begin(trigger, at) => {
                    if self.remember(settings, work, at).await {
                        self.begin(settings, work, trigger);
                        let pace = self.pace(work);
                        pace.begun_by_schedule = Some(now);
                        pace.retry_at = None;
                    } else {
                        *next = later(wall, DISK_RETRY);
                    }
                }
                Verdict::Remember(at) => {
                    self.remember(settings, work, Some(at)).await;
                    *next = later(wall, Duration::from_secs(1));
                }
            }
        }
        let [backup, rehearsal] = next;
        (backup, rehearsal)
    }

    fn pace(&mut self, work: Work) -> &mut Pace {
        match work {
            Work::Backup => &mut self.backups,
            Work::Rehearsal => &mut self.rehearsals,
        }
    }

    /// The due time is on the disk before its run begins: a run that kills the machine is not
    /// begun again and again.
    async fn remember(
        &mut self,
        settings: &Arc<Settings>,
        work: Work,
        at: Option<Timestamp>,
    ) -> bool {
        let Some(at) = at else { return true };
        let file = index_file(settings);
        let written = blocking(move || {
            file.with(|index| match work {
                Work::Backup => index.runs.backup_due = Some(at),
                Work::Rehearsal => index.runs.rehearsal_due = Some(at),
            })
            .map_err(|error| chain(&error))
        })
        .await;
        match written {
            Ok(()) => {
                self.spoken.solved("index");
                true
            }
            Err(error) => {
                let text = format!("nothing is begun by schedule: {error}");
                self.spoken.problem("index", text);
                false
            }
        }
    }

    fn begin(&mut self, settings: &Arc<Settings>, work: Work, trigger: Trigger) -> u64 {
        self.runs += 1;
        let progress = Progress::default();
        let (settings, shared) = (Arc::clone(settings), progress.clone());
        let task = match work {
            Work::Backup => tokio::spawn(run::backup(settings, trigger, Allow::default(), shared)),
            Work::Rehearsal => tokio::spawn(rehearsal::rehearse(settings, shared)),
        };
        info!(work = work.word(), ?trigger, run = self.runs, "begun");
        self.job = Some(Job {
            running: Running {
                run: self.runs,
                work,
                trigger,
                since: clock::wall(),
                phase: String::new(),
                done_bytes: 0,
                total_bytes: 0,
            },
            begun: clock::now(),
            progress,
            task,
        });
        self.runs
    }

    /// Begins a backup that was asked for, or says why not.
    async fn answer(&mut self, asked: Asked) {
        let settings = self.current();
        let refused = |reason: String, busy| Err(Refused { reason, busy });
        let answer = if let Some(reason) = off::reason(&settings) {
            refused(format!("backups are off: {reason}"), false)
        } else if let Some(job) = &self.job {
            let since = clock::now().since(job.begun);
            let (work, run) = (job.running.work.word(), job.running.run);
            let reason = format!(
                "a {work} is under way for {} s (run {run}): never two at one time",
                since.as_secs()
            );
            refused(reason, true)
        } else {
            let run = self.begin(&settings, Work::Backup, Trigger::Asked);
            // Who is answered may look at once how far it is.
            self.turn().await;
            Ok(run)
        };
        // Who asked may be gone; the backup goes on.
        let _gone = asked.send(answer);
    }

    /// Takes note of an ended piece of work.
    fn close(&mut self, ended: Ended) {
        let Some(job) = self.job.take() else { return };
        let work = job.running.work;
        let took = clock::now().since(job.begun);
        self.tries.count(work, ended.is_ok());
        let (id, failure, notes) = match ended {
            Ok((id, notes)) => (Some(id), None, notes),
            Err((id, failure)) => (id, Some(failure), Vec::new()),
        };
        let pace = self.pace(work);
        if let Some(failure) = &failure {
            pace.failures = pace.failures.saturating_add(1);
            pace.retry_at = Some(clock::now().after(back_off(pace.failures)));
            warn!(work = work.word(), run = job.running.run, failure, "failed");
        } else {
            pace.failures = 0;
            pace.retry_at = None;
            let (id, seconds) = (id.as_ref().map(BackupId::as_str), took.as_secs_f64());
            info!(work = work.word(), id, seconds, "done");
            for note in &notes {
                warn!(work = work.word(), id, note, "note");
            }
        }
        self.spoken.last(
            work,
            LastRun {
                run: job.running.run,
                ended_at: clock::wall(),
                took_ms: u64::try_from(took.as_millis()).ok(),
                id,
                failure,
                notes,
            },
        );
        if work == Work::Backup {
            self.sides.wake_uploads();
        }
    }
}

/// The end of what runs; never where nothing does.
async fn ended(job: &mut Option<Job>) -> Ended {
    match job {
        None => std::future::pending().await,
        Some(job) => match (&mut job.task).await {
            Ok(ended) => ended,
            Err(error) => Err((None, format!("it broke: {error}"))),
        },
    }
}

fn later(at: Timestamp, by: Duration) -> Option<Timestamp> {
    at.checked_add(by).ok()
}
