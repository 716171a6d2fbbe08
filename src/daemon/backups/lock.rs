//! One backup or rehearsal at a time on a node, whatever process does it.

use crate::backup::STATE;
use crate::config::Settings;
use crate::store::chain;
use crate::store::lock::{self, Lock, LockError};

/// Directory in `backup/` of the state directory whose lock is held meanwhile.
const WORK: &str = "work";

/// Why the lock was not taken.
#[derive(Debug)]
pub enum Busy {
    /// Another process has it.
    Held,
    /// It cannot be taken.
    Failed(String),
}

impl Busy {
    /// In words, for a result that is recorded.
    pub(super) fn said(self) -> String {
        match self {
            Self::Held => "another rekindle process takes or rehearses a backup".to_owned(),
            Self::Failed(error) => error,
        }
    }
}

/// Takes it; never waits. Blocking.
///
/// # Errors
/// Where another process has it, or it cannot be taken.
pub fn hold(settings: &Settings) -> Result<Lock, Busy> {
    let place = settings.paths.state_dir.join(STATE).join(WORK);
    lock::hold(&place).map_err(|error| match error {
        LockError::Held { .. } => Busy::Held,
        error => Busy::Failed(chain(&error)),
    })
}
