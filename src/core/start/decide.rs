//! The next step of a start: a total function of what is seen, the journal, the operator's orders
//! and the time.

use std::time::Duration;

use super::component::{
    self, guard, handed_over, handing_over, kubelet_had_its_time, parents, stop, temporary_step,
};
use super::engine::{choose_engine, without_a_kubelet};
use super::evidence::{Evidence, evidence};
use super::journal::{Component, Journal, Phase, State};
use super::nodes::forget;
use super::observed::{ObjectsSeen, Observed, Standing};
use super::required::Required;
use super::turn::{Action, Decision, Ended, Orders, Turn};
use crate::core::observed::{EngineState, Sandbox};
use crate::core::stored::Engine;
use crate::core::time::Moment;

/// Everything must go on serving for so long without the temporary control plane.
const STABLE: Duration = Duration::from_secs(10);
/// A static pod whose manifest is gone, and of which nothing was seen for so long, is gone.
const SETTLED: Duration = Duration::from_secs(5);

/// Decides.
#[must_use]
pub fn decide(observed: &Observed, journal: &Journal, orders: &Orders, now: Moment) -> Decision {
    let mut turn = Turn::new(observed, orders, now);
    let mut next = journal.clone();
    if next.boot_id != observed.boot_id {
        next.rebooted(&observed.boot_id, now);
    }
    if orders.abort && !next.phase.is_final() && next.phase != Phase::Aborting {
        next.enter(Phase::Aborting, now);
    }
    match next.phase {
        Phase::Placing => placing(&mut next, &mut turn),
        Phase::Serving => serving(&mut next, &mut turn),
        Phase::Objects => objects(&mut next, &mut turn),
        Phase::HandingOver | Phase::Verifying => handing(&mut next, &mut turn),
        Phase::Removing => removing(&mut next, &mut turn, Phase::Done),
        Phase::Aborting => removing(&mut next, &mut turn, Phase::Aborted),
        Phase::Done => turn.ended = Some(Ended::Done),
        Phase::Aborted => turn.ended = Some(Ended::Aborted),
    }
    if next.phase != journal.phase && turn.ended.is_none() {
        // The next phase begins now, not when something happens.
        turn.wake(now);
    }
    if went_forward(journal, &next) {
        next.progress_at = now;
    }
    if let Some(limit) = orders.timeout
        && turn.ended.is_none()
    {
        let at = next.progress_at.after(limit);
        if now >= at {
            let minutes = limit.as_secs() / 60;
            turn.ended = Some(Ended::Failed {
                why: format!("nothing went forward for {minutes} minutes"),
            });
        } else {
            turn.wake(at);
        }
    }
    // A kube-apiserver binds its port some 100 ms after its start, and fails where it is taken:
    // frozen first, then the port is freed. The kubelet looks for what died once a second, so that
    // the manifest is gone before it would start the temporary pod again.
    turn.actions.sort_by_key(|action| match action {
        Action::Pause { .. } | Action::Resume { .. } => 0,
        Action::Kill { .. } => 1,
        Action::Hold { .. } => 2,
        _ => 3,
    });
    Decision {
        journal: next,
        actions: turn.actions,
        waits: turn.waits,
        ended: turn.ended,
        wake_at: turn.wake_at,
    }
}

/// A failed hand-over, and another reason why something is waited for, are no progress.
fn went_forward(before: &Journal, after: &Journal) -> bool {
    let handed = |journal: &Journal| {
        let all = journal.components.iter();
        all.filter(|component| component.is_handed_over()).count()
    };
    before.phase != after.phase
        || before.engine != after.engine
        || before.objects.there < after.objects.there
        || before.forgotten != after.forgotten
        || handed(before) < handed(after)
}

fn placing(journal: &mut Journal, turn: &mut Turn<'_>) {
    let Some(placed) = turn.observed.placed.known() else {
        return unseen_places(turn);
    };
    if !matches!(placed.secrets, Standing::Ours(_)) {
        turn.waits.push("secrets are being placed".to_owned());
        return turn.actions.push(Action::PlaceSecrets);
    }
    if journal.engine.is_none() {
        journal.engine = turn.orders.engine;
    }
    journal.enter(Phase::Serving, turn.now);
    keep_running(journal, turn);
}

fn unseen_places(turn: &mut Turn<'_>) {
    let why = turn.observed.placed.unseen();
    let why = why.map_or("", |unseen| unseen.detail.as_str());
    turn.waits.push(format!("the places cannot be read: {why}"));
}

/// Everything that is to run temporarily runs.
fn keep_running(journal: &Journal, turn: &mut Turn<'_>) {
    let engine = journal.engine.unwrap_or(Engine::Kubelet);
    for (index, component) in journal.components.iter().enumerate() {
        if component.state == State::Temporary {
            component::run(index, component, engine, turn);
        }
    }
}

/// Parents that a run before this one left frozen are thawed, whatever is done else.
fn thaw(journal: &Journal, turn: &mut Turn<'_>) {
    let thawing = component::thawing(turn.observed, journal, &turn.orders.node);
    turn.actions.extend(thawing);
}

fn serving(journal: &mut Journal, turn: &mut Turn<'_>) {
    choose_engine(journal, turn);
    keep_running(journal, turn);
    thaw(journal, turn);
    // An answer from before this phase may be of whoever stood there before.
    if turn.observed.api.serves_since(journal.since) {
        let next = if journal.has_objects && !journal.objects.ended {
            Phase::Objects
        } else {
            Phase::HandingOver
        };
        return journal.enter(next, turn.now);
    }
    let api = turn.observed.api.why_not().to_owned();
    turn.waits.push(format!("the API server: {api}"));
    let mut why = Vec::new();
    for component in &journal.components {
        let engine = turn.observed.engine.known();
        let pod = component::key(component).and_then(|key| engine?.pods.get(&key));
        let engine = match pod.map(|pod| &pod.state) {
            Some(
                EngineState::NotReady(text)
                | EngineState::BackOff(text)
                | EngineState::Refused(text),
            ) => Some(text),
            _ => None,
        };
        for text in engine
            .into_iter()
            .chain(turn.observed.why.get(&component.name))
        {
            why.push(format!("{}: {text}", component.name));
        }
    }
    turn.waits.extend(why);
}

fn objects(journal: &mut Journal, turn: &mut Turn<'_>) {
    keep_running(journal, turn);
    thaw(journal, turn);
    match &turn.observed.objects {
        ObjectsSeen::Idle => turn.actions.push(Action::CreateObjects),
        ObjectsSeen::Running { there, doing } => {
            journal.objects.there = *there;
            turn.waits.push(doing.clone());
        }
        ObjectsSeen::Ended { there, failed } => {
            journal.objects.there = *there;
            journal.objects.failed.clone_from(failed);
            if journal.strict && !failed.is_empty() {
                turn.ended = Some(Ended::Failed {
                    why: format!("--strict: {}", failed.join("; ")),
                });
                return;
            }
            journal.objects.ended = true;
            journal.enter(Phase::HandingOver, turn.now);
        }
    }
}

/// The API servers' component that is not handed over yet: nobody else can do without it.
fn first(journal: &Journal) -> Option<String> {
    let api = journal.components.iter().find(|component| {
        component.api && component.counterpart.is_some() && !component.is_handed_over()
    });
    api.and_then(|component| component.counterpart.as_ref())
        .map(|required| required.name.clone())
}

/// Whether an API server answers that is not a temporary one of ours.
fn api_serves(journal: &Journal, turn: &Turn<'_>) -> bool {
    let since = journal
        .components
        .iter()
        .filter(|component| component.api)
        .map(|component| match component.state {
            State::Temporary => None,
            State::HandingOver { gone, .. } => gone,
            State::HandedOver { .. } => Some(Moment(0)),
        })
        .min()
        .unwrap_or(Some(Moment(0)));
    since.is_some_and(|since| turn.observed.api.serves_since(since))
}

fn judge(required: &Required, journal: &Journal, turn: &Turn<'_>) -> Evidence {
    let api = required.name.contains("apiserver");
    let serves = api.then(|| api_serves(journal, turn));
    evidence(
        required,
        serves,
        turn.observed,
        journal,
        &turn.orders.node,
        turn.now,
    )
}

fn handing(journal: &mut Journal, turn: &mut Turn<'_>) {
    let node = turn.orders.node.clone();
    for index in 0..journal.components.len() {
        let before = journal.clone();
        let Some(component) = journal.components.get_mut(index) else {
            continue;
        };
        let Some(required) = component.counterpart.clone() else {
            continue;
        };
        let evidence = judge(&required, &before, turn);
        let seen = parents(&required, turn.observed, &before, &node);
        let first = first(&before).filter(|_| !component.api);
        step(
            index,
            component,
            &evidence,
            first.as_deref(),
            seen.as_deref(),
            turn,
        );
        let queues = first.is_some() && component.state == State::Temporary && !evidence.met;
        guard(component, seen.as_deref().unwrap_or_default(), queues, turn);
    }
    keep_running(journal, turn);
    let forgotten = forget(journal, turn);
    let missing: Vec<String> = journal
        .required
        .iter()
        .filter_map(|required| {
            let evidence = judge(required, journal, turn);
            let ours = journal
                .components
                .iter()
                .any(|component| component.counterpart.as_ref() == Some(required));
            (!evidence.met).then(|| (ours, format!("{}: {}", required.name, evidence.text)))
        })
        .map(|(ours, text)| if ours { String::new() } else { text })
        .collect();
    let waits = missing.iter().filter(|text| !text.is_empty()).cloned();
    turn.waits.extend(waits);
    let complete = missing.is_empty() && forgotten && all_handed_over(journal, turn);
    match (journal.phase, complete) {
        (Phase::HandingOver, true) => journal.enter(Phase::Verifying, turn.now),
        (Phase::Verifying, false) => journal.enter(Phase::HandingOver, turn.now),
        (Phase::Verifying, true) => {
            let until = journal.since.after(STABLE);
            if turn.now >= until {
                return journal.enter(Phase::Removing, turn.now);
            }
            turn.wake(until);
            let left = until.since(turn.now).as_secs();
            turn.waits.push(format!(
                "everything is back; it has to stay so for {left} s more"
            ));
        }
        _ => without_a_kubelet(journal, turn),
    }
}

fn step(
    index: usize,
    component: &mut Component,
    evidence: &Evidence,
    first: Option<&str>,
    seen: Option<&[&Sandbox]>,
    turn: &mut Turn<'_>,
) {
    match component.state {
        State::Temporary => {
            temporary_step(index, component, evidence, first, seen, turn);
            // Released in the same turn: the counterpart does not wait.
            if matches!(component.state, State::HandingOver { .. }) {
                handing_over(index, component, evidence, seen, turn);
            }
        }
        State::HandingOver { .. } => handing_over(index, component, evidence, seen, turn),
        State::HandedOver { .. } => handed_over(index, component, evidence, turn),
    }
}

/// Every temporary pod that has a counterpart is verified gone.
fn all_handed_over(journal: &Journal, turn: &Turn<'_>) -> bool {
    let node = &turn.orders.node;
    let mut ours = journal
        .components
        .iter()
        .filter(|it| it.counterpart.is_some());
    ours.all(|it| it.is_handed_over() && component::gone(it, turn.observed, node) == Some(true))
}

/// Takes away what was placed; `last`: how it ends.
fn removing(journal: &mut Journal, turn: &mut Turn<'_>, last: Phase) {
    let Some(placed) = turn.observed.placed.known() else {
        return unseen_places(turn);
    };
    let mut left = Vec::new();
    let mut kept = false;
    for (index, component) in journal.components.iter().enumerate() {
        // Nobody would be in its place.
        if component.counterpart.is_none() && last == Phase::Done {
            kept = true;
            continue;
        }
        if component::gone(component, turn.observed, &turn.orders.node) != Some(true) {
            let kill = kubelet_had_its_time(journal, turn);
            stop(index, component, kill, turn);
            left.push(component.name.clone());
        }
    }
    thaw(journal, turn);
    if !left.is_empty() {
        journal.gone_since = None;
        turn.wake(turn.now.after(Duration::from_secs(1)));
        return turn.waits.push(format!("stopping: {}", left.join(", ")));
    }
    // A kubelet that was just starting one starts it all the same. What was handed over has been
    // gone for long enough.
    let since = *journal.gone_since.get_or_insert(turn.now);
    if last == Phase::Aborted && turn.now.since(since) < SETTLED {
        turn.wake(since.after(SETTLED));
        return turn.waits.push(
            "all are stopped; whether the kubelet starts one again is waited for".to_owned(),
        );
    }
    if !kept
        && (matches!(placed.secrets, Standing::Ours(_))
            || (placed.aside && placed.secrets == Standing::Absent))
    {
        turn.waits.push("secrets are being removed".to_owned());
        return turn.actions.push(Action::RemoveSecrets);
    }
    journal.enter(last, turn.now);
}
