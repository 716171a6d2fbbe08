//! Whether the images that checkpoints need could be started without a registry (scenario C19).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::containerd::{Containerd, ImageEvents};
use crate::core::observed::ImagePresence;
use crate::core::reading::Reading;

/// Presence is proven again this often: no event tells of a blob that is damaged.
const PROVE_AGAIN: Duration = Duration::from_secs(300);
/// The same while containerd's events cannot be followed.
const WITHOUT_EVENTS: Duration = Duration::from_secs(10);

/// Proves the wanted images, and the pause image without which no pod starts, when they change,
/// when containerd says that an image changed, when `again` is notified, and from time to time.
pub(super) fn spawn(
    containerd: Containerd,
    mut wanted: watch::Receiver<Vec<String>>,
    again: Arc<Notify>,
    shutdown: CancellationToken,
) -> watch::Receiver<Reading<BTreeMap<String, ImagePresence>>> {
    let (sender, receiver) = watch::channel(Reading::not_asked());
    tokio::spawn(async move {
        let mut events = None;
        let mut pause = None;
        loop {
            if events.is_none() {
                events = containerd.image_events().await.ok();
            }
            let mut images = wanted.borrow_and_update().clone();
            if !images.is_empty() {
                pause = containerd.sandbox_image().await.ok().flatten().or(pause);
                images.extend(pause.clone());
            }
            let reading = prove(&containerd, &images).await;
            sender.send_if_modified(|current| {
                let changed = *current != reading;
                *current = reading;
                changed
            });
            let longest = if events.is_some() {
                PROVE_AGAIN
            } else {
                WITHOUT_EVENTS
            };
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = next(&mut events) => {}
                () = again.notified() => {}
                () = tokio::time::sleep(longest) => {}
                () = shutdown.cancelled() => return,
            }
        }
    });
    receiver
}

/// Waits for an image to change; for ever where events cannot be followed.
async fn next(events: &mut Option<ImageEvents>) {
    let Some(stream) = events else {
        return std::future::pending().await;
    };
    if stream.changed().await.is_err() {
        *events = None;
    }
}

async fn prove(
    containerd: &Containerd,
    images: &[String],
) -> Reading<BTreeMap<String, ImagePresence>> {
    let mut found = BTreeMap::new();
    for image in images {
        match containerd.image_presence(image).await {
            Ok(presence) => found.insert(image.clone(), presence),
            Err(error) => return Reading::Unknown(error.unseen()),
        };
    }
    Reading::Known(found)
}
