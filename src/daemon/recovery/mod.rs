//! Recovery mode beside the loop: a task of its own that sees ([`observe`]), decides
//! ([`crate::core::recovery`]), writes its journal ([`crate::recovery::current`]) and carries out
//! one act at a time ([`jobs`]). The loop of checkpoints never waits for it, and it never for the
//! loop.

mod acts;
mod answers;
mod carry;
pub mod door;
mod etcd;
pub mod guard;
pub(super) mod hooks;
mod hygiene;
mod jobs;
mod leases;
pub mod observe;
mod reporting;
mod resources;
mod static_images;
mod static_pods;
mod task;
mod temporary;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::publish::RecoveryPublisher;
use crate::config::Settings;

pub use door::{Door, Planned, Question, Silent};
pub(super) use task::Sources;

/// Starts the task of recovery; it ends with `stop`. What is under way then is gone on with by the
/// next start.
pub(super) fn spawn(
    settings: Arc<Settings>,
    sources: Sources,
    asked: mpsc::Receiver<Question>,
    publisher: RecoveryPublisher,
    boot_id: String,
    stop: CancellationToken,
) -> JoinHandle<mpsc::Receiver<Question>> {
    let task = task::Task::new(sources, settings, publisher, boot_id, stop);
    tokio::spawn(task.run(asked))
}
