//! When a run is due: cron or interval, a fixed phase for each node, one run caught up.

use std::time::Duration;

use jiff::Timestamp;

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
    pub zone: jiff::tz::TimeZone,
}

/// What a schedule says now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Run: for the time `at`; `caught_up`: it was missed and is run late, once for all missed.
    Now {
        /// The due time to remember.
        at: Timestamp,
        /// Missed, and run late.
        caught_up: bool,
    },
    /// Not before.
    At(Timestamp),
}
