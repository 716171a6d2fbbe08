//! The recovered tree on the disk: whole or not at all, readable by root alone.
//!
//! ```text
//! auth/kubeconfig
//! bootstrap-manifests/bootstrap-kube-apiserver.yaml, …   tls/secrets/SECRET/KEY
//! etcd/…  (a self-hosted etcd)                            tls/config-maps/CONFIGMAP/KEY
//! tls/etcd/…, tls/etcd-client…  (the same)                tls/volumes/COMPONENT/VOLUME/PATH
//! ```
//!
//! The last are volumes that are not one whole Secret or `ConfigMap`: some of its keys under names
//! of their own, or several in one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::core::recover::plan::Plan;
use crate::failpoints::hit;
use crate::store::dir::{Dir, ReadError};
use crate::store::durable::{self, Attributes, DurableError, Tree, TreeDir, TreeFile};
use crate::store::lock::{self, LockError};
use crate::yaml;

/// Where the given kubeconfig goes.
pub const KUBECONFIG: &str = "auth/kubeconfig";
const MANIFESTS: &str = "bootstrap-manifests";

/// One file of the tree. `Debug` hides the content.
#[derive(Clone, PartialEq, Eq)]
pub struct Asset {
    /// Its path in the tree.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Asset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asset")
            .field("path", &self.path)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// Why the tree is not there. Never holds content.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// There is something in the directory.
    #[error("{} is not empty: it has {holds:?}", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// A name in it.
        holds: String,
    },
    /// It is there and no directory, or has no name.
    #[error("{} cannot be the recovery directory: {why}", path.display())]
    Unfit {
        /// The path.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// Somebody else is writing there.
    #[error("another recovery to the same directory is under way")]
    Busy(#[source] LockError),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] DurableError),
    /// A static pod cannot be written as YAML.
    #[error("the static pod {name} cannot be written as YAML")]
    Yaml {
        /// Its name.
        name: String,
        /// Why.
        source: serde_saphyr::ser::Error,
    },
    /// A document cannot be written as JSON.
    #[error("{path} cannot be written as JSON")]
    Json {
        /// Its path in the tree.
        path: String,
        /// Why.
        source: serde_json::Error,
    },
}

/// The files of `plan`, in the order in which they are told.
///
/// # Errors
/// Where a document has no text form.
pub fn assets(plan: &Plan) -> Result<Vec<Asset>, TreeError> {
    let mut all = Vec::new();
    for planned in &plan.pods {
        let name = planned.pod.metadata.name.clone().unwrap_or_default();
        match yaml::text(&planned.pod) {
            Ok(text) => all.push(Asset {
                path: format!("{MANIFESTS}/{name}.yaml"),
                bytes: text.into_bytes(),
            }),
            Err(source) => return Err(TreeError::Yaml { name, source }),
        }
    }
    // The temporary etcd is told after its keys.
    let etcd = plan.pods.iter().position(|pod| pod.component.is_none());
    let etcd = etcd.map(|index| all.remove(index));
    let (last, files): (Vec<_>, Vec<_>) =
        plan.files.iter().partition(|(path, _)| *path == KUBECONFIG);
    let file = |(path, bytes): (&String, &crate::core::recover::plan::Bytes)| Asset {
        path: path.clone(),
        bytes: bytes.0.clone(),
    };
    all.extend(files.into_iter().map(file));
    all.extend(etcd);
    for (path, document) in &plan.documents {
        let path = path.clone();
        match serde_json::to_string_pretty(document) {
            Ok(text) => all.push(Asset {
                path,
                bytes: (text + "\n").into_bytes(),
            }),
            Err(source) => return Err(TreeError::Json { path, source }),
        }
    }
    all.extend(last.into_iter().map(file));
    Ok(all)
}

/// A recovery directory that may be written: absent or empty.
#[derive(Debug)]
pub struct Place {
    target: PathBuf,
    parent: PathBuf,
    name: String,
}

impl Place {
    /// Looks at where the tree will be. Writes nothing.
    ///
    /// # Errors
    /// Where there is something in it, or it cannot be there.
    pub fn of(dir: &Path) -> Result<Self, TreeError> {
        let unfit = |why| TreeError::Unfit {
            path: dir.to_owned(),
            why,
        };
        // A link to the real place stays one.
        let target = std::fs::canonicalize(dir)
            .or_else(|_| std::path::absolute(dir))
            .map_err(|_| unfit("its path cannot be followed"))?;
        let name = target.file_name().and_then(|name| name.to_str());
        let (Some(parent), Some(name)) = (target.parent(), name) else {
            return Err(unfit("it has no name"));
        };
        match std::fs::symlink_metadata(&target) {
            Ok(found) if !found.is_dir() => return Err(unfit("it is there and no directory")),
            Ok(_) => {
                if let Some(holds) = Dir::open(&target)?.names()?.into_iter().next() {
                    let path = target;
                    return Err(TreeError::NotEmpty { path, holds });
                }
            }
            Err(_) => {}
        }
        Ok(Self {
            parent: parent.to_owned(),
            name: name.to_owned(),
            target,
        })
    }

    /// The directory.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Writes the tree: beside its place, then there by one rename. Removes what an earlier
    /// recovery to the same place left unfinished.
    ///
    /// # Errors
    /// The step that failed; the place is then as it was.
    pub fn write(&self, assets: &[Asset], empty_dirs: &BTreeSet<String>) -> Result<(), TreeError> {
        let parent = durable::ensure_root(&self.parent)?;
        let staging_name = format!(".{}.part", self.name);
        let staging = durable::ensure_dir(&parent, &staging_name, 0o700)?;
        let lock = lock::hold_dir(staging.walk("")?).map_err(TreeError::Busy)?;
        durable::sweep(&staging)?;
        hit("recover.staged");
        let dirs = directories(assets, empty_dirs);
        let tree = Tree {
            top: Attributes::ours(0o700),
            dirs: dirs
                .iter()
                .map(|path| TreeDir {
                    path,
                    attributes: Attributes::ours(0o700),
                })
                .collect(),
            files: assets
                .iter()
                .map(|asset| TreeFile {
                    path: &asset.path,
                    bytes: &asset.bytes,
                    attributes: Attributes::ours(0o600),
                })
                .collect(),
        };
        let written = durable::write_tree(&parent, &self.name, &tree, &staging);
        hit("recover.written");
        drop(lock);
        durable::remove_if_empty(&parent, &staging_name);
        Ok(written?)
    }

    /// Whether the directory is there now.
    ///
    /// # Errors
    /// Where that cannot be seen.
    pub fn is_there(&self) -> Result<bool, TreeError> {
        let parent = match Dir::open(&self.parent) {
            Ok(parent) => parent,
            Err(error) if error.is_absent() => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let stat = parent.stat(&self.name)?;
        Ok(stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory))
    }
}

/// Every directory of the tree, each after its parent.
fn directories(assets: &[Asset], empty: &BTreeSet<String>) -> BTreeSet<String> {
    let files = assets.iter().map(|asset| asset.path.as_str());
    let mut all: BTreeSet<String> = empty.clone();
    for path in files.chain(empty.iter().map(String::as_str)) {
        let parents = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
        all.extend(parents);
    }
    all
}
