//! A temporary API server and its counterpart on one port, side by side, as a checkpoint and its
//! parent are ([`crate::core::sharing`]): new connections are steered to the temporary one until
//! the counterpart is ready.

use std::time::Duration;

use super::component::{API_DEADLINE, key};
use super::journal::Component;
use super::observed::Observed;
use super::turn::{Action, Turn};
use crate::core::observed::{Probe, Sandbox};
use crate::core::sharing::{Side, Steered};
use crate::core::time::Moment;

/// A temporary pod's time to end its clients' requests, where its counterpart serves.
const GENTLE: Duration = Duration::from_secs(5);

/// Steers, and says whether the temporary pod is to serve until its counterpart does. Not where the
/// counterpart serves, nor where it needs the port for itself: one that failed beside the temporary
/// pod does, it may have lost the flag.
pub(crate) fn waits_beside(
    index: usize,
    component: &mut Component,
    parents: &[&Sandbox],
    turn: &mut Turn<'_>,
) -> bool {
    let Some(port) = component.shared_port.filter(|_| component.failures == 0) else {
        return false;
    };
    match steered(component, turn.observed) {
        Some(Steered::Refused(_)) => return false,
        Some(Steered::To { .. }) => {}
        None => {
            steer(index, port, Side::Copy, turn);
            turn.wake(turn.now);
            return true;
        }
    }
    if !parents.iter().any(|sandbox| sandbox.has_process()) {
        if component.beside_since.is_some() {
            component.fails(turn.now);
        }
        return true;
    }
    let since = *component.beside_since.get_or_insert(turn.now);
    let probes = &turn.observed.probes;
    let passes = |sandbox: &&Sandbox| probes.get(&sandbox.pod) == Some(&Probe::Passing);
    if parents.iter().any(passes) {
        steer(index, port, Side::Parent, turn);
        return false;
    }
    let until = since.after(API_DEADLINE);
    if turn.now >= until {
        component.fails(turn.now);
    }
    turn.wake(until.max(turn.now));
    true
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
    if let Some(steered) = steered(component, turn.observed) {
        steer(index, steered.port(), Side::Hash, turn);
    }
}

fn steered<'o>(component: &Component, observed: &'o Observed) -> Option<&'o Steered> {
    observed.steering.get(&key(component)?)
}

fn steer(index: usize, port: u16, to: Side, turn: &mut Turn<'_>) {
    turn.actions.push(Action::Steer { index, port, to });
}

/// Whether the temporary pod would answer for its counterpart, which is not asked then.
#[must_use]
pub fn answers_for(component: &Component, steered: Option<&Steered>) -> bool {
    component.shared_port.is_some()
        && component.failures == 0
        && steered.is_none()
        && component.is_temporary()
}
