//! Removal: only the API server may say that a parent is deleted, twice, and never about every
//! checkpoint of a node at once (invariant 3, scenarios C04 and C24).

use std::collections::BTreeSet;

use super::id::{CheckpointId, PodRef};
use super::observed::Observed;
use super::policy::Policy;
use super::stored::{Checkpoint, Orphan, Phase, Stored};
use super::time::Moment;
use super::view::{ApiOpinion, View};

/// Why nothing at all may be removed now, if so.
pub(crate) fn forbidden(stored: &Stored, observed: &Observed) -> Option<String> {
    let (Some(api), Some(runtime)) = (observed.apiserver.known(), observed.runtime.known()) else {
        return Some("the API server or containerd is silent".to_owned());
    };
    let listed: BTreeSet<&CheckpointId> = api
        .pods
        .iter()
        .filter_map(|seen| seen.parent_of.as_ref())
        .collect();
    let total = stored.checkpoints.len();
    if total > 1 && stored.checkpoints.keys().all(|id| !listed.contains(id)) {
        return Some(format!(
            "the API server lists a parent for none of the {total} checkpoints at once: \
             wrong cluster, renamed node or empty etcd?"
        ));
    }
    // An answer about this node names at least one pod that containerd shows running here.
    let bound: BTreeSet<&PodRef> = api.pods.iter().map(|seen| &seen.pod).collect();
    let same_world = runtime
        .sandboxes
        .iter()
        .any(|sandbox| sandbox.running && bound.contains(&sandbox.pod));
    if !same_world {
        return Some(
            "no pod that the API server lists here runs here: its answer may be of \
                     another cluster"
                .to_owned(),
        );
    }
    None
}

/// What becomes of an orphan.
pub(crate) enum Verdict {
    /// No orphan, or not yet certain.
    Keep,
    /// An orphan; grace runs or something forbids the removal.
    Orphaned(String),
    /// An orphan to be removed now; the phase says so already.
    Remove,
}

/// Follows the API server's word about one checkpoint. `confirm` is set where a second complete
/// list is needed.
#[expect(
    clippy::too_many_arguments,
    reason = "one checkpoint, two policies, two outputs"
)]
pub(crate) fn follow(
    id: &CheckpointId,
    checkpoint: &mut Checkpoint,
    view: &View<'_>,
    forbidden: Option<&str>,
    policy: &Policy,
    now: Moment,
    wake_at: &mut Option<Moment>,
    confirm: &mut bool,
) -> Verdict {
    let ApiOpinion::NotListed { lists } = view.api else {
        // Listed, or not known: an orphan's time starts again (invariant 2).
        if !matches!(checkpoint.phase, Phase::Deactivating { remove: true, .. }) {
            checkpoint.orphan = None;
        }
        return Verdict::Keep;
    };
    if matches!(checkpoint.phase, Phase::Deactivating { remove: true, .. }) {
        return Verdict::Remove;
    }
    let orphan = checkpoint
        .orphan
        .get_or_insert(Orphan { since: now, lists })
        .clone();
    let active = checkpoint.phase != Phase::Inactive;
    if policy.rescue.contains(id) && active {
        return Verdict::Orphaned(
            "kept running: leader-elected, and no parent is listed here that could take over"
                .to_owned(),
        );
    }
    // It is the API server that says so of itself: without it nobody could make the parent again.
    if policy.handover_first.contains(id) && active {
        return Verdict::Orphaned(
            "kept running: it serves the API, and no parent is listed here that could take over"
                .to_owned(),
        );
    }
    let due = orphan.since.after(policy.grace_period);
    if now < due {
        *wake_at = Some(wake_at.map_or(due, |at| at.min(due)));
        let left = due.since(now).as_secs();
        return Verdict::Orphaned(format!(
            "the API server says it is gone: removed in {left} s"
        ));
    }
    if let Some(why) = forbidden {
        return Verdict::Orphaned(format!("not removed: {why}"));
    }
    if lists <= orphan.lists {
        *confirm = true;
        return Verdict::Orphaned("asks the API server a second time before removal".to_owned());
    }
    checkpoint.phase = Phase::Deactivating {
        since: now,
        remove: true,
    };
    Verdict::Remove
}
