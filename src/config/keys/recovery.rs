//! Keys of `[recovery]`: what is done without asking when the control plane is lost.

use std::path::PathBuf;

use super::{key, names};
use crate::config::reader::Reader;
use crate::config::settings::Recovery;
use crate::core::recovery::policy::{Hygiene, RecoveryPolicy};
use crate::core::recovery::rung::Rung;

pub(super) fn recovery(r: &mut Reader) -> Recovery {
    r.section("recovery");
    Recovery {
        policy: policy(r),
        kubeconfig: r.path(
            key(
                "kubeconfig",
                "An administrator's kubeconfig: for the temporary control plane and for what is cleared up.",
            ),
            "/etc/kubernetes/admin.conf",
        ),
        guarded: r.list(
            key(
                "guarded_static_pods",
                "Files of the static pod directory whose last known good copies are kept.",
            ),
            ("file names", 32),
            &[
                "etcd.yaml",
                "kube-apiserver.yaml",
                "kube-controller-manager.yaml",
                "kube-scheduler.yaml",
            ],
            |text| names::file(text).map(|()| PathBuf::from(text)),
        ),
    }
}

#[expect(clippy::too_many_lines, reason = "one key after another")]
fn policy(r: &mut Reader) -> RecoveryPolicy {
    let automatic = r.truth(
        key(
            "automatic",
            "Recover without asking, by the rungs below; off: a loss is only found out and said.",
        ),
        true,
    );
    let rungs = r.list(
        key("automatic_rungs", "Ways back that are taken without asking."),
        (
            "rungs: checkpoints, restart, static-pods, temporary-control-plane, replace-member, data-directory, backup",
            Rung::ALL.len(),
        ),
        &Rung::ALL.map(Rung::word),
        |text| Rung::parse(text).ok_or_else(|| format!("{text:?} is no rung")),
    );
    let max_auto_data_loss = r.seconds(
        key(
            "max_auto_data_loss_seconds",
            "Data of so much time may be lost without asking; 0: a backup is restored only when asked.",
        ),
        0,
        0..=2_592_000,
    );
    let lost_after = r.seconds(
        key(
            "lost_after_seconds",
            "All evidence agrees for so long before the control plane counts as lost.",
        ),
        60,
        5..=86400,
    );
    let boot_grace = r.seconds(
        key(
            "boot_grace_seconds",
            "After a boot nothing counts as lost for so long.",
        ),
        120,
        0..=86400,
    );
    let wedged_after = r.seconds(
        key(
            "wedged_after_seconds",
            "A component runs and does not answer for so long before it is restarted; twice as long where it has just been started. What a recovery starts has half of it to show its effect, from a checkpoint three quarters; 60 s and 90 s at least.",
        ),
        120,
        10..=86400,
    );
    let member_lost_after = r.seconds(
        key(
            "member_lost_after_seconds",
            "etcd's member here is gone for so long before it is replaced.",
        ),
        300,
        5..=604_800,
    );
    let limit = r.number(
        key(
            "limit",
            "At most so many recoveries without asking in the period; then an operator has to look.",
        ),
        "recoveries",
        3,
        0..=100,
    );
    let period = r.seconds(
        key("period_seconds", "The period in which they are counted."),
        86400,
        60..=2_592_000,
    );
    let deadline = r.seconds(
        key(
            "deadline_seconds",
            "A recovery that has not ended by then is given up, and an operator has to look.",
        ),
        1800,
        60..=86400,
    );
    let other_masters = r.list(
        key(
            "other_masters",
            "Names of the other masters. With any, etcd is restored only when asked, and masters hand over API servers one after another.",
        ),
        ("node names", 16),
        &[],
        |text| names::dns(text).map(|()| text.to_owned()),
    );
    let hygiene = r.list(
        key("hygiene", "What is cleared up after a restore."),
        (
            "of endpoints, leases, nodes, pods, alarms, certificate-requests",
            Hygiene::ALL.len(),
        ),
        &Hygiene::ALL.map(Hygiene::word),
        |text| {
            let mut all = Hygiene::ALL.into_iter();
            all.find(|kind| kind.word() == text)
                .ok_or_else(|| format!("{text:?} is nothing that is cleared up"))
        },
    );
    RecoveryPolicy {
        automatic,
        lost_after,
        boot_grace,
        member_lost_after,
        wedged_after,
        rungs: rungs.into_iter().collect(),
        max_auto_data_loss,
        limit,
        period,
        deadline,
        other_masters: other_masters.into_iter().collect(),
        hygiene: hygiene.into_iter().collect(),
    }
}
