//! The operator's hold as a source: watched on the disk, its end told by the clock of this boot.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::clock;
use crate::config::Settings;
use crate::core::operator_hold::{HoldSeen, OperatorHold};
use crate::core::reading::{Reading, Unseen, UnseenKind};
use crate::core::time::Moment;
use crate::hold;
use crate::store::chain;

/// Between two looks where no event says that there is something new; an ended hold is removed then.
const RESYNC: Duration = Duration::from_secs(5);

/// Starts the watcher; it ends with `shutdown`, or when nobody receives any more. Known with
/// `None`: this node is not held. To be called within a tokio runtime.
#[must_use]
pub fn spawn(
    settings: &Settings,
    shutdown: &CancellationToken,
) -> watch::Receiver<Reading<Option<HoldSeen>>> {
    let place = settings.paths.state_dir.join(hold::PLACE);
    let settings = settings.clone();
    let anchored = Arc::new(Mutex::new(None));
    let list = move || look(&settings, &anchored, true);
    let (view, _) = crate::store::watch::spawn(&place, list, shutdown.clone(), RESYNC);
    view
}

/// The hold as it is seen now, for a command. Changes nothing. Blocking.
#[must_use]
pub fn seen(settings: &Settings) -> Reading<Option<HoldSeen>> {
    look(settings, &Mutex::new(None), false)
}

/// `anchored` is the hold seen last and its end: computed once, so that no change of the wall clock
/// moves an end that this boot has been told. `clears`: one that has ended is removed.
fn look(
    settings: &Settings,
    anchored: &Mutex<Option<(OperatorHold, Moment)>>,
    clears: bool,
) -> Reading<Option<HoldSeen>> {
    let hold = match hold::look(&settings.paths.state_dir) {
        Reading::Known(Some(hold)) => hold,
        Reading::Known(None) => return Reading::Known(None),
        Reading::Unknown(unseen) => return Reading::Unknown(unseen),
    };
    let boot_id = match clock::boot_id(&settings.paths.boot_id_file) {
        Ok(boot_id) => boot_id,
        Err(error) => {
            return Reading::Unknown(Unseen::because(UnseenKind::Unreadable, &error));
        }
    };
    let now = clock::now();
    let mut anchored = anchored.lock().unwrap_or_else(PoisonError::into_inner);
    let ends = match &*anchored {
        Some((known, ends)) if *known == hold => *ends,
        _ => hold.ends_in(&boot_id, now, clock::wall()),
    };
    let seen = hold.seen(ends);
    if !seen.is_over(now) {
        *anchored = Some((hold, ends));
        return Reading::Known(Some(seen));
    }
    if clears {
        let fresh = anchored.as_ref().is_none_or(|(known, _)| *known != hold);
        *anchored = Some((hold.clone(), ends));
        match hold::clear(&settings.paths.state_dir, &hold) {
            Ok(()) => info!(reason = hold.reason, "the operator's hold has ended"),
            // It has ended all the same; said once.
            Err(error) if fresh => warn!(error = chain(&error), "an ended hold stays on the disk"),
            Err(_) => {}
        }
    }
    Reading::Known(None)
}
