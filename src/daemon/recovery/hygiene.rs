//! What is stale after a restore, as an act of the recovery.

use std::time::Duration;

use super::acts::Order;
use super::jobs::{Done, Ended};
use crate::apiserver::ask::Asker;
use crate::containerd::Containerd;
use crate::core::reading::Reading;
use crate::core::recovery::record::Ending;
use crate::daemon::clock;
use crate::daemon::sources::containerd_config;
use crate::etcd::Etcd;
use crate::recover::host::Host;
use crate::recovery::hygiene::{Known, Means, carry_out, survey};
use crate::store::chain;

/// Of each question to the API server.
const DEADLINE: Duration = Duration::from_secs(5);

/// Looks, and clears up what the policy names.
pub(super) async fn run(order: &Order) -> Ended {
    let settings = &order.settings;
    let etcd = Etcd::connect(&settings.etcd).await;
    let etcd = etcd.map_err(|error| chain(&error))?;
    let asker = Asker::new(settings.recovery.kubeconfig.clone(), DEADLINE);
    let means = Means {
        etcd: &etcd,
        asker: &asker,
    };
    let policy = &settings.recovery.policy;
    let known = Known {
        node: settings.node.name.clone(),
        addresses: Host::read().addresses,
        other_masters: policy.other_masters.clone(),
        named_gone: std::collections::BTreeSet::new(),
        allowed: policy.hygiene.clone(),
        prefix: format!("/{}", settings.backup.key_prefix.trim_matches('/')),
        lost_at: order.suspected_at,
        restored_at: order.restored_at.unwrap_or_else(clock::wall),
        running: running(order).await,
    };
    let planned = survey(&means, &known).await;
    let mut tell = |finding: &crate::core::recovery::record::Finding| {
        let end = match &finding.end {
            Ending::Planned => "planned".to_owned(),
            Ending::Done => "cleared up".to_owned(),
            Ending::Left(why) => format!("left: {why}"),
        };
        order.say(&format!("{}: {end}", finding.what));
    };
    let findings = carry_out(&means, &planned, &mut tell).await;
    let done = findings
        .iter()
        .filter(|finding| finding.end == Ending::Done)
        .count();
    Ok(Done {
        what: format!(
            "{done} stale things cleared up, {} left",
            findings.len() - done
        ),
        hygiene: findings,
        ..Done::default()
    })
}

/// Namespace and name of the pods that run here.
async fn running(order: &Order) -> Reading<std::collections::BTreeSet<(String, String)>> {
    let containerd = Containerd::new(containerd_config(&order.settings));
    match containerd.view().await {
        Ok(view) => Reading::Known(
            view.sandboxes
                .iter()
                .filter(|sandbox| sandbox.running)
                .map(|sandbox| (sandbox.pod.namespace.clone(), sandbox.pod.name.clone()))
                .collect(),
        ),
        Err(error) => Reading::Unknown(error.unseen()),
    }
}
