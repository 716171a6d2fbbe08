//! The published copy of the daemon's state: what the socket, the metrics and `STATUS=` read
//! (invariant 11).

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::backup::progress::Progress;
use crate::core::backup::report::{BackupsReport, Work};
use crate::core::reading::UnseenKind;
use crate::core::recovery::loss::Condition;
use crate::core::recovery::view::RecoveryReport;
use crate::core::report::Report;
use crate::core::time::Moment;

/// A report with its number: a reader that has seen number N waits for another one.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// Grows with each change that a reader could see.
    pub generation: u64,
    /// The report.
    pub report: Arc<Report>,
    /// Counters for the metrics.
    pub counters: Arc<Counters>,
    /// Backups; the position of what runs is in `progress`.
    pub backups: Arc<BackupsReport>,
    /// How far the backup or rehearsal is that runs now.
    pub progress: Progress,
    /// What was counted of backups.
    pub tries: Tries,
    /// Recovery mode.
    /// How the control plane stands, and recoveries.
    pub recovery: Arc<RecoveryReport>,
}

impl Published {
    /// The report on backups with the position of what runs, as it is at this moment.
    #[must_use]
    pub fn backups_now(&self) -> BackupsReport {
        let mut report = (*self.backups).clone();
        if let Some(running) = &mut report.running {
            let position = self.progress.position();
            position.phase.clone_into(&mut running.phase);
            running.done_bytes = position.done;
            running.total_bytes = position.total;
        }
        report
    }
}

/// Ended backups and rehearsals since the daemon started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tries {
    /// Backups that succeeded.
    pub backups_done: u64,
    /// Backups that failed.
    pub backups_failed: u64,
    /// Rehearsals that passed.
    pub rehearsals_done: u64,
    /// Rehearsals that failed.
    pub rehearsals_failed: u64,
}

impl Tries {
    /// Counts one.
    pub fn count(&mut self, work: Work, passed: bool) {
        let counter = match (work, passed) {
            (Work::Backup, true) => &mut self.backups_done,
            (Work::Backup, false) => &mut self.backups_failed,
            (Work::Rehearsal, true) => &mut self.rehearsals_done,
            (Work::Rehearsal, false) => &mut self.rehearsals_failed,
        };
        *counter += 1;
    }
}

/// Publishes what backups do, beside the loop and without waking it.
#[derive(Debug, Clone)]
pub struct BackupsPublisher(watch::Sender<Published>);

impl BackupsPublisher {
    /// Publishes `report`; readers are woken where it differs.
    pub fn publish(&self, report: BackupsReport, progress: &Progress, tries: Tries) {
        self.0.send_if_modified(|published| {
            let changed = *published.backups != report;
            published.progress = progress.clone();
            published.tries = tries;
            if changed {
                published.backups = Arc::new(report);
                published.generation += 1;
            }
            changed
        });
    }
}

/// Publishes what recovery mode sees and does, beside the loop and without waking it.
#[derive(Debug, Clone)]
pub struct RecoveryPublisher(watch::Sender<Published>);

impl RecoveryPublisher {
    /// Publishes `report`; readers are woken where something but durations changed.
    pub fn publish(&self, report: RecoveryReport) {
        self.0.send_if_modified(|published| {
            let changed = published.recovery.timeless() != report.timeless();
            published.recovery = Arc::new(report);
            if changed {
                published.generation += 1;
            }
            changed
        });
    }
}

/// What the daemon counts, since it started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counters {
    /// Completed turns of the loop.
    pub turns: u64,
    /// Duration of the last turn in seconds, decision and actions included.
    pub last_turn_seconds: f64,
    /// Actions by kind and outcome (`done`, `failed`).
    pub actions: BTreeMap<(&'static str, &'static str), u64>,
    /// Length of the last hand-over in seconds, from release to the parent serving.
    pub last_handover_seconds: Option<f64>,
}

/// Keeps since when each source is as it is, and publishes what changed.
#[derive(Debug)]
pub struct Publisher {
    sender: watch::Sender<Published>,
    since: BTreeMap<String, (Option<UnseenKind>, Moment)>,
    /// The counters of the next publication.
    pub counters: Counters,
}

impl Publisher {
    /// A publisher and its first, empty publication.
    pub fn new() -> (Self, watch::Receiver<Published>) {
        let (sender, receiver) = watch::channel(Published::default());
        (
            Self {
                sender,
                since: BTreeMap::new(),
                counters: Counters::default(),
            },
            receiver,
        )
    }

    /// The same publication for what backups do.
    pub fn of_backups(&self) -> BackupsPublisher {
        BackupsPublisher(self.sender.clone())
    }

    /// The line of `STATUS=`: what recovery mode does comes first, then the loop's `summary`; but an
    /// operator's hold comes before what is only seen.
    pub fn headline(&self, summary: &str) -> String {
        let (recovery, held) = {
            let published = self.sender.borrow();
            let held = published.report.hold.is_some();
            (Arc::clone(&published.recovery), held)
        };
        match (&recovery.running, recovery.condition) {
            (Some(running), _) => format!("recovering: {}; {summary}", running.phase),
            (None, Condition::Lost | Condition::Suspected) if held => {
                format!("{summary}; control plane {}", recovery.condition.word())
            }
            (None, Condition::Lost | Condition::Suspected) => {
                format!("control plane {}; {summary}", recovery.condition.word())
            }
            (None, _) => summary.to_owned(),
        }
    }

    /// The same publication for recovery mode.
    pub fn of_recovery(&self) -> RecoveryPublisher {
        RecoveryPublisher(self.sender.clone())
    }

    /// Publishes `report`; readers are woken only where something but durations changed.
    pub fn publish(&mut self, mut report: Report, now: Moment) {
        let mut stands = BTreeMap::new();
        for source in &mut report.sources {
            let since = match self.since.get(&source.name) {
                Some((unknown, since)) if *unknown == source.unknown => *since,
                _ => now,
            };
            stands.insert(source.name.clone(), (source.unknown, since));
            source.since_seconds = now.since(since).as_secs();
        }
        self.since = stands;
        let counters = Arc::new(self.counters.clone());
        self.sender.send_if_modified(|published| {
            let changed = !same(&published.report, &report);
            published.report = Arc::new(report);
            published.counters = counters;
            if changed {
                published.generation += 1;
            }
            changed
        });
    }
}

/// Equal but for the seconds that only pass.
fn same(one: &Report, other: &Report) -> bool {
    let timeless = |report: &Report| {
        let mut report = report.clone();
        for source in &mut report.sources {
            source.since_seconds = 0;
        }
        report
    };
    timeless(one) == timeless(other)
}

#[cfg(test)]
mod tests {
    use super::Publisher;
    use crate::core::operator_hold::HoldSeen;
    use crate::core::recovery::loss::Condition;
    use crate::core::recovery::view::RecoveryReport;
    use crate::core::report::Report;
    use crate::core::time::Moment;

    #[test]
    fn what_recovery_mode_sees_comes_first_but_for_an_operator_s_hold() {
        let (mut publisher, _readers) = Publisher::new();
        assert_eq!(publisher.headline("all well"), "all well");
        publisher.of_recovery().publish(RecoveryReport {
            condition: Condition::Suspected,
            ..RecoveryReport::default()
        });
        assert_eq!(
            publisher.headline("all well"),
            "control plane suspected; all well"
        );
        let hold = HoldSeen {
            reason: "an upgrade".to_owned(),
            by: "alice".to_owned(),
            began: jiff::Timestamp::UNIX_EPOCH,
            until: jiff::Timestamp::UNIX_EPOCH,
            ends: Moment(7),
        };
        let report = Report {
            hold: Some(hold),
            ..Report::default()
        };
        publisher.publish(report, Moment(1));
        assert_eq!(
            publisher.headline("HELD by alice"),
            "HELD by alice; control plane suspected"
        );
    }
}
