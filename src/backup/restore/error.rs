//! Why nothing was restored.

use std::io;
use std::path::PathBuf;

use crate::backup::bundle::BundleError;
use crate::store::dir::ReadError;
use crate::store::durable::DurableError;

/// A refusal or a failure. The data directory is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup is not to be used.
    #[error("this backup is not restored")]
    Backup(#[from] BundleError),
    /// A bare file has no signature.
    #[error("{} is no bundle: it has no signature", path.display())]
    Unsigned {
        /// The file.
        path: PathBuf,
    },
    /// Neither a backup's name nor a path.
    #[error("there is no backup {name:?} in {}, and no file or directory of that name", backups.display())]
    NotFound {
        /// As it was given.
        name: String,
        /// The backups directory.
        backups: PathBuf,
    },
    /// It holds something.
    #[error("{} is not empty: it holds {holds:?}", path.display())]
    NotEmpty {
        /// The data directory.
        path: PathBuf,
        /// One of its names.
        holds: String,
    },
    /// The data directory cannot be made there.
    #[error("{} cannot be the data directory: {why}", path.display())]
    DataDir {
        /// As it was given.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Something cannot be read.
    #[error("the place of the data directory cannot be read")]
    Read(#[from] ReadError),
    /// Something cannot be written.
    #[error("the data directory cannot be written")]
    Write(#[from] DurableError),
    /// Nothing that restores is installed.
    #[error("neither etcdutl nor etcdctl is in {searched}")]
    NoTool {
        /// Where it was looked for.
        searched: String,
    },
    /// The tool cannot be run or asked.
    #[error("{} cannot be used", path.display())]
    Tool {
        /// The program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The tool said no, or hung.
    #[error("{} failed: {said}", path.display())]
    ToolFailed {
        /// The program.
        path: PathBuf,
        /// Its last words.
        said: String,
    },
    /// The tool is too old.
    #[error("{} ({version}) cannot raise the revision", path.display())]
    CannotBump {
        /// The program.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// The revision after the bump cannot be computed.
    #[error(
        "revision {revision} with the high water {high_water} is no place in a cluster's history"
    )]
    NoRevision {
        /// The snapshot's.
        revision: i64,
        /// The highest on record.
        high_water: i64,
    },
    /// What makes no cluster.
    #[error("{0}")]
    Members(String),
}

impl RestoreError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Backup(error) => error.hint(),
            Self::Unsigned { .. } => Some(
                "`--allow-unsigned` restores it all the same, and then nobody knows who made it: \
                 it may hold an attacker's Secrets and roles"
                    .to_owned(),
            ),
            Self::NotFound { .. } => {
                Some("`rekindle backup list` shows the backups of this node".to_owned())
            }
            Self::NotEmpty { path, .. } => Some(format!(
                "stop etcd and move the old data aside: mv {0} {0}.old",
                path.display()
            )),
            Self::NoTool { .. } => Some(
                "install etcdutl (Debian 13: package etcd-server, before: etcd-client), or name \
                 it: `--tool FILE`"
                    .to_owned(),
            ),
            Self::CannotBump { .. } => Some(
                "use the etcdutl of etcd 3.5.11 or later (`--tool FILE`), which also restores \
                 snapshots of older versions; or go on with `--no-revision-bump`, and then stop \
                 every API server, controller and kubelet first and start them afresh: they may \
                 take old answers for new ones"
                    .to_owned(),
            ),
            Self::NoRevision { .. } => Some("`--bump-revision N` sets it by hand".to_owned()),
            Self::DataDir { .. }
            | Self::Read(_)
            | Self::Write(_)
            | Self::Tool { .. }
            | Self::ToolFailed { .. }
            | Self::Members(_) => None,
        }
    }
}
