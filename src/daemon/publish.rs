//! The published copy of the daemon's state: what the socket, the metrics and `STATUS=` read
//! (invariant 11).

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::core::reading::UnseenKind;
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
