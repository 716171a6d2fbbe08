//! Settings: what the rest of the program is given. Validated; every default filled in.
//!
//! Ranges and defaults are in [`super::keys`], beside the name of each key.

mod backup;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

pub use self::backup::Backup;

use crate::core::policy::Policy;
use crate::core::recovery::policy::RecoveryPolicy;

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// This node.
    pub node: Node,
    /// Directories.
    pub paths: Paths,
    /// The local socket.
    pub socket: Socket,
    /// Metrics over TCP.
    pub metrics: Metrics,
    /// containerd.
    pub containerd: Containerd,
    /// The kubelet's list of pods.
    pub kubelet: Kubelet,
    /// The API server.
    pub apiserver: Apiserver,
    /// etcd, as backups ask it.
    pub etcd: crate::etcd::Settings,
    /// etcd's unit in systemd, where it is provisioned and no pod.
    pub etcd_unit: String,
    /// etcd's data directory on this node.
    pub etcd_data_dir: PathBuf,
    /// Backups.
    pub backup: Backup,
    /// Recovery mode.
    pub recovery: Recovery,
    /// The pods' own probes.
    pub probe: Probe,
    /// Our own engine.
    pub engine: Engine,
    /// Logging.
    pub log: Log,
    /// What decisions use.
    pub policy: Policy,
}

/// This node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The name under which the kubelet registers.
    pub name: String,
    /// The address of host-network pods; `None`: the kubelet's `hostIP` is used once it is known.
    pub address: Option<IpAddr>,
}

/// Directories, all absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Our own memory: state file and revisions.
    pub state_dir: PathBuf,
    /// The kubelet's static pod directory.
    pub manifest_dir: PathBuf,
    /// Where manifests are written before they are renamed: same file system, not inside it.
    pub manifest_staging_dir: PathBuf,
    /// Where `start` puts the keys of the temporary control plane.
    pub bootstrap_secrets_dir: PathBuf,
    /// Logs of pods that our own engine runs.
    pub pod_log_dir: PathBuf,
    /// The kubelet's links to logs of containers.
    pub container_log_dir: PathBuf,
    /// Where `cleanup` moves what it takes off the node.
    pub quarantine_dir: PathBuf,
    /// Where the kernel says which boot this is.
    pub boot_id_file: PathBuf,
}

/// The local socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// Its path; not used where systemd hands the socket over.
    pub path: PathBuf,
    /// Members of this group may read.
    pub group: String,
    /// Largest request body in bytes.
    pub request_limit_bytes: u64,
    /// From the connection's first byte, or the previous answer, to a whole request.
    pub request_deadline: Duration,
}

/// Metrics over TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// `None`: only over the local socket.
    pub listen_address: Option<SocketAddr>,
}

/// containerd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Containerd {
    /// Its socket.
    pub socket: PathBuf,
    /// Namespace of the kubelet's containers.
    pub kubelet_namespace: String,
    /// Namespace of our own engine's containers.
    pub engine_namespace: String,
    /// Deadline of every call.
    pub call_deadline: Duration,
    /// A complete listing at least this often, whatever events say.
    pub resync_interval: Duration,
}

/// The kubelet's list of pods. The read-only port is asked first.
#[derive(Debug, Clone, PartialEq)]
pub struct Kubelet {
    /// Read-only port, plain HTTP.
    pub read_only_url: Option<Uri>,
    /// Authenticated port.
    pub secure_url: Option<Uri>,
    /// Client certificate for the authenticated port.
    pub client_certificate_file: Option<PathBuf>,
    /// Its key.
    pub client_key_file: Option<PathBuf>,
    /// Bearer token for the authenticated port.
    pub token_file: Option<PathBuf>,
    /// Authority that the kubelet's certificate is verified with; `None`: not verified, and then
    /// no token is sent.
    pub ca_file: Option<PathBuf>,
    /// Its unit in systemd.
    pub unit: String,
    /// Its directories of pods.
    pub pods_dir: PathBuf,
    /// Between two questions.
    pub poll_interval: Duration,
    /// Deadline of every call.
    pub call_deadline: Duration,
    /// Largest answer in bytes.
    pub answer_limit_bytes: u64,
}

/// The API server.
#[derive(Debug, Clone, PartialEq)]
pub struct Apiserver {
    /// Address and credentials.
    pub kubeconfig: PathBuf,
    /// Asked instead of the kubeconfig's server.
    pub server_override: Option<Uri>,
    /// Deadline of every call that is not a watch.
    pub call_deadline: Duration,
    /// A complete list at least this often.
    pub relist_interval: Duration,
    /// Between a failed attempt and the next.
    pub retry_interval: Duration,
}

/// The pods' own probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Between two probes of a pod that is waited for.
    pub period: Duration,
    /// Upper bound of one probe; a pod's own shorter `timeoutSeconds` stands.
    pub timeout: Duration,
}

/// Our own engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// It may be used.
    pub enabled: bool,
    /// Parent of its cgroups, absolute within the hierarchy.
    pub cgroup_parent: String,
}

/// Recovery mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// What is done without asking.
    pub policy: RecoveryPolicy,
    /// An administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// Files of the static pod directory whose last known good copies are kept.
    pub guarded: Vec<PathBuf>,
}

/// Logging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A filter of `tracing`: a level, or `target=level` separated by commas.
    pub level: String,
}
