//! When a run is due: cron or interval, a fixed phase for each node, one run caught up.
//!
//! The calendar is walked here and not by `croner`, whose time zones are those of another `jiff`.
//! Of civil times that the time zone leaves out, all together run once, at the instant of the
//! change; of those that it has twice, the first runs.
//!
//! ## Clocks that jump (scenario D03)
//!
//! What ran last is remembered as the time it was due by the *schedule*, phase not counted: a due
//! time runs once, whatever the clock and the phase do.
//!
//! - Forward, or after downtime: one run, for the newest due time; all before it are skipped.
//! - Back by less than a period: what ran has run; the wait is longer by the jump.
//! - Back by more: the memory is not believed, and the next due time runs, so after one period at
//!   most.
//! - To and fro: [`Schedule::paced`] keeps runs half a period apart by the boot clock, which no
//!   jump moves.

mod fields;

use std::fmt;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use self::fields::Fields;

/// Shortest interval.
const SHORTEST: Duration = Duration::from_secs(60);
/// Longest interval.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// Where the due time before an instant is looked for, nearest first; none is further back.
const LOOK_BACK_SECONDS: [i64; 4] = [3601, 2 * 86_400, 400 * 86_400, 9 * 366 * 86_400];
/// Longest text of a schedule.
const LONGEST_TEXT: usize = 200;

/// When something runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// Every so often, counted from the epoch, at least a minute.
    Every(Duration),
    /// Five cron fields in a time zone.
    Cron(Box<Cron>),
}

/// A cron expression with its time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Cron {
    /// The five fields, as written.
    pub text: String,
    /// The IANA time zone in which they are read.
    pub zone: TimeZone,
    fields: Fields,
}

/// What a schedule says now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Run: for the time `at`; `caught_up`: it was missed and is run late, once for all missed.
    Now {
        /// The due time to remember: the schedule's, without the phase.
        at: Timestamp,
        /// Missed, and run late.
        caught_up: bool,
    },
    /// Not before this, the phase counted. Later answers may differ: ask again then, and every few
    /// minutes, for the clock may jump.
    At(Timestamp),
    /// Nothing runs; remember this as the last due time, and ask again: the first start ever, a
    /// memory from the future, or a run too soon after the last.
    Remember(Timestamp),
}

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no schedule: {cause}")]
pub struct BadSchedule {
    /// The text, at most 80 characters of it.
    pub text: String,
    /// What is wrong with it.
    pub cause: String,
}

impl BadSchedule {
    fn new(text: &str, cause: String) -> Self {
        Self {
            text: text.chars().take(80).collect(),
            cause,
        }
    }
}

impl Schedule {
    /// Reads five cron fields, a macro (`@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`,
    /// `@yearly`, `@annually`) or an interval (`every 6h`, `@every 1h30m`; units d, h, m, s).
    /// The time zone is that of cron fields and macros; intervals count from the epoch.
    ///
    /// # Errors
    /// What is wrong with the text; also where no such day ever comes.
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, BadSchedule> {
        let bad = |cause: &str| Err(BadSchedule::new(text, cause.to_owned()));
        let plain = text.trim();
        if plain.len() > LONGEST_TEXT {
            return bad("it is longer than 200 characters");
        }
        if plain.starts_with("TZ=") || plain.starts_with("CRON_TZ=") {
            return bad("the time zone is a setting of its own");
        }
        let interval = plain
            .strip_prefix("@every ")
            .or_else(|| plain.strip_prefix("every "));
        if let Some(interval) = interval {
            return match duration(interval.trim()) {
                Some(every) if (SHORTEST..=LONGEST).contains(&every) => Ok(Self::Every(every)),
                Some(_) => bad("an interval is at least a minute and at most 366 days"),
                None => bad("an interval is written as `every 6h` or `every 1h30m`"),
            };
        }
        let fields = match plain {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            macro_ if macro_.starts_with('@') => return bad("there is no such macro"),
            fields => fields,
        };
        Ok(Self::Cron(Box::new(Cron {
            text: plain.to_owned(),
            fields: Fields::parse(fields).map_err(|error| BadSchedule::new(text, error.cause))?,
            zone,
        })))
    }

    /// What is due at `now` on a node of this phase, where `last_due` is the time remembered of
    /// the last run. [`Schedule::paced`] is to be asked with the answer.
    pub fn due(&self, last_due: Option<Timestamp>, now: Timestamp, phase: Duration) -> Due {
        let here = earlier(now, phase);
        let newest = self.last(here);
        let next = self.next(here);
        let Some(last) = last_due else {
            return Due::Remember(newest.unwrap_or(here));
        };
        if last > here && next.is_none_or(|next| last > next) {
            return Due::Remember(newest.unwrap_or(here));
        }
        match newest {
            Some(at) if at > last => Due::Now {
                at,
                caught_up: self.missed(last, at, here),
            },
            _ => match self.next(here.max(last)) {
                Some(next) => Due::At(later(next, phase)),
                // The end of time.
                None => Due::At(Timestamp::MAX),
            },
        }
    }

    /// Holds a run back that would begin less than half a period after the last by the boot
    /// clock: only a jump of the wall clock makes a schedule say so, or a run that was caught up,
    /// and then that one stands for this. `since_run`: since the last run by schedule was begun in
    /// this process; `None`: there was none.
    #[must_use]
    pub fn paced(&self, due: Due, since_run: Option<Duration>) -> Due {
        match (due, since_run) {
            (Due::Now { at, .. }, Some(since)) if since < self.spacing(at) / 2 => Due::Remember(at),
            (due, _) => due,
        }
    }

    /// The shorter one of the distances from the due time `at` to the one before and the one after.
    pub fn spacing(&self, at: Timestamp) -> Duration {
        let distance =
            |other: Option<Timestamp>| other.map(|other| other.duration_since(at).unsigned_abs());
        let before = at
            .checked_sub(SignedDuration::from_nanos(1))
            .ok()
            .and_then(|before| self.last(before));
        let around = [distance(before), distance(self.next(at))];
        around.into_iter().flatten().min().unwrap_or(Duration::MAX)
    }

    /// The first due time after `after`, without a phase.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(every) => {
                let every = i64::try_from(every.as_secs()).ok().filter(|e| *e > 0)?;
                let count = after.as_second().div_euclid(every).checked_add(1)?;
                Timestamp::from_second(count.checked_mul(every)?).ok()
            }
            Self::Cron(cron) => cron.next(after),
        }
    }

    /// The newest due time that is not after `at`, without a phase.
    pub fn last(&self, at: Timestamp) -> Option<Timestamp> {
        let next = |from: i64| self.next(Timestamp::from_second(from).ok()?);
        // Between the two lies an instant from which on the next due time is after `at`: the
        // newest one before, for a due time is after every instant before it and not after itself.
        let mut high = at.as_second().checked_add(1)?;
        let first = |ago: &i64| {
            let low = high.saturating_sub(*ago).max(Timestamp::MIN.as_second());
            next(low).filter(|due| *due <= at).map(|_| low)
        };
        let mut low = LOOK_BACK_SECONDS.iter().find_map(first)?;
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if next(middle).is_some_and(|due| due <= at) {
                low = middle;
            } else {
                high = middle;
            }
        }
        next(low)
    }

    /// Whether the run for `at` is late: others were missed since `last`, or half the time to the
    /// next has passed.
    fn missed(&self, last: Timestamp, at: Timestamp, now: Timestamp) -> bool {
        let skipped = self.next(last).is_some_and(|next| next < at);
        skipped || now.duration_since(at).unsigned_abs() > self.spacing(at) / 2
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(every) => write!(f, "every {}s", every.as_secs()),
            Self::Cron(cron) => f.write_str(&cron.text),
        }
    }
}

impl Cron {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let mut civil = self.zone.to_datetime(after);
        // Where civil times come twice, those of the first pass are behind.
        loop {
            civil = self.fields.after(civil)?;
            let at = self.instant(civil)?;
            if at > after {
                return Some(at);
            }
        }
    }

    fn instant(&self, civil: DateTime) -> Option<Timestamp> {
        let there = self.zone.to_ambiguous_timestamp(civil);
        let AmbiguousOffset::Gap { after, .. } = there.offset() else {
            return there.earlier().ok();
        };
        // With the offset of after the change, a time that is left out lies before the change.
        let before = after.to_timestamp(civil).ok()?;
        let change = self.zone.following(before).next()?;
        Some(change.timestamp())
    }
}

/// The fixed wait of a node after each due time, below `spread`, so that masters do not run
/// together (scenario B07). Hashed from the name; where its first label holds a number, the rest
/// is hashed and the number moves on by the golden ratio, which keeps neighbours far apart: of any
/// three in a row, two are never closer than a fifth of the spread.
pub fn phase(node_name: &str, spread: Duration) -> Duration {
    /// The golden ratio's fraction of 2^64.
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let label = node_name.split('.').next().unwrap_or_default();
    let end = label
        .rfind(|c: char| c.is_ascii_digit())
        .map_or(0, |place| place + 1);
    let (head, rest) = node_name.split_at(end);
    let stem = head.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = head
        .strip_prefix(stem)
        .and_then(|digits| digits.parse::<u64>().ok())
        .unwrap_or(0);
    let digest = Sha256::digest(format!("{stem}#{rest}"));
    let hash = digest
        .iter()
        .take(8)
        .fold(0_u64, |hash, byte| (hash << 8) | u64::from(*byte));
    let place = hash.wrapping_add(number.wrapping_mul(GOLDEN));
    let seconds = (u128::from(place) * u128::from(spread.as_secs())) >> 64;
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// `1h30m`: whole numbers with units.
fn duration(text: &str) -> Option<Duration> {
    let mut total = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let seconds = match tail.chars().next()? {
            'd' => 86_400,
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        let part = number.parse::<u64>().ok()?.checked_mul(seconds)?;
        total = total.checked_add(part)?;
        rest = tail.get(1..)?;
    }
    (!text.is_empty()).then(|| Duration::from_secs(total))
}

fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
