//! The course of a recovery: from what it remembers and what is seen now, the next thing to do,
//! what is waited for, or how it ends. Total.

use std::time::Duration;

use super::journal::{Act, Journal};
use super::loss::{Assessment, Condition, Loss};
use super::plan::Plan;
use super::policy::RecoveryPolicy;
use super::record::Outcome;
use super::resources::Resources;
use super::rung::Rung;
use super::rungs::parts_of;
use crate::core::time::Moment;

/// Everything is well for so long before a recovery ends.
pub const SETTLE: Duration = Duration::from_secs(5);
/// The loop of checkpoints has so long at least.
pub const CHECKPOINTS: Duration = Duration::from_secs(90);

/// What was done has so long at least to show its effect.
pub const EFFECT: Duration = Duration::from_secs(60);

/// On a machine whose components are given more time than usual to answer, what a recovery starts
/// has more of it too: the next way would start a second one beside it.
fn effect(policy: &RecoveryPolicy) -> Duration {
    EFFECT.max(policy.wedged_after / 2)
}

/// The same of the loop of checkpoints.
fn checkpoints(policy: &RecoveryPolicy) -> Duration {
    CHECKPOINTS.max(policy.wedged_after * 3 / 4)
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// To be done.
    Do(Act),
    /// What is being done has failed, without having been ended by itself: why.
    GiveUp(String),
    /// What was done has had no effect: the way counts as tried.
    Fruitless(Rung, String),
    /// What is waited for, and when to look again at the latest.
    Wait(Vec<String>, Option<Moment>),
    /// It has ended.
    End(Outcome),
}

/// Everything that the course depends on.
#[derive(Debug, Clone, Copy)]
pub struct Position<'a> {
    /// What is remembered.
    pub journal: &'a Journal,
    /// What is seen.
    pub assessment: &'a Assessment,
    /// The plan for the confirmed loss, where there is one.
    pub plan: Option<&'a Plan>,
    /// What there is to recover with.
    pub resources: &'a Resources,
    /// The knobs.
    pub policy: &'a RecoveryPolicy,
    /// How long it lasts.
    pub lasts: Duration,
    /// Now.
    pub now: Moment,
}

/// Decides.
#[must_use]
pub fn next(at: &Position<'_>) -> Next {
    let journal = at.journal;
    if let Some(why) = &journal.ending {
        return match &journal.doing {
            // What runs is told to stop, and says itself when it has.
            Some(act) if *act != Act::Checkpoints => {
                Next::Wait(vec![format!("{} to stop or to end", act.words())], None)
            }
            _ => Next::End(Outcome::Abandoned(why.clone())),
        };
    }
    match &journal.doing {
        Some(Act::Checkpoints) => {
            let since = journal.doing_since.unwrap_or(at.now);
            if at.assessment.is_well() {
                return ending(at);
            }
            // Something else is lost by now, or it never comes.
            let limit = checkpoints(at.policy);
            if at.now.since(since) >= limit {
                return Next::GiveUp(format!("not back within {} s", limit.as_secs()));
            }
            return Next::Wait(at.assessment.waits.clone(), Some(since.after(limit)));
        }
        Some(act) => return Next::Wait(vec![act.words()], None),
        None => {}
    }
    if at.assessment.is_well() && !asked_is_due(at) {
        return ending(at);
    }
    if at.lasts >= at.policy.deadline {
        return Next::End(Outcome::Failed(format!(
            "not recovered within {} s: {}",
            at.policy.deadline.as_secs(),
            reasons(at)
        )));
    }
    match at.plan.and_then(|plan| Some((plan.loss, plan.chosen?))) {
        Some((loss, rung)) => step(rung, loss, at),
        // Nothing is confirmed, or nothing may be done: what was done may still bear fruit.
        None => Next::Wait(waits(at), None),
    }
}

/// An operator has asked for something to be done to etcd, and that was not tried yet. What is seen
/// from here may call nothing lost: members that give no sign may be cut off, and a member that its
/// cluster has forgotten, as after a restore on another master, lacks nothing. Whether it may be
/// done is looked at before anything is changed, whoever asks.
fn asked_is_due(at: &Position<'_>) -> bool {
    let journal = at.journal;
    let asked = journal.asked.as_ref();
    asked.is_some_and(|asked| asked.loss_of_etcd().is_some())
        && journal.done.is_empty()
        && journal.tried.is_empty()
        && at.plan.and_then(|plan| plan.chosen) == asked.and_then(|asked| asked.from)
}

fn ending(at: &Position<'_>) -> Next {
    let journal = at.journal;
    let hygiene = journal.done.contains(&Act::Hygiene);
    if journal.restored_etcd() && !hygiene && !at.policy.hygiene.is_empty() {
        return Next::Do(Act::Hygiene);
    }
    // A part that is not back yet is waited for, but not for ever: somebody deals with it.
    let settle = if at.assessment.condition == Condition::Healthy {
        SETTLE
    } else {
        checkpoints(at.policy)
    };
    let Some(since) = journal.well_since else {
        return Next::Wait(
            vec!["everything to stay well".to_owned()],
            Some(at.now.after(SETTLE)),
        );
    };
    if at.now.since(since) < settle {
        let mut waits = vec!["everything to stay well".to_owned()];
        waits.extend(
            at.assessment
                .troubles
                .iter()
                .map(|trouble| format!("{}: {}", trouble.part, trouble.what)),
        );
        return Next::Wait(waits, Some(since.after(settle)));
    }
    let nothing_done = journal.done.is_empty()
        && journal.tried.is_empty()
        && journal
            .doing
            .as_ref()
            .is_none_or(|act| *act != Act::Checkpoints);
    // What an operator asked for was refused, and nothing else was done.
    if journal.asked.is_some()
        && journal.done.is_empty()
        && let Some((rung, why)) = journal.tried.last()
    {
        return Next::End(Outcome::Abandoned(format!("{rung}: {why}")));
    }
    Next::End(if nothing_done {
        Outcome::Unneeded
    } else {
        Outcome::Recovered
    })
}

/// The way's next act, unless the one before is still to show its effect, or has shown none.
fn step(rung: Rung, loss: Loss, at: &Position<'_>) -> Next {
    let journal = at.journal;
    if let Some((last, ended)) = journal.done.last().zip(journal.done_at) {
        let limit = effect(at.policy);
        let until = ended.after(limit);
        if at.now < until {
            let what = format!("what came of {}", last.words());
            return Next::Wait(vec![what], Some(until));
        }
        if last.rung() == Some(rung) {
            let why = format!(
                "done, and still lost after {} s: {}",
                limit.as_secs(),
                loss.word()
            );
            return Next::Fruitless(rung, why);
        }
    }
    act(rung, loss, at).map_or_else(
        || Next::Wait(vec![format!("{rung} has nothing to do now")], None),
        Next::Do,
    )
}

/// What a way does first, of what it has not done.
fn act(rung: Rung, loss: Loss, at: &Position<'_>) -> Option<Act> {
    let parts = parts_of(loss);
    match rung {
        Rung::Checkpoints => Some(Act::Checkpoints),
        Rung::Restart => parts.into_iter().find_map(|part| {
            let what = at.resources.restartable.get(&part)?;
            Some(Act::Restart(part, what.clone()))
        }),
        Rung::StaticPods => parts.into_iter().find_map(|part| {
            let restore = at.resources.put_back.get(&part)?;
            Some(Act::PutBack(part, restore.clone()))
        }),
        Rung::TemporaryControlPlane => Some(Act::Temporary),
        Rung::ReplaceMember => Some(Act::ReplaceMember),
        Rung::DataDirectory => Some(Act::RestoreData),
        Rung::Backup => {
            let asked = at.journal.asked.as_ref();
            let source = asked.and_then(|asked| asked.source.clone()).or_else(|| {
                let newest = at.resources.backup.known()?.as_ref()?;
                Some(newest.id.to_string())
            });
            source.map(Act::RestoreBackup)
        }
    }
}

fn waits(at: &Position<'_>) -> Vec<String> {
    let mut all = at.assessment.waits.clone();
    all.extend(at.plan.iter().flat_map(|plan| plan.refusals.clone()));
    if all.is_empty() {
        all.push("the evidence to agree".to_owned());
    }
    all
}

fn reasons(at: &Position<'_>) -> String {
    waits(at).join("; ")
}
