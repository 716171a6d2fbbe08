//! A node for our own engine: a containerd of its own, and the daemons that live and die on it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use rekindle::core::id::{CheckpointId, RevisionId};
use rekindle::core::observed::{EngineState, EngineView};
use rekindle::core::reading::Reading;
use rekindle::engine::{Ask, Config, EngineHandle};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::containerd_process::{BUSYBOX, PATIENCE, Process, until};

pub(crate) struct Lab {
    pub(crate) process: Process,
    pub(crate) id: CheckpointId,
    pub(crate) revision: RevisionId,
}

/// One daemon's life.
pub(crate) struct Life {
    pub(crate) engine: EngineHandle,
    pub(crate) view: watch::Receiver<Reading<EngineView>>,
    pub(crate) shutdown: CancellationToken,
}

impl Lab {
    pub(crate) async fn start(name: &str) -> Self {
        Self {
            process: Process::start().await,
            id: CheckpointId::new("daemonset", "kube-system", name).unwrap(),
            revision: RevisionId::parse("0123456789abcdef").unwrap(),
        }
    }

    pub(crate) fn config(&self, boot: &str) -> Config {
        Config {
            node_name: "master-1".to_owned(),
            node_address: "127.0.0.1".to_owned(),
            boot_id: boot.to_owned(),
            pod_log_dir: self.process.path("logs"),
            state_dir: self.process.path("engine"),
            memory_dir: self.process.path("memory"),
            stop_grace_limit: Duration::from_secs(5),
            cgroup_parent: format!("/{}", self.process.ours),
            logger: env!("CARGO_BIN_EXE_rekindle").into(),
        }
    }

    pub(crate) fn live(&self) -> Life {
        self.live_in("boot-1")
    }

    pub(crate) fn live_in(&self, boot: &str) -> Life {
        let shutdown = CancellationToken::new();
        let ask: Ask = Arc::new(|asked| {
            Box::pin(async move {
                let port = asked.probe.tcp_socket.ok_or("no tcp probe")?.port;
                let IntOrString::Int(port) = port else {
                    return Err("a named port".to_owned());
                };
                let to = format!("{}:{port}", asked.host);
                let connected = tokio::net::TcpStream::connect(to).await;
                connected.map(|_| ()).map_err(|error| error.to_string())
            })
        });
        let client = self.process.client();
        let engine = EngineHandle::spawn(self.config(boot), client, ask, shutdown.clone());
        Life {
            view: engine.view(),
            engine,
            shutdown,
        }
    }

    pub(crate) fn pod(spec: Value) -> Pod {
        let mut spec = spec;
        spec["hostNetwork"] = json!(true);
        serde_json::from_value(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "app", "namespace": "kube-system", "uid": "1-2-3",
                         "labels": {"k8s-app": "x"}},
            "spec": spec,
        }))
        .unwrap()
    }

    pub(crate) async fn run(&self, life: &mut Life, spec: Value) {
        life.known().await;
        let started = life.engine.start(&self.id, &self.revision, Self::pod(spec));
        started.await.unwrap();
    }

    pub(crate) fn log(&self, container: &str, attempt: u32) -> PathBuf {
        let dir = self.process.path("logs/kube-system_app-master-1_1-2-3");
        dir.join(container).join(format!("{attempt}.log"))
    }

    /// Waits for a line of a container's log.
    pub(crate) async fn logged(&self, container: &str, line: &str) -> String {
        let path = self.log(container, 0);
        let read = || std::fs::read_to_string(&path).unwrap_or_default();
        until(&format!("{line:?} in the log"), async || {
            read().contains(line)
        })
        .await;
        read()
    }

    /// Stops the pod and proves that nothing of it is left.
    pub(crate) async fn stop(&self, life: &mut Life, at_once: bool) {
        life.engine.stop(&self.id, at_once).await.unwrap();
        let gone = |view: &EngineView| !view.pods.contains_key(&self.id);
        life.wait(gone).await;
        self.nothing_is_left();
    }

    pub(crate) fn nothing_is_left(&self) {
        let (process, ours) = (&self.process, &self.process.ours);
        assert_eq!(process.ctr(ours, &["containers", "list", "-q"]), "");
        assert_eq!(process.ctr(ours, &["tasks", "list", "-q"]), "");
        let snapshots = process.ctr(&process.kubelets, &["snapshots", "list"]);
        assert!(!snapshots.contains("rekindle-"), "{snapshots}");
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let state = process.path("state/io.containerd.runtime.v2.task");
        assert!(
            !mounts.contains(&format!("{}/{ours}", state.display())),
            "{mounts}"
        );
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let left = hierarchy.path().join(ours);
            assert!(!left.exists(), "{}", left.display());
        }
        let records = std::fs::read_dir(process.path("engine")).unwrap().flatten();
        let records =
            records.filter(|entry| entry.path().is_dir() && entry.file_name() != "staging");
        assert_eq!(records.count(), 0);
    }

    /// Waits until a start has come to a moment.
    pub(crate) async fn reached(&self, moment: &str) {
        let (process, ours) = (&self.process, &self.process.ours);
        until(moment, async || match moment {
            "snapshot" => {
                let list = process.ctr(&process.kubelets, &["snapshots", "list"]);
                list.contains("rekindle-")
            }
            "container" => !process.ctr(ours, &["containers", "list", "-q"]).is_empty(),
            "task" => self.tasks() == 1,
            "running" => process.ctr(ours, &["tasks", "list"]).contains("RUNNING"),
            // `start` returns when the record is on disk.
            _ => true,
        })
        .await;
    }

    pub(crate) fn tasks(&self) -> usize {
        let list = self
            .process
            .ctr(&self.process.ours, &["tasks", "list", "-q"]);
        list.lines().count()
    }
}

impl Life {
    pub(crate) async fn wait(&mut self, mut is_so: impl FnMut(&EngineView) -> bool) {
        let so = self
            .view
            .wait_for(|reading| reading.known().is_some_and(&mut is_so));
        let seen = tokio::time::timeout(PATIENCE, so)
            .await
            .map(|seen| seen.map(|_| ()));
        match seen {
            Ok(ended) => ended.expect("the engine ended"),
            Err(late) => panic!("{late}; the view is {:?}", *self.engine.view().borrow()),
        }
    }

    pub(crate) async fn known(&mut self) {
        self.wait(|_| true).await;
    }

    pub(crate) async fn state(&mut self, lab: &Lab, is_so: impl Fn(&EngineState) -> bool) {
        let id = lab.id.clone();
        self.wait(|view| view.pods.get(&id).is_some_and(|pod| is_so(&pod.state)))
            .await;
    }
}

pub(crate) fn shell(script: &str) -> Value {
    json!({"name": "main", "image": BUSYBOX, "command": ["/bin/sh", "-c", script]})
}
