//! When the API server served during a recovery, as far as its events tell.

use jiff::Timestamp;

use super::record::Record;
use super::view::seconds_between;

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// From.
    pub from: Timestamp,
    /// To.
    pub to: Timestamp,
    /// It served; `None`: nobody looked yet.
    pub serves: Option<bool>,
}

/// The stretches between `from` and `to`, in order and without gaps. The first event that tells of
/// it is a first look, so until then it was the same; each later one tells of a change.
#[must_use]
pub fn stretches(record: &Record, from: Timestamp, to: Timestamp) -> Vec<Stretch> {
    let told = record.events.iter();
    let mut changes: Vec<(Timestamp, bool)> = told
        .filter_map(|event| Some((event.at.clamp(from, to.max(from)), event.api?)))
        .collect();
    changes.sort_by_key(|(at, _)| *at);
    let mut serves = changes.first().map(|(_, first)| *first);
    let mut since = from;
    let mut all = Vec::new();
    for (at, now) in changes {
        if at > since && serves != Some(now) {
            let (from, to) = (since, at);
            all.push(Stretch { from, to, serves });
            since = at;
        }
        serves = Some(now);
    }
    if to > since {
        let from = since;
        all.push(Stretch { from, to, serves });
    }
    all
}

/// Seconds without an API server until `to`; `None`: no event tells of it.
#[must_use]
pub fn seconds_away(record: &Record, to: Timestamp) -> Option<u64> {
    let all = stretches(record, record.suspected_at, to);
    if all.iter().any(|stretch| stretch.serves.is_none()) {
        return None;
    }
    let away = all.iter().filter(|stretch| stretch.serves == Some(false));
    Some(
        away.map(|stretch| seconds_between(stretch.from, stretch.to))
            .sum(),
    )
}
