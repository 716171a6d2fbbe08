//! Learning: a parent's rendering becomes a candidate, a candidate proven Ready becomes the last
//! known good revision (invariant 4).

use super::action::Action;
use super::id::{CheckpointId, RevisionId};
use super::observed::{Observed, PodSeen, Rendering};
use super::policy::Policy;
use super::stored::{Candidate, Checkpoint, Phase};
use super::time::Moment;
use super::view::{Running, View};

/// What learning found out, for the report.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    /// Why the present parent can be no checkpoint.
    pub(crate) refused: Option<String>,
    /// What the present parent's checkpoint waits for.
    pub(crate) waiting: Option<String>,
    /// When to look again.
    pub(crate) wake_at: Option<Moment>,
}

/// Updates `checkpoint`'s candidate and good revision from what its parents render to.
pub(crate) fn learn(
    id: &CheckpointId,
    checkpoint: &mut Checkpoint,
    view: &View<'_>,
    observed: &Observed,
    policy: &Policy,
    now: Moment,
    actions: &mut Vec<Action>,
) -> Learned {
    let mut learned = Learned::default();
    let Some((parent, rendering)) = newest(checkpoint, view, observed) else {
        return learned;
    };
    let revision = match rendering {
        Rendering::Whole(revision) => revision,
        Rendering::Waiting(what) => {
            learned.waiting = Some(what.clone());
            return learned;
        }
        Rendering::Refused(reasons) => {
            learned.refused = Some(reasons.join("; "));
            return learned;
        }
    };
    let Some(stored) = observed.stored_revisions.known() else {
        return learned;
    };
    let is_stored = stored
        .get(id)
        .is_some_and(|revisions| revisions.contains_key(revision));
    if !is_stored {
        actions.push(Action::StoreRevision {
            checkpoint: id.clone(),
            revision: revision.clone(),
            parent: parent.pod.clone(),
        });
    }
    if checkpoint.good.as_ref() == Some(revision) {
        checkpoint.candidate = None;
    } else {
        promote(
            checkpoint,
            revision,
            is_stored,
            parent,
            view,
            policy,
            now,
            &mut learned,
        );
    }
    for other in stored
        .get(id)
        .into_iter()
        .flat_map(|revisions| revisions.keys())
    {
        if is_unused(checkpoint, other) && other != revision {
            let (checkpoint, revision) = (id.clone(), other.clone());
            actions.push(Action::DropRevision {
                checkpoint,
                revision,
            });
        }
    }
    learned
}

#[expect(
    clippy::too_many_arguments,
    reason = "one step of `learn`, cut out for its length"
)]
fn promote(
    checkpoint: &mut Checkpoint,
    revision: &RevisionId,
    is_stored: bool,
    parent: &PodSeen,
    view: &View<'_>,
    policy: &Policy,
    now: Moment,
    learned: &mut Learned,
) {
    let fresh = Candidate {
        revision: revision.clone(),
        ready_since: None,
    };
    let candidate = match &mut checkpoint.candidate {
        Some(candidate) if candidate.revision == *revision => candidate,
        other => other.insert(fresh),
    };
    // Ready by the source that lists it *and* serving by containerd and its probes: a status from
    // before a crash proves nothing (scenario C03).
    if !(parent.ready && view.parent == Some(Running::Serving)) {
        candidate.ready_since = None;
        return;
    }
    let since = *candidate.ready_since.get_or_insert(now);
    if now.since(since) < policy.ready {
        learned.wake_at = Some(since.after(policy.ready));
    } else if is_stored {
        checkpoint.good = Some(revision.clone());
        checkpoint.candidate = None;
    }
}

/// The parent to learn from: not finished, not going; one that renders to something new first.
fn newest<'a>(
    checkpoint: &Checkpoint,
    view: &View<'a>,
    observed: &'a Observed,
) -> Option<(&'a PodSeen, &'a Rendering)> {
    let is_new = |rendering: &Rendering| match rendering {
        Rendering::Whole(revision) => checkpoint.good.as_ref() != Some(revision),
        Rendering::Waiting(_) | Rendering::Refused(_) => false,
    };
    view.listed
        .iter()
        .filter(|seen| !seen.finished && !seen.deleting)
        .filter_map(|seen| Some((*seen, observed.renderings.get(&seen.pod)?)))
        .max_by_key(|(seen, rendering)| (is_new(rendering), seen.ready))
}

fn is_unused(checkpoint: &Checkpoint, revision: &RevisionId) -> bool {
    let candidate = checkpoint
        .candidate
        .as_ref()
        .map(|candidate| &candidate.revision);
    let in_use = match &checkpoint.phase {
        Phase::Activating { revision, .. }
        | Phase::Active { revision, .. }
        | Phase::HandingOver { revision, .. } => Some(revision),
        Phase::Inactive => None,
        // What is being stopped may still read its files.
        Phase::Deactivating { .. } => return false,
    };
    // Without a good revision every stored one may be the last hope.
    checkpoint.good.is_some()
        && checkpoint.good.as_ref() != Some(revision)
        && candidate != Some(revision)
        && in_use != Some(revision)
}
