//! Time as the core knows it: milliseconds since this boot, given as an argument.
//!
//! The boot clock does not jump with the wall clock (scenario D03) and says nothing about other
//! boots: a stored [`Moment`] is only compared with one of the same boot id.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since this machine booted (`CLOCK_BOOTTIME`).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment `wait` later; saturates at the end of time.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// How long ago `earlier` was; zero where `earlier` is in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}
