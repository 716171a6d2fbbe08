//! Wires our own engine: its configuration, and the probes that it asks for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::containerd::Containerd;
use crate::engine::{self, EngineHandle};
use crate::probe::{self, ExecRequest};

use super::clock;

/// Longest time between SIGTERM and SIGKILL, whatever a pod asks for.
const STOP_GRACE_LIMIT: Duration = Duration::from_secs(60);

/// Starts the engine's task; it takes over what an earlier process left running.
pub(super) fn start(
    settings: &Settings,
    containerd: &Containerd,
    exec: mpsc::Sender<ExecRequest>,
    shutdown: &CancellationToken,
) -> EngineHandle {
    let places = Places {
        state_dir: settings.paths.state_dir.join("engine"),
        memory_dir: "/run/rekindle/engine".into(),
        cgroup_parent: settings.engine.cgroup_parent.clone(),
    };
    start_in(settings, places, containerd, exec, shutdown)
}

/// What two engines on one node do not share, beside the containerd namespace.
pub(crate) struct Places {
    pub(crate) state_dir: PathBuf,
    pub(crate) memory_dir: PathBuf,
    pub(crate) cgroup_parent: String,
}

/// [`start`], in places of its own.
pub(crate) fn start_in(
    settings: &Settings,
    places: Places,
    containerd: &Containerd,
    exec: mpsc::Sender<ExecRequest>,
    shutdown: &CancellationToken,
) -> EngineHandle {
    let config = engine::Config {
        node_name: settings.node.name.clone(),
        node_address: settings
            .node
            .address
            .map_or("127.0.0.1".to_owned(), |address| address.to_string()),
        boot_id: clock::boot_id(&settings.paths.boot_id_file).unwrap_or_default(),
        pod_log_dir: settings.paths.pod_log_dir.clone(),
        state_dir: places.state_dir,
        memory_dir: places.memory_dir,
        stop_grace_limit: STOP_GRACE_LIMIT,
        cgroup_parent: places.cgroup_parent,
        logger: std::env::current_exe().unwrap_or_else(|_| "/usr/bin/rekindle".into()),
    };
    let ask: engine::Ask = Arc::new(move |asked: engine::ProbeRequest| {
        let exec = exec.clone();
        Box::pin(async move {
            let (container, id) = (&asked.container, &asked.container_id);
            probe::ask(container, &asked.probe, &asked.host, &exec, id, true).await
        })
    });
    EngineHandle::spawn(config, containerd.clone(), ask, shutdown.clone())
}
