//! Nodes that are gone for good: pods bound to them are never evicted where they tolerate
//! everything, and their controllers wait for them for ever (scenario R10).

use super::evidence::SILENT;
use super::journal::Journal;
use super::turn::{Action, Ended, Turn};

/// Forgets the nodes that the operator named; true once none is left to be forgotten.
pub(crate) fn forget(journal: &mut Journal, turn: &mut Turn<'_>) -> bool {
    for node in turn.orders.forget.clone() {
        if journal.forgotten.contains(&node) {
            continue;
        }
        let seen = turn.observed.cluster.known();
        let Some(seen) = seen.and_then(|cluster| cluster.nodes.get(&node)) else {
            turn.waits.push(format!("node {node}: not looked at yet"));
            continue;
        };
        let bound = turn
            .observed
            .cluster
            .known()
            .is_some_and(|cluster| cluster.pods.iter().any(|bound| bound.node == node));
        let until = seen.watched_since.after(SILENT);
        if seen.renewed || node == turn.orders.node {
            turn.ended = Some(Ended::Failed {
                why: format!("node {node} reports: it is not forgotten"),
            });
        } else if turn.now < until {
            let left = until.since(turn.now);
            turn.wake(until);
            turn.waits.push(format!(
                "node {node} is watched for {} s more before it is forgotten",
                left.as_secs()
            ));
        } else if seen.exists || bound {
            turn.actions.push(Action::ForgetNode { node });
        } else {
            journal.forgotten.insert(node);
        }
    }
    all_forgotten(journal, turn)
}

/// None is left that the operator named.
pub(crate) fn all_forgotten(journal: &Journal, turn: &Turn<'_>) -> bool {
    let mut all = turn.orders.forget.iter();
    all.all(|node| journal.forgotten.contains(node))
}
