//! The revisions of checkpoints on disk: stored whole, checked whole, removed in one step.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Pod;

use super::chain;
use super::dir::{Dir, ReadError};
use super::durable::{self, Attributes, DurableError, Tree, TreeDir, TreeFile};
use super::inventory::{self, DATA, Damage, INVENTORY, Inventory, MANIFEST, Unfit, Whole};
use super::marks::{self, GOOD};
use crate::core::id::{CheckpointId, RevisionId};
use crate::core::manifest::facts::facts;
use crate::core::manifest::rendered::Rendered;
use crate::core::observed::RevisionFacts;
use crate::failpoints::hit;

pub(super) const CHECKPOINTS: &str = "checkpoints";
pub(super) const STAGING: &str = "staging";
const REMOVED: &str = "removed";
const DAMAGED: &str = "damaged";

/// The stored revisions below one state directory.
#[derive(Debug, Clone)]
pub struct Revisions {
    state_dir: PathBuf,
}

/// What is whole on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scan {
    /// Whole revisions. A checkpoint with none is not listed.
    pub by_checkpoint: BTreeMap<CheckpointId, BTreeMap<RevisionId, RevisionFacts>>,
    /// Damaged revisions and strange names, one sentence each, no content.
    pub problems: Vec<String>,
}

/// Why a revision could not be stored, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Read(#[from] ReadError),
    /// The store cannot be written.
    #[error("the store cannot be written")]
    Write(#[from] DurableError),
    /// What was rendered can be no revision.
    #[error("revision {revision} of {checkpoint} cannot be stored")]
    Unfit {
        /// Whose.
        checkpoint: CheckpointId,
        /// Which.
        revision: RevisionId,
        /// Why.
        source: Unfit,
    },
    /// A stored revision is damaged.
    #[error("revision {revision} of {checkpoint} is not whole")]
    NotWhole {
        /// Whose.
        checkpoint: CheckpointId,
        /// Which.
        revision: RevisionId,
        /// What is damaged.
        source: Damage,
    },
    /// The good revision is never dropped.
    #[error("revision {revision} of {checkpoint} is marked good and stays")]
    IsGood {
        /// Whose.
        checkpoint: CheckpointId,
        /// Which.
        revision: RevisionId,
    },
}

impl StoreError {
    /// The disk is full or read-only.
    pub fn is_disk(&self) -> bool {
        matches!(self, Self::Write(error) if error.is_full() || error.is_read_only())
    }
}

impl Revisions {
    /// The store below `state_dir`. Touches nothing: see [`Revisions::prepare`].
    #[must_use]
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
        }
    }

    /// Makes the store's directories and removes what an interrupted process left in staging.
    /// For a start, while nothing else writes. May be repeated after a failure.
    pub fn prepare(&self) -> Result<(), StoreError> {
        let root = durable::ensure_root(&self.state_dir)?;
        for name in [CHECKPOINTS, REMOVED, DAMAGED] {
            durable::ensure_dir(&root, name, 0o700)?;
        }
        durable::sweep(&durable::ensure_dir(&root, STAGING, 0o700)?)?;
        Ok(())
    }

    /// Where the data of a revision stands, for the host paths of its manifest.
    #[must_use]
    pub fn data_dir(&self, id: &CheckpointId, revision: &RevisionId) -> PathBuf {
        let checkpoint = self.state_dir.join(CHECKPOINTS).join(id.as_str());
        checkpoint.join(revision.as_str()).join(DATA)
    }

    /// Stores a revision whole. Where it is whole already, nothing is written; where it is
    /// damaged, the damaged one is moved aside.
    ///
    /// # Errors
    /// What cannot be stored or the step that failed; nothing half is left behind.
    pub fn store(&self, rendered: &Rendered) -> Result<(), StoreError> {
        let (id, revision) = (&rendered.checkpoint, &rendered.revision);
        let unfit = |source| StoreError::Unfit {
            checkpoint: id.clone(),
            revision: revision.clone(),
            source,
        };
        let (inventory, manifest) = Inventory::of(rendered).map_err(unfit)?;
        let sealed = inventory.seal().map_err(unfit)?;
        let root = Dir::open(&self.state_dir)?;
        let checkpoints = root.sub(CHECKPOINTS)?;
        let place = durable::ensure_dir(&checkpoints, id.as_str(), 0o700)?;
        hit("revision.place-made");
        if place.stat(revision.as_str())?.is_some() {
            let stored = place.sub(revision.as_str()).map_err(Damage::from);
            if stored
                .and_then(|dir| inventory::verify(&dir, id, revision))
                .is_ok()
            {
                // A kill may have come between its rename and the fsync.
                durable::sync(&place)?;
                return Ok(());
            }
            move_damaged(&root, &place, id, revision)?;
        }
        let tree = tree(&inventory, &manifest, &sealed, rendered);
        let staging = root.sub(STAGING)?;
        if let Err(error) = durable::write_tree(&place, revision.as_str(), &tree, &staging) {
            durable::remove_if_empty(&checkpoints, id.as_str());
            return Err(error.into());
        }
        hit("revision.stored");
        Ok(())
    }

    /// Every revision on disk, each checked whole.
    ///
    /// # Errors
    /// Where the store itself cannot be listed: unknown, not empty.
    pub fn scan(&self) -> Result<Scan, StoreError> {
        let mut scan = Scan::default();
        let checkpoints = Dir::open(&self.state_dir)?.sub(CHECKPOINTS)?;
        for name in checkpoints.names()? {
            let Ok(id) = CheckpointId::parse(&name) else {
                let path = checkpoints.path().display();
                scan.problems
                    .push(format!("{path} holds {name:?}, which is no checkpoint"));
                continue;
            };
            let listed = checkpoints
                .sub(&name)
                .and_then(|dir| Ok((dir.names()?, dir)));
            match listed {
                Ok((names, dir)) => scan_one(&id, &dir, names, &mut scan),
                Err(error) => scan
                    .problems
                    .push(format!("checkpoint {id}: {}", chain(&error))),
            }
        }
        Ok(scan)
    }

    /// The static pod of a revision, checked whole again; its host paths hold the placeholder.
    pub fn verified_manifest(
        &self,
        id: &CheckpointId,
        revision: &RevisionId,
    ) -> Result<Pod, StoreError> {
        self.verified(id, revision).map(|whole| whole.pod)
    }

    /// A revision with its inventory, checked whole again.
    pub fn verified(&self, id: &CheckpointId, revision: &RevisionId) -> Result<Whole, StoreError> {
        let checked = self
            .checkpoint(id)
            .and_then(|place| place.sub(revision.as_str()))
            .map_err(Damage::from)
            .and_then(|dir| inventory::verify(&dir, id, revision));
        checked.map_err(|source| StoreError::NotWhole {
            checkpoint: id.clone(),
            revision: revision.clone(),
            source,
        })
    }

    /// Drops one revision; that it is not there is fine.
    ///
    /// # Errors
    /// [`StoreError::IsGood`] for the one marked good: promotion marks another one first.
    pub fn drop_revision(
        &self,
        id: &CheckpointId,
        revision: &RevisionId,
    ) -> Result<(), StoreError> {
        let place = match self.checkpoint(id) {
            Ok(place) => place,
            Err(error) if error.is_absent() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if matches!(marks::read(&place), Ok(Some(good)) if good == *revision) {
            return Err(StoreError::IsGood {
                checkpoint: id.clone(),
                revision: revision.clone(),
            });
        }
        let staging = Dir::open(&self.state_dir)?.sub(STAGING)?;
        durable::discard(&place, revision.as_str(), &staging)?;
        hit("revision.dropped");
        Ok(())
    }

    /// Moves a checkpoint with all its revisions aside, in place of an older removed one of the
    /// same id. That it is not there is fine.
    pub fn remove_checkpoint(&self, id: &CheckpointId) -> Result<(), StoreError> {
        let root = Dir::open(&self.state_dir)?;
        let checkpoints = root.sub(CHECKPOINTS)?;
        if checkpoints.stat(id.as_str())?.is_none() {
            return Ok(());
        }
        let removed = durable::ensure_dir(&root, REMOVED, 0o700)?;
        durable::discard(&removed, id.as_str(), &root.sub(STAGING)?)?;
        hit("checkpoint.older-removed");
        durable::move_aside(&checkpoints, id.as_str(), &removed, id.as_str())?;
        hit("checkpoint.removed");
        Ok(())
    }

    fn checkpoint(&self, id: &CheckpointId) -> Result<Dir, ReadError> {
        Dir::open(&self.state_dir)?
            .sub(CHECKPOINTS)?
            .sub(id.as_str())
    }
}

fn scan_one(id: &CheckpointId, dir: &Dir, names: Vec<String>, scan: &mut Scan) {
    for name in names.into_iter().filter(|name| name != GOOD) {
        let Ok(revision) = RevisionId::parse(&name) else {
            let path = dir.path().display();
            scan.problems
                .push(format!("{path} holds {name:?}, which is no revision"));
            continue;
        };
        let opened = dir.sub(&name).map_err(Damage::from);
        match opened.and_then(|dir| inventory::verify(&dir, id, &revision)) {
            Ok(whole) => {
                for stray in whole.strays {
                    let text = format!("{id} {revision}: {stray:?} does not belong there");
                    scan.problems.push(text);
                }
                let facts = facts(&whole.pod);
                let revisions = scan.by_checkpoint.entry(id.clone()).or_default();
                revisions.insert(revision, facts);
            }
            Err(damage) => {
                let text = format!("revision {revision} of {id} is damaged: {}", chain(&damage));
                scan.problems.push(text);
            }
        }
    }
}

/// Makes room for a revision whose stored copy is damaged.
fn move_damaged(
    root: &Dir,
    place: &Dir,
    id: &CheckpointId,
    revision: &RevisionId,
) -> Result<(), StoreError> {
    let damaged = durable::ensure_dir(root, DAMAGED, 0o700)?;
    let name = format!("{id}.{revision}");
    durable::discard(&damaged, &name, &root.sub(STAGING)?)?;
    durable::move_aside(place, revision.as_str(), &damaged, &name)?;
    hit("revision.damaged-moved");
    tracing::warn!(checkpoint = %id, revision = %revision, to = %damaged.path().display(),
        "damaged revision moved aside");
    Ok(())
}

/// The tree of a revision. The inventory lists the manifest first, then `rendered.files` in order.
fn tree<'a>(
    inventory: &'a Inventory,
    manifest: &'a [u8],
    sealed: &'a [u8],
    rendered: &'a Rendered,
) -> Tree<'a> {
    let contents = [manifest].into_iter();
    let contents = contents.chain(rendered.files.iter().map(|file| file.content.as_slice()));
    let mut files: Vec<TreeFile<'a>> = inventory
        .files
        .iter()
        .zip(contents)
        .map(|(entry, bytes)| TreeFile {
            path: &entry.path,
            bytes,
            attributes: Attributes {
                mode: entry.mode,
                uid: entry.uid,
                gid: entry.gid,
            },
        })
        .collect();
    // The inventory last: where it is, the rest is.
    files.push(TreeFile {
        path: INVENTORY,
        bytes: sealed,
        attributes: Attributes::ours(0o600),
    });
    // Data first, manifest last (invariant 5).
    files.sort_by_key(|file| file.path == MANIFEST || file.path == INVENTORY);
    let dirs = inventory.dirs.iter().filter(|dir| !dir.path.is_empty());
    Tree {
        top: Attributes::ours(0o700),
        dirs: dirs
            .map(|dir| TreeDir {
                path: &dir.path,
                attributes: Attributes {
                    mode: dir.mode,
                    uid: dir.uid,
                    gid: dir.gid,
                },
            })
            .collect(),
        files,
    }
}
