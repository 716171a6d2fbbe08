//! What a recovery will write: the static pods, the files they need, and what a reader must know.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use super::addresses;
use super::component::Component;
use super::found::Found;
use super::pod::{self, Made};
use super::select::select;
use super::self_hosted_etcd::{self, SelfHosted};

/// Where the files of the recovered tree's `tls` directory stand on the node while the temporary
/// control plane runs.
/// Source: bootkube `pkg/asset/asset.go`, `BootstrapSecretsDir`.
pub const SECRETS_DIR: &str = "/etc/kubernetes/bootstrap-secrets";

/// What the operator asked for, and what this host is.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Where the objects were read, for sentences: `etcd backup file "…"`.
    pub looked_in: &'a str,
    /// A kubeconfig was given, to be `auth/kubeconfig`.
    pub kubeconfig: bool,
    /// Addresses of etcd in place of the recorded ones; empty leaves those.
    pub etcd_endpoints: &'a [String],
    /// The address of this host in place of recorded ones that it does not have.
    pub node_address: Option<&'a str>,
    /// Addresses of this host. Empty: unknown, and nothing is said about them.
    pub host_addresses: &'a BTreeSet<String>,
    /// The backup that was read, where the source is a file.
    pub backup: Option<Backup<'a>>,
}

/// The backup file of a recovery, for a self-hosted etcd that is to be restored from it.
#[derive(Debug, Clone, Copy)]
pub struct Backup<'a> {
    /// Its absolute path.
    pub path: &'a str,
    /// etcd's tools can read it as it lies: it is not packed.
    pub plain: bool,
    /// The API server's prefix of keys in it.
    pub prefix: &'a str,
    /// A word that no other cluster has.
    pub token: &'a str,
}

/// A file of the tree. `Debug` hides the content (invariant 13).
#[derive(Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// A static pod of the temporary control plane.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// What it is made from: `DaemonSet kube-system/kube-apiserver`.
    pub from: String,
    /// Which part of the control plane; `None`: etcd.
    pub component: Option<Component>,
    /// The pod, named `bootstrap-…`.
    pub pod: Pod,
    /// What is different from the original, one sentence each.
    pub changes: Vec<String>,
}

/// Everything that will be written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Static pods, in the order in which they are written.
    pub pods: Vec<Planned>,
    /// Files by their path in the tree.
    pub files: BTreeMap<String, Bytes>,
    /// Directories that hold no file, by their path in the tree.
    pub empty_dirs: BTreeSet<String>,
    /// Documents by their path in the tree, all without secrets.
    pub documents: BTreeMap<String, Value>,
    /// Path in the tree of the API server's serving certificate.
    pub serving_certificate: Option<String>,
    /// What is different in files that no pod alone has.
    pub changes: Vec<String>,
    /// What may go wrong with it.
    pub warnings: Vec<String>,
}

/// Everything that stands in the way, one sentence each. Never holds data of a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<String>);

/// Plans the recovery of what `found` holds.
///
/// # Errors
/// All [`Mistakes`] at once.
pub fn plan(found: &Found, wanted: &Wanted<'_>) -> Result<Plan, Mistakes> {
    let mut plan = Plan::default();
    let selection = select(found, wanted.looked_in);
    let mut mistakes = selection.mistakes;
    plan.warnings.clone_from(&found.notes);
    plan.warnings.extend(selection.warnings);
    let etcd = match wanted.backup {
        Some(backup) => self_hosted_etcd::of(found, backup, &mut mistakes, &mut plan.warnings),
        None => None,
    };
    let mut old = BTreeSet::new();
    for chosen in &selection.chosen {
        let mut made = pod::make(found, chosen, wanted, etcd.as_ref());
        old.append(&mut made.old);
        mistakes.extend(made.mistakes.iter().cloned());
        plan.add(made, chosen.component);
    }
    for told in addresses::follow_old(&mut plan.files, &old, wanted) {
        match told {
            Ok(change) => plan.changes.push(change),
            Err(warning) => plan.warnings.push(warning),
        }
    }
    if let Some(etcd) = etcd {
        plan.add_etcd(etcd);
    }
    mistakes.extend(plan.clashes());
    if mistakes.is_empty() {
        Ok(plan)
    } else {
        let mut seen = BTreeSet::new();
        mistakes.retain(|mistake| seen.insert(mistake.clone()));
        Err(Mistakes(mistakes))
    }
}

impl Plan {
    /// Names of the parts of a control plane of which nothing was found.
    #[must_use]
    pub fn lacks(&self) -> Vec<&'static str> {
        let there = |component: &Component| {
            let mut pods = self.pods.iter();
            pods.any(|pod| pod.component == Some(*component))
        };
        let missing = Component::ALL.into_iter().filter(|it| !there(it));
        missing.map(Component::name).collect()
    }

    fn add(&mut self, made: Made, component: Component) {
        self.warnings.extend(made.warnings);
        self.files.extend(made.files);
        self.empty_dirs.extend(made.empty_dirs);
        self.serving_certificate = self.serving_certificate.take().or(made.serving_certificate);
        self.pods.push(Planned {
            from: made.from,
            component: Some(component),
            pod: made.pod,
            changes: made.changes,
        });
    }

    fn add_etcd(&mut self, etcd: SelfHosted) {
        self.files.extend(etcd.files);
        self.documents.extend(etcd.documents);
        self.pods.push(Planned {
            from: etcd.from,
            component: None,
            pod: etcd.pod,
            changes: etcd.changes,
        });
    }

    /// Paths that are a file and a directory at once: a hostile key, since each volume for itself
    /// was laid out without one.
    fn clashes(&self) -> Vec<String> {
        let all = self.files.keys().chain(&self.empty_dirs);
        let parents: BTreeSet<&str> = all
            .flat_map(|path| path.match_indices('/').map(|(at, _)| &path[..at]))
            .collect();
        let dirs = self.empty_dirs.iter().map(String::as_str);
        self.files
            .keys()
            .filter(|path| parents.contains(path.as_str()) || dirs.clone().any(|dir| dir == **path))
            .map(|path| format!("{path} would be a file and a directory"))
            .collect()
    }
}
