//! Keeps the published view of the static pod directory up to date.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::dir::ManifestDir;
use crate::core::observed::ManifestsView;
use crate::core::reading::Reading;
pub use crate::store::watch::Refresh;

/// Starts the watcher; it ends at `shutdown`, or when nobody receives any more. Lists at least
/// every `resync`, publishes only changes. To be called within a tokio runtime.
#[must_use]
pub fn spawn(
    dir: ManifestDir,
    shutdown: CancellationToken,
    resync: Duration,
) -> (watch::Receiver<Reading<ManifestsView>>, Refresh) {
    let path = dir.path().to_owned();
    crate::store::watch::spawn(&path, move || dir.reading(), shutdown, resync)
}
