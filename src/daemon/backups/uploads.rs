//! Copies backups to the targets, when there is something to copy: starts the queue of
//! [`crate::backup::targets`], and starts it again with new settings.

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::look::index_file;
use crate::backup::Progress;
use crate::backup::targets::{Queue, run, uploads_dir};
use crate::config::Settings;

/// Starts the task. Where there is no target it waits for one, and holds nothing.
pub(super) fn spawn(
    mut settings: watch::Receiver<Arc<Settings>>,
    wake: Arc<Notify>,
    stop: CancellationToken,
) {
    tokio::spawn(async move {
        loop {
            let now = Arc::clone(&settings.borrow_and_update());
            let ours = stop.child_token();
            if now.backup.enabled && !now.backup.targets.is_empty() {
                let queue = Queue {
                    targets: now.backup.targets.clone(),
                    backups: now.backup.dir.clone(),
                    uploads: uploads_dir(&now.paths.state_dir),
                    index: index_file(&now),
                    node: now.node.name.clone(),
                    progress: Progress::default(),
                };
                tokio::spawn(run(queue, Arc::clone(&wake), ours.clone()));
            }
            let changed = tokio::select! {
                () = stop.cancelled() => return,
                changed = settings.changed() => changed,
            };
            ours.cancel();
            if changed.is_err() {
                return;
            }
        }
    });
}
