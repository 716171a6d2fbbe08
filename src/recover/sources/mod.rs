//! Where a control plane's objects are read from: an API server, a running etcd, or a file.
//!
//! Every source gives the same [`Found`] of the same cluster. Nothing is ever written to a source.

mod apiserver;
mod collect;
mod database;
mod error;
mod etcd;
mod file;
mod unseal;
mod wanted;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::error::SourceError;
use crate::backup::signing::Trust;
use crate::core::recover::found::Found;
use crate::encryption::EncryptionConfiguration;
use crate::objects::REGISTRY;

/// Where to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A running API server.
    ApiServer {
        /// Its address and credentials.
        kubeconfig: PathBuf,
        /// Asked instead of the kubeconfig's server, as `https://127.0.0.1:6443`.
        server: Option<String>,
    },
    /// A running etcd.
    Etcd {
        /// Its members, as `https://10.0.0.1:2379`; without a scheme, `https` where an authority
        /// is given and `http` where none is.
        endpoints: Vec<String>,
        /// Authority of its certificates, PEM.
        ca: Option<PathBuf>,
        /// Our certificate, PEM: with the key or not at all.
        certificate: Option<PathBuf>,
        /// Its key, PEM.
        key: Option<PathBuf>,
    },
    /// A backup's directory or the snapshot in it, a snapshot, or a database (`member/snap/db`).
    File(PathBuf),
}

/// What to read, and how.
#[derive(Debug, Clone)]
pub struct Want {
    /// The control plane's namespace.
    pub namespace: String,
    /// The API server's `--etcd-prefix`; slashes at its ends do not count.
    pub prefix: String,
    /// Opens values that are encrypted at rest; `None`: what lies in the backup does, if any.
    pub encryption: Option<Arc<EncryptionConfiguration>>,
    /// Whose signatures under backups count; `None`: a signature is not looked at.
    pub trust: Option<Trust>,
    /// Where a compressed snapshot is unpacked into a nameless file; `None`: beside the backup.
    pub scratch: Option<PathBuf>,
    /// Verify the whole file, its hash included, before anything in it is believed. Else only what
    /// is read is checked, which the result says.
    pub whole_file: bool,
    /// For each question to a server.
    pub deadline: Duration,
}

impl Default for Want {
    fn default() -> Self {
        Self {
            namespace: "kube-system".to_owned(),
            prefix: REGISTRY.to_owned(),
            encryption: None,
            trust: None,
            scratch: None,
            whole_file: false,
            deadline: Duration::from_secs(10),
        }
    }
}

/// Reads the source. A file is read on a thread of its own.
///
/// # Errors
/// Where the source does not answer, or is damaged. What is there and cannot be read alone is in
/// the result.
pub async fn read(source: &Source, want: &Want) -> Result<Found, SourceError> {
    match source {
        Source::File(path) => {
            let (path, want) = (path.clone(), want.clone());
            let reading = tokio::task::spawn_blocking(move || file::read(&path, &want));
            reading.await.unwrap_or(Err(SourceError::EndedEarly))
        }
        Source::Etcd { .. } => etcd::read(source, want).await,
        Source::ApiServer { kubeconfig, server } => {
            apiserver::read(kubeconfig, server.as_deref(), want).await
        }
    }
}
