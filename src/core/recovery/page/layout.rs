//! Where everything of the timeline stands: numbers only, in the units of the picture.

use jiff::Timestamp;

use super::text::{between, extent, fitting};
use crate::core::recovery::availability::{Stretch, stretches};
use crate::core::recovery::record::Record;

/// Width of the whole picture.
pub(super) const WIDTH: f64 = 1040.0;
/// Where time begins: names of the rows stand left of it.
pub(super) const LEFT: f64 = 280.0;
/// Where time ends: durations may stand right of it.
pub(super) const RIGHT: f64 = 910.0;
/// Height of a row.
pub(super) const ROW: f64 = 26.0;
/// Height of a row of labels.
pub(super) const LANE: f64 = 17.0;
/// Room above the first row.
pub(super) const TOP: f64 = 34.0;
/// Most phases and events that are drawn; the tables have all.
const MOST: usize = 24;
/// Longest label of an event: less than half of the picture, so that it has room on one side.
const LABEL: f64 = 340.0;
/// Size of its font, as in the style.
const LABEL_FONT: f64 = 11.5;
/// Between two labels in one lane.
const GAP: f64 = 10.0;

/// The timeline of one recovery.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    /// The loss was seen so long before the picture begins that it does not fit.
    pub(super) cut: bool,
    /// Where the axis begins to count: the loss was first seen, or, where that does not fit, the
    /// recovery began.
    pub(super) zero: Timestamp,
    /// Ticks of the axis: place and seconds since then.
    pub(super) ticks: Vec<(f64, i64)>,
    /// Where the recovery began.
    pub(super) entered: f64,
    pub(super) bars: Vec<Bar>,
    pub(super) api: Vec<(f64, f64, Stretch)>,
    pub(super) labels: Vec<Label>,
    pub(super) lanes: usize,
    /// Phases and events that are not drawn.
    pub(super) left_out: usize,
}

/// A bar of one row.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) what: String,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) length: std::time::Duration,
    pub(super) kind: BarKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BarKind {
    Detection,
    Phase,
    /// The phase that it failed in.
    Failed,
    /// The phase that is under way.
    Running,
}

/// An event, its tick, and where its text stands.
#[derive(Debug, Clone)]
pub(super) struct Label {
    pub(super) at: f64,
    pub(super) text: String,
    pub(super) lane: usize,
    /// The text stands left of the tick: right of it there is no room.
    pub(super) leftwards: bool,
    /// `true`: the API server served from here on; `false`: no more.
    pub(super) api: Option<bool>,
}

impl Label {
    /// From where to where the text goes.
    pub(super) fn span(&self) -> (f64, f64) {
        let width = extent(&self.text, LABEL_FONT) + 5.0;
        if self.leftwards {
            (self.at - width, self.at)
        } else {
            (self.at, self.at + width)
        }
    }
}

/// Lays out `record` as it is at `now`.
pub(super) fn layout(record: &Record, now: Timestamp) -> Layout {
    let (from, to, cut) = span(record, now);
    let x = |at: Timestamp| place(from, to, at);
    let failed = record.outcome.as_ref().is_some_and(|it| it.why().is_some());
    let mut bars = vec![Bar {
        what: "detecting the loss".to_owned(),
        from: x(record.suspected_at),
        to: x(record.entered_at),
        length: between(record.suspected_at, record.entered_at),
        kind: BarKind::Detection,
    }];
    let last = record.phases.len().saturating_sub(1);
    bars.extend(
        record
            .phases
            .iter()
            .enumerate()
            .take(MOST)
            .map(|(index, phase)| {
                let end = phase.ended.or(record.ended_at).unwrap_or(to);
                Bar {
                    what: phase.what.clone(),
                    from: x(phase.began),
                    to: x(end),
                    length: between(phase.began, end),
                    kind: if record.outcome.is_none() && phase.ended.is_none() {
                        BarKind::Running
                    } else if failed && index == last {
                        BarKind::Failed
                    } else {
                        BarKind::Phase
                    },
                }
            }),
    );
    let api = stretches(record, from, to);
    let api = api
        .into_iter()
        .map(|it| (x(it.from), x(it.to), it))
        .collect();
    let drawn = record.events.iter().take(MOST);
    let labels = drawn.map(|event| Label {
        at: x(event.at),
        text: fitting(&visible(&event.what), LABEL, LABEL_FONT),
        lane: 0,
        leftwards: false,
        api: event.api,
    });
    let labels = placed(labels.collect());
    let zero = if cut {
        record.entered_at
    } else {
        record.suspected_at
    };
    Layout {
        from,
        to,
        cut,
        zero,
        ticks: ticks(zero, from, to),
        entered: x(record.entered_at),
        lanes: labels.iter().map(|label| label.lane + 1).max().unwrap_or(0),
        left_out: record.phases.len().saturating_sub(MOST)
            + record.events.len().saturating_sub(MOST),
        bars,
        api,
        labels,
    }
}

/// What is not seen would make a label look shorter than it is counted.
fn visible(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

/// From when to when the picture goes.
fn span(record: &Record, now: Timestamp) -> (Timestamp, Timestamp, bool) {
    let ends = record.phases.iter().filter_map(|phase| phase.ended);
    let begins = record.phases.iter().map(|phase| phase.began);
    let events = record.events.iter().map(|event| event.at);
    let end = record.ended_at.unwrap_or(now);
    let seen = ends.chain(begins).chain(events).chain([end]);
    let to = seen.max().unwrap_or(end).max(record.entered_at);
    let took = between(record.entered_at, to);
    let before = between(record.suspected_at, record.entered_at);
    // Hours of waiting for an operator would leave no room for the recovery itself.
    if before
        > took
            .saturating_mul(3)
            .max(std::time::Duration::from_secs(60))
    {
        let margin = (took / 4).max(std::time::Duration::from_secs(1));
        let from = record.entered_at.checked_sub(margin);
        return (from.unwrap_or(record.entered_at), to, true);
    }
    (record.suspected_at.min(record.entered_at), to, false)
}

/// The place of a time, within the picture.
fn place(from: Timestamp, to: Timestamp, at: Timestamp) -> f64 {
    let whole = between(from, to).as_secs_f64();
    let part = between(from, at.min(to)).as_secs_f64();
    if whole <= 0.0 {
        return LEFT;
    }
    LEFT + (RIGHT - LEFT) * part / whole
}

/// Ticks at round numbers of seconds since `zero`, up to twelve of them.
fn ticks(zero: Timestamp, from: Timestamp, to: Timestamp) -> Vec<(f64, i64)> {
    const STEPS: [i64; 18] = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 604_800,
    ];
    let whole = i64::try_from(between(from, to).as_secs()).unwrap_or(i64::MAX);
    let fits = |step: &i64| whole / step <= 11;
    let step = STEPS.into_iter().find(fits).unwrap_or(whole.max(1));
    let first = from.duration_since(zero).as_secs();
    let last = to.duration_since(zero).as_secs();
    let mut at = (first / step) * step;
    let mut ticks = Vec::new();
    while at <= last && ticks.len() < 16 {
        let time = zero.checked_add(jiff::SignedDuration::from_secs(at));
        if let Ok(time) = time
            && time >= from
        {
            ticks.push((place(from, to, time), at));
        }
        at = at.saturating_add(step);
    }
    ticks
}

/// Gives each label the first lane in which it neither overlaps another one nor hides the line of
/// one that stands lower. Those at the right edge stand left of their ticks.
fn placed(mut labels: Vec<Label>) -> Vec<Label> {
    labels.sort_by(|a, b| a.at.total_cmp(&b.at));
    for label in &mut labels {
        label.leftwards = label.span().1 > WIDTH - 4.0;
    }
    let (left, right): (Vec<_>, Vec<_>) = labels.into_iter().partition(|label| label.leftwards);
    let mut done: Vec<Label> = Vec::new();
    // From the outside in: a line that comes down later goes deeper, past what hangs already.
    for mut label in left.into_iter().chain(right.into_iter().rev()) {
        let (from, to) = label.span();
        let below = done.iter().filter(|other| {
            let (begin, end) = other.span();
            let overlaps = begin < to + GAP && from < end + GAP;
            let line_inside = other.at > from - 3.0 && other.at < to + 3.0;
            overlaps || line_inside
        });
        label.lane = below.map(|other| other.lane + 1).max().unwrap_or(0);
        done.push(label);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::{Label, placed};

    fn label(at: f64, length: usize) -> Label {
        Label {
            at,
            text: "x".repeat(length),
            lane: 0,
            leftwards: false,
            api: None,
        }
    }

    #[test]
    fn labels_never_overlap() {
        let crowded: Vec<Label> = (0..24_u8)
            .map(|n| label(230.0 + f64::from(n) * 31.0, 10 + usize::from(n) * 7 % 37))
            .chain([label(960.0, 46), label(960.0, 46), label(958.0, 3)])
            .collect();
        let placed = placed(crowded);
        for (index, one) in placed.iter().enumerate() {
            let (from, to) = one.span();
            assert!(from > 0.0 && to <= super::WIDTH, "{one:?}");
            for other in placed.iter().skip(index + 1) {
                let (begin, end) = other.span();
                let apart = one.lane != other.lane || end < from || to < begin;
                assert!(apart, "{one:?} {other:?}");
            }
        }
    }
}
