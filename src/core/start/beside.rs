//! A temporary API server and its counterpart on one port, side by side, as a checkpoint and its
//! parent are ([`crate::core::sharing`]): new connections are steered to the temporary one until
//! the counterpart is ready.

use std::time::Duration;

use super::component::{API_DEADLINE, key};
use super::journal::Component;
use super::turn::{Action, Turn};
use crate::core::observed::{Probe, Sandbox};
use crate::core::sharing::{Side, Steered};
use crate::core::time::Moment;

/// A temporary pod's time to end its clients' requests, where its counterpart serves.
const GENTLE: Duration = Duration::from_secs(5);

/// What becomes of the temporary pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Its counterpart needs the port for itself.
    No,
    /// It serves until its counterpart does.
    Waits,
    /// Its counterpart serves, and has the new connections.
    Ends,
}

/// Steers, and says what becomes of the temporary pod. A counterpart that failed beside it gets
/// the port for itself: it may have lost the flag.
pub(crate) fn beside(
    index: usize,
    component: &mut Component,
    parents: &[&Sandbox],
    turn: &mut Turn<'_>,
) -> Beside {
    let Some(port) = component.shared_port.filter(|_| component.failures == 0) else {
        return Beside::No;
    };
    let steered = key(component).and_then(|key| turn.observed.steering.get(&key));
    match steered {
        Some(Steered::Refused(_)) => return Beside::No,
        Some(Steered::To { .. }) => {}
        None => {
            turn.actions.push(Action::Steer {
                index,
                port,
                to: Side::Copy,
            });
            turn.wake(turn.now);
            return Beside::Waits;
        }
    }
    if !parents.iter().any(|sandbox| sandbox.has_process()) {
        if component.beside_since.is_some() {
            component.fails(turn.now);
        }
        return Beside::Waits;
    }
    let since = *component.beside_since.get_or_insert(turn.now);
    let passes =
        |sandbox: &&&Sandbox| turn.observed.probes.get(&sandbox.pod) == Some(&Probe::Passing);
    if parents.iter().find(passes).is_some() {
        turn.actions.push(Action::Steer {
            index,
            port,
            to: Side::Parent,
        });
        return Beside::Ends;
    }
    let until = since.after(API_DEADLINE);
    if turn.now >= until {
        component.fails(turn.now);
    }
    turn.wake(until.max(turn.now));
    Beside::Waits
}

/// Whether the temporary pod, being let go of since then, need not be killed yet: its counterpart
/// serves already.
pub(crate) fn has_time(component: &Component, since: Moment, turn: &mut Turn<'_>) -> bool {
    let until = since.after(GENTLE);
    let has = component.beside_since.is_some() && turn.now < until;
    if has {
        turn.wake(until);
    }
    has
}

/// Nothing is steered any more once the temporary pod has gone.
pub(crate) fn end(index: usize, component: &Component, turn: &mut Turn<'_>) {
    let steered = key(component).and_then(|key| turn.observed.steering.get(&key));
    let port = match steered {
        None => return,
        Some(Steered::To { port, .. }) => *port,
        Some(Steered::Refused(_)) => 0,
    };
    turn.actions.push(Action::Steer {
        index,
        port,
        to: Side::Hash,
    });
}

/// Whether the temporary pod would answer for its counterpart, which is not asked then.
#[must_use]
pub fn answers_for(component: &Component, steered: Option<&Steered>) -> bool {
    component.shared_port.is_some()
        && component.failures == 0
        && steered.is_none()
        && component.is_temporary()
}
