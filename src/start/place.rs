//! What a start puts on the disk, and takes away again: nothing of anybody else.
//!
//! What is ours carries the start's id: the secrets in a file beside them, a manifest in an
//! annotation. So a run after a kill knows its own without having noted each step.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::tree::{Tree, TreePod};
use crate::core::reading::{Reading, Unseen, UnseenKind, chain};
use crate::core::start::journal::{Component, Journal};
use crate::core::start::observed::{Placed, Standing};
use crate::failpoints::hit;
use crate::store::dir::{Dir, ReadError};
use crate::store::durable::{self, Attributes, DurableError, TreeDir, TreeFile};
use crate::yaml;

/// Where the static pods of `recover` look for their keys.
/// Source: the predecessor's `pkg/asset` and its `start`.
const SECRETS: &str = "/etc/kubernetes/bootstrap-secrets";
/// The file in our directory of secrets that says whose it is.
const MARK: &str = ".rekindle-start";
/// Annotation with the start's id on a static pod.
const ANNOTATION: &str = "rekindle.dev/start";
/// Annotation with its activation; makes the uid that the kubelet gives it its own.
const ACTIVATION: &str = "rekindle.dev/activation";
/// For files that are being written: beside the place, on the same file system.
const STAGING: &str = ".rekindle-start-staging";
/// Largest manifest that is read back, bytes.
const LIMIT: u64 = 8 << 20;

/// Why something could not be placed or taken away.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DurableError),
    /// Reading.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Something of somebody else is in the way.
    #[error("{} is in the way, and not of this start", path.display())]
    InTheWay {
        /// What.
        path: PathBuf,
    },
    /// A path that cannot be one.
    #[error("{} has no parent directory", path.display())]
    NoParent {
        /// The path.
        path: PathBuf,
    },
    /// The tree no longer has a file that the start began with.
    #[error("the asset tree has no {file} any more")]
    Vanished {
        /// Its name.
        file: String,
    },
}

/// The places of one start.
#[derive(Debug, Clone)]
pub struct Places {
    id: String,
    manifests: PathBuf,
    secrets: PathBuf,
    aside: PathBuf,
}

impl Places {
    /// Those of a journal. `aside`: where manifests go that somebody has edited meanwhile.
    #[must_use]
    pub fn of(journal: &Journal, aside: PathBuf) -> Self {
        Self {
            id: journal.id.clone(),
            manifests: PathBuf::from(&journal.manifest_dir),
            secrets: PathBuf::from(&journal.secrets_dir),
            aside,
        }
    }

    /// Name of what stood in the place of the secrets.
    fn old_name(&self, name: &str) -> String {
        format!("{name}.before-{}", self.id)
    }

    /// What stands there now.
    #[must_use]
    pub fn look(&self, components: &[Component]) -> Reading<Placed> {
        match self.standing(components) {
            Ok(placed) => Reading::Known(placed),
            Err(error) => Reading::Unknown(Unseen::new(UnseenKind::Unreadable, chain(&error))),
        }
    }

    fn standing(&self, components: &[Component]) -> Result<Placed, PlaceError> {
        let mut placed = Placed::default();
        let (parent, name) = split(&self.secrets)?;
        if let Some(parent) = optional(&parent)? {
            placed.aside = parent.stat(&self.old_name(&name))?.is_some();
            placed.secrets = self.secrets_standing(&parent, &name)?;
        }
        let dir = Dir::open(&self.manifests)?;
        for component in components {
            let standing = self.manifest_standing(&dir, &component.file)?;
            placed.files.insert(component.file.clone(), standing);
        }
        Ok(placed)
    }

    fn secrets_standing(&self, parent: &Dir, name: &str) -> Result<Standing, ReadError> {
        if parent.stat(name)?.is_none() {
            return Ok(Standing::Absent);
        }
        let Ok(dir) = parent.sub(name) else {
            return Ok(Standing::Foreign);
        };
        match dir.read(MARK, LIMIT) {
            Ok((bytes, _)) if bytes == self.id.as_bytes() => Ok(Standing::Ours(0)),
            Ok(_) => Ok(Standing::Foreign),
            Err(error) if error.is_absent() => Ok(Standing::Foreign),
            Err(error) => Err(error),
        }
    }

    fn manifest_standing(&self, dir: &Dir, file: &str) -> Result<Standing, ReadError> {
        let bytes = match dir.read(file, LIMIT) {
            Ok((bytes, _)) => bytes,
            Err(error) if error.is_absent() => return Ok(Standing::Absent),
            Err(ReadError::NotAFile { .. } | ReadError::TooLarge { .. }) => {
                return Ok(Standing::Foreign);
            }
            Err(error) => return Err(error),
        };
        let ours = || {
            let value = yaml::document(&bytes)?;
            let annotations = value.get("metadata")?.get("annotations")?;
            let id = annotations.get(ANNOTATION)?.as_str()?;
            let activation = annotations.get(ACTIVATION)?.as_str()?.parse().ok()?;
            (id == self.id).then_some(Standing::Ours(activation))
        };
        Ok(ours().unwrap_or(Standing::Foreign))
    }

    /// Removes what a killed run left half written.
    pub fn sweep(&self) -> Result<(), PlaceError> {
        for place in [&self.manifests, &self.secrets] {
            let (parent, _) = split(place)?;
            if let Some(staging) = optional(&parent.join(STAGING))? {
                durable::sweep(&staging)?;
            }
        }
        Ok(())
    }

    /// Removes the staging directories, where they are empty.
    pub fn tidy(&self) {
        for place in [&self.manifests, &self.secrets] {
            if let Ok((parent, _)) = split(place)
                && let Ok(parent) = Dir::open(&parent)
            {
                durable::remove_if_empty(&parent, STAGING);
            }
        }
    }

    /// Puts the keys of `tree` in place, 0600 and 0700; what is there is moved aside first.
    pub fn place_secrets(&self, tree: &Tree) -> Result<(), PlaceError> {
        let (parent, name) = split(&self.secrets)?;
        let parent = durable::ensure_root(&parent)?;
        match self.secrets_standing(&parent, &name)? {
            Standing::Ours(_) => return Ok(()),
            Standing::Absent => {}
            Standing::Foreign => {
                let old = self.old_name(&name);
                if parent.stat(&old)?.is_some() {
                    let path = self.secrets.clone();
                    return Err(PlaceError::InTheWay { path });
                }
                durable::move_aside(&parent, &name, &parent, &old)?;
                hit("start.moved-aside");
            }
        }
        let staging = durable::ensure_dir(&parent, STAGING, 0o700)?;
        let (dir, file) = (Attributes::ours(0o700), Attributes::ours(0o600));
        let own = [
            ("kubeconfig", tree.kubeconfig.as_slice()),
            (MARK, self.id.as_bytes()),
        ];
        let tls = tree.tls.iter();
        let tls = tls.map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
        // The kubeconfig of the tree is what the static pods are given, whatever `tls` holds.
        let tls = tls.filter(|(path, _)| *path != "kubeconfig" && *path != MARK);
        let whole = durable::Tree {
            top: dir,
            dirs: tree
                .tls_dirs
                .iter()
                .map(|path| TreeDir {
                    path,
                    attributes: dir,
                })
                .collect(),
            files: tls
                .chain(own)
                .map(|(path, bytes)| TreeFile {
                    path,
                    bytes,
                    attributes: file,
                })
                .collect(),
        };
        durable::write_tree(&parent, &name, &whole, &staging)?;
        hit("start.secrets-placed");
        Ok(())
    }

    /// Takes our keys away and puts back what was moved aside.
    pub fn remove_secrets(&self) -> Result<(), PlaceError> {
        let (parent, name) = split(&self.secrets)?;
        let Some(parent) = optional(&parent)? else {
            return Ok(());
        };
        if matches!(self.secrets_standing(&parent, &name)?, Standing::Ours(_)) {
            let staging = durable::ensure_dir(&parent, STAGING, 0o700)?;
            durable::discard(&parent, &name, &staging)?;
            hit("start.secrets-removed");
        }
        let old = self.old_name(&name);
        if parent.stat(&name)?.is_none() && parent.stat(&old)?.is_some() {
            durable::move_aside(&parent, &old, &parent, &name)?;
            hit("start.put-back");
        }
        Ok(())
    }

    /// Puts a static pod in place as a whole.
    pub fn place_manifest(&self, tree: &Tree, component: &Component) -> Result<(), PlaceError> {
        let bytes = self.manifest(tree, component)?;
        let dir = Dir::open(&self.manifests)?;
        let (parent, _) = split(&self.manifests)?;
        let staging = durable::ensure_dir(&Dir::open(&parent)?, STAGING, 0o700)?;
        let attributes = Attributes::ours(0o600);
        if !durable::write_new_in(&dir, &component.file, &bytes, &attributes, &staging)?
            && self.manifest_standing(&dir, &component.file)?
                != Standing::Ours(component.activation)
        {
            let path = self.manifests.join(&component.file);
            return Err(PlaceError::InTheWay { path });
        }
        hit("start.manifest-placed");
        Ok(())
    }

    /// Takes a static pod of ours away. One that was edited meanwhile is kept, aside.
    pub fn remove_manifest(&self, tree: &Tree, component: &Component) -> Result<(), PlaceError> {
        let dir = Dir::open(&self.manifests)?;
        let Standing::Ours(activation) = self.manifest_standing(&dir, &component.file)? else {
            return Ok(());
        };
        let placed = Component {
            activation,
            ..component.clone()
        };
        let as_written = self.manifest(tree, &placed).ok();
        let (found, _) = dir.read(&component.file, LIMIT)?;
        if as_written.as_ref() != Some(&found) {
            let aside = durable::ensure_root(&self.aside)?;
            let name = format!("{}-{activation}-{}", self.id, component.file);
            durable::write_in(&aside, &name, &found, &Attributes::ours(0o600), &aside)?;
        }
        durable::remove_in(&dir, &component.file)?;
        hit("start.manifest-removed");
        Ok(())
    }

    /// The manifest of one activation: as in the tree, marked as ours.
    fn manifest(&self, tree: &Tree, component: &Component) -> Result<Vec<u8>, PlaceError> {
        let pod = find(tree, component)?;
        Ok(self
            .rendered(pod, component.activation)
            .to_string()
            .into_bytes())
    }

    /// The pod of one activation.
    #[must_use]
    pub fn rendered(&self, pod: &TreePod, activation: u64) -> Value {
        let mut value = pod.value.clone();
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
            if annotations.is_null() {
                *annotations = json!({});
            }
            if let Some(annotations) = annotations.as_object_mut() {
                annotations.insert(ANNOTATION.to_owned(), json!(self.id));
                annotations.insert(ACTIVATION.to_owned(), json!(activation.to_string()));
            }
        }
        let volumes = value
            .pointer_mut("/spec/volumes")
            .and_then(Value::as_array_mut);
        for volume in volumes.into_iter().flatten() {
            let Some(path) = volume.pointer_mut("/hostPath/path") else {
                continue;
            };
            let below = path.as_str().and_then(|path| path.strip_prefix(SECRETS));
            if let Some(below) = below.filter(|below| below.is_empty() || below.starts_with('/')) {
                *path = json!(format!("{}{below}", self.secrets.display()));
            }
        }
        value
    }
}

/// The tree's pod of a component.
pub fn find<'t>(tree: &'t Tree, component: &Component) -> Result<&'t TreePod, PlaceError> {
    let mut pods = tree.pods.iter();
    let found = pods.find(|pod| pod.file == component.file && pod.name == component.name);
    found.ok_or_else(|| PlaceError::Vanished {
        file: component.file.clone(),
    })
}

fn split(path: &Path) -> Result<(PathBuf, String), PlaceError> {
    match (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) {
        (Some(parent), Some(name)) => Ok((parent.to_owned(), name.to_owned())),
        _ => Err(PlaceError::NoParent {
            path: path.to_owned(),
        }),
    }
}

fn optional(path: &Path) -> Result<Option<Dir>, ReadError> {
    match Dir::open(path) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}
