//! What the evidence comes to. Total, and slow to believe in a loss: all evidence must agree for
//! as long as the policy says, without a break; what is not known confirms nothing.
//!
//! - Evidence against a loss starts its time again. Evidence that is missing does not, but nothing
//!   is confirmed without it, nor for a quarter of the threshold after it has come back.
//! - Nothing counts during a boot's grace, while an operation has the node, while the system goes
//!   down, or across a gap in which nobody looked (a machine that slept).
//! - A container that has just been started is waited for, up to twice `wedged_after`, unless
//!   others before it have ended again and again in the same silence.

use std::time::Duration;

use super::claims::{Case, Looks, Verdict, is_expected};
use super::evidence::Evidence;
use super::loss::{Assessment, Condition, Loss, LossSeen};
use super::memory::{Claim, Memory};
use super::own;
use super::part::Part;
use super::policy::RecoveryPolicy;
use super::quorum::{Quorum, quorum};
use super::reasons;
use crate::core::time::Moment;

/// Evidence that is older says nothing; nobody who looked for so long has seen what happened.
const STALE: Duration = Duration::from_secs(60);
/// After something looked lost, all must be well for so long.
const SETTLE: Duration = Duration::from_secs(30);
/// Looked at again at least so often.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// Losses that passed by within this time are called flapping.
const FLAPPING: Duration = Duration::from_secs(600);

/// How the control plane stands, by `evidence` and what is remembered.
#[must_use]
pub fn assess(
    evidence: &Evidence,
    memory: &Memory,
    policy: &RecoveryPolicy,
    now: Moment,
) -> (Assessment, Memory) {
    let at = evidence.at;
    let mut memory = match memory.looked {
        Some(looked) if at.since(looked) > STALE => Memory::default(),
        _ => memory.clone(),
    };
    let mut found = Assessment {
        wake_at: Some(now.after(LOOK_AGAIN)),
        ..Assessment::default()
    };
    if now.since(at) > STALE {
        let age = now.since(at).as_secs();
        found.unknown.push(format!("nothing was seen for {age} s"));
        return (found, memory);
    }
    memory.looked = Some(at);
    own::remember(evidence, &mut memory);
    remember(evidence, &mut memory);
    let quorum = quorum(evidence, policy);
    let suspended = suspended(evidence);
    for loss in Loss::ALL {
        let case = Case {
            evidence,
            memory: &memory,
            policy,
            quorum: &quorum,
        };
        match (case.verdict(loss), &suspended) {
            (Verdict::Looks(looks), None) => {
                let seen = claim(loss, looks, evidence, &mut memory, policy, now);
                found.losses.push(seen);
            }
            // Whatever was seen of it is neither confirmed nor refuted now.
            (Verdict::Silent, None) => {
                if let Some(claim) = memory.claims.get_mut(&loss) {
                    claim.missing = Some(at);
                }
            }
            (verdict, _) => {
                if verdict != Verdict::Well || suspended.is_some() {
                    memory.denied.insert(loss, at);
                }
                if memory.claims.remove(&loss).is_some() && suspended.is_none() {
                    memory.passed.entry(loss).or_default().push(at);
                }
            }
        }
    }
    memory.worked |= suspended.is_none() && found.losses.is_empty() && works(evidence, &memory);
    found.waits.extend(suspended);
    if !found.losses.is_empty() {
        memory.unwell = Some(at);
    }
    reasons::troubles(evidence, &mut memory, policy, &quorum, &mut found);
    flapping(&mut memory, at, &mut found);
    waits(evidence, policy, now, &quorum, &mut found);
    found.condition = condition(evidence, &memory, &mut found, now);
    let dues = found.losses.iter().map(|seen| seen.due);
    found.wake_at = dues.filter(|due| *due > now).chain(found.wake_at).min();
    (found, memory)
}

fn remember(evidence: &Evidence, memory: &mut Memory) {
    let at = evidence.at;
    if evidence.api_serves() {
        memory.api_serves.get_or_insert(at);
    } else {
        memory.api_serves = None;
    }
    for part in Part::ALL {
        if evidence.running(part).next().is_some() {
            memory.seen.insert(part);
        }
    }
    // What is seen first is ours; a new authority makes a new cluster.
    if let Some(identity) = evidence.etcd.identity.known()
        && identity.cluster.is_some()
    {
        let before = memory.identity.get_or_insert_with(|| identity.clone());
        if before.authority != identity.authority {
            *before = identity.clone();
        }
    }
    let term = evidence.etcd.statuses().map(|(_, it)| it.raft_term).max();
    if let (Some(term), Some(before)) = (term, memory.term)
        && term > before
    {
        memory.elections.push(at);
    }
    memory.term = term.max(memory.term);
    let recent = |since: &Moment| at.since(*since) <= FLAPPING;
    memory.elections.retain(recent);
    for passed in memory.passed.values_mut() {
        passed.retain(recent);
    }
}

/// An API server serves, somebody leads, and it is known that no operation sets it up.
fn works(evidence: &Evidence, memory: &Memory) -> bool {
    let leads = |part| !is_expected(part, evidence, memory) || !own::is_silent(part, evidence);
    evidence.operations.known().is_some()
        && evidence.api_serves()
        && Part::LEADERS.into_iter().all(leads)
}

/// Why nothing counts now.
fn suspended(evidence: &Evidence) -> Option<String> {
    if evidence.shutting_down.known() == Some(&true) {
        return Some("the system is going down: nothing counts as lost".to_owned());
    }
    let operations = evidence.operations.known()?;
    // Our own has a loss to mend: what it does to etcd is no news of it.
    let mut others = operations.seen.iter();
    let first = others.find(|seen| !seen.kind.is_of_recovery())?;
    let word = first.kind.word();
    Some(format!(
        "`rekindle {word}` has this node: nothing counts as lost meanwhile"
    ))
}

/// Adds up the time of something that looks lost.
fn claim(
    loss: Loss,
    looks: Looks,
    evidence: &Evidence,
    memory: &mut Memory,
    policy: &RecoveryPolicy,
    now: Moment,
) -> LossSeen {
    let at = evidence.at;
    let denied = memory.denied.get(&loss).copied();
    let claim = memory.claims.entry(loss).or_insert(Claim {
        first: at,
        missing: None,
    });
    if !looks.missing.is_empty() {
        claim.missing = Some(at);
    }
    let grace = evidence.booted.after(policy.boot_grace);
    let since = looks
        .since
        .unwrap_or(claim.first)
        .max(denied.unwrap_or(Moment(0)))
        .max(grace);
    let complete = claim
        .missing
        .map(|missing| missing.after(looks.threshold / 4));
    let due = since
        .after(looks.threshold)
        .max(looks.not_before.unwrap_or(Moment(0)))
        .max(complete.unwrap_or(Moment(0)));
    let confirmed = looks.missing.is_empty() && now >= due;
    let mut said = looks.evidence;
    said.extend(looks.missing.into_iter().map(|it| format!("missing: {it}")));
    LossSeen {
        loss,
        since,
        due,
        confirmed,
        evidence: said,
    }
}

fn flapping(memory: &mut Memory, at: Moment, found: &mut Assessment) {
    for (loss, passed) in &memory.passed {
        let (Some(first), 2..) = (passed.first(), passed.len()) else {
            continue;
        };
        found.waits.push(format!(
            "{} looked lost {} times in {} s and came back each time",
            loss.word(),
            passed.len(),
            at.since(*first).as_secs()
        ));
    }
}

/// Why what looks lost is not called so, and what is not known.
fn waits(
    evidence: &Evidence,
    policy: &RecoveryPolicy,
    now: Moment,
    quorum: &Quorum,
    found: &mut Assessment,
) {
    if !found.losses.is_empty() && now < evidence.booted.after(policy.boot_grace) {
        let up = evidence.up_for(now).as_secs();
        let grace = policy.boot_grace.as_secs();
        found.waits.push(format!(
            "this boot is {up} s old: what does not run is still starting, until {grace} s"
        ));
    }
    for seen in found.losses.iter().filter(|seen| !seen.confirmed) {
        let word = seen.loss.word();
        let missing = seen.evidence.iter().find(|it| it.starts_with("missing: "));
        found.waits.push(match missing {
            Some(missing) => format!("{word} cannot be called lost: {missing}"),
            None => format!(
                "{word} counts as lost in {} s if nothing changes",
                seen.due.since(now).as_secs()
            ),
        });
    }
    match quorum {
        Quorum::CutOff(why) | Quorum::Leaderless(why) => found.waits.push(why.clone()),
        Quorum::Unknown(why) => found.unknown.push(format!("etcd: {why}")),
        Quorum::Has | Quorum::Gone(_) | Quorum::Wedged(_) => {}
    }
    let sources = [
        ("containerd", evidence.containers.unseen()),
        ("the static pod directory", evidence.manifests.unseen()),
        ("leases of leader election", evidence.leases.unseen()),
        ("operations", evidence.operations.unseen()),
        ("etcd's data directory", evidence.etcd.here.data.unseen()),
    ];
    for (name, unseen) in sources {
        if let Some(unseen) = unseen {
            found.unknown.push(format!("{name}: {}", unseen.detail));
        }
    }
}

fn condition(
    evidence: &Evidence,
    memory: &Memory,
    found: &mut Assessment,
    now: Moment,
) -> Condition {
    if found.losses.iter().any(|seen| seen.confirmed) {
        return Condition::Lost;
    }
    if !found.losses.is_empty() {
        return Condition::Suspected;
    }
    if !evidence.api_is_alive() {
        let silent = evidence.doors.iter().any(|door| door.answer.is_silent());
        return if silent {
            Condition::Suspected
        } else {
            Condition::Unknown
        };
    }
    if !found.troubles.is_empty() {
        return Condition::Degraded;
    }
    if let Some(unwell) = memory.unwell {
        let well = unwell.after(SETTLE);
        if evidence.at < well && now < well {
            let left = well.since(now).as_secs();
            found.waits.push(format!(
                "it came back a moment ago, and counts as healthy in {left} s"
            ));
            found.wake_at = Some(well).min(found.wake_at);
            return Condition::Degraded;
        }
    }
    if evidence.api_serves() {
        Condition::Healthy
    } else {
        Condition::Degraded
    }
}
