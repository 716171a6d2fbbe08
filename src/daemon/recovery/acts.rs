//! What each act does, by the adapter that does it. Every act may be repeated.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::jobs::{Done, Ended};
use super::task::Task;
use super::{etcd, guard, hygiene, temporary};
use crate::config::Settings;
use crate::containerd::Containerd;
use crate::core::recovery::etcd::Source;
use crate::core::recovery::evidence::Evidence;
use crate::core::recovery::guard::restore::Restore;
use crate::core::recovery::journal::Act;
use crate::core::recovery::part::Part;
use crate::core::recovery::resources::Restartable;
use crate::daemon::clock;
use crate::daemon::execute::blocking;
use crate::daemon::sources::containerd_config;
use crate::failpoints::hit;
use crate::recovery::guard::Before;
use crate::store::chain;
use crate::systemd::units;

/// Between SIGTERM and SIGKILL of what hangs.
const GRACE: Duration = Duration::from_secs(5);

/// One act, and everything that it needs.
pub(super) struct Order {
    pub(super) act: Act,
    /// The recovery's name.
    pub(super) id: String,
    /// When the loss was first seen.
    pub(super) suspected_at: Timestamp,
    /// When etcd served again after a restore by this recovery.
    pub(super) restored_at: Option<Timestamp>,
    pub(super) settings: Arc<Settings>,
    /// It is to stop where it can.
    pub(super) stop: CancellationToken,
    pub(super) say: mpsc::UnboundedSender<String>,
}

impl Order {
    /// Says one line of progress.
    pub(super) fn say(&self, line: &str) {
        // Nobody listens any more: the daemon stops.
        let _gone = self.say.send(line.to_owned());
    }
}

impl Task {
    /// Has those started that wait in the kubelet's back-off for an API server that serves by now.
    /// What does not succeed is only slower.
    pub(super) async fn wake_up(&mut self, evidence: &Evidence) {
        let due = self.deaths.look(evidence);
        let Some(journal) = self.journal.as_mut().filter(|_| !due.is_empty()) else {
            return;
        };
        for (part, _) in &due {
            let line = format!("{part} waits for the kubelet: it is made to forget its ends");
            info!(recovery = journal.record.id, line, "recovery");
            journal.event(&line, None, clock::wall());
        }
        if !self.record().await {
            return;
        }
        let containerd = Containerd::new(containerd_config(&self.settings));
        tokio::spawn(async move {
            for container in due.iter().flat_map(|(_, containers)| containers) {
                if let Err(error) = containerd.forget_ended(container).await {
                    warn!(container, error = chain(&error), "not forgotten");
                }
            }
        });
    }
}

/// Carries it out.
pub(super) async fn carry_out(order: &Order) -> Ended {
    hit("recovery.act");
    let ended = match &order.act {
        // The loop of checkpoints does it.
        Act::Checkpoints => Ok(Done::default()),
        Act::Restart(part, what) => restart(order, *part, what).await,
        Act::Temporary => Box::pin(temporary::run(order)).await,
        Act::RestoreData => etcd::restore(order, Source::DataDirectory).await,
        Act::RestoreBackup(name) => etcd::restore(order, Source::Backup(name.clone())).await,
        Act::ReplaceMember => etcd::replace(order).await,
        Act::PutBack(_, restore) => put_back(order, restore).await,
        Act::Hygiene => hygiene::run(order).await,
    };
    hit("recovery.acted");
    ended
}

async fn put_back(order: &Order, restore: &Restore) -> Ended {
    let (guard, restore) = (guard::of(&order.settings), restore.clone());
    let file = restore.file.clone();
    let wall = clock::wall();
    let work = move || {
        guard
            .put_back(&restore, wall)
            .map_err(|error| chain(&error))
    };
    let put = blocking(work).await?;
    Ok(Done {
        what: format!("the last known good {file} is in place"),
        moved_aside: match put.before {
            Before::Nothing => Vec::new(),
            Before::File { aside, .. } => vec![aside],
        },
        lost_seconds: Some(0),
        ..Done::default()
    })
}

async fn restart(order: &Order, part: Part, what: &Restartable) -> Ended {
    let done = match what {
        Restartable::Container { sandbox, pod } => {
            let containerd = Containerd::new(containerd_config(&order.settings));
            containerd
                .kill_sandbox_tasks(sandbox, false, GRACE)
                .await
                .map_err(|error| chain(&error))?;
            format!("{part} of {pod} is stopped: the kubelet starts it again")
        }
        Restartable::Unit(unit) => {
            units::run(unit, units::Job::Start)
                .await
                .map_err(|error| chain(&error))?;
            format!("{unit} is started")
        }
    };
    Ok(Done {
        what: done,
        ..Done::default()
    })
}
