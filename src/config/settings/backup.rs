//! Settings of backups. Ranges and defaults are in [`crate::config::keys`].

use std::path::PathBuf;
use std::time::Duration;

use crate::backup::targets::TargetSettings;
use crate::core::backup::policy::BackupPolicy;

/// Backups of etcd and of this node's part of the control plane.
#[derive(Debug, Clone, PartialEq)]
pub struct Backup {
    /// They are taken at all.
    pub enabled: bool,
    /// Where they are kept.
    pub dir: PathBuf,
    /// When they are taken and rehearsed, and which are kept.
    pub policy: BackupPolicy,
    /// zstd level of snapshot and host files, at most 19; 0: not compressed.
    pub compression_level: i32,
    /// Prefix under which the API server keeps its objects in etcd, without slashes at the ends.
    pub key_prefix: String,
    /// The cluster's certificates and keys.
    pub pki_dir: PathBuf,
    /// The kubelet's configuration.
    pub kubelet_config_file: PathBuf,
    /// The API server's `EncryptionConfiguration`; `None`: the file that its manifest names.
    pub encryption_config_file: Option<PathBuf>,
    /// Further files and directories of the host.
    pub extra_paths: Vec<PathBuf>,
    /// etcd's data directory on this node.
    pub etcd_data_dir: PathBuf,
    /// The program that restores; `None`: `etcdutl` or `etcdctl` of the usual places.
    pub etcdutl: Option<PathBuf>,
    /// Public keys that are trusted beside this node's own, one file each.
    pub trusted_key_files: Vec<PathBuf>,
    /// Largest memory of the etcd that a rehearsal starts, in bytes.
    pub rehearsal_memory_bytes: u64,
    /// Between two records of the cluster's revision.
    pub high_water_interval: Duration,
    /// Where copies go.
    pub targets: Vec<TargetSettings>,
}

impl Backup {
    /// Directory where programs of etcd are looked for first: that of the configured one.
    pub fn tools_dir(&self) -> Option<PathBuf> {
        let tool = self.etcdutl.as_ref()?;
        tool.parent().map(PathBuf::from)
    }
}
