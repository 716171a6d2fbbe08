//! How the control plane stands, as recovery mode sees it.

use serde::{Deserialize, Serialize};

use super::part::Part;
use crate::core::time::Moment;

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// No API server serves anywhere we can ask, etcd does.
    ApiServers,
    /// No scheduler holds its lease or runs here.
    Schedulers,
    /// No controller manager holds its lease or runs here.
    ControllerManagers,
    /// etcd's member on this node, while the others have a quorum.
    EtcdMember,
    /// etcd has no quorum.
    EtcdQuorum,
    /// Neither etcd nor any API server answers.
    Everything,
}

impl Loss {
    /// Each.
    pub const ALL: [Self; 6] = [
        Self::ApiServers,
        Self::Schedulers,
        Self::ControllerManagers,
        Self::EtcdMember,
        Self::EtcdQuorum,
        Self::Everything,
    ];

    /// The word shown to people and used as a metric label.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ApiServers => "api-servers",
            Self::Schedulers => "schedulers",
            Self::ControllerManagers => "controller-managers",
            Self::EtcdMember => "etcd-member",
            Self::EtcdQuorum => "etcd-quorum",
            Self::Everything => "everything",
        }
    }
}

impl Loss {
    /// For people: `all API servers`.
    #[must_use]
    pub fn said(self) -> &'static str {
        match self {
            Self::ApiServers => "all API servers",
            Self::Schedulers => "all schedulers",
            Self::ControllerManagers => "all controller managers",
            Self::EtcdMember => "this node's etcd member",
            Self::EtcdQuorum => "etcd's quorum",
            Self::Everything => "etcd and all API servers",
        }
    }
}

/// How the control plane stands, in one word.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Too little is known.
    #[default]
    Unknown,
    /// Everything serves.
    Healthy,
    /// It serves, and something of it does not.
    Degraded,
    /// It looks lost, not for long enough to be sure.
    Suspected,
    /// It is lost.
    Lost,
    /// It is being brought back.
    Recovering,
}

impl Condition {
    /// Each, for metrics.
    pub const ALL: [Self; 6] = [
        Self::Unknown,
        Self::Healthy,
        Self::Degraded,
        Self::Suspected,
        Self::Lost,
        Self::Recovering,
    ];

    /// The word shown to people and used as a metric label.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Suspected => "suspected",
            Self::Lost => "lost",
            Self::Recovering => "recovering",
        }
    }
}

/// Something of the control plane that does not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Which part.
    pub part: Part,
    /// What is wrong, one sentence.
    pub what: String,
    /// Since when.
    pub since: Moment,
    /// Who deals with it, one sentence: the kubelet, the loop of checkpoints, an operator.
    pub handler: String,
}

/// A loss, confirmed or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossSeen {
    /// Which.
    pub loss: Loss,
    /// All evidence has agreed since then.
    pub since: Moment,
    /// It counts as lost from then on, if nothing changes.
    pub due: Moment,
    /// It is due, and nothing of the evidence is missing.
    pub confirmed: bool,
    /// The evidence, one sentence each.
    pub evidence: Vec<String>,
}

/// What the evidence comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Assessment {
    /// In one word.
    pub condition: Condition,
    /// Losses, suspected and confirmed.
    pub losses: Vec<LossSeen>,
    /// What does not work and is no loss, or not yet.
    pub troubles: Vec<Trouble>,
    /// Why it is not called lost, or what is waited for, one sentence each.
    pub waits: Vec<String>,
    /// What is not known, one sentence each.
    pub unknown: Vec<String>,
    /// When it is to be looked at again at the latest.
    pub wake_at: Option<Moment>,
}

impl Assessment {
    /// The confirmed loss that has to be dealt with first.
    #[must_use]
    pub fn confirmed(&self) -> Option<Loss> {
        let confirmed = self.losses.iter().filter(|seen| seen.confirmed);
        confirmed.map(|seen| seen.loss).max()
    }

    /// The loss that has to be dealt with first, confirmed or not.
    #[must_use]
    pub fn worst(&self) -> Option<Loss> {
        self.losses.iter().map(|seen| seen.loss).max()
    }

    /// The evidence of every loss, one sentence each.
    #[must_use]
    pub fn evidence(&self) -> Vec<String> {
        let all = self.losses.iter();
        all.flat_map(|seen| seen.evidence.clone()).collect()
    }

    /// Nothing is lost, as far as is known.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.losses.is_empty() && matches!(self.condition, Condition::Healthy | Condition::Degraded)
    }
}
