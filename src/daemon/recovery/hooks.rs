//! `rekindle-recovery.target`: what others hook into recovery mode. It is started when a recovery
//! is under way and stopped when that has ended, by a task of its own: a recovery never waits for
//! it and never fails by it.
//!
//! A daemon that stops leaves the target as it is: the recovery is only cut off, and the next
//! daemon goes on with it. A target that an earlier daemon left behind is stopped by the next one.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::store::chain;
use crate::systemd::units::{self, Job, UnitError};

/// The target.
pub const TARGET: &str = "rekindle-recovery.target";
/// What systemd did not do is asked of it again after this.
const RETRY: Duration = Duration::from_secs(10);

/// What the task of recovery says: whether one is under way. Nothing yet: not known.
pub(in crate::daemon) type Hooks = watch::Sender<Option<bool>>;

/// Starts the task; it ends with `stop`. Only a service of systemd has a target: a daemon that was
/// started by hand would move that of another one.
pub(in crate::daemon) fn spawn(stop: CancellationToken) -> Hooks {
    let (hooks, under_way) = watch::channel(None);
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        tokio::spawn(follow(under_way, stop, ask));
    }
    hooks
}

/// Whether the target could be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// systemd has the job.
    Done,
    /// There is none here to tell.
    NoTarget,
}

async fn ask(under_way: bool) -> Result<Told, UnitError> {
    let job = if under_way { Job::Start } else { Job::Stop };
    match units::enqueue(TARGET, job).await {
        Ok(true) => Ok(Told::Done),
        Ok(false) | Err(UnitError::NotBooted) => Ok(Told::NoTarget),
        Err(error) => Err(error),
    }
}

async fn follow<F>(
    mut under_way: watch::Receiver<Option<bool>>,
    stop: CancellationToken,
    ask: impl Fn(bool) -> F,
) where
    F: Future<Output = Result<Told, UnitError>>,
{
    let mut done = None;
    let mut failed = false;
    loop {
        let wanted = *under_way.borrow_and_update();
        if let Some(under_way) = wanted
            && done != wanted
        {
            match ask(under_way).await {
                Ok(told) => {
                    if told == Told::Done && (under_way || done.is_some()) {
                        info!(unit = TARGET, started = under_way, "hooks of recovery mode");
                    }
                    (done, failed) = (wanted, false);
                }
                Err(error) if !failed => {
                    warn!(
                        unit = TARGET,
                        error = chain(&error),
                        "hooks of recovery mode"
                    );
                    failed = true;
                }
                Err(_) => {}
            }
        }
        let again = wanted.is_some() && done != wanted;
        tokio::select! {
            () = stop.cancelled() => return,
            changed = under_way.changed() => if changed.is_err() {
                return;
            },
            () = tokio::time::sleep(RETRY), if again => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::ready;
    use std::time::Duration;

    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    use super::{Told, UnitError, follow};

    /// What systemd was asked after each change, with its first answers failing.
    async fn asked(changes: &[Option<bool>], failures: usize) -> Vec<bool> {
        let (hooks, under_way) = watch::channel(None);
        let stop = CancellationToken::new();
        let all = RefCell::new(Vec::new());
        let ask = |under_way| {
            let mut all = all.borrow_mut();
            all.push(under_way);
            ready(if all.len() > failures {
                Ok(Told::Done)
            } else {
                Err(UnitError::Job {
                    doing: "start",
                    unit: String::new(),
                    result: "failed".to_owned(),
                })
            })
        };
        let change = async {
            for under_way in changes {
                hooks.send_replace(*under_way);
                // Paused time: everything that is to come of it comes first.
                tokio::time::timeout(Duration::from_secs(60), std::future::pending::<()>())
                    .await
                    .unwrap_err();
            }
            stop.cancel();
        };
        tokio::join!(follow(under_way, stop.clone(), ask), change);
        all.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn the_target_follows_the_recovery_and_nothing_else() {
        assert!(asked(&[None, None], 0).await.is_empty());
        assert_eq!(
            asked(&[None, Some(false), Some(false), Some(true), Some(true)], 0).await,
            [false, true],
            "what an earlier daemon left is stopped once"
        );
        assert_eq!(
            asked(&[Some(true), Some(false)], 0).await,
            [true, false],
            "a recovery that was cut off goes on: its target is not stopped between"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_systemd_did_not_do_is_asked_again() {
        assert_eq!(asked(&[Some(true)], 2).await, [true, true, true]);
        let all = asked(&[Some(true), Some(false)], 100).await;
        let (started, stopped) = all.split_at(all.partition_point(|under_way| *under_way));
        assert!(started.len() >= 6 && stopped.len() >= 6, "{all:?}");
        assert!(!stopped.contains(&true), "{all:?}");
    }
}
