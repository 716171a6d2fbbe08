//! Schedules on clocks that jump, for any schedule and any jumps.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use rekindle::core::backup::schedule::{Due, Schedule};

use crate::backup_schedule::{HOUR, at, cron};

/// A node for some days: the boot clock goes on, the wall clock jumps.
struct Node {
    schedule: Schedule,
    phase: Duration,
    /// Seconds of the boot clock, and what the wall clock adds.
    boot: i64,
    offset: i64,
    last_due: Option<Timestamp>,
    runs: Vec<(i64, Timestamp)>,
}

impl Node {
    fn wall(&self) -> Timestamp {
        Timestamp::from_second(self.boot + self.offset).unwrap()
    }

    /// Asks until the answer is to wait; at most a few questions.
    fn ask(&mut self) {
        for _ in 0..3 {
            let since = self
                .runs
                .last()
                .map(|(boot, _)| Duration::from_secs(u64::try_from(self.boot - boot).unwrap()));
            let due = self.schedule.due(self.last_due, self.wall(), self.phase);
            match self.schedule.paced(due, since) {
                Due::Now { at, .. } => {
                    self.last_due = Some(at);
                    self.runs.push((self.boot, at));
                }
                Due::Remember(at) => self.last_due = Some(at),
                Due::At(at) => {
                    assert!(at > self.wall(), "a time to wait for is in the future");
                    return;
                }
            }
        }
        panic!("the answers do not come to rest at {}", self.wall());
    }
}

fn schedules() -> impl Strategy<Value = Schedule> {
    prop_oneof![
        Just(("0 */6 * * *", "UTC")),
        Just(("15 3 * * *", "Europe/Berlin")),
        Just(("0 * * * *", "America/New_York")),
        Just(("every 45m", "UTC")),
        Just(("*/10 * * * *", "UTC")),
    ]
    .prop_map(|(text, zone)| cron(text, zone))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the wall clock does, runs stay half a period apart; once it is steady, the
    /// schedule is back after two periods.
    #[test]
    fn d03_no_storm_and_always_progress(
        schedule in schedules(),
        phase in 0_u64..3600,
        jumps in prop::collection::vec((0_i64..40_000, -100_000_i64..100_000), 0..12),
        patience in 60_i64..900,
    ) {
        let mut node = Node {
            schedule,
            phase: Duration::from_secs(phase),
            boot: 0,
            offset: at("2026-03-27T00:00:00Z").as_second(),
            last_due: None,
            runs: Vec::new(),
        };
        for (wait, jump) in jumps {
            let until = node.boot + wait;
            while node.boot < until {
                node.ask();
                node.boot += patience;
            }
            node.offset += jump;
        }
        let (steady, before) = (node.boot, node.runs.len());
        let period = node.schedule.next(node.wall()).map(|next| node.schedule.spacing(next)).unwrap();
        // A change of the hour makes one period longer, so do the phase and our own steps.
        let enough = 2 * i64::try_from(period.as_secs()).unwrap() + 7200 + 2 * patience;
        while node.boot < steady + enough {
            node.ask();
            node.boot += patience;
        }
        prop_assert!(node.runs.len() > before, "no run in {enough} s: {:?}", node.runs);
        for pair in node.runs.windows(2) {
            let apart = u64::try_from(pair[1].0 - pair[0].0).unwrap();
            let least = node.schedule.spacing(pair[1].1).as_secs() / 2;
            prop_assert!(apart >= least, "{apart} s apart: {:?}", node.runs);
        }
    }

    /// With a clock that does not jump, each due time runs exactly once and in time, restarts and
    /// a changing phase included.
    #[test]
    fn a_steady_clock_runs_each_due_time_once(schedule in schedules(), phases in prop::collection::vec(0_u64..600, 1..5)) {
        let from = at("2026-10-24T00:00:00Z");
        let mut node = Node {
            schedule: schedule.clone(),
            phase: Duration::ZERO,
            boot: 0,
            offset: from.as_second(),
            last_due: Some(from),
            runs: Vec::new(),
        };
        for step in 0..2000_usize {
            node.phase = Duration::from_secs(phases[step / 100 % phases.len()]);
            node.ask();
            node.boot += 60;
        }
        let mut expected = Vec::new();
        let mut due = from;
        while let Some(next) = schedule.next(due) {
            if next.as_second() + 600 > node.wall().as_second() {
                break;
            }
            expected.push(next);
            due = next;
        }
        let ran: Vec<Timestamp> = node.runs.iter().map(|(_, at)| *at).take(expected.len()).collect();
        // Ten minutes are less than ten minutes and a phase: those may be passed over for the newest.
        if schedule.spacing(from) > Duration::from_secs(1200) {
            prop_assert_eq!(ran, expected);
        }
    }

    /// No text makes the parser or the walk fail otherwise than by saying so.
    #[test]
    fn any_text_is_read_or_refused(text in "(@?every )?[0-9*/,a-z?@ -]{0,24}", second in -3_000_000_000_i64..5_000_000_000) {
        if let Ok(schedule) = Schedule::parse(&text, TimeZone::get("Europe/Berlin").unwrap()) {
            let now = Timestamp::from_second(second).unwrap();
            let next = schedule.next(now);
            prop_assert!(next.is_none_or(|next| next > now));
            prop_assert!(schedule.last(now).is_none_or(|last| last <= now));
            let _ = schedule.due(Some(Timestamp::MAX), now, HOUR);
            let _ = schedule.due(Some(Timestamp::MIN), Timestamp::MAX, HOUR);
        }
    }
}
