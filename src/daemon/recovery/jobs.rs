//! One act of a recovery, carried out on a thread of its own: what it says comes back as lines,
//! how it ended once. The task waits for nothing of it.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::acts;
use crate::config::Settings;
use crate::core::recovery::journal::{Act, Journal};
use crate::core::recovery::record::Finding;

/// How an act ended: a word on what it did, and where what it moved aside is; or why it failed.
pub(super) type Ended = Result<Done, String>;

/// What came of an act.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Done {
    /// One sentence.
    pub(super) what: String,
    /// Where what was moved aside is.
    pub(super) moved_aside: Vec<String>,
    /// Data lost, in seconds, where it is known.
    pub(super) lost_seconds: Option<u64>,
    /// What was cleared up, and what was left.
    pub(super) hygiene: Vec<Finding>,
}

/// An act under way.
#[derive(Debug)]
pub(super) struct Job {
    ended: oneshot::Receiver<Ended>,
    lines: mpsc::UnboundedReceiver<String>,
    stop: CancellationToken,
}

/// What comes from a job.
#[derive(Debug)]
pub(super) enum News {
    /// It says something.
    Line(String),
    /// It has ended.
    Ended(Ended),
}

impl Job {
    /// Begins `act` of the recovery in `journal`.
    pub(super) fn spawn(act: &Act, journal: &Journal, settings: &Arc<Settings>) -> Self {
        let (answer, ended) = oneshot::channel();
        let (say, lines) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let order = acts::Order {
            act: act.clone(),
            id: journal.record.id.clone(),
            suspected_at: journal.record.suspected_at,
            restored_at: journal.restored_at(),
            settings: Arc::clone(settings),
            stop: stop.clone(),
            say,
        };
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let ended = match runtime {
                Ok(runtime) => runtime.block_on(acts::carry_out(&order)),
                Err(error) => Err(format!("no runtime: {error}")),
            };
            // The task has gone: the daemon stops, and the journal says what was under way.
            let _gone = answer.send(ended);
        };
        // Where there is no thread, the sender goes with the closure: the job has ended.
        let _thread = std::thread::Builder::new()
            .name("recovery".to_owned())
            .spawn(work);
        Self { ended, lines, stop }
    }

    /// The next news. Cancel-safe.
    pub(super) async fn news(&mut self) -> News {
        tokio::select! {
            biased;
            Some(line) = self.lines.recv() => News::Line(line),
            ended = &mut self.ended => News::Ended(
                ended.unwrap_or_else(|_| Err("it ended without a word".to_owned())),
            ),
        }
    }

    /// Tells it to stop where it can; it says itself when it has.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}
