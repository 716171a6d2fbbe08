//! A bell: rings when something in a collection may have changed. For whoever lists anyway and
//! only wants to know when: no event is believed, none is needed twice, and none may be missed for
//! longer than until the next list.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::ask::Asker;
use super::feed::Feed;
use super::jittered;
use super::stream::Event;

/// A watch is renewed this often.
const WINDOW: Duration = Duration::from_secs(120);
/// Between two watches.
const RETRY: Duration = Duration::from_millis(500);

impl Asker {
    /// Has `bell` rung for each change of the collection at `path`, and where its watch begins and
    /// ends, until the handle is dropped. `selector`: of fields, escaped for a query.
    pub fn hang(&self, path: String, selector: String, bell: Arc<Notify>) -> AbortOnDropHandle<()> {
        let feed = Feed {
            access: Arc::clone(&self.access),
            path,
            selector,
            deadline: self.deadline,
            window: WINDOW,
        };
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                // No version is named: it begins with all that is there now.
                if let Ok(mut stream) = feed.watch("").await {
                    bell.notify_one();
                    while let Ok((event, _)) = stream.next().await {
                        if !matches!(event, Event::Bookmark) {
                            bell.notify_one();
                        }
                    }
                    bell.notify_one();
                }
                sleep(jittered(RETRY)).await;
            }
        }))
    }
}
