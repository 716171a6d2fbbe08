//! What goes on beside backups and rehearsals: the high-water mark and the copies. Each is a task
//! of its own that may hang without stopping anything else.

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{high_water, uploads};
use crate::config::Settings;

/// What the tasks said last.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// The largest revision that was recorded.
    pub(super) high_water: Option<i64>,
    /// What fails, one sentence each.
    pub(super) problems: Vec<String>,
}

/// The tasks.
pub(super) struct Sides {
    high_water: watch::Receiver<high_water::Said>,
    wake: Arc<Notify>,
}

impl Sides {
    /// Starts them; they end with `stop`.
    pub(super) fn start(
        settings: &watch::Receiver<Arc<Settings>>,
        stop: &CancellationToken,
    ) -> Self {
        let wake = Arc::new(Notify::new());
        uploads::spawn(settings.clone(), Arc::clone(&wake), stop.clone());
        Self {
            high_water: high_water::spawn(settings.clone(), stop.clone()),
            wake,
        }
    }

    /// Returns when there is something new to say; never once nobody says anything any more.
    pub(super) async fn changed(&mut self) {
        if self.high_water.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// There is something to copy.
    pub(super) fn wake_uploads(&self) {
        self.wake.notify_one();
    }

    /// What they said last.
    pub(super) fn told(&mut self) -> Told {
        let high_water = self.high_water.borrow_and_update().clone();
        Told {
            high_water: high_water.revision,
            problems: high_water.problem.into_iter().collect(),
        }
    }
}
