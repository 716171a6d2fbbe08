//! The asset tree: `auth/kubeconfig`, `bootstrap-manifests/`, `tls/`, and maybe `manifests/`.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::core::manifest::facts::facts;
use crate::core::manifest::needs::all_containers;
use crate::core::start::journal::{Component, State};
use crate::core::start::required::Required;
use crate::recover::certificates::out_of_date;
use crate::store::dir::{Dir, ReadError};
use crate::yaml;

/// Largest file that is read, bytes: what etcd stores of one object, and room.
const FILE_LIMIT: u64 = 4 << 20;
/// Most files below `tls`, and most static pods.
const FILES: usize = 1000;
/// Deepest directory below `tls`.
const DEPTH: usize = 8;
/// Flags of a kube-apiserver that name certificates without which it serves nobody.
const NEEDED: [&str; 4] = [
    "--tls-cert-file",
    "--client-ca-file",
    "--etcd-certfile",
    "--etcd-cafile",
];
/// In front of the name of a temporary pod's counterpart, as `recover` writes it.
const BOOTSTRAP: &str = "bootstrap-";

/// A whole asset tree. Holds keys: no content in `Debug`.
pub struct Tree {
    /// Where it is, absolute.
    pub dir: PathBuf,
    /// `auth/kubeconfig`.
    pub kubeconfig: Vec<u8>,
    /// `bootstrap-manifests/*`, by name.
    pub pods: Vec<TreePod>,
    /// Directories below `tls`, parents first.
    pub tls_dirs: Vec<String>,
    /// Files below `tls`.
    pub tls: Vec<(String, Vec<u8>)>,
    /// There is a directory `manifests`.
    pub has_objects: bool,
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree")
            .field("dir", &self.dir)
            .field("pods", &self.pods.len())
            .field("tls", &self.tls.len())
            .finish_non_exhaustive()
    }
}

/// One static pod. It may hold secrets in its environment: no content in `Debug`.
pub struct TreePod {
    /// File name.
    pub file: String,
    /// Everything that the file says, also what this build does not know.
    pub value: Value,
    /// The same, typed.
    pub pod: Pod,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Debug for TreePod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TreePod")
            .field("file", &self.file)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Why a tree cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A part of it cannot be read.
    #[error("the asset tree cannot be read")]
    Read(#[from] ReadError),
    /// A part of it is missing.
    #[error("{} is no asset tree: there is no {what}", dir.display())]
    Missing {
        /// The tree.
        dir: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// A file is no static pod. The parser's own words may repeat a secret and are left out.
    #[error("{} is no static pod: {cause}", path.display())]
    NoPod {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// There is more of it than anybody can mean.
    #[error("{} has more than {FILES} files, or is deeper than {DEPTH} directories", dir.display())]
    TooLarge {
        /// The directory.
        dir: PathBuf,
    },
}

/// Reads the tree `dir`.
///
/// # Errors
/// See [`TreeError`]; nothing is left out silently.
pub fn read(dir: &Path) -> Result<Tree, TreeError> {
    let missing = |what| TreeError::Missing {
        dir: dir.to_owned(),
        what,
    };
    let top = Dir::open(dir)?;
    let auth = optional(&top, "auth")?.ok_or_else(|| missing("auth/kubeconfig"))?;
    let kubeconfig = match auth.read("kubeconfig", FILE_LIMIT) {
        Ok((bytes, _)) => bytes,
        Err(error) if error.is_absent() => return Err(missing("auth/kubeconfig")),
        Err(error) => return Err(error.into()),
    };
    let manifests = optional(&top, "bootstrap-manifests")?;
    let manifests = manifests.ok_or_else(|| missing("bootstrap-manifests"))?;
    let mut pods = Vec::new();
    for file in manifests.names()? {
        // As the kubelet reads its directory. Source: kubelet 1.20 `pkg/kubelet/config/file.go`.
        if !file.starts_with('.') {
            pods.push(pod(&manifests, file)?);
        }
    }
    if pods.is_empty() {
        return Err(missing("file in bootstrap-manifests"));
    }
    if pods.len() > FILES {
        return Err(TreeError::TooLarge {
            dir: manifests.path().to_owned(),
        });
    }
    let mut tree = Tree {
        dir: dir.to_owned(),
        kubeconfig,
        pods,
        tls_dirs: Vec::new(),
        tls: Vec::new(),
        has_objects: optional(&top, "manifests")?.is_some(),
    };
    if let Some(tls) = optional(&top, "tls")? {
        collect(&tls, "", 0, &mut tree)?;
    }
    Ok(tree)
}

fn optional(dir: &Dir, name: &str) -> Result<Option<Dir>, ReadError> {
    match dir.sub(name) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

fn collect(dir: &Dir, below: &str, depth: usize, tree: &mut Tree) -> Result<(), TreeError> {
    for name in dir.names()? {
        if tree.tls.len() + tree.tls_dirs.len() >= FILES || depth > DEPTH {
            let dir = dir.path().to_owned();
            return Err(TreeError::TooLarge { dir });
        }
        let path = format!("{below}{name}");
        match dir.read(&name, FILE_LIMIT) {
            Ok((bytes, _)) => tree.tls.push((path, bytes)),
            Err(ReadError::NotAFile { .. }) => {
                let sub = dir.sub(&name)?;
                tree.tls_dirs.push(path.clone());
                collect(&sub, &format!("{path}/"), depth + 1, tree)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn pod(dir: &Dir, file: String) -> Result<TreePod, TreeError> {
    let no_pod = |cause: &str| TreeError::NoPod {
        path: dir.path().join(&file),
        cause: cause.to_owned(),
    };
    let (bytes, _) = dir.read(&file, FILE_LIMIT)?;
    let value = yaml::document(&bytes)
        .ok_or_else(|| no_pod("it is neither one YAML nor one JSON document"))?;
    if value.get("kind").and_then(Value::as_str) != Some("Pod") {
        return Err(no_pod("its kind is not Pod"));
    }
    let pod: Pod =
        serde_json::from_value(value.clone()).map_err(|_| no_pod("a field has the wrong type"))?;
    let meta = &pod.metadata;
    let name = meta.name.clone().ok_or_else(|| no_pod("it has no name"))?;
    let namespace = meta
        .namespace
        .clone()
        .unwrap_or_else(|| "default".to_owned());
    // Names that are DNS names are file names and keys of ours as well.
    if Required::parse(&format!("{namespace}/{name}")).is_err() {
        return Err(no_pod("its name or namespace is no DNS name"));
    }
    if pod.spec.is_none() {
        return Err(no_pod("it has no spec"));
    }
    Ok(TreePod {
        file,
        value,
        pod,
        namespace,
        name,
    })
}

impl Tree {
    /// What is wrong with the dates of its certificates, in sentences: of those without which no
    /// API server can serve or be asked, and of others.
    #[must_use]
    pub fn out_of_date(&self, now: Timestamp) -> (Vec<String>, Vec<String>) {
        let servers = self.pods.iter().filter(|pod| pod.is_api_server());
        let needed: Vec<&str> = servers
            .flat_map(|pod| NEEDED.iter().filter_map(|flag| pod.flag(flag)))
            .filter_map(|path| path.rsplit('/').next())
            .collect();
        let (mut broken, mut others) = (Vec::new(), Vec::new());
        for (path, bytes) in &self.tls {
            let said = out_of_date(&format!("tls/{path}"), bytes, now);
            let name = path.rsplit('/').next().unwrap_or_default();
            if needed.contains(&name) {
                broken.extend(said);
            } else {
                others.extend(said);
            }
        }
        broken.extend(out_of_date("auth/kubeconfig", &self.kubeconfig, now));
        (broken, others)
    }
}

impl TreePod {
    /// It runs a kube-apiserver.
    #[must_use]
    pub fn is_api_server(&self) -> bool {
        self.name.contains("apiserver")
    }

    /// Command and arguments of all its containers.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        let containers = self.pod.spec.iter().flat_map(|spec| &spec.containers);
        containers
            .flat_map(|container| [&container.command, &container.args])
            .flatten()
            .flatten()
            .map(String::as_str)
    }

    /// The value of the first `--flag=value`.
    #[must_use]
    pub fn flag(&self, flag: &str) -> Option<&str> {
        self.words()
            .find_map(|word| word.strip_prefix(flag)?.strip_prefix('='))
    }

    /// Every image that it needs.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        let containers = self.pod.spec.iter().flat_map(all_containers);
        containers.filter_map(|container| container.image.as_deref())
    }

    /// What a start remembers of it: its counterpart is the required pod that has its name, with
    /// or without `bootstrap-`, or that of its first container.
    #[must_use]
    pub fn component(&self, required: &[Required]) -> Component {
        let first = self
            .pod
            .spec
            .iter()
            .flat_map(|spec| &spec.containers)
            .next();
        let plain = self.name.strip_prefix(BOOTSTRAP).unwrap_or(&self.name);
        let names = [Some(plain), first.map(|container| container.name.as_str())];
        let counterpart = names.into_iter().flatten().find_map(|name| {
            let mut all = required.iter();
            all.find(|required| required.namespace == self.namespace && required.name == name)
        });
        Component {
            file: self.file.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            api: self.is_api_server(),
            counterpart: counterpart.cloned(),
            activation: 0,
            failures: 0,
            not_before: None,
            held_since: None,
            shared_port: facts(&self.pod)
                .shared_port
                .filter(|_| self.is_api_server()),
            beside_since: None,
            state: State::Temporary,
        }
    }
}
