//! Which backups are pruned: tables of cases, and what must hold for any set of them.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use rekindle::core::backup::id::BackupId;
use rekindle::core::backup::policy::Retention;
use rekindle::core::backup::record::Kept;
use rekindle::core::backup::retention::{Fate, Room, fates, room, size};

const GIB: u64 = 1 << 30;

const NONE: Retention = Retention::NONE;

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

/// A backup of so many hours ago: `v` verified, `r` rehearsed as well, `-` neither.
fn kept(hours_ago: i64, state: char) -> Kept {
    let taken_at = now() - SignedDuration::from_hours(hours_ago);
    Kept {
        id: BackupId::new(taken_at, "master-1", 0).unwrap(),
        taken_at,
        bytes: GIB,
        verified: state != '-',
        rehearsed: state == 'r',
        copied: true,
    }
}

fn set(these: &[(i64, char)]) -> Vec<Kept> {
    these
        .iter()
        .map(|(hours, state)| kept(*hours, *state))
        .collect()
}

/// Hours ago of those that are kept, newest first.
fn stay(these: &[Kept], retention: &Retention) -> Vec<i64> {
    stay_with(these, retention, u64::MAX, now())
}

fn stay_with(these: &[Kept], retention: &Retention, free: u64, at: Timestamp) -> Vec<i64> {
    let fates = fates(these, retention, free, at);
    let kept = fates.iter().filter(|fate| fate.keep);
    kept.map(|fate| {
        let it = these.iter().find(|it| it.id == fate.id).unwrap();
        now().duration_since(it.taken_at).as_hours()
    })
    .collect()
}

#[test]
fn classes_keep_the_newest_of_each_and_say_so() {
    let these: Vec<Kept> = (0..24 * 40)
        .step_by(3)
        .map(|hours| kept(hours, 'v'))
        .collect();
    let rules = Retention {
        last: 3,
        hourly: 4,
        daily: 3,
        weekly: 3,
        monthly: 2,
        ..NONE
    };
    // 12:00 on a Tuesday: days end 15, 39 h ago; weeks end Sunday 21:00; October ended 24 days ago.
    assert_eq!(stay(&these, &rules), [0, 3, 6, 9, 15, 39, 207, 567]);
    let told = fates(&these, &rules, u64::MAX, now());
    let reason = |hours: i64| {
        let id = kept(hours, 'v').id;
        told.iter()
            .find(|fate| fate.id == id)
            .unwrap()
            .reason
            .clone()
    };
    assert_eq!(
        reason(0),
        "newest verified, last 1, hourly 2026-11-24T12, daily 2026-11-24, weekly 2026-W48, monthly 2026-11"
    );
    assert_eq!(reason(9), "hourly 2026-11-24T03");
    assert_eq!(reason(39), "daily 2026-11-22, weekly 2026-W47");
    assert_eq!(reason(567), "monthly 2026-10");
    assert_eq!(reason(12), "no rule keeps it");
}

#[test]
fn b04_the_newest_verified_and_the_newest_rehearsed_one_stay() {
    for (these, rules, expected) in [
        // No rule at all.
        (
            vec![(0, 'v'), (6, 'r'), (12, 'r'), (18, 'v')],
            NONE,
            vec![0, 6],
        ),
        // The newest is not verified: it stays for it may be, and so does the newest verified.
        (
            vec![(0, '-'), (6, '-'), (12, 'v'), (18, 'v')],
            NONE,
            vec![0, 6, 12],
        ),
        // Nothing verified: nothing goes.
        (
            vec![(0, '-'), (6, '-'), (1200, '-')],
            NONE,
            vec![0, 6, 1200],
        ),
        // Unverified ones displace nothing: the two verified ones fill `last`.
        (
            vec![(0, 'v'), (1, '-'), (2, '-'), (3, 'v'), (4, 'v')],
            Retention { last: 2, ..NONE },
            vec![0, 1, 3],
        ),
        // The index was lost and only the newest is verified again: the rules still hold for all.
        (
            vec![(0, 'v'), (24, '-'), (48, '-'), (72, '-')],
            Retention { daily: 3, ..NONE },
            vec![0, 24, 48],
        ),
        // The limit of bytes takes unverified ones first, then the oldest, never the protected.
        (
            vec![(0, 'v'), (6, 'v'), (12, '-'), (18, 'v'), (24, 'r')],
            Retention {
                last: 9,
                max_bytes: 3 * GIB,
                ..NONE
            },
            vec![0, 6, 24],
        ),
        (
            vec![(0, 'v'), (6, 'v'), (24, 'r')],
            Retention {
                last: 9,
                max_bytes: 1,
                ..NONE
            },
            vec![0, 24],
        ),
    ] {
        assert_eq!(stay(&set(&these), &rules), expected, "{these:?} {rules:?}");
    }
    // Rehearsed once and found damaged since: the newest that is sound stays as well.
    let mut these = set(&[(0, 'v'), (6, 'r'), (12, 'r'), (18, 'r')]);
    these[1].verified = false;
    assert_eq!(stay(&these, &NONE), [0, 6, 12]);
}

#[test]
fn d03_clock_jumps_prune_nothing() {
    let these = set(&[(0, 'v'), (6, 'v'), (12, 'r'), (18, 'v')]);
    let rules = Retention { last: 3, ..NONE };
    let before = stay(&these, &rules);
    for hours in [-24 * 9000, -24, -7, 1, 24, 24 * 9000] {
        let at = now() + SignedDuration::from_hours(hours);
        let after = stay_with(&these, &rules, u64::MAX, at);
        assert!(
            before.iter().all(|it| after.contains(it)),
            "{hours}: {after:?}"
        );
    }
    // A backup of a clock that was years ahead displaces none of today's, and is said.
    let mut these = these;
    these.push(kept(-24 * 3000, 'v'));
    let told = fates(&these, &rules, u64::MAX, now());
    let future: Vec<&Fate> = told
        .iter()
        .filter(|fate| fate.reason.contains("future"))
        .collect();
    assert!(future.len() == 1 && future[0].keep, "{told:?}");
    assert_eq!(stay(&these, &rules).len(), before.len() + 1);
    // All that is verified is from the future: nothing may go.
    let these = set(&[(-5, 'v'), (0, '-'), (6, '-'), (7, '-')]);
    assert_eq!(stay(&these, &NONE), [-5, 0, 6, 7]);
}

#[test]
fn b03_room_is_made_of_what_may_go_and_of_nothing_else() {
    let these = set(&[
        (0, 'v'),
        (6, 'v'),
        (12, '-'),
        (18, 'v'),
        (24, 'v'),
        (30, 'r'),
    ]);
    let rules = Retention {
        last: 3,
        min_free_bytes: 2 * GIB,
        ..NONE
    };
    let id = |hours: i64| kept(hours, 'v').id;
    for (estimated, free, expected) in [
        (GIB, 3 * GIB, Room::Enough),
        // First what no rule keeps anyway, then what is not verified, then the oldest.
        (GIB, 3 * GIB - 1, Room::Prune(vec![id(24)])),
        (2 * GIB, 2 * GIB, Room::Prune(vec![id(24), id(12)])),
        (3 * GIB, 2 * GIB, Room::Prune(vec![id(24), id(12), id(18)])),
        (
            4 * GIB,
            2 * GIB,
            Room::Prune(vec![id(24), id(12), id(18), id(6)]),
        ),
        (5 * GIB, 2 * GIB, Room::No { missing: GIB }),
        (
            u64::MAX,
            0,
            Room::No {
                missing: u64::MAX - 4 * GIB,
            },
        ),
    ] {
        assert_eq!(
            room(estimated, &these, &rules, free, now()),
            expected,
            "{estimated} {free}"
        );
    }
    let unverified = set(&[(0, '-'), (6, '-')]);
    assert_eq!(
        room(GIB, &unverified, &rules, GIB, now()),
        Room::No { missing: 2 * GIB }
    );
    // Below the mark: oldest first, until it is reached.
    let low = |free| stay_with(&these, &Retention { last: 9, ..rules }, free, now());
    assert_eq!(low(2 * GIB), [0, 6, 12, 18, 24, 30]);
    assert_eq!(low(2 * GIB - 1), [0, 6, 18, 24, 30]);
    assert_eq!(
        low(GIB - 1),
        [0, 6, 18, 30].map(|it| if it == 18 { 18 } else { it })
    );
    assert_eq!(low(0), [0, 6, 18, 30]);
}

#[test]
fn sizes_in_words() {
    for (bytes, expected) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (20 * GIB, "20.0 GiB"),
        (u64::MAX, "15.9 EiB"),
    ] {
        assert_eq!(size(bytes), expected);
    }
}

fn any_kept() -> impl Strategy<Value = Vec<Kept>> {
    let one = (-40_000_i64..400_000, 0_u64..5 * GIB, any::<(bool, bool)>());
    prop::collection::vec(one, 0..40).prop_map(|drawn| {
        let one = |(number, (minutes, bytes, (verified, rehearsed)))| {
            let taken_at = now() - SignedDuration::from_mins(minutes);
            let again = u32::try_from(number).unwrap();
            Kept {
                id: BackupId::new(taken_at, "master-1", again).unwrap(),
                taken_at,
                bytes,
                verified,
                rehearsed,
                copied: true,
            }
        };
        drawn.into_iter().enumerate().map(one).collect()
    })
}

fn any_rules() -> impl Strategy<Value = Retention> {
    let counts = (0_u32..6, 0_u32..6, 0_u32..6, 0_u32..6, 0_u32..6);
    (counts, 0_u64..60 * GIB, 0_u64..60 * GIB).prop_map(|(counts, max_bytes, min_free_bytes)| {
        let (last, hourly, daily, weekly, monthly) = counts;
        Retention {
            last,
            hourly,
            daily,
            weekly,
            monthly,
            max_bytes,
            min_free_bytes,
        }
    })
}

proptest! {
    /// B03, B04, D03: what must hold for any backups, rules, room and time.
    #[test]
    fn b04_what_must_stay_stays(these in any_kept(), rules in any_rules(), free in 0_u64..60 * GIB, skew in -500_i64..500) {
        let at = now() + SignedDuration::from_hours(skew);
        let told = fates(&these, &rules, free, at);
        prop_assert_eq!(told.len(), these.len());
        let keeps = |it: &Kept| told.iter().any(|fate| fate.id == it.id && fate.keep);
        prop_assert!(told.iter().all(|fate| !fate.reason.is_empty()));
        let past = |it: &&Kept| it.taken_at <= at;
        let newest = |which: &dyn Fn(&&Kept) -> bool| these.iter().filter(past).filter(|it| which(it)).max_by_key(|it| (it.taken_at, it.id.clone()));
        for it in [newest(&|it| it.verified), newest(&|it| it.rehearsed), newest(&|it| it.rehearsed && it.verified)].into_iter().flatten() {
            prop_assert!(keeps(it), "{}", it.id);
        }
        // The future stays; without a verified one everything does.
        let none = newest(&|it| it.verified).is_none();
        prop_assert!(these.iter().filter(|it| none || !past(it)).all(keeps));
        // By rules alone nothing newer than the newest verified goes.
        let free_rules = Retention { max_bytes: 0, min_free_bytes: 0, ..rules };
        let by_rules = fates(&these, &free_rules, free, at);
        if let Some(verified) = newest(&|it| it.verified) {
            let gone = |it: &&Kept| by_rules.iter().any(|fate| fate.id == it.id && !fate.keep);
            prop_assert!(these.iter().filter(gone).all(|it| it.taken_at <= verified.taken_at));
        }
        // Unverified ones displace none: without them the same verified ones stay.
        let alone: Vec<Kept> = these.iter().filter(|it| it.verified).cloned().collect();
        let without = fates(&alone, &free_rules, free, at);
        for fate in without.iter().filter(|_| !none) {
            let with = by_rules.iter().find(|with| with.id == fate.id).unwrap();
            prop_assert!(with.keep || !fate.keep, "{} is displaced", fate.id);
        }
        // The limits hold, unless only what must stay is left.
        let sum = |keep: bool| -> u64 { these.iter().filter(|it| keeps(it) == keep).map(|it| it.bytes).sum() };
        let expendable = these.iter().filter(|it| keeps(it)).any(|it| {
            let must = fates(&these, &Retention { max_bytes: 1, min_free_bytes: u64::MAX, ..NONE }, 0, at);
            must.iter().any(|fate| fate.id == it.id && !fate.keep)
        });
        if expendable {
            prop_assert!(rules.max_bytes == 0 || sum(true) <= rules.max_bytes);
            prop_assert!(free + sum(false) >= rules.min_free_bytes);
        }
        // Asked again after pruning, the same stay: nothing erodes.
        let left: Vec<Kept> = these.iter().filter(|it| keeps(it)).cloned().collect();
        let again = fates(&left, &rules, free + sum(false), at);
        prop_assert!(again.iter().all(|fate| fate.keep), "{again:?}");
        // Room is made only of what the limits could take.
        if let Room::Prune(first) = room(GIB, &these, &rules, free, at) {
            let must = fates(&these, &Retention { max_bytes: 1, ..NONE }, u64::MAX, at);
            prop_assert!(first.iter().all(|id| must.iter().any(|fate| fate.id == *id && !fate.keep)));
        }
    }
}
