//! When backups are due: expressions, time zones, phases, and clocks that jump.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rekindle::core::backup::schedule::{Due, Schedule, phase};

pub const HOUR: Duration = Duration::from_secs(3600);

pub fn cron(text: &str, zone: &str) -> Schedule {
    Schedule::parse(text, TimeZone::get(zone).unwrap()).unwrap()
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The due times after `from`, in the zone.
fn times(text: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let schedule = cron(text, zone);
    let mut after = at(from);
    let mut times = Vec::new();
    for _ in 0..count {
        after = schedule.next(after).unwrap();
        let there = after.to_zoned_datetime(TimeZone::get(zone).unwrap());
        times.push(there.strftime("%m-%d %H:%M %z").to_string());
        assert_eq!(schedule.last(after), Some(after), "{text}");
    }
    times
}

#[test]
fn due_times_are_those_of_the_expression() {
    for (text, from, expected) in [
        (
            "0 */6 * * *",
            "2026-11-24T00:30:00Z",
            "11-24 06:00, 11-24 12:00, 11-24 18:00, 11-25 00:00",
        ),
        (
            "@hourly",
            "2026-11-24T00:00:00Z",
            "11-24 01:00, 11-24 02:00",
        ),
        ("@daily", "2026-11-24T00:00:00Z", "11-25 00:00, 11-26 00:00"),
        (
            "@weekly",
            "2026-11-24T00:00:00Z",
            "11-29 00:00, 12-06 00:00",
        ),
        (
            "@monthly",
            "2026-11-24T00:00:00Z",
            "12-01 00:00, 01-01 00:00",
        ),
        (
            "@yearly",
            "2026-11-24T00:00:00Z",
            "01-01 00:00, 01-01 00:00",
        ),
        (
            "30 4 * * mon-FRI",
            "2026-11-27T04:30:00Z",
            "11-30 04:30, 12-01 04:30",
        ),
        (
            "0 0 * * 7",
            "2026-11-24T00:00:00Z",
            "11-29 00:00, 12-06 00:00",
        ),
        (
            "0 0 * * 5-7",
            "2026-11-24T00:00:00Z",
            "11-27 00:00, 11-28 00:00, 11-29 00:00, 12-04 00:00",
        ),
        (
            "5/20 1 * * ?",
            "2026-11-24T00:00:00Z",
            "11-24 01:05, 11-24 01:25, 11-24 01:45, 11-25 01:05",
        ),
        (
            "10-30/10,59 1 * * *",
            "2026-11-24T00:00:00Z",
            "11-24 01:10, 11-24 01:20, 11-24 01:30, 11-24 01:59",
        ),
        (
            "0 0 29 2 *",
            "2026-11-24T00:00:00Z",
            "02-29 00:00, 02-29 00:00",
        ),
        // Both days restricted: either; one of them `*`: both.
        (
            "0 0 13 * fri",
            "2026-11-24T00:00:00Z",
            "11-27 00:00, 12-04 00:00, 12-11 00:00, 12-13 00:00",
        ),
        (
            "0 0 * * fri",
            "2026-11-24T00:00:00Z",
            "11-27 00:00, 12-04 00:00",
        ),
        (
            "0 0 13 jan,DEC *",
            "2026-11-24T00:00:00Z",
            "12-13 00:00, 01-13 00:00, 12-13 00:00",
        ),
        // `*/10` is no `*`, as in robfig/cron.
        (
            "0 0 */10 * mon",
            "2026-11-24T00:00:00Z",
            "11-30 00:00, 12-01 00:00, 12-07 00:00, 12-11 00:00",
        ),
        (
            "every 6h",
            "2026-11-24T00:30:00Z",
            "11-24 06:00, 11-24 12:00",
        ),
        (
            "@every 1h30m",
            "2026-11-24T00:30:00Z",
            "11-24 01:30, 11-24 03:00",
        ),
    ] {
        let expected: Vec<String> = expected
            .split(", ")
            .map(|time| format!("{time} +0000"))
            .collect();
        assert_eq!(times(text, "UTC", from, expected.len()), expected, "{text}");
    }
}

#[test]
fn hours_that_the_zone_leaves_out_or_has_twice_run_once() {
    let (berlin, york) = ("Europe/Berlin", "America/New_York");
    for (text, zone, from, expected) in [
        // 2026-03-29: 02:00 becomes 03:00. 2026-10-25: 03:00 becomes 02:00.
        (
            "30 2 * * *",
            berlin,
            "2026-03-27T12:00:00Z",
            "03-28 02:30 +0100, 03-29 03:00 +0200, 03-30 02:30 +0200",
        ),
        (
            "0 2,3 * * *",
            berlin,
            "2026-03-28T12:00:00Z",
            "03-29 03:00 +0200, 03-30 02:00 +0200",
        ),
        (
            "*/30 * * * *",
            berlin,
            "2026-03-29T00:15:00Z",
            "03-29 01:30 +0100, 03-29 03:00 +0200, 03-29 03:30 +0200",
        ),
        (
            "0 */6 * * *",
            berlin,
            "2026-03-28T18:00:00Z",
            "03-29 00:00 +0100, 03-29 06:00 +0200",
        ),
        (
            "30 2 * * *",
            berlin,
            "2026-10-24T12:00:00Z",
            "10-25 02:30 +0200, 10-26 02:30 +0100",
        ),
        (
            "0 * * * *",
            berlin,
            "2026-10-24T23:30:00Z",
            "10-25 02:00 +0200, 10-25 03:00 +0100",
        ),
        (
            "0 2 * * *",
            berlin,
            "2026-10-25T00:30:00Z",
            "10-26 02:00 +0100",
        ),
        // 2026-03-08: 02:00 becomes 03:00. 2026-11-01: 02:00 becomes 01:00.
        (
            "30 2 * * *",
            york,
            "2026-03-07T12:00:00Z",
            "03-08 03:00 -0400, 03-09 02:30 -0400",
        ),
        (
            "30 1 * * *",
            york,
            "2026-10-31T12:00:00Z",
            "11-01 01:30 -0400, 11-02 01:30 -0500",
        ),
        (
            "30 1 * * *",
            york,
            "2026-11-01T06:00:00Z",
            "11-02 01:30 -0500",
        ),
        (
            "0 */6 * * *",
            york,
            "2026-11-01T03:00:00Z",
            "11-01 00:00 -0400, 11-01 06:00 -0500",
        ),
        // A day that is not there: Samoa had no 30 December 2011.
        (
            "0 12 * * *",
            "Pacific/Apia",
            "2011-12-29T23:00:00Z",
            "12-31 00:00 +1400, 12-31 12:00 +1400",
        ),
    ] {
        let expected: Vec<&str> = expected.split(", ").collect();
        assert_eq!(
            times(text, zone, from, expected.len()),
            expected,
            "{text} in {zone}"
        );
    }
}

#[test]
fn bad_expressions_are_refused_with_the_reason() {
    for (text, cause) in [
        ("", "0 fields instead of five"),
        ("* * * *", "4 fields instead of five"),
        ("0 0 0 * * *", "6 fields instead of five"),
        ("60 * * * *", "minute: 60 is not in 0 to 59"),
        ("* 24 * * *", "hour: 24 is not in 0 to 23"),
        ("* * 0 * *", "day of month: 0 is not in 1 to 31"),
        ("* * * 13 *", "month: 13 is not in 1 to 12"),
        ("* * * * 8", "day of week: 8 is not in 0 to 7"),
        ("* * * * mo", "day of week: \"mo\" is no value"),
        ("5-1 * * * *", "minute: \"5-1\" begins after its end"),
        ("*/0 * * * *", "minute: \"0\" is no step"),
        ("*/+5 * * * *", "minute: \"+5\" is no step"),
        ("+5 * * * *", "minute: \"+5\" is no value"),
        ("1,,2 * * * *", "minute: \"\" is no value"),
        ("0 0 L * *", "day of month: \"L\" is no value"),
        ("0 0 31 2 *", "no such day ever comes"),
        ("0 0 31 4,6 *", "no such day ever comes"),
        ("@fortnightly", "there is no such macro"),
        (
            "CRON_TZ=UTC 0 0 * * *",
            "the time zone is a setting of its own",
        ),
        (
            "every 30s",
            "an interval is at least a minute and at most 366 days",
        ),
        (
            "every 367d",
            "an interval is at least a minute and at most 366 days",
        ),
        ("every", "1 fields instead of five"),
        (
            "every 6",
            "an interval is written as `every 6h` or `every 1h30m`",
        ),
        (
            "every h",
            "an interval is written as `every 6h` or `every 1h30m`",
        ),
        (
            "every 99999999999999999999d",
            "an interval is written as `every 6h` or `every 1h30m`",
        ),
    ] {
        let error = Schedule::parse(text, TimeZone::UTC).unwrap_err();
        assert_eq!(error.cause, cause, "{text}");
    }
    let long = format!("{} * * * *", "1,".repeat(200));
    assert!(Schedule::parse(&long, TimeZone::UTC).is_err());
}

#[test]
fn one_run_is_caught_up_and_the_first_start_runs_nothing() {
    let schedule = cron("0 */6 * * *", "UTC");
    let phase = Duration::from_secs(600);
    let due = |last: Option<&str>, now: &str| schedule.due(last.map(at), at(now), phase);
    let now = |time: &str, caught_up| Due::Now {
        at: at(time),
        caught_up,
    };
    for (last, time, expected) in [
        // The first start: what was due before it is taken as run.
        (
            None,
            "2026-11-24T07:00:00Z",
            Due::Remember(at("2026-11-24T06:00:00Z")),
        ),
        // The usual run, its phase later.
        (
            Some("2026-11-24T00:00:00Z"),
            "2026-11-24T06:09:59Z",
            Due::At(at("2026-11-24T06:10:00Z")),
        ),
        (
            Some("2026-11-24T00:00:00Z"),
            "2026-11-24T06:10:00Z",
            now("2026-11-24T06:00:00Z", false),
        ),
        (
            Some("2026-11-24T06:00:00Z"),
            "2026-11-24T06:10:00Z",
            Due::At(at("2026-11-24T12:10:00Z")),
        ),
        // Five hours late, and after three days: once, for the newest.
        (
            Some("2026-11-24T00:00:00Z"),
            "2026-11-24T11:00:00Z",
            now("2026-11-24T06:00:00Z", true),
        ),
        (
            Some("2026-11-21T00:00:00Z"),
            "2026-11-24T06:15:00Z",
            now("2026-11-24T06:00:00Z", true),
        ),
    ] {
        assert_eq!(due(last, time), expected, "{last:?} {time}");
    }
}

#[test]
fn d03_a_memory_from_the_future_costs_one_period_at_most_and_repeats_nothing() {
    let schedule = cron("0 */6 * * *", "UTC");
    let due = |last: &str, now: &str| schedule.due(Some(at(last)), at(now), Duration::ZERO);
    // Back by two minutes, just after the run: not a second time.
    assert_eq!(
        due("2026-11-24T12:00:00Z", "2026-11-24T11:58:00Z"),
        Due::At(at("2026-11-24T18:00:00Z"))
    );
    // Back by years: the next due time runs.
    assert_eq!(
        due("2038-01-19T00:00:00Z", "2026-11-24T11:58:00Z"),
        Due::Remember(at("2026-11-24T06:00:00Z"))
    );
    assert_eq!(
        due("2026-11-24T06:00:00Z", "2026-11-24T11:58:00Z"),
        Due::At(at("2026-11-24T12:00:00Z"))
    );
    // Too soon after the last by the boot clock: that one stands for it.
    let jumped = due("2026-11-24T06:00:00Z", "2026-11-24T23:10:00Z");
    assert_eq!(
        schedule.paced(jumped, Some(HOUR)),
        Due::Remember(at("2026-11-24T18:00:00Z"))
    );
    assert_eq!(schedule.paced(jumped, Some(3 * HOUR)), jumped);
    assert_eq!(schedule.paced(jumped, None), jumped);
}

#[test]
fn b07_three_masters_never_run_together() {
    let spread = HOUR;
    let apart = |left: Duration, right: Duration| {
        let distance = left.abs_diff(right);
        distance.min(spread.saturating_sub(distance))
    };
    for stem in [
        "master-",
        "master",
        "cp-0",
        "ip-10-0-1-",
        "k8s-prod-master-00",
        "m",
        "a1b",
    ] {
        for domain in ["", ".example.com", ".eu-west-1.compute.internal"] {
            for first in [0, 1, 9, 98, 250] {
                let phases: Vec<Duration> = (first..first + 3)
                    .map(|number| phase(&format!("{stem}{number}{domain}"), spread))
                    .collect();
                for (left, right) in [(0, 1), (1, 2), (0, 2)] {
                    let distance = apart(phases[left], phases[right]);
                    assert!(
                        distance >= Duration::from_secs(720),
                        "{stem}{first}{domain}: {phases:?}"
                    );
                }
            }
        }
    }
    // Fixed: a node's phase is the same in every version.
    assert_eq!(phase("master-1", spread), phase("master-1", spread));
    assert_eq!(phase("master-1", Duration::ZERO), Duration::ZERO);
    // Names without numbers are spread evenly: each tenth of the hour has its share.
    let mut tenths = [0_u32; 10];
    for one in 'a'..='z' {
        for two in 'a'..='z' {
            let at = phase(&format!("{one}{two}-master"), spread);
            assert!(at < spread);
            tenths[usize::try_from(at.as_secs() / 360).unwrap()] += 1;
        }
    }
    assert!(
        tenths.iter().all(|count| (40..100).contains(count)),
        "{tenths:?}"
    );
}
