//! Keeps a published view of a directory up to date.
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

use crate::core::reading::{Reading, Unseen, UnseenKind};

/// Longest pause between two lists while the directory cannot be watched.
const UNWATCHED: Duration = Duration::from_secs(1);
/// A list that takes longer makes the directory unknown until it returns.
const DEADLINE: Duration = Duration::from_secs(5);
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

/// Starts the watcher of `dir`, which `list` reads; it ends at `shutdown`, or when nobody receives
/// any more. Lists at least every `resync`, publishes only changes. To be called within a tokio
/// runtime.
#[must_use]
pub fn spawn<T: PartialEq + Send + Sync + 'static>(
    dir: &Path,
    list: impl Fn() -> Reading<T> + Clone + Send + Sync + 'static,
    shutdown: CancellationToken,
    resync: Duration,
) -> (watch::Receiver<Reading<T>>, Refresh) {
    let (publish, receiver) = watch::channel(Reading::not_asked());
    let (refresh, requests) = mpsc::channel(16);
    let dir = dir.to_owned();
    tokio::spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = publish.closed() => {}
            () = async {
                let events = Events::open(&dir);
                run(events, list, DEADLINE, &publish, requests, resync).await;
            } => {}
        }
    });
    (receiver, Refresh(refresh))
}

async fn run<T: PartialEq + Send + 'static>(
    mut events: Events,
    list: impl Fn() -> Reading<T> + Clone + Send + 'static,
    deadline: Duration,
    publish: &watch::Sender<Reading<T>>,
    mut requests: mpsc::Receiver<oneshot::Sender<()>>,
    resync: Duration,
) {
    let mut waiting = Vec::new();
    loop {
        // Armed before the list, so that no change falls between the two.
        let pause = if events.arm() {
            resync
        } else {
            resync.min(UNWATCHED)
        };
        asked(&mut requests, &mut waiting);
        let mut listing = tokio::task::spawn_blocking(list.clone());
        let reading = loop {
            match tokio::time::timeout(deadline, &mut listing).await {
                Ok(Ok(reading)) => break reading,
                Ok(Err(error)) => break unseen(UnseenKind::Unreadable, error.to_string()),
                // The disk hangs. It cannot be asked a second time before it has answered.
                Err(_) => {
                    let text = format!("no answer from the disk within {deadline:?}");
                    publish_if_new(publish, unseen(UnseenKind::TimedOut, text));
                    asked(&mut requests, &mut waiting);
                    answer(&mut waiting);
                }
            }
        };
        publish_if_new(publish, reading);
        answer(&mut waiting);
        tokio::select! {
            () = events.changed() => {}
            Some(request) = requests.recv() => waiting.push(request),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn unseen<T>(kind: UnseenKind, text: String) -> Reading<T> {
    Reading::Unknown(Unseen::new(kind, text))
}

fn publish_if_new<T: PartialEq>(publish: &watch::Sender<Reading<T>>, reading: Reading<T>) {
    publish.send_if_modified(|published| {
        let changed = *published != reading;
        *published = reading;
        changed
    });
}

/// Takes up who asks for a list now.
fn asked(
    requests: &mut mpsc::Receiver<oneshot::Sender<()>>,
    waiting: &mut Vec<oneshot::Sender<()>>,
) {
    while let Ok(request) = requests.try_recv() {
        waiting.push(request);
    }
}

fn answer(waiting: &mut Vec<oneshot::Sender<()>>) {
    for done in waiting.drain(..) {
        // Whoever asked may have gone away.
        let _: Result<(), ()> = done.send(());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn d08_a_directory_that_hangs_becomes_unknown_and_comes_back() {
        let kept = tempfile::tempdir().unwrap();
        let dir = kept.path().to_owned();
        let (publish, mut views) = watch::channel(Reading::not_asked());
        let (sender, requests) = mpsc::channel(16);
        let (unblock, blocked) = std::sync::mpsc::channel::<()>();
        let blocked = std::sync::Arc::new(std::sync::Mutex::new(blocked));
        let list = move || {
            let answer = blocked.lock().unwrap().recv();
            answer.map_or_else(|_| Reading::not_asked(), |()| Reading::Known(7u8))
        };
        let deadline = Duration::from_millis(20);
        let resync = Duration::from_secs(3600);
        let watcher = tokio::spawn(async move {
            run(
                Events::open(&dir),
                list,
                deadline,
                &publish,
                requests,
                resync,
            )
            .await;
        });
        let long = Duration::from_secs(20);
        let timed_out = |reading: &Reading<u8>| {
            reading
                .unseen()
                .is_some_and(|unseen| unseen.kind == UnseenKind::TimedOut)
        };
        let hung = tokio::time::timeout(long, views.wait_for(timed_out)).await;
        assert!(
            hung.is_ok_and(|view| view.is_ok()),
            "a hanging disk was not reported"
        );
        let answered = tokio::time::timeout(long, Refresh(sender).now()).await;
        assert!(answered.is_ok(), "a hanging disk held up who asked");
        unblock.send(()).unwrap();
        let known = views.wait_for(|reading| reading.known().is_some());
        let back = tokio::time::timeout(long, known).await;
        assert!(
            back.is_ok_and(|view| view.is_ok()),
            "the answer was not published"
        );
        watcher.abort();
        drop(unblock);
    }
}
