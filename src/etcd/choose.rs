//! Which member a snapshot is taken from (scenario B08): one that votes, has no alarm of corrupt
//! data and has caught up with all others that answer; a follower before the leader, which has
//! enough to do.

use std::time::Duration;

use super::survey::Survey;
use super::{AlarmKind, Etcd, EtcdError, Status};
use crate::core::backup::manifest::Member;

/// A member that has not applied within this time what another one had applied before is lagging.
/// A healthy follower is behind by one heartbeat (100 ms by default), a busy one by some thousand
/// entries that it applies in less than a second; a number of entries could not tell the two apart
/// from one that hangs.
const CATCH_UP: Duration = Duration::from_secs(2);
/// Between two looks at one that has to catch up.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What is taken although it should not be, with a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allow {
    /// A learner, a member that lags, one with an alarm of corrupt data: when nothing better is
    /// left.
    pub doubtful: bool,
}

/// The member to take a snapshot from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its address.
    pub endpoint: String,
    /// How it was when it was chosen.
    pub status: Status,
    /// The cluster's members; empty where nobody said.
    pub members: Vec<Member>,
    /// Reservations, in words.
    pub marks: Vec<String>,
}

impl Etcd {
    /// Chooses the member to take a snapshot from. Takes at most four deadlines and two seconds.
    ///
    /// # Errors
    /// [`EtcdError::NoneFit`] with what is against each endpoint, or why none answers.
    pub async fn choose(&self, allow: Allow) -> Result<Chosen, EtcdError> {
        let mut survey = self.survey().await;
        let goal = survey.everybody().map(|s| s.raft_applied_index).max();
        self.let_catch_up(&mut survey, goal.unwrap_or(0)).await;
        decide(survey, goal.unwrap_or(0), allow)
    }

    /// Looks again at candidates that are behind `goal`, until they are not or time is up.
    async fn let_catch_up(&self, survey: &mut Survey, goal: u64) {
        let wait = async {
            for candidate in &mut survey.candidates {
                while candidate.raft_applied_index < goal {
                    tokio::time::sleep(LOOK_AGAIN).await;
                    if let Ok(status) = self.status(&candidate.endpoint).await {
                        *candidate = status;
                    }
                }
            }
        };
        // Whoever has not caught up by then is told from its last answer.
        let _ = tokio::time::timeout(CATCH_UP, wait).await;
    }
}

/// What is against a candidate.
fn objections(survey: &Survey, candidate: &Status, goal: u64) -> Vec<String> {
    let mut against = Vec::new();
    if candidate.learner {
        against.push("it is a learner and may have any part of the data".to_owned());
    }
    let corrupt = survey.alarms.iter().any(|alarm| {
        alarm.kind == AlarmKind::Corrupt && [0, candidate.member_id].contains(&alarm.member_id)
    });
    if corrupt {
        against.push("etcd has raised the alarm CORRUPT for it".to_owned());
    }
    let applied = candidate.raft_applied_index;
    if applied < goal {
        let behind = goal - applied;
        against.push(format!(
            "it lags {behind} raft entries behind (at {applied}, another member was at {goal} \
             {} s before)",
            CATCH_UP.as_secs()
        ));
    }
    against
}

/// What is to be said about a backup from a member, beside what is against it.
fn reservations(survey: &Survey, chosen: &Status) -> Vec<String> {
    let mut marks = Vec::new();
    for alarm in &survey.alarms {
        match alarm.kind {
            AlarmKind::NoSpace => marks.push(format!(
                "etcd's alarm NOSPACE: the database of member {} is full, writes are refused",
                survey.name(alarm.member_id)
            )),
            AlarmKind::Corrupt if alarm.member_id == chosen.member_id => {}
            AlarmKind::Corrupt => marks.push(format!(
                "etcd's alarm CORRUPT: the data of member {} differs",
                survey.name(alarm.member_id)
            )),
        }
    }
    if chosen.leader == 0 {
        marks.push("the cluster had no leader: writes of other members may be missing".to_owned());
    }
    if survey.members.is_none() {
        marks.push(
            "not compared with the other members: the list of members was not known".to_owned(),
        );
    }
    if !survey.silent.is_empty() {
        marks.push(format!(
            "not compared with the other members: no answer from {}",
            survey.silent.join(", ")
        ));
    }
    marks
}

fn decide(mut survey: Survey, goal: u64, allow: Allow) -> Result<Chosen, EtcdError> {
    let cluster = survey.candidates.first().map(|first| first.cluster_id);
    let foreign = survey
        .candidates
        .iter()
        .find(|c| Some(c.cluster_id) != cluster);
    if let Some(foreign) = foreign {
        return Err(EtcdError::NoneFit {
            why: vec![format!(
                "{} belongs to another cluster ({:x}) than {} ({:x})",
                foreign.endpoint,
                foreign.cluster_id,
                survey.candidates[0].endpoint,
                survey.candidates[0].cluster_id
            )],
            could_be_allowed: false,
        });
    }
    let mut judged: Vec<(Vec<String>, &Status)> = survey
        .candidates
        .iter()
        .map(|candidate| (objections(&survey, candidate, goal), candidate))
        .collect();
    // Stable: else the order of the configuration.
    judged.sort_by_key(|(against, candidate)| {
        (against.len(), candidate.leader == 0, candidate.leads())
    });
    let best = judged.first();
    if let Some((against, chosen)) = best
        && (against.is_empty() || allow.doubtful)
    {
        let mut marks = against.clone();
        marks.extend(reservations(&survey, chosen));
        return Ok(Chosen {
            endpoint: chosen.endpoint.clone(),
            status: (*chosen).clone(),
            marks,
            members: survey.members.unwrap_or_default(),
        });
    }
    if survey.candidates.is_empty() && survey.failed.len() == 1 {
        return Err(survey.failed.remove(0));
    }
    let mut why: Vec<String> = judged
        .iter()
        .map(|(against, candidate)| format!("{}: {}", candidate.endpoint, against.join(", ")))
        .collect();
    let could_be_allowed = !why.is_empty();
    why.extend(survey.failed.iter().map(ToString::to_string));
    Err(EtcdError::NoneFit {
        why,
        could_be_allowed,
    })
}

#[cfg(test)]
#[path = "choose_tests.rs"]
mod tests;
