//! Keys of `[checkpoint]`: when a checkpoint is stored, activated, handed over and removed.

use std::time::Duration;

use super::key;
use crate::config::reader::Reader;
use crate::core::policy::Policy;

pub(super) fn policy(r: &mut Reader, node_name: &str) -> Policy {
    r.section("checkpoint");
    Policy {
        node_name: node_name.to_owned(),
        ready: r.seconds(
            key(
                "ready_seconds",
                "A parent is Ready this long before its spec is stored as good.",
            ),
            10,
            0..=3600,
        ),
        activation_delay: r.seconds(
            key(
                "activation_delay_seconds",
                "Waiting time for a vanished parent that the kubelet may still restart.",
            ),
            15,
            0..=3600,
        ),
        grace_period: r.seconds(
            key(
                "grace_period_seconds",
                "From the parent's deletion to the checkpoint's removal.",
            ),
            300,
            0..=604_800,
        ),
        kubelet_deadline: r.seconds(
            key(
                "kubelet_deadline_seconds",
                "The kubelet's time to run a checkpoint before our own engine does.",
            ),
            60,
            1..=3600,
        ),
        stop_deadline: r.seconds(
            key(
                "stop_deadline_seconds",
                "The kubelet's time to stop a checkpoint before it is stopped through containerd.",
            ),
            10,
            1..=3600,
        ),
        handover_deadline: r.seconds(
            key(
                "handover_deadline_seconds",
                "The parent's time to serve once the checkpoint let go.",
            ),
            45,
            1..=3600,
        ),
        handover_backoff: r.seconds(
            key(
                "handover_backoff_seconds",
                "Wait after a failed hand-over; doubled each time.",
            ),
            5,
            1..=3600,
        ),
        handover_backoff_limit: r.seconds(
            key(
                "handover_backoff_limit_seconds",
                "Longest wait after failed hand-overs.",
            ),
            600,
            1..=86400,
        ),
        // Both are known once the whole file was read.
        handover_spread: Duration::ZERO,
        engine_enabled: true,
        handover_first: r.checkpoint_ids(
            key(
                "handover_first_controllers",
                "Handed over alone and before all others: the others need the API server.",
            ),
            &["daemonset.kube-system.kube-apiserver"],
        ),
        rescue: r.checkpoint_ids(
            key(
                "rescue_controllers",
                "Activated even when the API server says that the parent is deleted.",
            ),
            &[
                "deployment.kube-system.kube-controller-manager",
                "deployment.kube-system.kube-scheduler",
            ],
        ),
        rescue_delay: r.seconds(
            key(
                "rescue_delay_seconds",
                "How long such a controller is gone first.",
            ),
            30,
            0..=3600,
        ),
    }
}
