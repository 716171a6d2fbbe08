//! Backups beside the loop: tasks of their own that the loop never waits for, and that never wait
//! for the loop. One task begins backups and rehearsals, one at a time; two more keep the
//! high-water mark and copy what is there to the targets. `rekindle backup now` without a daemon
//! uses the same [`run`].

mod door;
mod due;
mod high_water;
pub mod host;
pub mod lock;
pub mod look;
pub mod off;
pub mod pruning;
pub mod rehearsal;
mod reporting;
pub mod run;
mod sides;
mod sweep;
mod task;
mod uploads;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::publish::BackupsPublisher;
use crate::config::Settings;

pub use door::{Asked, Door, Refused};

/// Starts the task of backups; it ends with `stop`. New settings are used from the next work on.
pub(super) fn spawn(
    settings: watch::Receiver<Arc<Settings>>,
    asked: mpsc::Receiver<Asked>,
    publisher: BackupsPublisher,
    stop: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(task::Task::new(settings, asked, publisher, stop).run())
}
