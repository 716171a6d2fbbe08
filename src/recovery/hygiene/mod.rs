//! What is stale after a restore: looked at, planned by [`crate::core::recovery::hygiene`], and
//! cleared up.
//!
//! Every change names the state that was planned for (a revision, a version, a uid): where
//! somebody was faster, nothing is done and that is told. Running it again is harmless.

mod act;
mod gather;
mod request;

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;

use crate::apiserver::ask::Asker;
use crate::core::reading::{Reading, Unseen};
use crate::core::recovery::hygiene::facts::Facts;
use crate::core::recovery::hygiene::leases::{Election, stale};
use crate::core::recovery::hygiene::{Act, LIFE, Planned, needs_a_second_look, plan};
use crate::core::recovery::leaders::Proven;
use crate::core::recovery::policy::Hygiene;
use crate::core::recovery::record::{Ending, Finding};
use crate::daemon::clock;
use crate::etcd::Etcd;

/// Whom to ask.
#[derive(Debug)]
pub struct Means<'a> {
    /// etcd as it serves now.
    pub etcd: &'a Etcd,
    /// The API server, with an administrator's rights (`recovery.kubeconfig`).
    pub asker: &'a Asker,
}

/// What is known before.
#[derive(Debug, Clone)]
pub struct Known {
    /// This node.
    pub node: String,
    /// Its addresses; empty: not known, and then no address of a master is called stale.
    pub addresses: BTreeSet<IpAddr>,
    /// The other masters, by the configuration.
    pub other_masters: BTreeSet<String>,
    /// Nodes that an operator named as gone.
    pub named_gone: BTreeSet<String>,
    /// What may be cleared up: `recovery.hygiene`.
    pub allowed: BTreeSet<Hygiene>,
    /// What all keys of Kubernetes begin with: `/registry`.
    pub prefix: String,
    /// When etcd was lost.
    pub lost_at: Timestamp,
    /// When it served again.
    pub restored_at: Timestamp,
    /// Namespace and name of the pods that run here, by containerd.
    pub running: Reading<BTreeSet<(String, String)>>,
}

/// Looks, twice where that is needed (45 s apart), and plans. Changes nothing.
pub async fn survey(means: &Means<'_>, known: &Known) -> Vec<Planned> {
    let first = gather::look(means, known).await;
    let mut facts = Facts {
        node: known.node.clone(),
        addresses: known.addresses.iter().map(IpAddr::to_string).collect(),
        other_masters: known.other_masters.clone(),
        named_gone: known.named_gone.clone(),
        lost_at: known.lost_at,
        restored_at: known.restored_at,
        second: first.clone(),
        first,
    };
    if needs_a_second_look(&facts) {
        tokio::time::sleep(LIFE).await;
        facts.second = gather::look(means, known).await;
    }
    plan(&facts, &known.allowed)
}

/// What is known of a restore, to look at the leases by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// This node.
    pub node: String,
    /// When etcd was lost.
    pub lost_at: Timestamp,
    /// When it served again.
    pub restored_at: Timestamp,
    /// It was never away: controllers were lost, and both times are of that.
    pub etcd_lived: bool,
}

/// What one look at the leases of leader election came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Released {
    /// Those that were cleared.
    pub cleared: Vec<Finding>,
    /// Stale ones that are left for now.
    pub left: usize,
}

/// Looks at the leases of leader election once, and clears those whose holders lead no more.
///
/// # Errors
/// They could not be looked at.
pub async fn release(asker: &Asker, known: &Restored, proven: &Proven) -> Result<Released, Unseen> {
    let leases = gather::leases(asker).await?;
    let election = Election {
        node: &known.node,
        lost_at: known.lost_at,
        restored_at: known.restored_at,
        wall: clock::wall(),
        nodes: None,
        proven,
        etcd_lived: known.etcd_lived,
    };
    let mut released = Released::default();
    for planned in stale(&leases, &election) {
        let Ok(Act::ClearLease {
            name,
            resource_version,
        }) = &planned.act
        else {
            released.left += 1;
            continue;
        };
        match act::clear_lease(asker, name, resource_version).await {
            Ok(()) => released.cleared.push(Finding {
                end: Ending::Done,
                ..planned.finding()
            }),
            // Somebody was faster, or nobody answered: the next look tells.
            Err(_) => released.left += 1,
        }
    }
    Ok(released)
}

/// Carries a plan out, one after another; `tell` hears of each as it ends.
pub async fn carry_out(
    means: &Means<'_>,
    planned: &[Planned],
    tell: &mut (dyn FnMut(&Finding) + Send),
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for one in planned {
        let mut finding = one.finding();
        if let Ok(act) = &one.act {
            finding.end = match act::act(means, act).await {
                Ok(()) => Ending::Done,
                Err(why) => Ending::Left(why),
            };
        }
        tell(&finding);
        findings.push(finding);
    }
    findings
}
