//! The five fields of a cron expression: what they may hold, and which civil times match.
//!
//! The syntax is that of Kubernetes' `CronJob` (robfig/cron v3, `parser.go`): `*`, `?`, values,
//! ranges, steps, lists, names of months and days in any case; `N/S` runs to the end of the range.
//! A day must match both fields of days where one of them is `*`, else either is enough. More than
//! there: 7 is Sunday too.

use jiff::civil::{Date, DateTime, Time};

use super::BadSchedule;

/// Nothing that recurs is further away than this: 29 February around a year such as 2100.
const DAYS_AHEAD: u32 = 8 * 366 + 2;

/// The civil times that match, as sets of bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Either field of days is `*`: both must match.
    both_days: bool,
}

struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// Names of the values from `least` on.
    names: &'static [&'static str],
}

const MINUTE: Field = field("minute", 0, 59, &[]);
const HOUR: Field = field("hour", 0, 23, &[]);
const DAY: Field = field("day of month", 1, 31, &[]);
const MONTH: Field = field(
    "month",
    1,
    12,
    &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
);
const WEEKDAY: Field = field(
    "day of week",
    0,
    7,
    &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
);

const fn field(name: &'static str, least: u32, most: u32, names: &'static [&'static str]) -> Field {
    Field {
        name,
        least,
        most,
        names,
    }
}

impl Fields {
    /// Reads five fields.
    pub(super) fn parse(text: &str) -> Result<Self, BadSchedule> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(BadSchedule::new(
                text,
                format!("{} fields instead of five", fields.len()),
            ));
        };
        let read = |field: &Field, part: &str| {
            field
                .parse(part)
                .map_err(|cause| BadSchedule::new(text, format!("{}: {cause}", field.name)))
        };
        let (days, all_days) = read(&DAY, day)?;
        let (weekdays, all_weekdays) = read(&WEEKDAY, weekday)?;
        let fields = Self {
            minutes: read(&MINUTE, minute)?.0,
            hours: read(&HOUR, hour)?.0,
            days,
            months: read(&MONTH, month)?.0,
            // 7 is Sunday, as 0.
            weekdays: (weekdays | (weekdays >> 7)) & 0x7f,
            both_days: all_days || all_weekdays,
        };
        if fields
            .after(DateTime::constant(2096, 1, 1, 0, 0, 0, 0))
            .is_none()
        {
            return Err(BadSchedule::new(text, "no such day ever comes".to_owned()));
        }
        Ok(fields)
    }

    /// The first matching civil time after `time`.
    pub(super) fn after(&self, time: DateTime) -> Option<DateTime> {
        let mut date = time.date();
        let mut from = Some(time.time());
        for _ in 0..DAYS_AHEAD {
            if self.on(date)
                && let Some(at) = self.within(from)
            {
                return Some(date.to_datetime(at));
            }
            from = None;
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn on(&self, date: Date) -> bool {
        let weekday = date.weekday().to_sunday_zero_offset();
        let (day, weekday) = (has(self.days, date.day()), has(self.weekdays, weekday));
        let day = if self.both_days {
            day && weekday
        } else {
            day || weekday
        };
        day && has(self.months, date.month())
    }

    /// The first matching time of a day, after `from` where there is one.
    fn within(&self, from: Option<Time>) -> Option<Time> {
        for hour in (0_i8..24).filter(|hour| has(self.hours, *hour)) {
            if from.is_some_and(|from| hour < from.hour()) {
                continue;
            }
            for minute in (0_i8..60).filter(|minute| has(self.minutes, *minute)) {
                let at = Time::new(hour, minute, 0, 0).ok()?;
                if from.is_none_or(|from| at > from) {
                    return Some(at);
                }
            }
        }
        None
    }
}

fn has(set: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| set.checked_shr(value).unwrap_or(0) & 1 == 1)
}

impl Field {
    /// The set of values, and whether it is `*`.
    fn parse(&self, text: &str) -> Result<(u64, bool), String> {
        let mut set = 0;
        let mut all = false;
        for item in text.split(',') {
            let (part, star) = self.item(item)?;
            set |= part;
            all |= star;
        }
        Ok((set, all))
    }

    fn item(&self, text: &str) -> Result<(u64, bool), String> {
        let (range, step) = match text.split_once('/') {
            None => (text, None),
            Some((range, step)) => match step.parse::<u32>() {
                Ok(step) if step > 0 && digits(text.rsplit('/').next()) => (range, Some(step)),
                _ => return Err(format!("{step:?} is no step")),
            },
        };
        let (least, most) = match range.split_once('-') {
            // 7 is not in the week of `*`: it is Sunday a second time.
            None if matches!(range, "*" | "?") => (self.least, self.most.min(self.last())),
            None => {
                let value = self.value(range)?;
                let most = step.map_or(value, |_| self.last().max(value));
                (value, most)
            }
            Some((least, most)) => (self.value(least)?, self.value(most)?),
        };
        if least > most {
            return Err(format!("{range:?} begins after its end"));
        }
        let step = step.unwrap_or(1);
        let mut set = 0_u64;
        let mut value = least;
        while value <= most {
            set |= 1_u64.checked_shl(value).unwrap_or(0);
            value = value.saturating_add(step);
        }
        // As robfig has it: `*/2` is no `*` when it comes to days.
        Ok((set, matches!(range, "*" | "?") && step == 1))
    }

    /// The last value of a full range.
    fn last(&self) -> u32 {
        if self.names.len() == 7 { 6 } else { self.most }
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        let lower = text.to_ascii_lowercase();
        let named = self.names.iter().position(|name| *name == lower);
        if let Some(place) = named.and_then(|place| u32::try_from(place).ok()) {
            return Ok(self.least + place);
        }
        match text.parse::<u32>() {
            Ok(value) if digits(Some(text)) && (self.least..=self.most).contains(&value) => {
                Ok(value)
            }
            Ok(_) if digits(Some(text)) => {
                Err(format!("{text} is not in {} to {}", self.least, self.most))
            }
            _ => Err(format!(
                "{:?} is no value",
                text.chars().take(20).collect::<String>()
            )),
        }
    }
}

/// Only digits: `parse` would take a `+` too.
fn digits(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
}
