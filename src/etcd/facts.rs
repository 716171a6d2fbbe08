//! What members say of themselves and of each other.

use etcd_client::{AlarmType, StatusResponse};

use crate::core::backup::manifest::Member;

/// A member's own answer about itself. It needs no quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where it was asked.
    pub endpoint: String,
    /// Server version, as `3.5.16`.
    pub version: String,
    /// Cluster id.
    pub cluster_id: u64,
    /// Its own id.
    pub member_id: u64,
    /// Revision of its store.
    pub revision: i64,
    /// Newest raft entry that it knows to be committed.
    pub raft_index: u64,
    /// Newest raft entry that its store has applied.
    pub raft_applied_index: u64,
    /// Raft term.
    pub raft_term: u64,
    /// Id of the member that leads; 0: it knows of none.
    pub leader: u64,
    /// It does not vote.
    pub learner: bool,
    /// Size of its database file in bytes.
    pub db_bytes: u64,
    /// Bytes of it in use.
    pub db_in_use_bytes: u64,
    /// What it complains of, in its own words: alarms, no leader.
    pub errors: Vec<String>,
}

impl Status {
    /// It leads.
    pub fn leads(&self) -> bool {
        self.leader == self.member_id
    }

    /// The cluster's alarms as it repeats them among its complaints.
    #[must_use]
    pub fn alarms(&self) -> Vec<Alarm> {
        alarms_in(&self.errors)
    }

    pub(super) fn of(endpoint: &str, answer: &StatusResponse) -> Option<Self> {
        let header = answer.header()?;
        Some(Self {
            endpoint: endpoint.to_owned(),
            version: answer.version().to_owned(),
            cluster_id: header.cluster_id(),
            member_id: header.member_id(),
            revision: header.revision(),
            raft_index: answer.raft_index(),
            raft_applied_index: answer.raft_applied_index(),
            raft_term: answer.raft_term(),
            leader: answer.leader(),
            learner: answer.is_learner(),
            db_bytes: u64::try_from(answer.db_size()).unwrap_or(0),
            db_in_use_bytes: u64::try_from(answer.raft_used_db_size()).unwrap_or(0),
            errors: answer.errors().to_vec(),
        })
    }
}

/// An alarm that the cluster has raised on a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// On which.
    pub member_id: u64,
    /// Which.
    pub kind: AlarmKind,
}

/// Alarms of etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmKind {
    /// Its database is full: it takes no more writes.
    NoSpace,
    /// Its data differs from the others'.
    Corrupt,
}

impl AlarmKind {
    pub(super) fn of(kind: AlarmType) -> Option<Self> {
        match kind {
            AlarmType::None => None,
            AlarmType::Nospace => Some(Self::NoSpace),
            AlarmType::Corrupt => Some(Self::Corrupt),
        }
    }
}

/// The alarms in a member's complaints, which it repeats for the whole cluster as
/// `memberID:10501334649042878790 alarm:CORRUPT` (etcd, `api/v3rpc/maintenance.go`).
pub(super) fn alarms_in(errors: &[String]) -> Vec<Alarm> {
    let alarm = |text: &String| {
        let word = |name: &str| text.split_whitespace().find_map(|w| w.strip_prefix(name));
        let kind = match word("alarm:")? {
            "NOSPACE" => AlarmKind::NoSpace,
            "CORRUPT" => AlarmKind::Corrupt,
            _ => return None,
        };
        let member_id = word("memberID:")?.parse().ok()?;
        Some(Alarm { member_id, kind })
    };
    errors.iter().filter_map(alarm).collect()
}

pub(super) fn member(member: &etcd_client::Member) -> Member {
    Member {
        id: member.id(),
        name: member.name().to_owned(),
        peer_urls: member.peer_urls().to_vec(),
        client_urls: member.client_urls().to_vec(),
        learner: member.is_learner(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_are_read_from_a_members_complaints() {
        let errors = [
            "memberID:10501334649042878790 alarm:CORRUPT ".to_owned(),
            "etcdserver: no leader".to_owned(),
            "memberID:7 alarm:NOSPACE ".to_owned(),
        ];
        let corrupt = Alarm {
            member_id: 10_501_334_649_042_878_790,
            kind: AlarmKind::Corrupt,
        };
        let full = Alarm {
            member_id: 7,
            kind: AlarmKind::NoSpace,
        };
        assert_eq!(alarms_in(&errors), [corrupt, full]);
    }
}
