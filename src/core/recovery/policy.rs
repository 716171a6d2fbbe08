//! The knobs of recovery mode, validated by `config`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::rung::Rung;

/// What may be done without asking, and when. Every field is a key of `[recovery]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryPolicy {
    /// Anything at all is done without asking. Off: it is still found out and said.
    pub automatic: bool,
    /// All evidence must agree for so long before the control plane counts as lost.
    pub lost_after: Duration,
    /// After a boot nothing counts as lost for so long: its parts are still starting.
    pub boot_grace: Duration,
    /// A member of etcd is gone for so long before it is replaced.
    pub member_lost_after: Duration,
    /// A component runs and does not answer for so long before it is restarted.
    pub wedged_after: Duration,
    /// Rungs that may be taken without asking.
    pub rungs: BTreeSet<Rung>,
    /// Data of so much time may be lost without asking.
    pub max_auto_data_loss: Duration,
    /// At most so many recoveries without asking in [`RecoveryPolicy::period`]; then it is latched
    /// until an operator has looked.
    pub limit: u32,
    /// The period in which they are counted.
    pub period: Duration,
    /// A recovery that has not ended by then is given up, and latched.
    pub deadline: Duration,
    /// Names of the other masters. With any, no rung that restores etcd is taken without asking:
    /// agreement between masters has its place here.
    pub other_masters: BTreeSet<String>,
    /// What is cleared up after a restore.
    pub hygiene: BTreeSet<Hygiene>,
}

/// One kind of stale data after a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hygiene {
    /// Addresses of masters that are gone: `/registry/masterleases`, `default/kubernetes`.
    Endpoints,
    /// Leases of leader election whose holder is gone.
    Leases,
    /// Nodes that an operator named as gone.
    Nodes,
    /// Pods of the API that the kubelet knows and etcd does not, and the reverse.
    Pods,
    /// Alarms of etcd: defragment, disarm.
    Alarms,
    /// Requests of this node for certificates.
    CertificateRequests,
}

impl Hygiene {
    /// Each.
    pub const ALL: [Self; 6] = [
        Self::Endpoints,
        Self::Leases,
        Self::Nodes,
        Self::Pods,
        Self::Alarms,
        Self::CertificateRequests,
    ];

    /// The word of the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Endpoints => "endpoints",
            Self::Leases => "leases",
            Self::Nodes => "nodes",
            Self::Pods => "pods",
            Self::Alarms => "alarms",
            Self::CertificateRequests => "certificate-requests",
        }
    }
}
