//! What a start sees: the adapters' sources, composed into one observation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::cluster::{self, Said, Wanted};
use super::place::Places;
use super::serving;
use super::tree::Tree;
use super::why::{Looker, Reasons};
use crate::apiserver::ask::Asker;
use crate::config::Settings;
use crate::containerd::{self, Containerd};
use crate::core::id::PodRef;
use crate::core::observed::{EngineView, Probe, RuntimeView, TaskState};
use crate::core::reading::{Reading, UnseenKind};
use crate::core::start::beside::answers_for;
use crate::core::start::component::{key, parents};
use crate::core::start::journal::Journal;
use crate::core::start::observed::{ApiSeen, ObjectsSeen, Observed};
use crate::core::stored::Engine;
use crate::daemon::engine::{self, Places as EnginePlaces};
use crate::daemon::sources::{containerd_config, kubelet_config, serve_exec};
use crate::engine::EngineHandle;
use crate::kubelet::{self, KubeletSnapshot};
use crate::probe::{self, ExecRequest, Target};
use crate::steering::Steering;

/// A pod without probes serves once it has been up for so long before our eyes.
const SETTLE: Duration = Duration::from_secs(5);
/// Of a question to the API server: one that hangs is asked again.
const API_DEADLINE: Duration = Duration::from_secs(3);
/// What our own engine's names end with here: nothing of the daemon's.
const OURS: &str = "start";

/// Every source's latest word.
pub(super) struct Sources {
    pub(super) containerd: Containerd,
    pub(super) asker: Arc<Asker>,
    /// Has the API server asked for pods and nodes again.
    pub(super) look_again: Arc<Notify>,
    pub(super) objects: watch::Sender<ObjectsSeen>,
    engine: Option<EngineHandle>,
    settings: Settings,
    exec: mpsc::Sender<ExecRequest>,
    shutdown: CancellationToken,
    runtime: watch::Receiver<Reading<RuntimeView>>,
    engine_view: watch::Receiver<Reading<EngineView>>,
    kubelet: watch::Receiver<Reading<KubeletSnapshot>>,
    api: watch::Receiver<ApiSeen>,
    cluster: watch::Receiver<Reading<Said>>,
    why: watch::Receiver<Reasons>,
    probes: watch::Receiver<Arc<BTreeMap<PodRef, Probe>>>,
    targets: watch::Sender<Arc<Vec<Target>>>,
    objects_seen: watch::Receiver<ObjectsSeen>,
    pub(super) steering: Steering,
    /// Kept while the API server is silent.
    specs: BTreeMap<PodRef, Arc<Pod>>,
    _no_engine: watch::Sender<Reading<EngineView>>,
}

/// How a start's own containerd namespace, and its engine's places, are named.
fn of_start(settings: &Settings) -> (containerd::Config, EnginePlaces) {
    let mut config = containerd_config(settings);
    config.engine_namespace = format!("{}-{OURS}", config.engine_namespace);
    let places = EnginePlaces {
        state_dir: settings.paths.state_dir.join(format!("engine-{OURS}")),
        memory_dir: format!("/run/rekindle/engine-{OURS}").into(),
        cgroup_parent: format!("{}-{OURS}", settings.engine.cgroup_parent),
    };
    (config, places)
}

impl Sources {
    /// Starts every source; they end with `shutdown`.
    pub(super) fn start(
        settings: &Settings,
        journal: &Journal,
        tree: &Arc<Tree>,
        forget: &[String],
        shutdown: &CancellationToken,
    ) -> Self {
        let (config, _) = of_start(settings);
        let containerd = Containerd::new(config);
        let (exec, requests) = mpsc::channel(16);
        tokio::spawn(serve_exec(containerd.clone(), requests));
        let kubeconfig = tree.dir.join("auth/kubeconfig");
        let asker = Arc::new(Asker::new(kubeconfig, API_DEADLINE));
        let wanted = Wanted {
            required: journal.required.clone(),
            node: settings.node.name.clone(),
            forget: forget.to_vec(),
        };
        let runtime = containerd::spawn_source(containerd.clone(), shutdown.clone());
        let looker = Looker {
            containerd: containerd.clone(),
            tree: Arc::clone(tree),
            components: journal.components.clone(),
            required: journal.required.clone(),
            node: settings.node.name.clone(),
            log_dir: settings.paths.pod_log_dir.clone(),
        };
        let (targets, targets_seen) = watch::channel(Arc::new(Vec::new()));
        let probes = probe::spawn(
            settings.probe.period,
            SETTLE,
            targets_seen,
            exec.clone(),
            shutdown.clone(),
        );
        let nudge = Arc::new(Notify::new());
        let kubelet = kubelet::spawn(kubelet_config(settings), nudge, shutdown.clone());
        let (no_engine, engine_view) = watch::channel(Reading::Known(EngineView::default()));
        let (objects, objects_seen) = watch::channel(ObjectsSeen::Idle);
        let look_again = Arc::new(Notify::new());
        Self {
            why: looker.spawn(runtime.clone(), shutdown),
            api: serving::spawn(Arc::clone(&asker), shutdown),
            cluster: cluster::spawn(
                Arc::clone(&asker),
                wanted,
                Arc::clone(&look_again),
                shutdown,
            ),
            containerd,
            asker,
            look_again,
            objects,
            engine: None,
            settings: settings.clone(),
            exec,
            shutdown: shutdown.clone(),
            runtime,
            engine_view,
            kubelet,
            probes,
            targets,
            objects_seen,
            steering: Steering::default(),
            specs: BTreeMap::new(),
            _no_engine: no_engine,
        }
    }

    /// Our own engine, started when it is needed first: it makes a containerd namespace.
    pub(super) fn engine(&mut self) -> &EngineHandle {
        let (settings, containerd) = (&self.settings, &self.containerd);
        let (exec, shutdown) = (&self.exec, &self.shutdown);
        let view = &mut self.engine_view;
        self.engine.get_or_insert_with(|| {
            let (_, places) = of_start(settings);
            let engine = engine::start_in(settings, places, containerd, exec.clone(), shutdown);
            *view = engine.view();
            engine
        })
    }

    /// It runs something, or did in an earlier run.
    fn wants_engine(&self, journal: &Journal) -> bool {
        let (_, places) = of_start(&self.settings);
        journal.engine == Some(Engine::Containerd) || places.state_dir.exists()
    }

    /// Waits until any source says something new.
    pub(super) async fn changed(&mut self) {
        tokio::select! {
            Ok(()) = self.runtime.changed() => {}
            Ok(()) = self.engine_view.changed() => {}
            Ok(()) = self.kubelet.changed() => {}
            Ok(()) = self.api.changed() => {}
            Ok(()) = self.cluster.changed() => {}
            Ok(()) = self.probes.changed() => {}
            Ok(()) = self.why.changed() => {}
            Ok(()) = self.objects_seen.changed() => {}
            else => std::future::pending().await,
        }
    }

    /// What is seen now.
    pub(super) async fn observe(
        &mut self,
        boot_id: &str,
        journal: &Journal,
        places: &Places,
    ) -> Observed {
        if self.engine.is_none() && self.wants_engine(journal) {
            self.engine();
        }
        let (places, components) = (places.clone(), journal.components.clone());
        let placed = tokio::task::spawn_blocking(move || places.look(&components)).await;
        let said = self.cluster.borrow_and_update().clone();
        if let Reading::Known(said) = &said {
            self.specs.clone_from(&said.specs);
        }
        let observed = Observed {
            boot_id: boot_id.to_owned(),
            runtime: self.runtime.borrow_and_update().clone(),
            engine: self.engine_view.borrow_and_update().clone(),
            placed: placed.unwrap_or_else(|_| Reading::not_asked()),
            kubelet: answers(&self.kubelet.borrow_and_update()),
            api: self.api.borrow_and_update().clone(),
            cluster: said.map(|said| said.cluster.clone()),
            probes: BTreeMap::clone(&self.probes.borrow_and_update()),
            steering: self.steering.seen(),
            objects: self.objects_seen.borrow_and_update().clone(),
            why: self.why.borrow_and_update().clone(),
        };
        self.aim(&observed, journal);
        observed
    }

    /// Has the probes of the self-hosted pods that run here asked.
    fn aim(&self, observed: &Observed, journal: &Journal) {
        let node = self.settings.node.name.as_str();
        let address = self
            .settings
            .node
            .address
            .map(|address| address.to_string());
        let mut targets: BTreeMap<PodRef, Target> = BTreeMap::new();
        for required in &journal.required {
            let here = parents(required, observed, journal, node);
            let mut temporary = journal.components.iter();
            let temporary = temporary.find(|it| it.counterpart.as_ref() == Some(required));
            let id = temporary.and_then(key);
            let steered = id.as_ref().and_then(|id| observed.steering.get(id));
            if temporary.is_some_and(|it| answers_for(it, steered)) {
                continue;
            }
            let shared = id.as_ref().and_then(|id| self.steering.shared(id));
            for sandbox in here.into_iter().flatten() {
                let Some(spec) = self.specs.get(&sandbox.pod) else {
                    continue;
                };
                let host_network = spec.spec.as_ref().and_then(|spec| spec.host_network);
                let pod_ip = spec
                    .status
                    .as_ref()
                    .and_then(|status| status.pod_ip.clone());
                let host = match host_network {
                    Some(true) => address.clone(),
                    _ => pod_ip,
                };
                let containers = sandbox.containers.iter();
                let running = containers
                    .filter(|container| container.task == TaskState::Running)
                    .map(|container| (container.name.clone(), container.id.clone()));
                // A pod has a second sandbox when its first one died.
                let target = targets
                    .entry(sandbox.pod.clone())
                    .or_insert_with(|| Target {
                        pod: sandbox.pod.clone(),
                        spec: Arc::clone(spec),
                        host: host.unwrap_or_else(|| "127.0.0.1".to_owned()),
                        ours: false,
                        shared,
                        running: BTreeMap::new(),
                        eager: true,
                        door: None,
                    });
                target.running.extend(running);
            }
        }
        let targets: Vec<Target> = targets.into_values().collect();
        self.targets.send_if_modified(|aimed| {
            let changed = **aimed != targets;
            if changed {
                *aimed = Arc::new(targets);
            }
            changed
        });
    }
}

/// A kubelet that refuses or fails to tell its pods is there all the same.
fn answers(reading: &Reading<KubeletSnapshot>) -> Reading<()> {
    match reading {
        Reading::Known(_) => Reading::Known(()),
        Reading::Unknown(unseen) => match unseen.kind {
            UnseenKind::NotAsked | UnseenKind::Unreachable | UnseenKind::TimedOut => {
                Reading::Unknown(unseen.clone())
            }
            UnseenKind::Denied | UnseenKind::Unreadable | UnseenKind::TooLarge => {
                Reading::Known(())
            }
        },
    }
}
