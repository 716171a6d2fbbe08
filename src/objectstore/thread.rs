//! Work that may hang in the kernel, in a thread that may be left behind.
//!
//! Not the runtime's blocking threads: the runtime waits for those when it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Lets one piece of work run at a time. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Lane(Arc<Semaphore>);

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// Not in time; the work may still go on.
    Late,
    /// Earlier work has not come back yet.
    Taken,
    /// The thread could not be started, or it panicked.
    Lost,
}

impl Lane {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// Does `work` and waits for it, at most so long. At most one thread is ever left behind.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let taken = Arc::clone(&self.0).acquire_owned();
        let Ok(Ok(permit)) = tokio::time::timeout(limit, taken).await else {
            return Err(NoAnswer::Taken);
        };
        let (done, answer) = oneshot::channel();
        start(permit, move || {
            let _ = done.send(work());
        })?;
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(NoAnswer::Lost),
            Err(_) => Err(NoAnswer::Late),
        }
    }
}

fn start(
    permit: OwnedSemaphorePermit,
    work: impl FnOnce() + Send + 'static,
) -> Result<(), NoAnswer> {
    let thread = std::thread::Builder::new()
        .name("target-io".to_owned())
        .spawn(move || {
            work();
            drop(permit);
        });
    thread.map(drop).map_err(|_| NoAnswer::Lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_hangs_leaves_one_thread_and_blocks_nothing() {
        let lane = Lane::new();
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let limit = Duration::from_millis(50);
        let hung = lane.run(limit, move || wait.recv().is_ok()).await;
        assert_eq!(hung, Err(NoAnswer::Late));
        assert_eq!(lane.run(limit, || 1).await, Err(NoAnswer::Taken));
        release.send(()).unwrap();
        assert_eq!(lane.run(Duration::from_secs(30), || 2).await, Ok(2));
    }
}
