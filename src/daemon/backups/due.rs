//! What is to be begun now: by schedule, again after a failure, or because there is none at all.
//! Pure; the task carries it out.

use std::time::Duration;

use jiff::Timestamp;

use crate::core::backup::manifest::Trigger;
use crate::core::backup::schedule::{Due, Schedule};
use crate::core::time::Moment;

/// After the first failure; doubled with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(300);
/// Longest wait after failures.
const LONGEST_RETRY: Duration = Duration::from_secs(3600);

/// What is known about one kind of work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    /// When it runs; `None`: only when asked.
    pub(super) schedule: Option<&'a Schedule>,
    /// This node's wait after each due time.
    pub(super) phase: Duration,
    /// The due time remembered.
    pub(super) last_due: Option<Timestamp>,
    /// Since the last run by schedule was begun in this process.
    pub(super) since_run: Option<Duration>,
    /// Tried again at this moment, after a failure.
    pub(super) retry_at: Option<Moment>,
    /// There is no result of this work at all, and there could be one.
    pub(super) none_yet: bool,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Begin, and remember the due time first, where there is one.
    Begin(Trigger, Option<Timestamp>),
    /// Remember this due time without a run.
    Remember(Timestamp),
    /// Not before; `None`: only when asked.
    Wait(Option<Timestamp>),
}

/// Decides. `now` is the boot clock, `wall` the calendar's.
pub(super) fn due(known: Known<'_>, now: Moment, wall: Timestamp) -> Verdict {
    let Some(schedule) = known.schedule else {
        return Verdict::Wait(None);
    };
    let due = schedule.due(known.last_due, wall, known.phase);
    let due = schedule.paced(due, known.since_run);
    match due {
        Due::Now { at, caught_up } => {
            let trigger = if caught_up {
                Trigger::CaughtUp
            } else {
                Trigger::Schedule
            };
            Verdict::Begin(trigger, Some(at))
        }
        Due::Remember(at) => Verdict::Remember(at),
        Due::At(at) => match known.retry_at {
            Some(retry) if retry <= now => Verdict::Begin(Trigger::CaughtUp, None),
            Some(retry) => Verdict::Wait(Some(at.min(later(wall, retry.since(now))))),
            None if known.none_yet && known.since_run.is_none() => {
                Verdict::Begin(Trigger::CaughtUp, None)
            }
            None => Verdict::Wait(Some(at)),
        },
    }
}

/// How long to wait after so many failures in a row.
pub(super) fn back_off(failures: u32) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(8));
    doubled.min(LONGEST_RETRY)
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::{Known, Verdict, back_off, due};
    use crate::core::backup::manifest::Trigger;
    use crate::core::backup::schedule::Schedule;
    use crate::core::time::Moment;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn hourly() -> Schedule {
        Schedule::parse("0 * * * *", TimeZone::UTC).unwrap()
    }

    fn known(schedule: &Schedule) -> Known<'_> {
        Known {
            schedule: Some(schedule),
            phase: Duration::from_secs(60),
            last_due: Some(at("2026-11-24T09:00:00Z")),
            since_run: None,
            retry_at: None,
            none_yet: false,
        }
    }

    #[test]
    fn what_was_missed_runs_once_and_the_rest_waits() {
        let schedule = hourly();
        let wall = at("2026-11-24T12:30:00Z");
        let verdict = due(known(&schedule), Moment(0), wall);
        let newest = at("2026-11-24T12:00:00Z");
        assert_eq!(verdict, Verdict::Begin(Trigger::CaughtUp, Some(newest)));
        let begun = Known {
            last_due: Some(newest),
            since_run: Some(Duration::from_secs(5)),
            ..known(&schedule)
        };
        let next = at("2026-11-24T13:01:00Z");
        assert_eq!(
            due(begun, Moment(5000), wall),
            Verdict::Wait(Some(next)),
            "the phase counted"
        );
    }

    #[test]
    fn d03_a_clock_that_jumps_to_and_fro_makes_no_storm() {
        let schedule = hourly();
        let begun = Known {
            last_due: Some(at("2026-11-24T12:00:00Z")),
            since_run: Some(Duration::from_secs(60)),
            ..known(&schedule)
        };
        let forward = due(begun, Moment(60_000), at("2026-11-24T18:30:00Z"));
        assert_eq!(forward, Verdict::Remember(at("2026-11-24T18:00:00Z")));
        let back = due(
            Known {
                last_due: Some(at("2026-11-24T18:00:00Z")),
                ..begun
            },
            Moment(61_000),
            at("2026-11-24T12:31:00Z"),
        );
        assert!(matches!(back, Verdict::Remember(_)), "{back:?}");
    }

    #[test]
    fn a_failure_is_tried_again_before_the_next_due_time() {
        let schedule = hourly();
        let wall = at("2026-11-24T09:10:00Z");
        let failed = Known {
            since_run: Some(Duration::from_secs(100)),
            retry_at: Some(Moment(200_000)),
            ..known(&schedule)
        };
        let verdict = due(failed, Moment(100_000), wall);
        assert_eq!(verdict, Verdict::Wait(Some(at("2026-11-24T09:11:40Z"))));
        let verdict = due(failed, Moment(200_000), wall);
        assert_eq!(verdict, Verdict::Begin(Trigger::CaughtUp, None));
        let waits: Vec<u64> = (1..7).map(|count| back_off(count).as_secs()).collect();
        assert_eq!(waits, [300, 600, 1200, 2400, 3600, 3600]);
    }

    #[test]
    fn a_node_without_any_backup_takes_one_at_once_and_only_where_there_is_a_schedule() {
        let schedule = hourly();
        let wall = at("2026-11-24T09:10:00Z");
        let first = Known {
            none_yet: true,
            ..known(&schedule)
        };
        let verdict = due(first, Moment(0), wall);
        assert_eq!(verdict, Verdict::Begin(Trigger::CaughtUp, None));
        let asked = Known {
            schedule: None,
            ..first
        };
        assert_eq!(due(asked, Moment(0), wall), Verdict::Wait(None));
    }
}
