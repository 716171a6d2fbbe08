//! The sources: starts every adapter and composes what they last said into one observation.
//! Each source runs by itself; one that hangs makes its own reading unknown and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::images;
use super::recovery::observe::Receivers;
use crate::apiserver::{self, ApiSource};
use crate::config::Settings;
use crate::containerd::{self, Containerd};
use crate::core::id::{CheckpointId, PodRef, RevisionId};
use crate::core::observed::{
    EngineView, ImagePresence, ManifestsView, Observed, Probe, Rendering, RevisionFacts,
    RuntimeView,
};
use crate::core::operation::OperationsView;
use crate::core::operator_hold::HoldSeen;
use crate::core::reading::Reading;
use crate::engine::EngineHandle;
use crate::kubelet::{self, KubeletSnapshot};
use crate::manifests::dir::ManifestDir;
use crate::manifests::watch::{self as manifests, Refresh};
use crate::operation;
use crate::probe::{self, ExecRequest, Target};
use crate::steering::Steering;

/// A pod without probes counts as serving once it has been up this long.
const SETTLE: Duration = Duration::from_secs(3);

/// Between two looks for an operation where no event says that there is one.
const OPERATIONS_RESYNC: Duration = Duration::from_secs(5);

/// Facts of the whole revisions on disk.
pub(super) type StoredRevisions = BTreeMap<CheckpointId, BTreeMap<RevisionId, RevisionFacts>>;

/// Every source's latest word, and the handles to ask them more.
pub(super) struct Sources {
    pub(super) containerd: Containerd,
    pub(super) engine: EngineHandle,
    pub(super) api: ApiSource,
    pub(super) manifests_again: Refresh,
    kubelet_nudge: Arc<Notify>,
    pub(super) targets: watch::Sender<Arc<Vec<Target>>>,
    pub(super) images_wanted: watch::Sender<Vec<String>>,
    pub(super) images_again: Arc<Notify>,
    pub(super) manifests: watch::Receiver<Reading<ManifestsView>>,
    pub(super) runtime: watch::Receiver<Reading<RuntimeView>>,
    kubelet: watch::Receiver<Reading<KubeletSnapshot>>,
    pub(super) engine_view: watch::Receiver<Reading<EngineView>>,
    probes: watch::Receiver<Arc<BTreeMap<PodRef, Probe>>>,
    images: watch::Receiver<Reading<BTreeMap<String, ImagePresence>>>,
    pub(super) operations: watch::Receiver<Reading<OperationsView>>,
    pub(super) hold: watch::Receiver<Reading<Option<HoldSeen>>>,
    /// Ports that copies share with their parents.
    pub(super) steering: Steering,
    /// Carries out probes that are commands.
    pub(super) exec: mpsc::Sender<ExecRequest>,
}

impl Sources {
    /// Starts every adapter; they end with `shutdown`.
    pub(super) fn start(
        settings: &Settings,
        dir: &Arc<ManifestDir>,
        shutdown: &CancellationToken,
    ) -> Self {
        let containerd = Containerd::new(containerd_config(settings));
        let (exec, exec_requests) = mpsc::channel(16);
        tokio::spawn(serve_exec(containerd.clone(), exec_requests));
        let kubelet_nudge = Arc::new(Notify::new());
        let kubelet = kubelet::spawn(
            kubelet_config(settings),
            Arc::clone(&kubelet_nudge),
            shutdown.clone(),
        );
        let api = apiserver::spawn(
            &apiserver::Config {
                kubeconfig: settings.apiserver.kubeconfig.clone(),
                server_override: settings
                    .apiserver
                    .server_override
                    .as_ref()
                    .map(ToString::to_string),
                node_name: settings.node.name.clone(),
                deadline: settings.apiserver.call_deadline,
                relist: settings.apiserver.relist_interval,
                retry: settings.apiserver.retry_interval,
            },
            shutdown.clone(),
        );
        let (manifests, manifests_again) = manifests::spawn(
            ManifestDir::clone(dir),
            shutdown.clone(),
            settings.containerd.resync_interval,
        );
        let engine = super::engine::start(settings, &containerd, exec.clone(), shutdown);
        let (targets, targets_seen) = watch::channel(Arc::new(Vec::new()));
        let probes = probe::spawn(
            settings.probe.period,
            SETTLE,
            targets_seen,
            exec.clone(),
            shutdown.clone(),
        );
        let (images_wanted, wanted) = watch::channel(Vec::new());
        let images_again = Arc::new(Notify::new());
        let images = images::spawn(
            containerd.clone(),
            wanted,
            Arc::clone(&images_again),
            shutdown.clone(),
        );
        Self {
            runtime: containerd::spawn_source(containerd.clone(), shutdown.clone()),
            engine_view: engine.view(),
            containerd,
            engine,
            api,
            manifests,
            manifests_again,
            kubelet_nudge,
            targets,
            images_wanted,
            images_again,
            kubelet,
            probes,
            images,
            operations: operations(settings, shutdown),
            hold: super::hold::spawn(settings, shutdown),
            steering: Steering::default(),
            exec,
        }
    }

    /// What is read along by recovery mode.
    pub(super) fn receivers(&self) -> Receivers {
        Receivers {
            runtime: self.runtime.clone(),
            engine: self.engine_view.clone(),
            kubelet: self.kubelet.clone(),
            operations: self.operations.clone(),
            hold: self.hold.clone(),
        }
    }

    /// Waits until any source says something new.
    pub(super) async fn changed(&mut self) {
        // A source that has ended (at shutdown) has nothing to say any more.
        tokio::select! {
            // What starts may be a pod that the kubelet has just been told of.
            Ok(()) = self.runtime.changed() => self.kubelet_nudge.notify_one(),
            Ok(()) = self.kubelet.changed() => {}
            Ok(()) = self.manifests.changed() => {}
            Ok(()) = self.api.pods.changed() => {}
            Ok(()) = self.api.gathered.changed() => {}
            Ok(()) = self.engine_view.changed() => {}
            Ok(()) = self.probes.changed() => {}
            Ok(()) = self.images.changed() => {}
            Ok(()) = self.operations.changed() => {}
            Ok(()) = self.hold.changed() => {}
            else => std::future::pending().await,
        }
    }

    /// The pods' specs of the parents, by whoever knows best.
    pub(super) fn parents(&mut self) -> Vec<Arc<Pod>> {
        if let Reading::Known(api) = &*self.api.pods.borrow_and_update() {
            return api.parents.clone();
        }
        match &*self.kubelet.borrow() {
            Reading::Known(kubelet) => kubelet.parents.clone(),
            Reading::Unknown(_) => Vec::new(),
        }
    }

    /// What keeps a parent from being a checkpoint, or a checkpoint from being complete.
    pub(super) fn problems(&self) -> Vec<String> {
        let objects = self.api.problems.borrow();
        let objects = objects
            .iter()
            .map(|(object, why)| format!("{object}: {why}"));
        let tokens = self.api.token_problems.borrow();
        let tokens = tokens.iter().map(|(token, why)| {
            format!(
                "token of {}/{}: {why}",
                token.namespace, token.service_account
            )
        });
        let mut problems: Vec<String> = objects.chain(tokens).collect();
        if let Reading::Known(api) = &*self.api.pods.borrow() {
            problems.extend(api.bad_ids.iter().map(ToString::to_string));
            problems.extend(api.unknown_fields.iter().map(|(pod, fields)| {
                format!(
                    "{pod} has fields that this version does not know: {}",
                    fields.join(", ")
                )
            }));
        }
        problems
    }

    /// The node's address as the kubelet tells it.
    pub(super) fn host_ip(&self) -> Option<String> {
        self.kubelet
            .borrow()
            .known()
            .and_then(|kubelet| kubelet.host_ip.clone())
    }

    /// What is seen now.
    pub(super) fn observe(
        &mut self,
        boot_id: &str,
        renderings: &BTreeMap<PodRef, Rendering>,
        stored_revisions: &Reading<StoredRevisions>,
    ) -> Observed {
        Observed {
            boot_id: boot_id.to_owned(),
            runtime: self.runtime.borrow_and_update().clone(),
            kubelet: self
                .kubelet
                .borrow_and_update()
                .map(|kubelet| kubelet.view.clone()),
            manifests: self.manifests.borrow_and_update().clone(),
            apiserver: self
                .api
                .pods
                .borrow_and_update()
                .map(|api| api.view.clone()),
            engine: self.engine_view.borrow_and_update().clone(),
            renderings: renderings.clone(),
            probes: BTreeMap::clone(&self.probes.borrow_and_update()),
            steering: self.steering.seen(),
            images: self.images.borrow_and_update().clone(),
            stored_revisions: stored_revisions.clone(),
            operations: self.operations.borrow_and_update().clone(),
            hold: self.hold.borrow_and_update().clone(),
        }
    }
}

/// How to reach containerd, as configured.
pub(crate) fn containerd_config(settings: &Settings) -> containerd::Config {
    containerd::Config {
        socket: settings.containerd.socket.clone(),
        cri_namespace: settings.containerd.kubelet_namespace.clone(),
        engine_namespace: settings.containerd.engine_namespace.clone(),
        call_deadline: settings.containerd.call_deadline,
        resync: settings.containerd.resync_interval,
    }
}

/// How to reach the kubelet, as configured.
pub(crate) fn kubelet_config(settings: &Settings) -> kubelet::Config {
    kubelet::Config {
        read_only_url: settings.kubelet.read_only_url.clone(),
        secure_url: settings.kubelet.secure_url.clone(),
        client_certificate_file: settings.kubelet.client_certificate_file.clone(),
        client_key_file: settings.kubelet.client_key_file.clone(),
        token_file: settings.kubelet.token_file.clone(),
        ca_file: settings.kubelet.ca_file.clone(),
        poll: settings.kubelet.poll_interval,
        deadline: settings.kubelet.call_deadline,
        limit: settings.kubelet.answer_limit_bytes,
    }
}

/// Watches what has the node. The lock's file is closed with its process: that too is an event.
fn operations(
    settings: &Settings,
    shutdown: &CancellationToken,
) -> watch::Receiver<Reading<OperationsView>> {
    let state_dir = settings.paths.state_dir.clone();
    let place = state_dir.join(operation::PLACE);
    let list = move || operation::look(&state_dir);
    let (view, _) = crate::store::watch::spawn(&place, list, shutdown.clone(), OPERATIONS_RESYNC);
    view
}

/// Carries out the exec probes that the prober asks for.
pub(crate) async fn serve_exec(containerd: Containerd, mut requests: mpsc::Receiver<ExecRequest>) {
    while let Some(request) = requests.recv().await {
        let containerd = containerd.clone();
        tokio::spawn(async move {
            let config = containerd.config();
            let namespace = if request.ours {
                &config.engine_namespace
            } else {
                &config.cri_namespace
            };
            let answer = containerd
                .exec(
                    namespace,
                    &request.container_id,
                    &request.command,
                    request.deadline,
                )
                .await
                .map_err(|error| error.unseen().detail);
            // The prober gave up waiting: nobody is left to tell.
            let _gone = request.reply.send(answer);
        });
    }
}
