//! Stopping the tasks of a pod that the kubelet started. The CRI plugin notices the exits itself;
//! nothing is deleted here.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::calls::{KILL, TERM};
use super::listing::Record;
use super::view::{KIND, POD_UID};
use super::{Containerd, Error};

/// How often a task whose shim goes is asked for again, 100 ms apart.
const SHIM_ROUNDS: u32 = 50;
const SHIM_PAUSE: Duration = Duration::from_millis(100);

impl Containerd {
    /// Stops all tasks of a sandbox: its containers, then its own. `at_once`: SIGKILL; otherwise
    /// SIGTERM, and SIGKILL to what is left after `grace`. Returns when all have ended; a sandbox
    /// that is not there has.
    pub async fn kill_sandbox_tasks(
        &self,
        sandbox_id: &str,
        at_once: bool,
        grace: Duration,
    ) -> Result<(), Error> {
        let namespace = self.config().cri_namespace.as_str();
        let listing = self.list(namespace).await?;
        let uid = listing.get(sandbox_id).map(|record| record.label(POD_UID));
        let of_sandbox = |record: &Record| match &record.sandbox {
            Some(sandbox) => sandbox == sandbox_id,
            None => uid.is_some_and(|uid| !uid.is_empty() && record.label(POD_UID) == uid),
        };
        let running: Vec<&str> = listing
            .iter()
            .filter(|(_, record)| record.label(KIND) != "sandbox" && of_sandbox(record))
            .filter(|(_, record)| record.task.has_process())
            .map(|(id, _)| id.as_str())
            .collect();
        let grace = if at_once { Duration::ZERO } else { grace };
        try_join_all(running.iter().map(|id| self.end_task(namespace, id, grace))).await?;
        if (listing.get(sandbox_id)).is_some_and(|record| record.task.has_process()) {
            self.end_task(namespace, sandbox_id, Duration::ZERO).await?;
        }
        Ok(())
    }

    /// Ends one task: SIGTERM and `grace` (zero: none), then SIGKILL. Returns when it has ended; where
    /// its shim died meanwhile, when containerd has begun to kill what the shim left.
    pub(crate) async fn end_task(
        &self,
        namespace: &str,
        id: &str,
        grace: Duration,
    ) -> Result<(), Error> {
        past_shim(|| self.end_task_once(namespace, id, grace)).await
    }

    async fn end_task_once(&self, namespace: &str, id: &str, grace: Duration) -> Result<(), Error> {
        if !grace.is_zero() {
            self.signal(namespace, id, TERM, false).await?;
            self.resume_in(namespace, id).await.ok();
            if self.wait_ended(namespace, id, grace).await? {
                return Ok(());
            }
        }
        self.signal(namespace, id, KILL, true).await?;
        // A frozen process dies only when it is thawed. Most are not frozen, which is no error.
        self.resume_in(namespace, id).await.ok();
        let limit = self.config().call_deadline;
        if self.wait_ended(namespace, id, limit).await? {
            return Ok(());
        }
        Err(Error::TimedOut {
            call: "Tasks.Kill",
            after: limit,
        })
    }
}

/// Asks again while the shim of a task is going: it answers for nothing then, and containerd
/// removes its tasks within a moment, or says what else is wrong. Only for what may be said twice.
pub(crate) async fn past_shim<T, F: Future<Output = Result<T, Error>>>(
    mut ask: impl FnMut() -> F,
) -> Result<T, Error> {
    for _ in 0..SHIM_ROUNDS {
        match ask().await {
            Err(error) if error.is_shim_gone() => tokio::time::sleep(SHIM_PAUSE).await,
            answer => return answer,
        }
    }
    ask().await
}
