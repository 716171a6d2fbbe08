//! Whether the images that checkpoints need could be started without a registry (scenario C19).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::containerd::Containerd;
use crate::core::observed::ImagePresence;
use crate::core::reading::Reading;

/// Presence is proven again this often: nothing tells us of a blob that is damaged or collected.
const PROVE_AGAIN: Duration = Duration::from_secs(300);

/// Proves the wanted images when they change, when `again` is notified, and from time to time.
pub(super) fn spawn(
    containerd: Containerd,
    mut wanted: watch::Receiver<Vec<String>>,
    again: Arc<Notify>,
    shutdown: CancellationToken,
) -> watch::Receiver<Reading<BTreeMap<String, ImagePresence>>> {
    let (sender, receiver) = watch::channel(Reading::not_asked());
    tokio::spawn(async move {
        loop {
            let images = wanted.borrow_and_update().clone();
            let reading = prove(&containerd, &images).await;
            sender.send_if_modified(|current| {
                let changed = *current != reading;
                *current = reading;
                changed
            });
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = again.notified() => {}
                () = tokio::time::sleep(PROVE_AGAIN) => {}
                () = shutdown.cancelled() => return,
            }
        }
    });
    receiver
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
