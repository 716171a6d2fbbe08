//! Replacement of this node's member while the others have a quorum: its steps, and when it may
//! be done.
//!
//! ```text
//! Prepared ─► Stopping ─► MovingAside ─► Removing ─► Adding ─► Starting ─► Promoting ─► Settling ─► Verifying ─► Done
//!                                           ▲
//!                             commit point ─┘
//! ```

use serde::{Deserialize, Serialize};

use super::home::Home;
use super::place::Place;
use crate::core::backup::manifest::Member;

/// A step. It is on the disk before it is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplaceStage {
    /// Everything was looked at, nothing was done.
    Prepared,
    /// This node's member is stopped.
    Stopping,
    /// Its data directory is moved aside.
    MovingAside,
    /// The commit point: the member is removed from the cluster.
    Removing,
    /// It is added again, as a learner.
    Adding,
    /// It is started, to join the cluster that is there.
    Starting,
    /// It has caught up and gets its vote.
    Promoting,
    /// What starts it is as it was.
    Settling,
    /// It is asked how it is.
    Verifying,
    /// It serves.
    Done,
}

impl ReplaceStage {
    /// Each, in order.
    pub const ALL: [Self; 10] = [
        Self::Prepared,
        Self::Stopping,
        Self::MovingAside,
        Self::Removing,
        Self::Adding,
        Self::Starting,
        Self::Promoting,
        Self::Settling,
        Self::Verifying,
        Self::Done,
    ];

    /// What comes next; `Done` stays.
    #[must_use]
    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|stage| *stage == self);
        let next = at.and_then(|at| Self::ALL.get(at + 1));
        next.copied().unwrap_or(Self::Done)
    }

    /// It cannot be taken back any more, only gone on with.
    #[must_use]
    pub fn committed(self) -> bool {
        self >= Self::Removing
    }

    /// What is done, in words for people.
    #[must_use]
    pub fn said(self) -> &'static str {
        match self {
            Self::Prepared => "the member's replacement is prepared",
            Self::Stopping => "stopping etcd",
            Self::MovingAside => "moving the member's data aside",
            Self::Removing => "removing the member from the cluster",
            Self::Adding => "adding the member as a learner",
            Self::Starting => "starting the new member",
            Self::Promoting => "waiting until the new member has caught up, to give it its vote",
            Self::Settling => "putting back what starts the member",
            Self::Verifying => "asking the new member how it is",
            Self::Done => "the member is replaced",
        }
    }
}

/// One replacement: everything that is needed to go on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replace {
    /// The recovery's id: a part of file names.
    pub id: String,
    /// The step that is being done.
    pub stage: ReplaceStage,
    /// The member.
    pub home: Home,
    /// Id of the cluster.
    pub cluster_id: u64,
    /// Client addresses of the other members.
    pub others: Vec<String>,
    /// Its id before; `None`: the cluster did not list it any more.
    pub old_member: Option<u64>,
    /// Its id now, once it was added.
    pub new_member: Option<u64>,
    /// The data directory.
    pub place: Place,
}

/// A member as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// As the cluster lists it.
    pub member: Member,
    /// It answers, knows a leader and complains of nothing.
    pub healthy: bool,
}

/// The member of `home` in the list.
#[must_use]
pub fn own<'m>(members: &'m [Seen], home: &Home) -> Option<&'m Seen> {
    let by_url = members.iter().find(|seen| {
        let mut urls = seen.member.peer_urls.iter();
        urls.any(|url| home.peer_urls.contains(url))
    });
    by_url.or_else(|| members.iter().find(|seen| seen.member.name == home.name))
}

/// Whether the member `own` may be taken out of the cluster: the others have a quorum now, and
/// still have one without it.
///
/// # Errors
/// Why not, in words.
pub fn replaceable(members: &[Seen], own: Option<u64>) -> Result<(), String> {
    let voters = members.iter().filter(|seen| !seen.member.learner);
    let voters: Vec<&Seen> = voters.collect();
    let is_own = |seen: &&&Seen| Some(seen.member.id) == own;
    if voters.iter().any(|seen| is_own(&seen) && seen.healthy) {
        return Err("the member answers and is healthy".to_owned());
    }
    let others: Vec<&&Seen> = voters.iter().filter(|seen| !is_own(seen)).collect();
    if others.is_empty() {
        return Err("it is the only member that votes: the cluster would be gone".to_owned());
    }
    let healthy = others.iter().filter(|seen| seen.healthy).count();
    let (now, after) = (quorum(voters.len()), quorum(others.len()));
    if healthy < now || healthy < after {
        return Err(format!(
            "{healthy} of the other {} members that vote answer and are healthy, and {} are \
             needed",
            others.len(),
            now.max(after)
        ));
    }
    Ok(())
}

fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

/// The `--initial-cluster` of a member that joins: every member that the cluster lists, under its
/// own name.
#[must_use]
pub fn initial_cluster(members: &[Member], home: &Home) -> String {
    let entries = members.iter().flat_map(|member| {
        let own = member
            .peer_urls
            .iter()
            .any(|url| home.peer_urls.contains(url));
        let name = if own {
            home.name.clone()
        } else if member.name.is_empty() {
            // Added and never started: only its URL counts.
            format!("{:x}", member.id)
        } else {
            member.name.clone()
        };
        let urls = member.peer_urls.iter();
        urls.map(move |url| format!("{name}={url}"))
    });
    entries.collect::<Vec<_>>().join(",")
}
