//! A bundle while it is taken: a `.part` directory that becomes a backup by one rename.

use std::path::Path;

use super::error::BundleError;
use super::host::{self, HostFiles, HostPath};
use super::plain::{self, PlainSnapshot};
use super::sink::PartSink;
use super::{Bundle, MANIFEST, SIGNATURE, UNFINISHED, open};
use crate::backup::Progress;
use crate::backup::signing::Signer;
use crate::core::backup::id::BackupId;
use crate::core::backup::manifest::{Manifest, Part, PartKind};
use crate::failpoints::hit;
use crate::store::dir::Dir;
use crate::store::durable::{self, Attributes};
use crate::store::lock::{self, Lock};

/// Compression of the host's files: they are small.
const HOST_LEVEL: i32 = 3;

/// A bundle that is being taken. Dropped before [`BundleWriter::seal`], it removes what it wrote;
/// killed, it leaves a `.part` directory for [`super::sweep`].
#[derive(Debug)]
pub struct BundleWriter {
    backups: Dir,
    dir: Dir,
    id: BackupId,
    sealed: bool,
    /// Says to [`super::sweep`] and [`super::list`] that somebody is at work here.
    _lock: Lock,
}

impl BundleWriter {
    /// Begins the backup `id` below `backups`, which is made where it is missing.
    ///
    /// # Errors
    /// [`BundleError::AlreadyThere`] where a backup or the rest of one has this name.
    pub fn begin(backups: &Path, id: &BackupId) -> Result<Self, BundleError> {
        let backups = durable::ensure_root(backups)?;
        let name = format!("{id}{UNFINISHED}");
        for name in [id.as_str(), &name] {
            if backups.stat(name)?.is_some() {
                let path = backups.path().join(name);
                return Err(BundleError::AlreadyThere { path });
            }
        }
        let dir = durable::new_dir(&backups, &name)?;
        let lock = lock::wait_dir(dir.walk("")?)?;
        hit("bundle.begun");
        Ok(Self {
            backups,
            dir,
            id: id.clone(),
            sealed: false,
            _lock: lock,
        })
    }

    /// Where the snapshot's bytes go; `level`: of zstd, 1 to 19, or 0 for none. Its
    /// [`PartSink::finish`] gives the part for the manifest.
    ///
    /// # Errors
    /// Where its file cannot be created.
    pub fn snapshot_sink(&self, level: i32) -> Result<PartSink, BundleError> {
        PartSink::create(&self.dir, "snapshot.db", PartKind::Snapshot, level)
    }

    /// Writes the part with files of the host. Of what `paths` name, directories are taken with
    /// everything below them; links are taken as links and never followed.
    ///
    /// # Errors
    /// A required path that is missing, anything that is there and cannot be read, too much of it.
    pub fn host_tar(
        &self,
        paths: &[HostPath],
        progress: &Progress,
    ) -> Result<HostFiles, BundleError> {
        let sink = PartSink::create(&self.dir, "host.tar", PartKind::Host, HOST_LEVEL)?;
        host::pack(paths, sink, progress)
    }

    /// The finished snapshot part, decompressed, to be looked at before the bundle is sealed. Both
    /// digests of a compressed one are checked on the way.
    ///
    /// # Errors
    /// Where there is no room to decompress it, or it does not read back as it was written.
    pub fn plain_snapshot(
        &self,
        part: &Part,
        progress: &Progress,
    ) -> Result<PlainSnapshot, BundleError> {
        plain::unpack(&self.dir, part, &plain::scratch(&self.backups)?, progress)
    }

    /// Makes it a backup: manifest and signature are written, everything is brought to the disk,
    /// and the directory takes its final name.
    ///
    /// # Errors
    /// The step that failed; there is no such backup then. A manifest that does not describe what
    /// was written is refused.
    pub fn seal(mut self, manifest: &Manifest, signer: &Signer) -> Result<Bundle, BundleError> {
        let path = self.backups.path().join(self.id.as_str());
        open::check_manifest(manifest, &self.id, &path)?;
        open::check_sizes(&self.dir, manifest)?;
        let mut bytes = serde_json::to_vec_pretty(manifest).map_err(|error| {
            let (path, why) = (path.clone(), error.to_string());
            BundleError::NotABundle { path, why }
        })?;
        bytes.push(b'\n');
        let ours = Attributes::ours(0o600);
        durable::write_in(&self.dir, MANIFEST, &bytes, &ours, &self.dir)?;
        hit("bundle.manifest-written");
        let signature = signer.sign(&bytes);
        durable::write_in(&self.dir, SIGNATURE, signature.as_bytes(), &ours, &self.dir)?;
        hit("bundle.signed");
        let unfinished = format!("{}{UNFINISHED}", self.id);
        let (backups, id) = (&self.backups, self.id.as_str());
        durable::move_aside(backups, &unfinished, backups, id)?;
        self.sealed = true;
        hit("bundle.sealed");
        Bundle::open(&path)
    }
}

impl Drop for BundleWriter {
    fn drop(&mut self) {
        if !self.sealed {
            let name = format!("{}{UNFINISHED}", self.id);
            // What cannot be removed now is swept before the next backup.
            let _ = durable::discard(&self.backups, &name, &self.backups);
        }
    }
}
