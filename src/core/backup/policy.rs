//! The knobs of backups, validated by `config`.

use std::time::Duration;

use super::schedule::Schedule;

/// When backups are taken and rehearsed, and how many are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupPolicy {
    /// When to take one; `None`: only when asked.
    pub schedule: Option<Schedule>,
    /// When to rehearse the newest; `None`: only when asked.
    pub rehearsal: Option<Schedule>,
    /// Spread of the masters' phases: each node runs a fixed time later than the schedule says,
    /// below this (scenario B07).
    pub spread: Duration,
    /// Which are kept.
    pub retention: Retention,
}

/// Which backups are kept. Those that any rule keeps stay, but for the limits of bytes and free
/// space; the newest verified one stays in any case (scenario B04).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The newest so many.
    pub last: u32,
    /// The newest of each of the last so many hours that have one.
    pub hourly: u32,
    /// The same for days, in UTC.
    pub daily: u32,
    /// The same for ISO weeks.
    pub weekly: u32,
    /// The same for months.
    pub monthly: u32,
    /// All together at most so many bytes; 0: no limit.
    pub max_bytes: u64,
    /// So many bytes of the file system stay free (scenario B03).
    pub min_free_bytes: u64,
}

impl Retention {
    /// No rule and no limit.
    pub const NONE: Self = Self {
        last: 0,
        hourly: 0,
        daily: 0,
        weekly: 0,
        monthly: 0,
        max_bytes: 0,
        min_free_bytes: 0,
    };
}
