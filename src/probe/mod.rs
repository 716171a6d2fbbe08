//! The pods' own probes, asked by the daemon as the kubelet would, for copies and parents alike.
//! [`ask`] asks one probe once; [`spawn`] keeps asking for a set of pods.
//!
//! Source: kubelet 1.20 `pkg/kubelet/prober/prober.go`, `runProbe`, and `pkg/probe/`.

mod exec;
mod grpc;
mod http_get;
mod judge;
mod rounds;
mod shared;
mod tcp;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, Probe as ProbeSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::core::id::PodRef;
use crate::core::observed::Probe;
use crate::steering::SharedPort;

/// A command to run in a container, answered by whoever talks to containerd.
#[derive(Debug)]
pub struct ExecRequest {
    /// containerd's id of the container.
    pub container_id: String,
    /// It is in our own engine's namespace, not the kubelet's.
    pub ours: bool,
    /// Program and arguments, no shell.
    pub command: Vec<String>,
    /// It is to be killed after this.
    pub deadline: Duration,
    /// The exit code, or why there is none.
    pub reply: oneshot::Sender<Result<u32, String>>,
}

/// A pod whose probes are asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The pod.
    pub pod: PodRef,
    /// Its spec.
    pub spec: Arc<Pod>,
    /// Its address; 127.0.0.1 or the node's address on the host's network.
    pub host: String,
    /// Run by our own engine.
    pub ours: bool,
    /// Its copy listens on this port beside it: only the parent's own answer there counts.
    pub shared: Option<SharedPort>,
    /// Its running containers: containerd ids by name.
    pub running: BTreeMap<String, String>,
    /// Something is expected to change: ask at the short period.
    pub eager: bool,
    /// Where it alone may listen now: no copy stands beside it.
    pub door: Option<Door>,
}

/// The port that a container of a pod listens on, on the host's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// The container's name.
    pub container: String,
    /// The port.
    pub port: u16,
}

/// Starts asking the probes of the targets, those that are `eager` each `period`, others rarely. A
/// pod without probes passes when all its containers have been up for `settle` (and a declared port
/// accepts, on the host's network). Sleeps while there is no target. Ends with `shutdown`.
pub fn spawn(
    period: Duration,
    settle: Duration,
    targets: watch::Receiver<Arc<Vec<Target>>>,
    exec: mpsc::Sender<ExecRequest>,
    shutdown: CancellationToken,
) -> watch::Receiver<Arc<BTreeMap<PodRef, Probe>>> {
    let (sender, receiver) = watch::channel(Arc::default());
    let rounds = rounds::run(rounds::Pace { period, settle }, targets, exec, sender);
    tokio::spawn(shutdown.run_until_cancelled_owned(rounds));
    receiver
}

/// Asks one probe once, within its `timeoutSeconds` (1 s where it names none).
///
/// # Errors
/// Why it does not pass, in one sentence.
pub async fn ask(
    container: &Container,
    probe: &ProbeSpec,
    host: &str,
    exec: &mpsc::Sender<ExecRequest>,
    container_id: &str,
    ours: bool,
) -> Result<(), String> {
    let deadline = deadline(probe);
    let question = async {
        if let Some(action) = &probe.exec {
            let command = action.command.clone().unwrap_or_default();
            return exec::ask(exec, container_id, ours, command, deadline).await;
        }
        if let Some(action) = &probe.http_get {
            let port = port(container, &action.port)?;
            return http_get::ask(action, host, port, deadline).await;
        }
        if let Some(action) = &probe.tcp_socket {
            let port = port(container, &action.port)?;
            let named = action.host.as_deref().filter(|host| !host.is_empty());
            return tcp::ask(named.unwrap_or(host), port).await;
        }
        if let Some(action) = &probe.grpc {
            return grpc::ask(action, host).await;
        }
        Err("the probe names nothing to ask".to_owned())
    };
    // The one who runs a command keeps the deadline; a little more time for his answer.
    let patience = if probe.exec.is_some() {
        deadline + Duration::from_secs(1)
    } else {
        deadline
    };
    match tokio::time::timeout(patience, question).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", deadline.as_secs())),
    }
}

/// `timeoutSeconds`: at least 1 s, which is also the default.
fn deadline(probe: &ProbeSpec) -> Duration {
    let seconds = probe.timeout_seconds.unwrap_or(1).clamp(1, 300);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(1))
}

/// A port by number, or by the name of one of the container's ports.
/// Source: kubelet 1.20 `pkg/kubelet/prober/prober.go`, `extractPort`.
fn port(container: &Container, port: &IntOrString) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_deref() == Some(name))
            .map(|port| port.container_port)
            .or_else(|| name.parse().ok()),
    };
    match number.and_then(|number| u16::try_from(number).ok()) {
        Some(number) if number != 0 => Ok(number),
        _ => Err(format!("there is no port {port:?}")),
    }
}
