//! What a restore reads: a bundle, or a bare snapshot or database.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::RestoreError;
use crate::backup::Progress;
use crate::backup::bundle::{Bundle, Checks, Depth, PlainSnapshot, check, check_content};
use crate::backup::signing::{PublicKey, Trust};
use crate::core::backup::id::BackupId;
use crate::core::backup::manifest::Manifest;

/// etcd writes its database some moments after its log.
const RAW: &str = "a member's own database: what was only in its write-ahead log is not in it, the \
                   last moments before it stopped";

/// A backup to restore.
#[derive(Debug)]
pub enum Source {
    /// One of ours.
    Bundle(Box<Bundle>),
    /// What `etcdctl snapshot save` wrote, or a member's `member/snap/db`.
    Bare(PathBuf),
}

impl Source {
    /// The backup of this name in `backups`, or at this path.
    ///
    /// # Errors
    /// Where there is none, or it is no backup.
    pub fn find(name: &str, backups: &Path) -> Result<Self, RestoreError> {
        let kept = BackupId::parse(name).ok().map(|_| backups.join(name));
        let path = kept
            .filter(|path| path.exists())
            .unwrap_or_else(|| PathBuf::from(name));
        if path.is_dir() {
            return Ok(Self::Bundle(Box::new(Bundle::open(&path)?)));
        }
        if path.is_file() {
            return Ok(Self::Bare(path));
        }
        Err(RestoreError::NotFound {
            name: name.to_owned(),
            backups: backups.to_owned(),
        })
    }

    /// A bundle's manifest.
    pub fn manifest(&self) -> Option<&Manifest> {
        match self {
            Self::Bundle(bundle) => Some(bundle.manifest()),
            Self::Bare(_) => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle(bundle) => write!(f, "{}", bundle.path().display()),
            Self::Bare(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A source that may be restored.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) plain: PlainSnapshot,
    pub(super) raw: bool,
    pub(super) bytes: u64,
    pub(super) revision: i64,
    pub(super) live_keys: u64,
    pub(super) high_water: i64,
    pub(super) signed_by: Option<PublicKey>,
    pub(super) checked: Vec<String>,
    pub(super) remarks: Vec<String>,
}

/// Checks all of it.
pub(super) fn look(
    source: &Source,
    trust: Option<&Trust>,
    scratch: &Path,
    progress: &Progress,
) -> Result<Looked, RestoreError> {
    match source {
        Source::Bundle(bundle) => {
            let checks = Checks {
                depth: Depth::Content,
                trust,
                scratch: Some(scratch),
            };
            let checked = check(bundle, &checks, progress)?;
            let etcd = &bundle.manifest().etcd;
            let part = bundle.path().join(&bundle.snapshot().name);
            let plain = checked.plain;
            Ok(Looked {
                plain: plain.unwrap_or_else(|| PlainSnapshot::lying_at(&part)),
                raw: false,
                bytes: bundle.snapshot().plain_bytes,
                revision: etcd.revision,
                live_keys: bundle.manifest().content.live_keys,
                high_water: etcd.high_water_revision,
                signed_by: checked.signed_by,
                checked: checked.checked,
                remarks: bundle.manifest().marks.clone(),
            })
        }
        Source::Bare(path) => {
            if trust.is_some() {
                let path = path.clone();
                return Err(RestoreError::Unsigned { path });
            }
            let inside = check_content(path, path, progress)?;
            let mut remarks = inside.remarks;
            if inside.raw {
                remarks.push(RAW.to_owned());
            }
            let content = inside.content.unwrap_or_default();
            let revision = content.revision;
            Ok(Looked {
                plain: PlainSnapshot::lying_at(path),
                raw: inside.raw,
                bytes: content.database_bytes,
                revision,
                live_keys: content.live_keys,
                high_water: revision,
                signed_by: None,
                checked: inside.checked,
                remarks,
            })
        }
    }
}
