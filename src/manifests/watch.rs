//! Keeps the published view of the static pod directory up to date.
//!
//! inotify only says that something changed; the list says what. Watched are the directory and the
//! directory it stands in, and both watches are armed anew before every list: a directory that is
//! removed, made again, renamed over or swapped behind a symbolic link is followed. What inotify
//! cannot see (a link further up the path) is found by the resync. Logs nothing in steady state.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use inotify::{EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::dir::ManifestDir;
use crate::core::observed::ManifestsView;
use crate::core::reading::{Reading, Unseen, UnseenKind};

/// Longest pause between two lists while the directory cannot be watched.
const UNWATCHED: Duration = Duration::from_secs(1);
/// Room for some 40 events with the longest names; more are read in the next turn.
const BUFFER: usize = 12 * 1024;

/// Asks the watcher for a new list, after a write of our own.
#[derive(Debug, Clone)]
pub struct Refresh(mpsc::Sender<oneshot::Sender<()>>);

impl Refresh {
    /// Returns once a list that was made after this call is published. Returns at once where the
    /// watcher has ended.
    pub async fn now(&self) {
        let (done, published) = oneshot::channel();
        if self.0.send(done).await.is_ok() {
            // An error says that the watcher has ended meanwhile.
            let _ = published.await;
        }
    }
}

/// Starts the watcher; it ends at `shutdown`, or when nobody receives any more. Lists at least
/// every `resync`, publishes only changes. To be called within a tokio runtime.
#[must_use]
pub fn spawn(
    dir: ManifestDir,
    shutdown: CancellationToken,
    resync: Duration,
) -> (watch::Receiver<Reading<ManifestsView>>, Refresh) {
    let (publish, receiver) = watch::channel(Reading::not_asked());
    let (refresh, requests) = mpsc::channel(16);
    tokio::spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = publish.closed() => {}
            () = run(dir, &publish, requests, resync) => {}
        }
    });
    (receiver, Refresh(refresh))
}

async fn run(
    dir: ManifestDir,
    publish: &watch::Sender<Reading<ManifestsView>>,
    mut requests: mpsc::Receiver<oneshot::Sender<()>>,
    resync: Duration,
) {
    let mut events = Events::open(dir.path());
    let mut waiting = Vec::new();
    loop {
        // Armed before the list, so that no change falls between the two.
        let pause = if events.arm() {
            resync
        } else {
            resync.min(UNWATCHED)
        };
        while let Ok(request) = requests.try_recv() {
            waiting.push(request);
        }
        let listed = dir.clone();
        let reading = tokio::task::spawn_blocking(move || listed.reading()).await;
        let reading = reading.unwrap_or_else(|error| {
            Reading::Unknown(Unseen::new(UnseenKind::Unreadable, error.to_string()))
        });
        publish.send_if_modified(|published| {
            let changed = *published != reading;
            *published = reading;
            changed
        });
        for done in waiting.drain(..) {
            // Whoever asked may have gone away.
            let _: Result<(), ()> = done.send(());
        }
        tokio::select! {
            () = events.changed() => {}
            Some(request) = requests.recv() => waiting.push(request),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// The two watches. Without inotify (its limits are small) it only never reports a change.
struct Events {
    dir: PathBuf,
    parent: PathBuf,
    stream: Option<Pin<Box<EventStream<Vec<u8>>>>>,
    dir_watch: Option<WatchDescriptor>,
    parent_watch: Option<WatchDescriptor>,
}

impl Events {
    fn open(dir: &Path) -> Self {
        let stream = Inotify::init().and_then(|inotify| inotify.into_event_stream(vec![0; BUFFER]));
        if let Err(error) = &stream {
            tracing::warn!(%error, directory = %dir.display(), "no inotify: listed every second");
        }
        let parent = match dir.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => dir,
        };
        Self {
            dir: dir.to_owned(),
            parent: parent.to_owned(),
            stream: stream.ok().map(Box::pin),
            dir_watch: None,
            parent_watch: None,
        }
    }

    /// Watches what stands at the two paths now. `false` where the directory cannot be watched.
    fn arm(&mut self) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        let mut watches = stream.watches();
        let content = WatchMask::CREATE
            | WatchMask::MODIFY
            | WatchMask::CLOSE_WRITE
            | WatchMask::ATTRIB
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let names = WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        for (path, mask, held) in [
            (&self.parent, names, &mut self.parent_watch),
            (&self.dir, content, &mut self.dir_watch),
        ] {
            // The same directory has the same descriptor again.
            let armed = watches.add(path, mask).ok();
            if let Some(old) = held.take()
                && armed.as_ref() != Some(&old)
            {
                // Fails where the kernel has dropped it with its directory.
                let _ = watches.remove(old);
            }
            *held = armed;
        }
        self.dir_watch.is_some()
    }

    /// Returns when something that matters happened. Cancel safe: an event that is lost came
    /// before the list that follows.
    async fn changed(&mut self) {
        let Some(stream) = &mut self.stream else {
            return std::future::pending().await;
        };
        let (parent, name) = (&self.parent_watch, self.dir.file_name());
        while let Some(Ok(event)) = stream.next().await {
            if matters(&event, parent.as_ref(), name) {
                // The rest of a burst is answered by the same list.
                for _ in 0..1024 {
                    if stream.next().now_or_never().is_none() {
                        break;
                    }
                }
                return;
            }
        }
        // Never seen: an inotify descriptor does not end. The resync goes on.
        self.stream = None;
    }
}

/// In the parent directory many things may change; only our directory's name matters.
fn matters(event: &EventOwned, parent: Option<&WatchDescriptor>, name: Option<&OsStr>) -> bool {
    parent != Some(&event.wd) || event.name.as_deref().is_none() || event.name.as_deref() == name
}
