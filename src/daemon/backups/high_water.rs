//! Records the cluster's revision every few seconds: a restore bumps above it. One connection,
//! made when it is first needed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::off;
use crate::backup::high_water;
use crate::config::Settings;
use crate::etcd::Etcd;
use crate::store::chain;

/// While backups are off, it is asked this often whether they still are.
const OFF: Duration = Duration::from_secs(60);

/// What was seen last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Said {
    /// The largest revision that is recorded.
    pub(super) revision: Option<i64>,
    /// Why nothing newer is.
    pub(super) problem: Option<String>,
}

/// Starts the task.
pub(super) fn spawn(
    mut settings: watch::Receiver<Arc<Settings>>,
    stop: CancellationToken,
) -> watch::Receiver<Said> {
    let (sender, receiver) = watch::channel(Said::default());
    tokio::spawn(async move {
        let mut etcd = None;
        let mut known = None;
        loop {
            if settings.has_changed().unwrap_or(false) {
                etcd = None;
            }
            let now = Arc::clone(&settings.borrow_and_update());
            let mut pause = now.backup.high_water_interval;
            let said = if off::reason(&now).is_some() {
                etcd = None;
                pause = OFF;
                Said::default()
            } else {
                match record(&now, &mut etcd).await {
                    Ok(revision) => {
                        known = Some(revision);
                        Said {
                            revision: known,
                            problem: None,
                        }
                    }
                    Err(error) => {
                        // A connection that failed is made anew.
                        etcd = None;
                        Said {
                            revision: known,
                            problem: Some(format!("the high-water mark is not recorded: {error}")),
                        }
                    }
                }
            };
            publish(&sender, said);
            tokio::select! {
                () = stop.cancelled() => return,
                changed = settings.changed() => {
                    if changed.is_err() { return }
                    settings.mark_changed();
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
    });
    receiver
}

/// Asks and records; gives the largest revision on record.
async fn record(settings: &Settings, etcd: &mut Option<Etcd>) -> Result<i64, String> {
    let connected = match etcd.take() {
        Some(connected) => connected,
        None => Etcd::connect(&settings.etcd)
            .await
            .map_err(|error| chain(&error))?,
    };
    let observed = high_water::observe(&connected, &settings.paths.state_dir);
    let mark = observed.await.map_err(|error| chain(&error))?;
    *etcd = Some(connected);
    for notice in &mark.notices {
        warn!(notice, "high-water mark");
    }
    Ok(mark.revision)
}

/// Publishes what others should know, and logs a problem when it begins.
fn publish(sender: &watch::Sender<Said>, said: Said) {
    sender.send_if_modified(|before| {
        if said.problem.is_some() && before.problem.is_none() {
            warn!(problem = said.problem, "backups");
        }
        // A new revision alone wakes nobody.
        let changed = before.problem != said.problem || before.revision.is_none();
        *before = said;
        changed
    });
}
