//! What goes on beside backups and rehearsals: the high-water mark, the copies, and what other
//! processes write into the index. Each is a task of its own that may hang without stopping
//! anything else.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{high_water, uploads};
use crate::backup::STATE;
use crate::backup::index::INDEX;
use crate::config::Settings;
use crate::core::reading::Reading;
use crate::store;

/// The index is looked at this often though nothing was heard of it.
const RESYNC: Duration = Duration::from_secs(60);

/// What the tasks said last.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// The largest revision that was recorded.
    pub(super) high_water: Option<i64>,
    /// What fails, one sentence each.
    pub(super) problems: Vec<String>,
}

/// Which file the index is: each change makes it another one. Inode, bytes, and when it was written.
type Version = Option<(u64, u64, Option<SystemTime>)>;

/// The tasks.
pub(super) struct Sides {
    high_water: watch::Receiver<high_water::Said>,
    /// From when on backups are on: a node without any has no such directory.
    index: Option<watch::Receiver<Reading<Version>>>,
    wake: Arc<Notify>,
    stop: CancellationToken,
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
            index: None,
            wake,
            stop: stop.clone(),
        }
    }

    /// Notices from now on what the command line writes into the index: a rehearsal, a backup.
    pub(super) fn watch_index(&mut self, state_dir: &Path) {
        if self.index.is_some() {
            return;
        }
        let dir = state_dir.join(STATE);
        let file = dir.join(INDEX);
        let look = move || Reading::Known(version(&file));
        let (index, _) = store::watch::spawn(&dir, look, self.stop.clone(), RESYNC);
        self.index = Some(index);
    }

    /// Returns when there is something new to say or to look at; never once nobody says anything
    /// any more.
    pub(super) async fn changed(&mut self) {
        let index = async {
            match &mut self.index {
                Some(index) => changed(index).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed(&mut self.high_water) => {}
            () = index => {}
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

async fn changed<T>(said: &mut watch::Receiver<T>) {
    if said.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// `None`: it is not there, or cannot be asked; who reads it says why.
fn version(file: &Path) -> Version {
    let meta = std::fs::metadata(file).ok()?;
    Some((meta.ino(), meta.len(), meta.modified().ok()))
}
