//! The knobs of decisions, validated by `config`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::id::CheckpointId;

/// How the core decides. Every duration is a key of the configuration file with its unit in its
/// name; the defaults and ranges are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The node's name, as the kubelet registers it.
    pub node_name: String,
    /// A parent must be Ready this long before its spec becomes the good revision.
    pub ready: Duration,
    /// Waiting time for a parent that vanished while the kubelet may still restart it. After a
    /// boot with no API server it is zero.
    pub activation_delay: Duration,
    /// From "the API server says it is gone" to removal.
    pub grace_period: Duration,
    /// The kubelet's time to run an activated manifest before our own engine takes over.
    pub kubelet_deadline: Duration,
    /// The kubelet's time to stop a removed static pod before it is stopped through containerd.
    pub stop_deadline: Duration,
    /// The parent's time to serve after the checkpoint was released.
    pub handover_deadline: Duration,
    /// First back-off after a failed hand-over; doubled each time.
    pub handover_backoff: Duration,
    /// Largest back-off after failed hand-overs.
    pub handover_backoff_limit: Duration,
    /// Handed over alone and before all others: what the other parents need to start, so the API
    /// server.
    pub handover_first: BTreeSet<CheckpointId>,
    /// Whoever is handed over first waits so long after its parent came, so that the masters of one
    /// cluster that start together do not let go together. Zero: there is no other master.
    pub handover_spread: Duration,
    /// Our own engine may be used at all.
    pub engine_enabled: bool,
    /// Leader-elected controllers whose deletion nobody else may repair (scenario C22): their
    /// checkpoints are activated although the API server says that the parent is deleted.
    pub rescue: BTreeSet<CheckpointId>,
    /// How long such a controller must be gone first.
    pub rescue_delay: Duration,
}

/// How long each turn waits after its parent's first start.
///
/// A copy is released when its parent starts, and a parent that finds its port taken is started
/// again by its kubelet: at once, and then about 15, 45, 90 and 175 s after the first time (a
/// back-off of 10, 20, 40 and 80 s, looked at every 10 to 15 s). So each turn ends between two of
/// those: turns that end before the same start would be taken at the same time.
///
/// Source: seen with kubelet 1.20; `pkg/kubelet/kuberuntime/kuberuntime_manager.go`, `doBackOff`,
/// and `pkg/kubelet/pod_workers.go`, `wrapUp`.
const TURNS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_secs(6),
    Duration::from_secs(28),
    Duration::from_secs(65),
    Duration::from_secs(130),
];

/// This node's turn among the masters, by its name: each knows the same names, so nobody has to be
/// asked. With more masters than turns some hand over together; the others serve meanwhile.
#[must_use]
pub fn handover_spread(node: &str, other_masters: &BTreeSet<String>) -> Duration {
    let before = other_masters.iter().filter(|other| other.as_str() < node);
    let turn = before.count() % TURNS.len();
    TURNS.get(turn).copied().unwrap_or_default()
}
