//! What is stale after a restore, and what may be done about it: a plan from facts.
//!
//! Nothing is called stale because nobody spoke of it: what another node could still be using is
//! only touched where it was looked at twice, far enough apart that whoever lives would have
//! renewed it. What could not be read is told and left.

pub mod facts;
pub mod foretold;
pub mod leases;
mod pods;
mod requests;

use std::collections::BTreeSet;
use std::time::Duration;

use self::facts::{Facts, Look, Node};
use super::policy::Hygiene;
use super::record::{Ending, Finding};
use crate::core::reading::Reading;

/// Two looks are so far apart that whoever lives has renewed what it holds in between: API servers
/// renew their master leases within 10 s of 15 s, kubelets their nodes' within 10 s of 40 s.
/// Source: Kubernetes 1.20 `pkg/master/reconcilers`, `pkg/controlplane/instance.go`
/// (`DefaultEndpointReconcilerInterval`, `DefaultEndpointReconcilerTTL`),
/// `pkg/kubelet/apis/config/v1beta1/defaults.go` (`NodeLeaseDurationSeconds`).
pub const LIFE: Duration = Duration::from_secs(45);

/// One stale thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Of which kind.
    pub kind: Hygiene,
    /// What it is and why it is stale, one sentence.
    pub what: String,
    /// What is done about it, or why nothing.
    pub act: Result<Act, String>,
}

/// What clears it up. Each names the state that was seen: another one is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A key of etcd is deleted.
    DeleteKey {
        /// The key.
        key: String,
        /// Only at this revision of it.
        mod_revision: i64,
        /// The address that has to leave the endpoints of `default/kubernetes` by it.
        address: String,
    },
    /// The holder of a lease of `kube-system` is cleared.
    ClearLease {
        /// Its name.
        name: String,
        /// Only at this version.
        resource_version: String,
    },
    /// A node is deleted from the API.
    DeleteNode {
        /// Its name.
        name: String,
        /// Only this one.
        uid: String,
    },
    /// A pod is deleted from the API at once: nobody is there who could end it in order.
    DeletePod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Only this one.
        uid: String,
    },
    /// The database is compacted and defragmented, and the alarm taken off.
    MakeRoom,
    /// A request for a certificate is approved.
    Approve {
        /// Its name.
        name: String,
        /// Only this one.
        uid: String,
    },
}

impl Planned {
    /// As it stands in a record, before anything is done.
    #[must_use]
    pub fn finding(&self) -> Finding {
        Finding {
            kind: self.kind.word().to_owned(),
            what: self.what.clone(),
            end: match &self.act {
                Ok(_) => Ending::Planned,
                Err(why) => Ending::Left(why.clone()),
            },
        }
    }
}

/// What is stale, by kind in the order of [`Hygiene::ALL`]. Of kinds that are not `allowed`
/// nothing is done; it is told all the same.
#[must_use]
pub fn plan(facts: &Facts, allowed: &BTreeSet<Hygiene>) -> Vec<Planned> {
    let mut all = endpoints(facts);
    all.extend(leases::leases(facts));
    all.extend(nodes(facts));
    all.extend(pods::pods(facts));
    all.extend(alarms(facts));
    all.extend(requests::requests(facts));
    for planned in &mut all {
        if planned.act.is_ok() && !allowed.contains(&planned.kind) {
            planned.act = Err(format!(
                "{} is not in recovery.hygiene",
                planned.kind.word()
            ));
        }
    }
    all
}

/// Whether a second look is needed: somebody else may live who is not seen in one.
#[must_use]
pub fn needs_a_second_look(facts: &Facts) -> bool {
    let foreign = facts.first.master_leases.known();
    let foreign = foreign.is_some_and(|leases| {
        let ours = |address: &str| is_ours(facts, address);
        leases.keys().any(|key| !ours(address_of(key)))
    });
    foreign || !facts.named_gone.is_empty() || pods::any_on_a_missing_node(facts)
}

/// Something that cannot be looked at.
fn unseen<T>(kind: Hygiene, what: &str, reading: &Reading<T>) -> Option<Planned> {
    let unseen = reading.unseen()?;
    Some(Planned {
        kind,
        what: format!("{what} could not be looked at"),
        act: Err(unseen.detail.clone()),
    })
}

/// The looks are far enough apart to say that somebody does not live.
fn apart(facts: &Facts) -> bool {
    facts.second.at.since(facts.first.at) >= LIFE
}

fn address_of(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or_default()
}

fn is_ours(facts: &Facts, address: &str) -> bool {
    let loopback = address.starts_with("127.") || address == "::1";
    loopback || facts.addresses.contains(address)
}

/// R07: addresses of API servers that are gone.
fn endpoints(facts: &Facts) -> Vec<Planned> {
    let kind = Hygiene::Endpoints;
    let (first, second) = (&facts.first.master_leases, &facts.second.master_leases);
    let (Reading::Known(before), Reading::Known(now)) = (first, second) else {
        let unseen = unseen(kind, "master leases", first).or(unseen(kind, "master leases", second));
        return unseen.into_iter().collect();
    };
    let mut all = Vec::new();
    for (key, mod_revision) in now {
        let address = address_of(key);
        let renewed = before.get(key) != Some(mod_revision);
        if renewed || is_ours(facts, address) {
            continue;
        }
        let owner = owner_of(&facts.second, address);
        let named = owner.map_or(String::new(), |node| format!(" (node {})", node.name));
        let act = if !apart(facts) {
            Err("it was not watched for long enough".to_owned())
        } else if facts.addresses.is_empty() {
            Err("the addresses of this node are not known".to_owned())
        } else {
            Ok(Act::DeleteKey {
                key: key.clone(),
                mod_revision: *mod_revision,
                address: address.to_owned(),
            })
        };
        // A master that lives will register its API server again by itself; whether it is only
        // restarting cannot be seen from here.
        let lives = owner.is_some_and(|node| {
            facts.other_masters.contains(&node.name) && lives(facts, &node.name)
        });
        let act = if lives {
            Err("its node lives, and its API server may be starting".to_owned())
        } else {
            act
        };
        all.push(Planned {
            kind,
            what: format!("an API server at {address}{named} is registered and does not renew it"),
            act,
        });
    }
    all
}

fn owner_of<'a>(look: &'a Look, address: &str) -> Option<&'a Node> {
    let mut nodes = look.nodes.known()?.iter();
    nodes.find(|node| node.addresses.contains(address))
}

/// The kubelet of this node renewed its lease between the looks.
fn lives(facts: &Facts, name: &str) -> bool {
    let renewed = |look: &Look| {
        let mut nodes = look.nodes.known()?.iter();
        nodes.find(|node| node.name == name)?.renewed.clone()
    };
    let after = renewed(&facts.second);
    after.is_some() && after != renewed(&facts.first)
}

/// Nodes that an operator named as gone, and that are.
fn nodes(facts: &Facts) -> Vec<Planned> {
    let kind = Hygiene::Nodes;
    if facts.named_gone.is_empty() {
        return Vec::new();
    }
    let Reading::Known(nodes) = &facts.second.nodes else {
        return unseen(kind, "nodes", &facts.second.nodes)
            .into_iter()
            .collect();
    };
    let named = nodes
        .iter()
        .filter(|it| facts.named_gone.contains(&it.name));
    let planned = named.map(|node| Planned {
        kind,
        what: format!("node {} is gone, says the operator", node.name),
        act: if node.name == facts.node {
            Err("it is this node".to_owned())
        } else if lives(facts, &node.name) {
            Err("its kubelet lives: it renews its lease".to_owned())
        } else if !apart(facts) || facts.first.nodes.known().is_none() {
            Err("it was not watched for long enough".to_owned())
        } else {
            Ok(Act::DeleteNode {
                name: node.name.clone(),
                uid: node.uid.clone(),
            })
        },
    });
    planned.collect()
}

/// R12: a database over its quota takes nothing any more until there is room and the alarm is off.
fn alarms(facts: &Facts) -> Vec<Planned> {
    let kind = Hygiene::Alarms;
    let Reading::Known(alarms) = &facts.second.alarms else {
        return unseen(kind, "alarms of etcd", &facts.second.alarms)
            .into_iter()
            .collect();
    };
    let mut all = Vec::new();
    if alarms.contains("NOSPACE") {
        all.push(Planned {
            kind,
            what: "etcd is over its quota and takes no writes (alarm NOSPACE)".to_owned(),
            act: Ok(Act::MakeRoom),
        });
    }
    all.extend(
        alarms
            .iter()
            .filter(|it| *it != "NOSPACE")
            .map(|alarm| Planned {
                kind,
                what: format!("etcd has the alarm {alarm}"),
                act: Err("only an operator can tell what to do about it".to_owned()),
            }),
    );
    all
}
