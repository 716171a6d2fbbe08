//! Our own engine: runs checkpoints through containerd when the kubelet cannot.
//!
//! All truth about what runs is containerd's: each container carries its checkpoint, revision,
//! boot and attempt as labels, and a copy of the pod. A daemon that was killed finds what runs and
//! goes on supervising it; its death stops nothing. A record on disk only says what was asked for.
//! After a reboot nothing is started again by itself: the decision is made anew.
//!
//! Whether a pod may run here is decided elsewhere ([`crate::core::manifest::facts`]).

mod adopt;
mod board;
pub(crate) mod container;
mod env;
mod mounts;
mod places;
pub mod plan;
mod pod;
mod probing;
mod record;
mod resources;
mod security;
mod spec;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use self::board::Board;
use self::container::Workshop;
use self::pod::{Order, Supervisor};
use self::record::Record;
use crate::containerd::listing::Listing;
use crate::containerd::{Containerd, spawn_watch};
use crate::core::id::{CheckpointId, RevisionId};
use crate::core::manifest::facts::facts;
use crate::core::observed::{EnginePod, EngineState, EngineView};
use crate::core::reading::{Reading, Unseen};

/// How the engine runs pods. The containerd namespaces are [`Containerd`]'s own.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node's name.
    pub node_name: String,
    /// The node's address: `status.hostIP`, and where probes are sent.
    pub node_address: String,
    /// The kernel's boot id: what was started in another boot is not taken over.
    pub boot_id: String,
    /// Logs of pods, as the kubelet lays them out.
    pub pod_log_dir: PathBuf,
    /// On disk, for us alone: records, emptyDirs, the files that every container gets. Visible to
    /// containerd under the same path.
    pub state_dir: PathBuf,
    /// The same on a tmpfs, for emptyDirs of medium Memory.
    pub memory_dir: PathBuf,
    /// Longest time between SIGTERM and SIGKILL, whatever a pod asks for.
    pub stop_grace_limit: Duration,
    /// Parent of the containers' cgroups, absolute.
    pub cgroup_parent: String,
    /// Path of the `rekindle` executable, which containerd's shim starts as the log writer.
    pub logger: PathBuf,
}

/// One question to a container, for the probe module.
#[derive(Debug, Clone)]
pub struct ProbeRequest {
    /// The probe: `httpGet`, `tcpSocket` or `grpc`. Commands are not asked for here.
    pub probe: Probe,
    /// The container, for ports given by name.
    pub container: Arc<Container>,
    /// containerd's id of it.
    pub container_id: String,
    /// Where to ask, if the probe does not say.
    pub host: String,
    /// Time for the answer.
    pub deadline: Duration,
}

/// Asks one question of a probe; the error says what is wrong.
pub type Ask = Arc<dyn Fn(ProbeRequest) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Why the engine did not take an order.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not know yet what runs.
    #[error("the engine does not know yet what runs: {}", .0.detail)]
    Unknown(Unseen),
    /// It runs another revision of that checkpoint, or is stopping it.
    #[error("another copy of {0} is there")]
    Busy(CheckpointId),
    /// The pod is none that the engine can run.
    #[error("our own engine cannot run it: {0}")]
    Refused(String),
    /// What was asked for could not be recorded.
    #[error("cannot record the pod: {0}")]
    Record(String),
}

/// The engine. All copies are the same one.
#[derive(Clone)]
pub struct EngineHandle {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineHandle").finish_non_exhaustive()
    }
}

struct Shared {
    workshop: Workshop,
    ask: Ask,
    board: Arc<Board>,
    pods: Mutex<BTreeMap<CheckpointId, Running>>,
    events: watch::Receiver<Reading<Arc<Listing>>>,
    shutdown: CancellationToken,
}

/// A pod with a supervisor.
struct Running {
    revision: RevisionId,
    order: watch::Sender<Order>,
}

impl EngineHandle {
    /// Starts the engine: it takes over what a process before it ran, in this boot, and removes
    /// what that left half done. Ends with `shutdown`, without stopping any container.
    pub fn spawn(
        config: Config,
        containerd: Containerd,
        ask: Ask,
        shutdown: CancellationToken,
    ) -> Self {
        let namespace = containerd.config().engine_namespace.clone();
        let events = spawn_watch(containerd.clone(), namespace, shutdown.clone());
        let shared = Arc::new(Shared {
            workshop: Workshop::new(containerd, Arc::new(config)),
            ask,
            board: Arc::new(Board::new()),
            pods: Mutex::new(BTreeMap::new()),
            events,
            shutdown: shutdown.clone(),
        });
        let keeper = shared.clone();
        tokio::spawn(async move {
            shutdown.run_until_cancelled(adopt::keep(keeper)).await;
        });
        Self { shared }
    }

    /// Has a revision run. Returns as soon as that is recorded; the view tells how it goes. Again
    /// for the same revision: nothing more.
    pub async fn start(
        &self,
        id: &CheckpointId,
        revision: &RevisionId,
        pod: Pod,
    ) -> Result<(), Error> {
        let shared = &self.shared;
        if let Some(unseen) = shared.board.unseen() {
            return Err(Error::Unknown(unseen));
        }
        let config = shared.workshop.config.clone();
        if let Some(reason) = facts(&pod).engine_refusal {
            return Err(Error::Refused(reason));
        }
        let mut pods = shared.pods.lock().await;
        if let Some(running) = pods.get(id) {
            let stopping = running.order.borrow().is_some();
            if running.revision == *revision && !stopping {
                return Ok(());
            }
            return Err(Error::Busy(id.clone()));
        }
        let record = Record {
            boot_id: config.boot_id.clone(),
            checkpoint: id.clone(),
            revision: revision.clone(),
            pod: Box::new(pod),
        };
        let written = record.clone();
        let saved = tokio::task::spawn_blocking(move || record::save(&config, &written));
        let saved = saved.await.unwrap_or_else(|error| Err(error.to_string()));
        saved.map_err(Error::Record)?;
        Shared::supervise(shared, &mut pods, record);
        Ok(())
    }

    /// Has a pod stopped: SIGKILL if `at_once`, else by its grace period. Returns when the order
    /// is given; the pod leaves the view when containerd has nothing of it left. Of a pod that is
    /// not there: nothing.
    pub async fn stop(&self, id: &CheckpointId, at_once: bool) -> Result<(), Error> {
        if let Some(unseen) = self.shared.board.unseen() {
            return Err(Error::Unknown(unseen));
        }
        let pods = self.shared.pods.lock().await;
        if let Some(running) = pods.get(id) {
            running.order.send_if_modified(|order| {
                let wanted = Some(at_once || *order == Some(true));
                let changed = *order != wanted;
                *order = wanted;
                changed
            });
        }
        Ok(())
    }

    /// What the engine's pods do. Unknown while containerd does not answer.
    pub fn view(&self) -> watch::Receiver<Reading<EngineView>> {
        self.shared.board.watch()
    }
}

impl Shared {
    /// Starts the supervisor of a pod that has none.
    fn supervise(this: &Arc<Self>, pods: &mut BTreeMap<CheckpointId, Running>, record: Record) {
        let (order, receive) = watch::channel(None);
        let id = record.checkpoint.clone();
        let revision = record.revision.clone();
        let supervisor = Supervisor {
            workshop: this.workshop.clone(),
            ask: this.ask.clone(),
            board: this.board.clone(),
            record,
            order: receive,
            events: this.events.clone(),
        };
        // In the view before anybody can look: a pod that was asked for is never missing in it.
        let pod = EnginePod {
            revision: revision.clone(),
            state: EngineState::Starting,
        };
        this.board.set(&id, pod);
        pods.insert(id.clone(), Running { revision, order });
        let shared = this.clone();
        tokio::spawn(async move {
            let shutdown = shared.shutdown.clone();
            let ended = shutdown.run_until_cancelled(supervisor.run()).await;
            if ended.is_some() {
                // Under one lock, or the entry of a next start could be taken away.
                let mut pods = shared.pods.lock().await;
                pods.remove(&id);
                shared.board.remove(&id);
                drop(pods);
                tracing::info!(
                    checkpoint = id.as_str(),
                    "its pod of our own engine has ended"
                );
            }
        });
    }
}
