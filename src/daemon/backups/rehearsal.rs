//! One rehearsal of the newest verified backup.

use std::sync::Arc;

use super::task::Ended;
use crate::backup::Progress;
use crate::config::Settings;

/// Rehearses the newest verified backup and records the result.
pub(super) async fn rehearse(_settings: Arc<Settings>, _progress: Progress) -> Ended {
    Err((None, "rehearsals are not built in yet".to_owned()))
}
