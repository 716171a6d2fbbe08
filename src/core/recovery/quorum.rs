//! Whether etcd has a quorum, as far as it can be told from this node.
//!
//! A member that refuses a connection is not running: its machine answered. One that is silent may
//! be cut off from here and serve others. So only refusals, and what is seen of this node's own
//! member, are counted against a quorum; the list of members says how many it takes. A firewall
//! that refuses instead of dropping looks like members that do not run: with other masters no
//! rung that restores etcd is automatic, and one reason is this.

use super::etcd_seen::{EtcdAnswer, EtcdDoor, EtcdMember};
use super::evidence::{DoorAnswer, Evidence};
use super::own::etcd_in_use;
use super::part::Part;
use super::policy::RecoveryPolicy;

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Quorum {
    /// It has one.
    Has,
    /// It has none: so many members do not run that the others are too few. Why, one sentence each.
    Gone(Vec<String>),
    /// The only member runs, and does not answer or does not lead.
    Wedged(Vec<String>),
    /// No quorum is seen from here; others may have one.
    CutOff(String),
    /// Enough members run and none leads.
    Leaderless(String),
    /// It cannot be told: why.
    Unknown(String),
}

/// A member that votes, as it looks from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It answers, and knows of no leader.
    Answers,
    /// It does not run.
    Down,
    /// It runs here and does not answer.
    Mute,
    /// No word from it.
    Silent,
}

pub(super) fn quorum(evidence: &Evidence, policy: &RecoveryPolicy) -> Quorum {
    let etcd = &evidence.etcd;
    if etcd.has_quorum() {
        return Quorum::Has;
    }
    if etcd.endpoints.is_empty() {
        return Quorum::Unknown("no endpoint of etcd is configured or asked yet".to_owned());
    }
    if let Some(door) = etcd.endpoints.iter().find(|door| says_nothing(door)) {
        return Quorum::Unknown(format!("etcd at {}: {}", door.endpoint, why(door)));
    }
    let looks = match voters(evidence, policy) {
        Ok(looks) => looks,
        Err(why) => return Quorum::Unknown(why),
    };
    let all = looks.len();
    let count = |look: Look| looks.iter().filter(|(_, it)| *it == look).count();
    let needed = all / 2 + 1;
    let said = sentences(&looks);
    if all - count(Look::Down) < needed {
        return Quorum::Gone(said);
    }
    if all == 1 {
        return Quorum::Wedged(said);
    }
    let short = said.join(", ");
    if count(Look::Silent) > 0 {
        return Quorum::CutOff(format!(
            "this node is cut off, or etcd's quorum is lost: they cannot be told apart from here \
             ({short})"
        ));
    }
    Quorum::Leaderless(format!(
        "{needed} of {all} members of etcd are needed and run, and none leads ({short}): their \
         certificates among each other, their clocks or their disks"
    ))
}

/// A door whose answer says neither that a member runs nor that it does not.
fn says_nothing(door: &EtcdDoor) -> bool {
    match &door.answer {
        EtcdAnswer::Status(_) => false,
        EtcdAnswer::Not(answer) => !answer.is_silent(),
    }
}

/// What is wrong with a door that does not say how its member is.
pub(super) fn why(door: &EtcdDoor) -> String {
    let EtcdAnswer::Not(answer) = &door.answer else {
        return String::new();
    };
    let class = match answer {
        DoorAnswer::Untrusted(_) => "it lives, and a certificate is not believed",
        DoorAnswer::Denied => "it lives, and does not let us ask",
        DoorAnswer::NotReady | DoorAnswer::Serving => "it lives",
        DoorAnswer::Refused => "nobody listens there",
        DoorAnswer::Unreachable => "there is no way there",
        DoorAnswer::TimedOut => "no answer in time",
        DoorAnswer::Unreadable => "its answer cannot be used",
        DoorAnswer::NotAsked => "it was not asked",
    };
    if door.detail.is_empty() {
        class.to_owned()
    } else {
        format!("{class}: {}", door.detail)
    }
}

/// Each member that votes, by a name, and how it looks.
fn voters(evidence: &Evidence, policy: &RecoveryPolicy) -> Result<Vec<(String, Look)>, String> {
    let etcd = &evidence.etcd;
    if let Some(members) = etcd.members.known() {
        let voters = members.all.iter().filter(|member| !member.learner);
        let looks: Vec<(String, Look)> = voters
            .map(|member| (named(member), member_looks(member, evidence)))
            .collect();
        if !looks.is_empty() {
            return Ok(looks);
        }
    }
    if !policy.other_masters.is_empty() {
        return Err(
            "which members etcd has is not known, and other masters are configured".to_owned(),
        );
    }
    // Nobody ever said: with one master, every address of the configuration is a member, and all
    // addresses of this node are one.
    let (own, others): (Vec<&EtcdDoor>, Vec<&EtcdDoor>) =
        etcd.endpoints.iter().partition(|door| door.own);
    let mut looks = Vec::new();
    if !own.is_empty() {
        looks.push(("this node's member".to_owned(), own_looks(&own, evidence)));
    }
    looks.extend(others.into_iter().map(|door| {
        let look = door_looks(door);
        (door.endpoint.clone(), look)
    }));
    Ok(looks)
}

fn named(member: &EtcdMember) -> String {
    if member.own {
        "this node's member".to_owned()
    } else if member.name.is_empty() {
        format!("member {:x}", member.id)
    } else {
        format!("member {}", member.name)
    }
}

fn member_looks(member: &EtcdMember, evidence: &Evidence) -> Look {
    let doors = evidence.etcd.endpoints.iter();
    let doors: Vec<&EtcdDoor> = doors.filter(|door| leads_to(door, member)).collect();
    if member.own {
        return own_looks(&doors, evidence);
    }
    let looks = doors.into_iter().map(door_looks);
    looks.min_by_key(|look| *look as u8).unwrap_or(Look::Silent)
}

/// Whether a door is one of this member's.
pub(super) fn leads_to(door: &EtcdDoor, member: &EtcdMember) -> bool {
    match &door.answer {
        EtcdAnswer::Status(status) => status.member_id == member.id,
        EtcdAnswer::Not(_) => {
            (door.own && member.own) || (!door.own && member.client_urls.contains(&door.endpoint))
        }
    }
}

fn door_looks(door: &EtcdDoor) -> Look {
    match &door.answer {
        EtcdAnswer::Status(_) => Look::Answers,
        EtcdAnswer::Not(DoorAnswer::Refused) => Look::Down,
        EtcdAnswer::Not(_) => Look::Silent,
    }
}

/// This node's own member: whether it runs is seen here, whatever its address says.
fn own_looks(doors: &[&EtcdDoor], evidence: &Evidence) -> Look {
    if doors.iter().any(|door| door_looks(door) == Look::Answers) {
        return Look::Answers;
    }
    if etcd_in_use(evidence) || evidence.running(Part::Etcd).next().is_some() {
        return Look::Mute;
    }
    Look::Down
}

fn sentences(looks: &[(String, Look)]) -> Vec<String> {
    let sentence = |(name, look): &(String, Look)| {
        let what = match look {
            Look::Answers => "answers and knows of no leader",
            Look::Down => "does not run",
            Look::Mute => "runs and does not answer",
            Look::Silent => "gives no sign from here",
        };
        format!("{name} of etcd {what}")
    };
    let mut said: Vec<String> = looks.iter().map(sentence).collect();
    said.dedup();
    said
}
