//! The state machine of one checkpoint.
//!
//! ```text
//!              parent gone, waited long enough            tasks run, probes pass
//!   Inactive ───────────────────────────────► Activating ───────────────────────► Active
//!      ▲  ▲                                    │  ▲                                 │
//!      │  │ parent serves, copy verified gone  │  │ parent ended or did not         │ parent's container
//!      │  └──────────── HandingOver ◄──────────┴──┼─ serve in time ─────────────────┤ starts (host network)
//!      │                      └───────────────────┘                                 │
//!      └── copy verified gone ── Deactivating ◄─────── parent serves, or removed ───┘
//! ```
//!
//! A silent containerd (`view.parent` or `view.copy` is `None`) changes nothing.

use std::time::Duration;

use super::action::Action;
use super::copies::{Copies, Stop};
use super::handover::{handing_over, yield_to_parent};
use super::hold::{Hold, held_back};
use super::id::{CheckpointId, RevisionId};
use super::observed::{EngineState, RevisionFacts};
use super::policy::Policy;
use super::sharing::{self, Steered};
use super::stored::{Checkpoint, Engine, Phase};
use super::time::Moment;
use super::view::{ApiOpinion, Running, View};

/// Everything one step looks at, and what it asks for.
pub(crate) struct Step<'a> {
    pub(crate) id: &'a CheckpointId,
    pub(crate) view: &'a View<'a>,
    pub(crate) copies: Copies<'a>,
    /// Facts of the good revision, where it is whole on disk.
    pub(crate) good: Option<(&'a RevisionId, &'a RevisionFacts)>,
    /// What became of steering its port.
    pub(crate) steered: Option<&'a Steered>,
    /// Another checkpoint's hand-over comes before this one's.
    pub(crate) wait_for: Option<&'a CheckpointId>,
    /// Another checkpoint is activated before this one, which waits for it until then.
    pub(crate) goes_first: Option<(&'a CheckpointId, Moment)>,
    /// Whether an operation holds the daemon back.
    pub(crate) hold: &'a Hold,
    pub(crate) policy: &'a Policy,
    pub(crate) now: Moment,
    pub(crate) actions: &'a mut Vec<Action>,
    pub(crate) wake_at: &'a mut Option<Moment>,
}

impl Step<'_> {
    /// True once `wait` has passed since `since`; otherwise asks to be woken then.
    pub(crate) fn passed(&mut self, since: Moment, wait: Duration) -> bool {
        let due = since.after(wait);
        if self.now >= due {
            return true;
        }
        *self.wake_at = Some(self.wake_at.map_or(due, |at| at.min(due)));
        false
    }

    /// The copy of `revision` is still asked for and serves: nothing of it was released.
    pub(crate) fn keeps_copy(&self, engine: Engine, revision: &RevisionId) -> bool {
        let asked_for = self.copies.asked_for();
        asked_for.is_some_and(|(by, which)| (by, &which) == (engine, revision))
            && self
                .view
                .copy
                .is_some_and(|copy| self.copies.serves(engine, copy))
    }
}

/// Moves `checkpoint` one step and says why it is where it is.
pub(crate) fn step(checkpoint: &mut Checkpoint, step: &mut Step<'_>) -> String {
    let (Some(parent), Some(copy)) = (step.view.parent, step.view.copy) else {
        return "containerd is silent: nothing is changed".to_owned();
    };
    if let Some(said) = held_back(checkpoint, step, parent, copy) {
        return said;
    }
    remember(checkpoint, parent, step.now);
    match checkpoint.phase.clone() {
        Phase::Inactive => inactive(checkpoint, step, parent, copy),
        Phase::Activating {
            engine,
            revision,
            since,
            reason,
        } => activating(
            checkpoint, step, parent, copy, engine, &revision, since, &reason,
        ),
        Phase::Active {
            engine,
            revision,
            since,
            gone_since,
        } => active(
            checkpoint, step, parent, copy, engine, &revision, since, gone_since,
        ),
        Phase::HandingOver {
            engine,
            revision,
            since,
        } => handing_over(checkpoint, step, parent, engine, &revision, since),
        Phase::Deactivating { since, remove } => {
            let stop = Stop::when(step, since);
            if !step.copies.stop(step.id, step.actions, stop) {
                return format!("being stopped; waits for {}", step.copies.what_is_left());
            }
            if remove {
                step.actions.push(Action::RemoveCheckpoint {
                    checkpoint: step.id.clone(),
                });
                return match step.hold.why() {
                    None => "verified stopped; being removed".to_owned(),
                    Some(why) => format!("verified stopped; not removed yet: {why}"),
                };
            }
            checkpoint.phase = Phase::Inactive;
            "verified stopped".to_owned()
        }
    }
}

fn remember(checkpoint: &mut Checkpoint, parent: Running, now: Moment) {
    match parent {
        Running::Serving => {
            checkpoint.seen_running = true;
            checkpoint.down_since = None;
        }
        // A crash loop has good moments: only serving ends the count (scenario C10).
        Running::Starting => checkpoint.seen_running = true,
        Running::Waiting | Running::Absent => {
            checkpoint.down_since.get_or_insert(now);
        }
    }
}

fn inactive(
    checkpoint: &mut Checkpoint,
    step: &mut Step<'_>,
    parent: Running,
    copy: Running,
) -> String {
    sharing::end(step);
    if let Some((engine, revision)) = step.copies.asked_for() {
        // A manifest or an engine pod from before a lost state: taken over as it is, then judged.
        let reason = "found running at start".to_owned();
        checkpoint.phase = Phase::Activating {
            engine,
            revision,
            since: step.now,
            reason,
        };
        return "a copy was found and is taken over".to_owned();
    }
    if copy > Running::Absent || step.copies.engine_left() {
        checkpoint.phase = Phase::Deactivating {
            since: step.now,
            remove: false,
        };
        return "a copy runs that nobody asked for: it is stopped".to_owned();
    }
    if parent >= Running::Starting {
        checkpoint.handover.failures = 0;
        return format!("the parent is {}", parent.word());
    }
    let Some((revision, _)) = step.good else {
        return "nothing proven to activate yet".to_owned();
    };
    match waiting_time(checkpoint, step) {
        Err(reason) => reason,
        Ok((wait, reason)) => {
            let since = checkpoint.down_since.unwrap_or(step.now);
            if !step.passed(since, wait) {
                let left = wait.saturating_sub(step.now.since(since)).as_secs_f64();
                return format!(
                    "the parent is {}; activated in {left:.0} s: {reason}",
                    step.view.parent_word()
                );
            }
            if let Some((other, until)) = step.goes_first
                && !step.passed(until, Duration::ZERO)
            {
                let word = step.view.parent_word();
                return format!("the parent is {word}; {other} goes first");
            }
            checkpoint.activations += 1;
            checkpoint.phase = Phase::Activating {
                engine: Engine::Kubelet,
                revision: revision.clone(),
                since: step.now,
                reason: reason.clone(),
            };
            step.copies
                .run_in_kubelet(step.id, revision, checkpoint.activations, step.actions);
            format!("activated: {reason}")
        }
    }
}

/// How long a vanished parent is waited for, or why it is not replaced at all.
fn waiting_time(checkpoint: &Checkpoint, step: &Step<'_>) -> Result<(Duration, String), String> {
    let policy = step.policy;
    match step.view.api {
        ApiOpinion::Silent if !checkpoint.seen_running => Ok((
            Duration::ZERO,
            "no parent since boot and no API server answers".to_owned(),
        )),
        ApiOpinion::Silent if step.view.closed => Ok((
            policy.activation_delay,
            "the parent has closed its port and no API server answers".to_owned(),
        )),
        ApiOpinion::Silent => Ok((
            policy.activation_delay,
            "the parent is gone and no API server answers".to_owned(),
        )),
        ApiOpinion::Listed => Ok((
            policy.activation_delay,
            "the parent does not run".to_owned(),
        )),
        ApiOpinion::NotListed { .. } if policy.rescue.contains(step.id) => Ok((
            policy.rescue_delay,
            "deleted, and nobody may be left to replace it".to_owned(),
        )),
        ApiOpinion::NotListed { .. } => {
            Err("the API server lists no parent on this node: not activated".to_owned())
        }
        ApiOpinion::Leaving => {
            Err("the parent has finished or is being deleted: not run again".to_owned())
        }
        ApiOpinion::Denied => Err(
            "the API server denies our credential: it lives, and may have \
                                   moved the parent; not activated"
                .to_owned(),
        ),
        ApiOpinion::NotAsked => Err("the API server has not been asked yet".to_owned()),
    }
}

#[expect(clippy::too_many_arguments, reason = "the fields of the phase, spread")]
fn activating(
    checkpoint: &mut Checkpoint,
    step: &mut Step<'_>,
    parent: Running,
    copy: Running,
    engine: Engine,
    revision: &RevisionId,
    since: Moment,
    reason: &str,
) -> String {
    sharing::end(step);
    if let Some(said) = yield_to_parent(checkpoint, step, parent, engine, revision, false) {
        return said;
    }
    if step.copies.serves(engine, copy) {
        checkpoint.phase = Phase::Active {
            engine,
            revision: revision.clone(),
            since: step.now,
            gone_since: None,
        };
        return "verified: its tasks run and its probes pass".to_owned();
    }
    match engine {
        Engine::Kubelet => {
            step.copies
                .run_in_kubelet(step.id, revision, checkpoint.activations, step.actions);
            if copy < Running::Starting && step.passed(since, step.policy.kubelet_deadline) {
                return to_engine(checkpoint, step, revision, copy);
            }
            format!(
                "waits for the kubelet to run it (now {}): {reason}",
                copy.word()
            )
        }
        Engine::Containerd => {
            step.copies.run_in_engine(step.id, revision, step.actions);
            format!(
                "waits for the containerd engine ({}): {reason}",
                step.copies.engine_words()
            )
        }
    }
}

/// The kubelet had its time: our own engine takes over, if it can.
fn to_engine(
    checkpoint: &mut Checkpoint,
    step: &mut Step<'_>,
    revision: &RevisionId,
    copy: Running,
) -> String {
    if !step.policy.engine_enabled {
        return "the kubelet does not run it, and the containerd engine is switched off".to_owned();
    }
    if let Some(refusal) = step.copies.refusal(revision) {
        return format!(
            "the kubelet does not run it, and the containerd engine refuses: {refusal}"
        );
    }
    if copy != Running::Absent {
        return "the kubelet has started it and keeps trying".to_owned();
    }
    let reason = "the kubelet did not run it in time".to_owned();
    checkpoint.phase = Phase::Activating {
        engine: Engine::Containerd,
        revision: revision.clone(),
        since: step.now,
        reason: reason.clone(),
    };
    // The manifest goes first and is verified gone before the engine starts: never two copies.
    let stop = Stop {
        at_once: true,
        kill: true,
    };
    let _gone = step.copies.stop_static_pod(step.id, step.actions, stop);
    *step.wake_at = Some(step.now);
    reason
}

#[expect(clippy::too_many_arguments, reason = "the fields of the phase, spread")]
fn active(
    checkpoint: &mut Checkpoint,
    step: &mut Step<'_>,
    parent: Running,
    copy: Running,
    engine: Engine,
    revision: &RevisionId,
    since: Moment,
    gone_since: Option<Moment>,
) -> String {
    let runs = match engine {
        Engine::Kubelet => copy >= Running::Starting,
        Engine::Containerd => step.copies.engine_runs(),
    };
    let serves = step.copies.serves(engine, copy);
    let beside = sharing::shares(checkpoint, step, parent, (runs, serves), revision);
    if let Some(said) = yield_to_parent(checkpoint, step, parent, engine, revision, beside) {
        return said;
    }
    let gone_since = if runs {
        None
    } else {
        Some(gone_since.unwrap_or(step.now))
    };
    checkpoint.phase = Phase::Active {
        engine,
        revision: revision.clone(),
        since,
        gone_since,
    };
    match engine {
        Engine::Kubelet => {
            step.copies
                .run_in_kubelet(step.id, revision, checkpoint.activations, step.actions);
            if let Some(gone) = gone_since
                && step.passed(gone, step.policy.kubelet_deadline)
            {
                return to_engine(checkpoint, step, revision, copy);
            }
        }
        Engine::Containerd => step.copies.run_in_engine(step.id, revision, step.actions),
    }
    let waits = match step.view.api {
        ApiOpinion::Silent | ApiOpinion::NotAsked => "no API server answers",
        ApiOpinion::NotListed { .. } => "the API server lists no parent here",
        ApiOpinion::Denied => "the API server denies our credential",
        ApiOpinion::Listed | ApiOpinion::Leaving => "the parent does not run yet",
    };
    match gone_since {
        None if beside && parent >= Running::Starting => {
            "runs; the parent starts beside it, on the same port".to_owned()
        }
        None => format!("runs; {waits}{}", sharing::gap(step)),
        Some(_) => format!("does not run at the moment ({}); {waits}", copy.word()),
    }
}

/// For the report: an engine pod's state in words.
pub(crate) fn engine_words(state: Option<&EngineState>) -> String {
    match state {
        None => "not started".to_owned(),
        Some(EngineState::Starting) => "starting".to_owned(),
        Some(EngineState::Serving) => "serving".to_owned(),
        Some(EngineState::NotReady(why)) => format!("not ready: {why}"),
        Some(EngineState::BackOff(why)) => format!("backing off: {why}"),
        Some(EngineState::Stopping) => "stopping".to_owned(),
        Some(EngineState::Refused(why)) => format!("refused: {why}"),
    }
}
