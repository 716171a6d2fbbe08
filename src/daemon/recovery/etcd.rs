//! What is done to etcd, as one operation: its journal is that of [`crate::operation`], so that
//! neither the loop nor a command meddles meanwhile. What fails before its point of no return is
//! taken back at once; what was cut off is gone on with.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::acts::Order;
use super::jobs::{Done, Ended};
use crate::backup::Progress;
use crate::backup::restore::Source as Found;
use crate::core::operation::OperationKind;
use crate::core::recovery::etcd::{Replace, Restore, Source};
use crate::daemon::clock;
use crate::operation::{Operation, RecordError};
use crate::recovery::etcd::{self, Asked};
use crate::store::chain;

/// What the operation's journal remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Work {
    /// Nothing was done yet.
    Begun,
    /// A restore.
    Restore(Restore),
    /// A replacement.
    Replace(Replace),
}

/// The operation and what was written down last. The callbacks write from within the work.
struct Book {
    operation: Mutex<Operation<Work>>,
    last: Mutex<Work>,
}

impl Book {
    /// Takes the node; says what an earlier run was at.
    fn open(order: &Order) -> Result<Self, String> {
        let state_dir = &order.settings.paths.state_dir;
        let (kind, now) = (OperationKind::RecoveryMode, clock::wall());
        let begun = Operation::begin(state_dir, kind, now, "looking at etcd", &Work::Begun)
            .map_err(|error| chain(&error))?;
        for problem in &begun.problems {
            order.say(problem);
        }
        Ok(Self {
            operation: Mutex::new(begun.operation),
            last: Mutex::new(begun.resumed.unwrap_or(Work::Begun)),
        })
    }

    fn last(&self) -> Work {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn record(&self, at: &str, work: Work) -> Result<(), RecordError> {
        let mut operation = self
            .operation
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        operation.record(at, &work)?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = work;
        Ok(())
    }

    fn close(self) -> Result<(), String> {
        let operation = self.operation.into_inner();
        let operation = operation.unwrap_or_else(PoisonError::into_inner);
        operation.finish().map_err(|error| chain(&error))
    }
}

/// Restores etcd from `source`.
pub(super) async fn restore(order: &Order, source: Source) -> Ended {
    let book = Book::open(order)?;
    let resumed = match book.last() {
        Work::Restore(it) if it.id == order.id && it.source == source => Some(it),
        // Of another way of this recovery, which failed and could not be taken back: the member is
        // stopped, and gone on with from there.
        Work::Restore(it) if it.id == order.id && !it.stage.committed() => {
            order.say("the way before it could not be taken back: etcd is stopped already");
            it.instead(source.clone())
        }
        // Of another recovery: taken back first.
        Work::Restore(it) => {
            take_back(order, &Work::Restore(it)).await?;
            None
        }
        Work::Replace(it) => {
            take_back(order, &Work::Replace(it)).await?;
            None
        }
        Work::Begun => None,
    };
    let asked = Asked {
        id: order.id.clone(),
        source: source.clone(),
        high_water: None,
    };
    let progress = Progress::default();
    let mut record = |it: &Restore| book.record(it.stage.said(), Work::Restore(it.clone()));
    let mut say = |line: &str| order.say(line);
    let settings = &order.settings;
    let work = etcd::restore(settings, &asked, resumed, &mut record, &mut say, &progress);
    let ended = until_stopped(order, &book, work).await;
    match ended {
        Ok(restored) => {
            for notice in &restored.notices {
                order.say(notice);
            }
            book.close()?;
            // Alone it had everything that was ever acknowledged; one of several may lag.
            let alone = restored.home.others().is_empty();
            let lost_seconds = match &source {
                Source::DataDirectory => alone.then_some(0),
                Source::Backup(_) => lost(order, &source),
            };
            Ok(Done {
                what: format!(
                    "etcd serves {} keys at revision {} (restored from revision {})",
                    restored.keys, restored.revision, restored.from_revision
                ),
                moved_aside: restored
                    .aside
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect(),
                lost_seconds,
                ..Done::default()
            })
        }
        Err(why) => failed(order, book, why).await,
    }
}

/// Replaces this node's member.
pub(super) async fn replace(order: &Order) -> Ended {
    let book = Book::open(order)?;
    let resumed = match book.last() {
        Work::Replace(it) if it.id == order.id => Some(it),
        Work::Begun => None,
        other => {
            take_back(order, &other).await?;
            None
        }
    };
    let mut record = |it: &Replace| book.record(it.stage.said(), Work::Replace(it.clone()));
    let mut say = |line: &str| order.say(line);
    let settings = &order.settings;
    let work = etcd::replace(settings, &order.id, resumed, &mut record, &mut say);
    match until_stopped(order, &book, work).await {
        Ok(replaced) => {
            book.close()?;
            Ok(Done {
                what: "this node's member has joined anew".to_owned(),
                moved_aside: replaced
                    .aside
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect(),
                lost_seconds: Some(0),
                ..Done::default()
            })
        }
        Err(why) => failed(order, book, why).await,
    }
}

/// Until it has ended, or is told to stop while it may still be taken back.
async fn until_stopped<T>(
    order: &Order,
    book: &Book,
    work: impl Future<Output = Result<T, etcd::Error>>,
) -> Result<T, String> {
    tokio::pin!(work);
    let mut listening = true;
    loop {
        tokio::select! {
            ended = &mut work => return ended.map_err(|error| chain(&error)),
            () = order.stop.cancelled(), if listening => {
                if !committed(&book.last()) {
                    return Err("an operator ended it".to_owned());
                }
                order.say("it is beyond its point of no return: it goes on to its end");
                listening = false;
            }
        }
    }
}

fn committed(work: &Work) -> bool {
    match work {
        Work::Begun => false,
        Work::Restore(it) => it.stage.committed(),
        Work::Replace(it) => it.stage.committed(),
    }
}

/// It has failed: taken back where that can be, and told so.
async fn failed(order: &Order, book: Book, why: String) -> Ended {
    let last = book.last();
    match take_back(order, &last).await {
        Ok(()) => {
            book.close()?;
            Err(why)
        }
        // Left unfinished: the next run goes on with it.
        Err(not) => Err(format!("{why}; and it cannot be taken back: {not}")),
    }
}

async fn take_back(order: &Order, work: &Work) -> Result<(), String> {
    let mut say = |line: &str| order.say(line);
    let undone = match work {
        Work::Begun => Ok(()),
        Work::Restore(it) => etcd::undo(&order.settings, it, &mut say).await,
        Work::Replace(it) => etcd::undo_replace(&order.settings, it, &mut say).await,
    };
    undone.map_err(|error| chain(&error))
}

/// From the backup to the loss, in seconds.
fn lost(order: &Order, source: &Source) -> Option<u64> {
    let Source::Backup(name) = source else {
        return None;
    };
    let found = Found::find(name, &order.settings.backup.dir).ok()?;
    let taken_at = found.manifest()?.taken_at;
    let lost = order.suspected_at.duration_since(taken_at);
    Some(u64::try_from(lost.as_secs()).unwrap_or(0))
}
