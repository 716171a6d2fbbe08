//! One namespace kept up to date: a complete listing, then one container asked about again for
//! each event, then a complete listing each period and after each reconnection.
//!
//! Asking about one container costs the same on a node with one pod and with a hundred; a complete
//! listing makes containerd ask every shim. What an event says itself is published before anybody
//! is asked, and while somebody is: a parent's port is fought for in the milliseconds after its
//! start.

use std::sync::Arc;
use std::time::Duration;

use containerd_client::types::Envelope;
use futures_util::future::{BoxFuture, Fuse, FusedFuture, FutureExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::known::{Answer, BURST, Known, Question};
use super::listing::Listing;
use super::subscribe::{Happened, happened};
use super::view::pods_of;
use super::{Containerd, Error};
use crate::core::observed::RuntimeView;
use crate::core::reading::Reading;

/// First wait before the next attempt to reach containerd, doubled up to [`RETRY_LIMIT`].
const RETRY: Duration = Duration::from_millis(100);
/// Longest wait between two attempts.
const RETRY_LIMIT: Duration = Duration::from_secs(2);
/// What belongs together (the containers of a pod that end) is told of together.
const TOGETHER: Duration = Duration::from_millis(3);

/// containerd as a source: what the kubelet's namespace holds, published when it changes. Ends
/// with `shutdown`.
pub fn spawn_source(
    c: Containerd,
    shutdown: CancellationToken,
) -> watch::Receiver<Reading<RuntimeView>> {
    let (publish, receive) = watch::channel(Reading::not_asked());
    let namespace = c.config().cri_namespace.clone();
    spawn(c, namespace, shutdown, move |reading| {
        let view = reading.map(|listing| pods_of(listing));
        change(&publish, view);
    });
    receive
}

/// The plain listing of `namespace`, published when it changes.
pub(crate) fn spawn_watch(
    c: Containerd,
    namespace: String,
    shutdown: CancellationToken,
) -> watch::Receiver<Reading<Arc<Listing>>> {
    let (publish, receive) = watch::channel(Reading::not_asked());
    spawn(c, namespace, shutdown, move |reading| {
        let listing = reading.map(|listing| Arc::new(Listing::clone(listing)));
        change(&publish, listing);
    });
    receive
}

fn change<T: PartialEq>(publish: &watch::Sender<Reading<T>>, reading: Reading<T>) {
    publish.send_if_modified(|published| {
        let changed = *published != reading;
        if changed {
            *published = reading;
        }
        changed
    });
}

fn spawn(
    c: Containerd,
    namespace: String,
    shutdown: CancellationToken,
    publish: impl Fn(Reading<&Listing>) + Send + Sync + 'static,
) {
    tokio::spawn(async move {
        shutdown
            .run_until_cancelled(follow(&c, &namespace, &publish))
            .await;
    });
}

async fn follow(c: &Containerd, namespace: &str, publish: &(impl Fn(Reading<&Listing>) + Sync)) {
    let mut wait = RETRY;
    loop {
        let mut answered = false;
        let Err(error) = session(c, namespace, publish, &mut answered).await;
        if answered {
            wait = RETRY;
        }
        let unseen = error.unseen();
        tracing::debug!(namespace, cause = unseen.detail, "containerd lost");
        publish(Reading::Unknown(unseen));
        sleep(wait).await;
        wait = (wait * 2).min(RETRY_LIMIT);
    }
}

/// One connection, until it fails.
async fn session(
    c: &Containerd,
    namespace: &str,
    publish: &(impl Fn(Reading<&Listing>) + Sync),
    answered: &mut bool,
) -> Result<std::convert::Infallible, Error> {
    let mut events = c.subscribe(namespace).await?;
    let mut known = Known::default();
    let mut due = Instant::now();
    let mut asking: Fuse<BoxFuture<'_, Result<Answer, Error>>> = Fuse::terminated();
    loop {
        if asking.is_terminated()
            && let Some(question) = known.question(due <= Instant::now())
        {
            asking = ask(c, namespace, question).boxed().fuse();
        }
        tokio::select! {
            answer = &mut asking => {
                let answer = answer?;
                let whole = matches!(answer, Answer::All(_));
                if whole {
                    due = Instant::now() + c.config().resync;
                    *answered = true;
                }
                // Mostly what the events said already: nobody has to look at it again.
                if known.learn(answer) || whole {
                    publish(Reading::Known(&known.listing));
                }
            }
            event = events.message() => {
                let mut seen = Vec::new();
                take(event, &mut seen)?;
                let together = Instant::now() + TOGETHER;
                // A stream that is never empty is bounded too: the rest is taken in the next round.
                while seen.len() <= BURST
                    && let Ok(event) = timeout_at(together, events.message()).await
                {
                    take(event, &mut seen)?;
                }
                if known.hear(seen) {
                    publish(Reading::Known(&known.listing));
                }
            }
            () = sleep_until(due), if asking.is_terminated() => {}
        }
    }
}

async fn ask(c: &Containerd, namespace: &str, question: Question) -> Result<Answer, Error> {
    match question {
        Question::All => c.tell(namespace).await.map(Answer::All),
        Question::One(id) => {
            let told = c.tell_one(namespace, &id).await?;
            Ok(Answer::One(id, told.map(Box::new)))
        }
    }
}

/// What an event is about, into `seen`.
fn take(
    event: Result<Option<Envelope>, containerd_client::tonic::Status>,
    seen: &mut Vec<Happened>,
) -> Result<(), Error> {
    let event = event.map_err(|status| Error::status("Events.Subscribe", &status))?;
    let event = event.ok_or_else(|| Error::unreadable("Events.Subscribe", "the stream ended"))?;
    seen.extend(happened(&event));
    Ok(())
}
