//! Opens what the loop owns: state, revisions, directories, sources. What cannot be opened is
//! said and tried again; the daemon answers meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::clock;
use super::execute::{Executor, blocking};
use super::publish::Publisher;
use super::render::Renderings;
use super::sources::Sources;
use super::turn::Loop;
use crate::config::Settings;
use crate::core::reading::Reading;
use crate::core::report::Report;
use crate::hold;
use crate::manifests::dir::ManifestDir;
use crate::operation;
use crate::signals::Signal;
use crate::store::chain;
use crate::store::lock::{self, Lock, LockError};
use crate::store::revisions::Revisions;
use crate::store::state::{Loaded, load};
use crate::systemd::Notifier;

/// Between two attempts to open the state directory.
const RETRY: Duration = Duration::from_secs(5);

/// Said while that lasts.
const UNREADABLE: &str = "the state directory cannot be used: nothing is decided";

/// A signal to stop came before the state could be opened.
pub(super) struct ShutDown;

/// Opens everything; waits as long as the state directory cannot be used.
pub(super) async fn open(
    settings: &Settings,
    boot_id: String,
    mut publisher: Publisher,
    shutdown: &CancellationToken,
    signals: &mut mpsc::Receiver<Signal>,
    notifier: &mut Notifier,
) -> Result<Loop, ShutDown> {
    let node_name = settings.node.name.clone();
    let revisions = Arc::new(Revisions::new(&settings.paths.state_dir));
    let dir = Arc::new(ManifestDir::new(
        &settings.paths.manifest_dir,
        &settings.paths.manifest_staging_dir,
    ));
    let mut problems = Vec::new();
    let (lock, loaded) = loop {
        match load_state(settings, &revisions).await {
            Ok(loaded) => break loaded,
            Err(text) => {
                warn!(error = text, "the state cannot be read: nothing is decided");
                notifier.ready();
                notifier.turn_completed();
                notifier.status(UNREADABLE);
                publisher.publish(unreadable(&node_name, &text), clock::now());
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    signal = signals.recv() => match signal {
                        Some(Signal::Reload) => {}
                        Some(Signal::Shutdown) | None => return Err(ShutDown),
                    },
                }
            }
        }
    };
    problems.extend(loaded.problems);
    let staging = Arc::clone(&dir);
    if let Err(text) = blocking(move || staging.prepare().map_err(|error| chain(&error))).await {
        problems.push(format!("manifests cannot be written: {text}"));
    }
    let sources = Sources::start(settings, &dir, shutdown);
    let mut turning = Loop {
        boot_id,
        policy: settings.policy.clone(),
        node_address: settings.node.address.map(|address| address.to_string()),
        stored: loaded.stored,
        state_file: Arc::new(loaded.file),
        executor: Executor {
            revisions,
            dir,
            node_name,
        },
        sources,
        renderings: Renderings::default(),
        revisions: Reading::not_asked(),
        good: BTreeMap::new(),
        publisher,
        opening_problems: problems,
        store_problems: Vec::new(),
        failures: BTreeMap::new(),
        states: BTreeMap::new(),
        last_actions: Vec::new(),
        summary: String::new(),
        _lock: lock,
    };
    turning.scan().await;
    Ok(turning)
}

async fn load_state(
    settings: &Settings,
    revisions: &Arc<Revisions>,
) -> Result<(Option<Lock>, Loaded), String> {
    let (state_dir, revisions) = (settings.paths.state_dir.clone(), Arc::clone(revisions));
    blocking(move || {
        let lock = match lock::hold(&state_dir) {
            Ok(lock) => Some(lock),
            Err(error @ LockError::Held { .. }) => return Err(chain(&error)),
            // A disk that does not lock or cannot be written may still be read.
            Err(error) => {
                warn!(error = chain(&error), "the state directory is not locked");
                None
            }
        };
        let loaded = load(&state_dir).map_err(|error| chain(&error))?;
        // A disk that is full or read-only still has checkpoints to read.
        if let Err(error) = revisions.prepare() {
            warn!(
                error = chain(&error),
                "the state directory cannot be prepared"
            );
        }
        // Only to be watched: what is in it is read all the same.
        if let Err(error) = operation::prepare(&state_dir) {
            warn!(
                error = chain(&error),
                "the place of operations cannot be prepared"
            );
        }
        if let Err(error) = hold::prepare(&state_dir) {
            warn!(
                error = chain(&error),
                "the place of holds cannot be prepared"
            );
        }
        Ok((lock, loaded))
    })
    .await
}

fn unreadable(node: &str, text: &str) -> Report {
    Report {
        node: node.to_owned(),
        summary: UNREADABLE.to_owned(),
        problems: vec![text.to_owned()],
        ..Report::default()
    }
}
