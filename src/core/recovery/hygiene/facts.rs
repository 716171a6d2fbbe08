//! What was seen after a restore: two looks, and what was known before.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::core::reading::Reading;
use crate::core::time::Moment;

/// Everything that the plan may know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// This node.
    pub node: String,
    /// Its addresses, in their shortest form; empty: not known.
    pub addresses: BTreeSet<String>,
    /// Names of the other masters, by the configuration.
    pub other_masters: BTreeSet<String>,
    /// Nodes that an operator named as gone.
    pub named_gone: BTreeSet<String>,
    /// When etcd was lost: nobody can have renewed anything after that.
    pub lost_at: Timestamp,
    /// When etcd served again.
    pub restored_at: Timestamp,
    /// The first look.
    pub first: Look,
    /// The second one; the same as the first where no second one was needed.
    pub second: Look,
}

/// One look at everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// When, since boot.
    pub at: Moment,
    /// When, by the wall clock.
    pub wall: Timestamp,
    /// Keys below `masterleases` with their revisions.
    pub master_leases: Reading<BTreeMap<String, i64>>,
    /// Leases of `kube-system`.
    pub leases: Reading<Vec<Lease>>,
    /// Nodes of the API.
    pub nodes: Reading<Vec<Node>>,
    /// Pods of the API, of all nodes, that are bound to one.
    pub pods: Reading<Vec<Pod>>,
    /// Namespace and name of the pods that run on this node, by containerd.
    pub running: Reading<BTreeSet<(String, String)>>,
    /// Alarms of etcd by their names: `NOSPACE`, `CORRUPT`.
    pub alarms: Reading<BTreeSet<String>>,
    /// Requests for certificates that nobody has decided yet.
    pub requests: Reading<Vec<Request>>,
}

/// A lease of `kube-system`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its name.
    pub name: String,
    /// Who holds it.
    pub holder: Option<String>,
    /// When it was renewed last.
    pub renewed: Option<Timestamp>,
    /// How long it is valid without being renewed.
    pub duration_seconds: Option<i64>,
    /// Its version.
    pub resource_version: String,
    /// It is the identity of an API server, and no leader election.
    pub of_an_apiserver: bool,
}

/// A node of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its addresses and host names.
    pub addresses: BTreeSet<String>,
    /// When its kubelet renewed its lease last, as it stands there; `None`: it has no lease.
    pub renewed: Option<String>,
}

/// A pod of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The node that it is bound to.
    pub node: String,
}

/// A request for a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Who is to sign it.
    pub signer: String,
    /// Who asked, as the API server authenticated it.
    pub requestor: String,
    /// The groups of who asked.
    pub groups: BTreeSet<String>,
    /// What it is to be used for.
    pub usages: BTreeSet<String>,
    /// What is asked for; `None`: it cannot be read.
    pub subject: Option<Subject>,
}

/// What a certificate is to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject {
    /// Common names.
    pub common_names: Vec<String>,
    /// Organizations.
    pub organizations: Vec<String>,
    /// Names of hosts.
    pub dns: Vec<String>,
    /// Addresses, in their shortest form.
    pub addresses: Vec<String>,
    /// Anything else is in it: other attributes of the subject, mail addresses, URIs.
    pub more: bool,
}
