//! All that can be learnt of a cluster at one moment. What does not answer is listed as silent:
//! unknown is not absent.

use super::facts::alarms_in;
use super::{Alarm, Etcd, EtcdError, Status};
use crate::core::backup::manifest::Member;

/// Most members that are asked: etcd advises at most seven.
const MEMBERS_LIMIT: usize = 16;

/// What members say, and which say nothing.
#[derive(Debug)]
pub(super) struct Survey {
    /// By configured endpoints: what a snapshot may be taken from.
    pub(super) candidates: Vec<Status>,
    /// By members that are no configured endpoint.
    pub(super) others: Vec<Status>,
    /// Configured endpoints that do not answer.
    pub(super) failed: Vec<EtcdError>,
    /// Members that do not answer, by name.
    pub(super) silent: Vec<String>,
    /// The members; `None`: not known.
    pub(super) members: Option<Vec<Member>>,
    /// Alarms of any member.
    pub(super) alarms: Vec<Alarm>,
}

impl Survey {
    /// Everybody who answered.
    pub(super) fn everybody(&self) -> impl Iterator<Item = &Status> {
        self.candidates.iter().chain(&self.others)
    }

    /// A member's name, else its id.
    pub(super) fn name(&self, id: u64) -> String {
        let members = self.members.as_deref().unwrap_or_default();
        match members.iter().find(|member| member.id == id) {
            Some(member) => named(member),
            None => format!("{id:x}"),
        }
    }
}

/// A member's name, or its id where it never started.
pub(super) fn named(member: &Member) -> String {
    if member.name.is_empty() {
        format!("{:x}", member.id)
    } else {
        member.name.clone()
    }
}

impl Etcd {
    /// Asks everybody. Takes at most four deadlines.
    pub(super) async fn survey(&self) -> Survey {
        let (mut candidates, mut failed) = (Vec::<Status>::new(), Vec::new());
        for (_, answer) in self.statuses().await {
            match answer {
                // Two addresses of one member are one candidate.
                Ok(status) if candidates.iter().any(|c| c.member_id == status.member_id) => {}
                Ok(status) => candidates.push(status),
                Err(error) => failed.push(error),
            }
        }
        let mut members = None;
        for candidate in &candidates {
            if let Ok(known) = self.members_by(&candidate.endpoint).await {
                members = Some(known);
                break;
            }
        }
        let (others, silent) = self.others(members.as_deref(), &candidates).await;
        let mut survey = Survey {
            candidates,
            others,
            failed,
            silent,
            members,
            alarms: Vec::new(),
        };
        // Members repeat the cluster's alarms in their own status: that needs no quorum.
        for alarm in survey
            .everybody()
            .flat_map(|s| alarms_in(&s.errors))
            .collect::<Vec<_>>()
        {
            if !survey.alarms.contains(&alarm) {
                survey.alarms.push(alarm);
            }
        }
        survey
    }

    /// Asks the members that are no candidates, each at its first client address.
    async fn others(
        &self,
        members: Option<&[Member]>,
        candidates: &[Status],
    ) -> (Vec<Status>, Vec<String>) {
        let members = members.unwrap_or_default().iter().take(MEMBERS_LIMIT);
        let others = members.filter(|m| candidates.iter().all(|c| c.member_id != m.id));
        let ask = others.map(async |member: &Member| {
            let name = named(member);
            let Some(url) = member.client_urls.first() else {
                return Err(name);
            };
            match self.status(url).await {
                // Another one behind the same address proves nothing about this one.
                Ok(status) if status.member_id == member.id => Ok(status),
                _ => Err(name),
            }
        });
        let (mut found, mut silent) = (Vec::new(), Vec::new());
        for answer in futures_util::future::join_all(ask).await {
            match answer {
                Ok(status) => found.push(status),
                Err(name) => silent.push(name),
            }
        }
        (found, silent)
    }
}
