//! What will be cleared up, before anything was lost: what is stale can only be seen in the data
//! that a restore brings back, so it is told what will be looked at, and what is not.

use serde::{Deserialize, Serialize};

use crate::core::recovery::plan::RungPlan;
use crate::core::recovery::policy::{Hygiene, RecoveryPolicy};

/// One kind of stale data, as a plan foretells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foretold {
    /// The kind, as in the key `recovery.hygiene`.
    pub kind: String,
    /// What is stale of it.
    pub what: String,
    /// What is done about it.
    pub then: Then,
}

/// What is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// It is looked at after the restore, and what is stale is cleared up.
    AfterTheRestore,
    /// Nothing: `recovery.hygiene` does not name it. What is stale is told all the same, unless all
    /// kinds are switched off.
    SwitchedOff,
    /// Nothing: there is nothing of it that could be done by itself.
    NothingToDo,
}

/// What is foretold where `ways` lead out of a loss; nothing where none of them restores etcd,
/// because only a restore brings old data back.
#[must_use]
pub fn foretold(ways: &[RungPlan], policy: &RecoveryPolicy) -> Vec<Foretold> {
    if !ways.iter().any(|way| way.rung.restores_etcd()) {
        return Vec::new();
    }
    let foretold = Hygiene::ALL.into_iter().map(|kind| Foretold {
        kind: kind.word().to_owned(),
        what: what(kind).to_owned(),
        then: if !policy.hygiene.contains(&kind) {
            Then::SwitchedOff
        } else if kind == Hygiene::Nodes {
            // A recovery has nobody who could name one: `start --forget-node` does.
            Then::NothingToDo
        } else {
            Then::AfterTheRestore
        },
    });
    foretold.collect()
}

fn what(kind: Hygiene) -> &'static str {
    match kind {
        Hygiene::Endpoints => "addresses of API servers that do not renew them any more",
        Hygiene::Leases => "leases of leader election whose holder has given up",
        Hygiene::Nodes => "nodes that an operator named as gone; a recovery is told of none",
        Hygiene::Pods => "pods that are bound to nodes which are no nodes any more",
        Hygiene::Alarms => "alarms of etcd: compacted, defragmented, disarmed",
        Hygiene::CertificateRequests => "this node's own requests for certificates",
    }
}
