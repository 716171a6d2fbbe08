//! The one place that reads a clock and the boot id.

use std::path::{Path, PathBuf};

use rustix::time::{ClockId, clock_gettime};

use crate::core::time::Moment;

/// Where the kernel says which boot this is.
pub const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";

/// Milliseconds since boot, suspended time included (`CLOCK_BOOTTIME`): no wall-clock jump moves
/// it.
pub fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let millis = u64::try_from(time.tv_nsec / 1_000_000).unwrap_or(0);
    Moment(seconds.saturating_mul(1000).saturating_add(millis))
}

/// The boot id cannot be read: timers of another boot could not be told from ours.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the boot id from {path}")]
pub struct NoBootId {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// The id of this boot.
///
/// # Errors
/// Where the file cannot be read.
pub fn boot_id(path: &Path) -> Result<String, NoBootId> {
    std::fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .map_err(|source| NoBootId {
            path: path.to_owned(),
            source,
        })
}

/// The wall clock: for schedules and ages that outlive a boot, never for a decision on
/// checkpoints (scenario D03).
pub fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
