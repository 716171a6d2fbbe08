//! Everything that recovery mode does to etcd: its member of this node stopped and started, a
//! cluster restored, a member replaced.
//!
//! ```text
//! <state_dir>/recovery/<id>/etcd.yaml      the static pod's manifest while etcd is stopped
//! <state_dir>/recovery/<id>/snapshot.db    what the quarantine made of the data directory
//! <state_dir>/recovery/quarantine/run-…/   the copy and its etcd; gone with them
//! <data_dir>.new-<id>                      the new data directory until it takes its place
//! <data_dir>.before-<id>                   the old one: kept, and nothing starts it
//! ```
//!
//! Each step is written down by a callback before it is done and may be done again
//! ([`crate::core::recovery::etcd`]); a run that was cut off is called again with what was written
//! down last. Nothing here decides that etcd is lost. What it refuses by itself, whoever asks: an
//! etcd whose home is not known, a restore while a member of the old cluster answers (invariant 6),
//! an empty cluster (invariant 7), a second source for one restore (R03).
//!
//! Children die with the *thread* that starts them: call [`restore()`] on a runtime whose threads
//! outlive it, as [`crate::backup::rehearse`] says.

mod alarms;
mod api_servers;
mod emptied;
mod error;
mod fence;
pub mod home;
mod members;
mod power;
mod replace;
mod restore;
mod starting;
mod swap;
mod verify;

use std::time::Duration;

pub use self::alarms::alarms_cleared;
pub use self::error::Error;
pub use self::power::{start, stop, stopped};
pub use self::replace::{Replaced, prepare_replace, replace, undo_replace};
pub use self::restore::{Restored, restore, undo};
use super::PLACE;
use crate::core::recovery::etcd::Source;
use crate::operation::RecordError;

/// What is to be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The recovery's id: letters, digits, `-`, `_`, `.`; a part of file names.
    pub id: String,
    /// What from.
    pub source: Source,
    /// Highest revision of the cluster that is known elsewhere; this node's own record is used
    /// anyway.
    pub high_water: Option<i64>,
}

/// Writes a step down before it is done: on the disk when it returns.
pub type Record<'a, T> = &'a mut (dyn FnMut(&T) -> Result<(), RecordError> + Send);

/// Tells somebody, one sentence.
pub type Say<'a> = &'a mut (dyn FnMut(&str) + Send);

/// For the member to answer after it was started: the kubelet or systemd has to notice first, and a
/// kubelet that has seen it die again and again waits up to 300 s.
const ANSWERS: Duration = Duration::from_secs(360);
/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(250);
