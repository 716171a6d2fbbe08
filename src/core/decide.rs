//! `decide`: one turn of the loop as a pure, total function.

use std::collections::BTreeMap;

use super::action::Action;
use super::closed;
use super::copies::{Copies, engine_of};
use super::explain;
use super::handover;
use super::hold::Hold;
use super::id::{CheckpointId, PodRef};
use super::learn;
use super::observed::{ImagePresence, Observed};
use super::phase::{self, Step};
use super::policy::Policy;
use super::reading::Reading;
use super::removal::{self, Verdict};
use super::report::{CheckpointReport, Report};
use super::sharing;
use super::stored::{Checkpoint, Phase, Stored};
use super::time::Moment;
use super::view::{Running, View};

/// What one turn decided.
#[must_use = "a decision that is not carried out changes nothing"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The memory to commit before the actions start.
    pub next: Stored,
    /// What to do, in this order.
    pub actions: Vec<Action>,
    /// What to tell people.
    pub report: Report,
    /// When to decide again, where nothing happens before.
    pub wake_at: Option<Moment>,
    /// Pods whose probes matter: asked eagerly (`true`) while something waits for the answer.
    pub probe: BTreeMap<PodRef, bool>,
}

/// Decides what to do. Total: every observation has a decision, and none of them fails.
pub fn decide(observed: &Observed, stored: &Stored, policy: &Policy, now: Moment) -> Decision {
    let mut next = stored.in_boot(&observed.boot_id, now);
    let hold = Hold::of(observed, now);
    match hold {
        Hold::Unknown(_) => {}
        Hold::Held { .. } | Hold::Operator => next.held = true,
        Hold::Free => {
            if std::mem::take(&mut next.held) {
                next.restart(now);
            }
        }
    }
    let mut turn = Turn {
        hold,
        actions: Vec::new(),
        wake_at: observed.hold.known().and_then(|hold| {
            let ends = hold.as_ref()?.ends;
            (ends > now).then_some(ends)
        }),
        confirm: false,
    };
    let mut probe = BTreeMap::new();
    let mut reports = Vec::new();
    discover(&mut next, observed);
    let forbidden = removal::forbidden(&next, observed);
    let mut ids: Vec<CheckpointId> = next.checkpoints.keys().cloned().collect();
    // The others look at what becomes of these in the same turn.
    ids.sort_by_key(|id| !policy.handover_first.contains(id));
    for id in &ids {
        let wait_for = handover::queue(id, &next.checkpoints, observed, policy, now).cloned();
        let goes_first = handover::goes_first(id, &next.checkpoints, observed, policy, now)
            .map(|(other, until)| (other.clone(), until));
        let Some(checkpoint) = next.checkpoints.get_mut(id) else {
            continue;
        };
        let report = turn.checkpoint(
            id,
            checkpoint,
            observed,
            forbidden.as_deref(),
            wait_for.as_ref(),
            goes_first.as_ref().map(|(other, until)| (other, *until)),
            policy,
            now,
            &mut probe,
        );
        reports.push(report);
    }
    forget_removed(&mut next, observed);
    if let Reading::Known(manifests) = &observed.manifests {
        let remove = |file: &String| Action::RemoveDamagedManifest { file: file.clone() };
        turn.actions.extend(manifests.damaged.iter().map(remove));
    }
    if let Reading::Known(images) = &observed.images {
        let unpinned = images
            .iter()
            .filter(|(_, there)| **there == ImagePresence::Unpinned);
        turn.actions
            .extend(unpinned.map(|(image, _)| Action::PinImage {
                image: image.clone(),
            }));
    }
    if turn.confirm {
        turn.actions.push(Action::ConfirmWithApi);
    }
    let hold = &turn.hold;
    turn.actions.retain(|action| hold.allows(action));
    turn.actions.sort();
    turn.actions.dedup();
    let report = explain::report(observed, &next, policy, now, reports);
    Decision {
        next,
        actions: turn.actions,
        report,
        wake_at: turn.wake_at,
        probe,
    }
}

/// A checkpoint comes into being with its first parent, whoever lists it.
fn discover(next: &mut Stored, observed: &Observed) {
    let api = observed.apiserver.known().map(|api| api.pods.as_slice());
    let kubelet = observed
        .kubelet
        .known()
        .map(|kubelet| kubelet.pods.as_slice());
    let mut listed: BTreeMap<&CheckpointId, Vec<PodRef>> = BTreeMap::new();
    for seen in api.or(kubelet).unwrap_or_default() {
        let Some(id) = &seen.parent_of else { continue };
        if !next.checkpoints.contains_key(id) && (seen.finished || seen.deleting) {
            continue;
        }
        listed.entry(id).or_default().push(seen.pod.clone());
    }
    for (id, mut parents) in listed {
        parents.sort();
        next.checkpoints.entry(id.clone()).or_default().parents = parents;
    }
}

/// Memory of a removed checkpoint ends only when its files are seen gone: a kill in between
/// removes them in the next run.
fn forget_removed(next: &mut Stored, observed: &Observed) {
    if let Reading::Known(stored) = &observed.stored_revisions {
        next.checkpoints.retain(|id, checkpoint| {
            let removing = matches!(checkpoint.phase, Phase::Deactivating { remove: true, .. });
            let on_disk = stored
                .get(id)
                .is_some_and(|revisions| !revisions.is_empty());
            let copies_left = observed
                .manifests
                .known()
                .is_none_or(|m| m.ours.contains_key(id))
                || observed
                    .engine
                    .known()
                    .is_none_or(|e| e.pods.contains_key(id));
            !removing || on_disk || copies_left
        });
    }
}

struct Turn {
    hold: Hold,
    actions: Vec<Action>,
    wake_at: Option<Moment>,
    confirm: bool,
}

impl Turn {
    #[expect(
        clippy::too_many_arguments,
        reason = "the turn's inputs and one output, spread"
    )]
    fn checkpoint(
        &mut self,
        id: &CheckpointId,
        checkpoint: &mut Checkpoint,
        observed: &Observed,
        forbidden: Option<&str>,
        wait_for: Option<&CheckpointId>,
        goes_first: Option<(&CheckpointId, Moment)>,
        policy: &Policy,
        now: Moment,
        probe: &mut BTreeMap<PodRef, bool>,
    ) -> CheckpointReport {
        let revisions = observed
            .stored_revisions
            .known()
            .and_then(|stored| stored.get(id));
        let facts_of = |checkpoint: &Checkpoint| {
            let revision = checkpoint.good.as_ref()?;
            revisions?.get_key_value(revision)
        };
        let facts = facts_of(checkpoint);
        closed::follow(id, checkpoint, observed, policy);
        let view = View::of(id, checkpoint, observed, facts.map(|(_, facts)| facts));
        let learned = learn::learn(
            id,
            checkpoint,
            &view,
            observed,
            policy,
            now,
            &mut self.actions,
        );
        self.wake(learned.wake_at);
        let verdict = if self.hold.is_free() {
            removal::follow(
                id,
                checkpoint,
                &view,
                forbidden,
                policy,
                now,
                &mut self.wake_at,
                &mut self.confirm,
            )
        } else {
            self.hold.keep(checkpoint);
            Verdict::Keep
        };
        let good = facts_of(checkpoint);
        let copies = Copies::of(id, observed, view.copies.as_deref());
        let refusal = good.and_then(|(_, facts)| facts.engine_refusal.clone());
        let mut step = Step {
            id,
            steered: observed.steering.get(id),
            wait_for,
            goes_first,
            hold: &self.hold,
            view: &view,
            copies,
            good,
            policy,
            now,
            actions: &mut self.actions,
            wake_at: &mut self.wake_at,
        };
        let reason = phase::step(checkpoint, &mut step);
        handover::guard(checkpoint, &mut step);
        want_probes(checkpoint, &step, observed, probe);
        let reason = match &verdict {
            Verdict::Keep | Verdict::Remove => reason,
            Verdict::Orphaned(why) => format!("{why}; {reason}"),
        };
        CheckpointReport {
            id: id.clone(),
            state: explain::state(checkpoint, &learned),
            reason: explain::reason(checkpoint, &learned, reason),
            engine: engine_of(&checkpoint.phase),
            good: checkpoint.good.clone(),
            candidate: checkpoint
                .candidate
                .as_ref()
                .map(|candidate| candidate.revision.clone()),
            parents: checkpoint.parents.clone(),
            parent_state: view.parent_word().to_owned(),
            handover_failures: checkpoint.handover.failures,
            engine_refusal: refusal,
        }
    }

    fn wake(&mut self, at: Option<Moment>) {
        if let Some(at) = at {
            self.wake_at = Some(self.wake_at.map_or(at, |other| other.min(at)));
        }
    }
}

fn want_probes(
    checkpoint: &Checkpoint,
    step: &Step<'_>,
    observed: &Observed,
    probe: &mut BTreeMap<PodRef, bool>,
) {
    let view = step.view;
    let Reading::Known(runtime) = &observed.runtime else {
        return;
    };
    // An API server that falls silent has most likely been told to end.
    let silent =
        observed.apiserver.known().is_none() && step.policy.handover_first.contains(step.id);
    let waits = checkpoint.phase != Phase::Inactive || checkpoint.candidate.is_some() || silent;
    for sandbox in runtime.sandboxes.iter().filter(|sandbox| sandbox.running) {
        let ours = view
            .copies
            .iter()
            .flatten()
            .any(|copy| copy.id == sandbox.id);
        let parent = checkpoint.parents.contains(&sandbox.pod);
        let asks_parent = parent
            && !sharing::answers_for(checkpoint, step)
            && !closed::has_closed(checkpoint, sandbox);
        if ours || asks_parent {
            let eager = waits || view.parent == Some(Running::Starting);
            probe.insert(sandbox.pod.clone(), eager);
        }
    }
}
