//! What stands in the static pod directory under a guarded name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::memory::CopyFacts;
use crate::core::id::PodRef;
use crate::core::manifest::names::hex;
use crate::core::observed::{Probe, RuntimeView, Sandbox};
use crate::core::reading::Reading;
use crate::core::recovery::part::Part;
use crate::core::view::{self, Running};

/// Everything that one look at the guarded files decides on.
#[derive(Debug, Clone)]
pub struct GuardSeen {
    /// The kernel's boot id.
    pub boot_id: String,
    /// Each guarded name. Unknown: the directory cannot be read, which is not "empty".
    pub files: Reading<BTreeMap<String, FileSeen>>,
    /// containerd, the kubelet's namespace.
    pub runtime: Reading<RuntimeView>,
    /// Answers of the probes of these pods.
    pub probes: Arc<BTreeMap<PodRef, Probe>>,
    /// Copies that are whole on the disk, by file and digest.
    pub copies: Reading<BTreeMap<String, BTreeMap<String, CopyFacts>>>,
}

/// What stands under one guarded name.
#[derive(Debug, Clone, PartialEq)]
pub enum FileSeen {
    /// Nothing.
    Absent,
    /// A file without content.
    Empty,
    /// No YAML.
    Broken,
    /// YAML that is no pod a kubelet could run: what it lacks.
    NoPod(String),
    /// It cannot be read, or is more than a file: not known.
    Unseen(String),
    /// A pod.
    Pod(PodFile),
}

/// A static pod's file. `Debug` does not show the pod, which may hold secrets.
#[derive(Clone, PartialEq)]
pub struct PodFile {
    /// SHA-256 of its bytes, 64 hex digits.
    pub digest: String,
    /// SHA-256 of what it says: comments and layout change it not.
    pub meaning: String,
    /// Namespace and name of its pod as the kubelet runs it, without a uid.
    pub namespace: String,
    /// With the kubelet's `-<node>` suffix.
    pub name: String,
    /// The part of the control plane that it is, where it is one.
    pub part: Option<Part>,
    /// Its containers, without init containers.
    pub containers: Vec<String>,
    /// On the host's network: only then its probes can be asked.
    pub host_network: bool,
    /// The pod.
    pub spec: Arc<Pod>,
}

impl fmt::Debug for PodFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PodFile")
            .field("digest", &self.digest)
            .field("name", &self.name)
            .field("part", &self.part)
            .finish_non_exhaustive()
    }
}

impl FileSeen {
    /// What `bytes` are, whose first YAML document is `document` (`None`: no YAML). `file` is the
    /// name in the directory, `node` the node's name.
    ///
    /// The kubelet appends the node's name in lower case.
    /// Source: kubelet 1.20 `pkg/kubelet/config/common.go`, `generatePodName`, `applyDefaults`.
    #[must_use]
    pub fn of(file: &str, bytes: &[u8], document: Option<Value>, node: &str) -> Self {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Self::Empty;
        }
        let Some(document) = document else {
            return Self::Broken;
        };
        let kind = |key: &str| document.get(key).and_then(Value::as_str);
        if (kind("apiVersion"), kind("kind")) != (Some("v1"), Some("Pod")) {
            return Self::NoPod("it is no v1 Pod".to_owned());
        }
        let meaning = digest(document.to_string().as_bytes());
        let Ok(pod) = serde_json::from_value::<Pod>(document) else {
            return Self::NoPod("its fields are not those of a Pod".to_owned());
        };
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        if name.is_empty() {
            return Self::NoPod("its pod has no name".to_owned());
        }
        let spec = pod.spec.as_ref();
        let containers = spec.map(|spec| spec.containers.as_slice());
        let containers = containers.unwrap_or_default().iter();
        let containers: Vec<String> = containers.map(|container| container.name.clone()).collect();
        if containers.is_empty() {
            return Self::NoPod("its pod has no containers".to_owned());
        }
        Self::Pod(PodFile {
            digest: digest(bytes),
            meaning,
            namespace: pod
                .metadata
                .namespace
                .as_deref()
                .filter(|namespace| !namespace.is_empty())
                .unwrap_or("default")
                .to_owned(),
            name: format!("{name}-{}", node.to_lowercase()),
            part: part(file, &pod),
            containers,
            host_network: spec.is_some_and(|spec| spec.host_network == Some(true)),
            spec: Arc::new(pod),
        })
    }
}

impl PodFile {
    /// Its sandboxes, those of earlier contents too; our own copies are none.
    pub fn sandboxes<'a>(&self, runtime: &'a RuntimeView) -> impl Iterator<Item = &'a Sandbox> {
        let (namespace, name) = (self.namespace.clone(), self.name.clone());
        runtime.sandboxes.iter().filter(move |sandbox| {
            sandbox.checkpoint.is_none()
                && sandbox.pod.namespace == namespace
                && sandbox.pod.name == name
        })
    }

    /// Whether all its containers run in `sandbox` and its probes pass.
    pub(super) fn serves(&self, sandbox: &Sandbox, probes: &BTreeMap<PodRef, Probe>) -> bool {
        view::running(sandbox, Some(&self.containers), probes, &[]) == Running::Serving
    }
}

/// The part of the control plane that a static pod is: by kubeadm's label, by the name or program of
/// a container, by the file's name.
/// Source: kubeadm 1.20 `cmd/kubeadm/app/util/staticpod/utils.go`, `ComponentPod`.
fn part(file: &str, pod: &Pod) -> Option<Part> {
    let named = |name: &str| Part::ALL.into_iter().find(|part| part.name() == name);
    let labels = pod.metadata.labels.as_ref();
    let label = labels.and_then(|labels| labels.get("component"));
    let spec = pod.spec.as_ref();
    let containers = spec.map_or(&[][..], |spec| &spec.containers);
    let program = |line: &Option<Vec<String>>| {
        let first = line.as_ref()?.first()?;
        named(first.rsplit('/').next()?)
    };
    label
        .and_then(|label| named(label))
        .or_else(|| containers.iter().find_map(|one| named(&one.name)))
        .or_else(|| containers.iter().find_map(|one| program(&one.command)))
        .or_else(|| named(file.split('.').next()?))
}

/// SHA-256 as 64 lower-case hex digits.
fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
