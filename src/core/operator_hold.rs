//! A hold: an operator's word that nothing is to be done here by itself until a certain time, for an
//! upgrade of the system or of the cluster.
//!
//! Its effect is that of a long operation ([`super::hold`]): still observed, still reported, backups
//! go on, a copy that is being stopped is stopped; nothing is started, handed over, removed, pruned
//! or recovered. It ends by itself.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::time::Moment;

/// The longest hold: nobody forgets a node for longer.
pub const LONGEST: Duration = Duration::from_secs(7 * 86400);

/// A hold as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorHold {
    /// Why, in the operator's words.
    pub reason: String,
    /// Who.
    pub by: String,
    /// When it began, by the wall clock.
    pub began: Timestamp,
    /// When it ends, by the wall clock: what counts in another boot.
    pub until: Timestamp,
    /// The boot in which it began.
    pub boot_id: String,
    /// When it ends, by the clock of that boot, which no change of the wall clock moves.
    pub ends: Moment,
}

impl OperatorHold {
    /// A hold of `length` from now, cut at [`LONGEST`].
    #[must_use]
    pub fn new(
        length: Duration,
        (reason, by): (&str, &str),
        boot_id: &str,
        now: Moment,
        wall: Timestamp,
    ) -> Self {
        let length = length.min(LONGEST);
        let span = SignedDuration::try_from(length).unwrap_or(SignedDuration::ZERO);
        Self {
            reason: reason.to_owned(),
            by: by.to_owned(),
            began: wall,
            until: wall.checked_add(span).unwrap_or(wall),
            boot_id: boot_id.to_owned(),
            ends: now.after(length),
        }
    }

    /// When it ends by the clock of the boot `boot_id`.
    ///
    /// In its own boot the wall clock says nothing. In another one it does, and may be wrong: a hold
    /// lasts there at most as long from the boot as it was meant to last altogether, and never
    /// longer than [`LONGEST`].
    #[must_use]
    pub fn ends_in(&self, boot_id: &str, now: Moment, wall: Timestamp) -> Moment {
        let latest = now.after(LONGEST);
        if self.boot_id == boot_id {
            return self.ends.min(latest);
        }
        let between = |from: Timestamp| {
            Duration::try_from(self.until.duration_since(from)).unwrap_or(Duration::ZERO)
        };
        let by_boot = Moment(0).after(between(self.began));
        now.after(between(wall)).min(by_boot).min(latest)
    }

    /// As it is seen in this boot; see [`OperatorHold::ends_in`].
    #[must_use]
    pub fn seen(&self, ends: Moment) -> HoldSeen {
        HoldSeen {
            reason: self.reason.clone(),
            by: self.by.clone(),
            began: self.began,
            until: self.until,
            ends,
        }
    }
}

/// A hold in this boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldSeen {
    /// Why, in the operator's words.
    pub reason: String,
    /// Who.
    pub by: String,
    /// When it began, by the wall clock then.
    pub began: Timestamp,
    /// When it was to end, by the wall clock then.
    pub until: Timestamp,
    /// When it ends, by the clock of this boot: this counts.
    pub ends: Moment,
}

impl HoldSeen {
    /// It has ended.
    #[must_use]
    pub fn is_over(&self, now: Moment) -> bool {
        now >= self.ends
    }

    /// How long it still lasts.
    #[must_use]
    pub fn left(&self, now: Moment) -> Duration {
        self.ends.since(now)
    }

    /// Who holds, until when, why, and what ends it: one sentence, the same while it lasts.
    #[must_use]
    pub fn said(&self) -> String {
        format!(
            "HELD by {} until {}: {}: nothing is started, handed over, removed or recovered by \
             itself; `rekindle hold --release` ends it",
            self.by,
            self.until.strftime("%Y-%m-%d %H:%M:%S UTC"),
            self.reason
        )
    }
}
