//! Gathers what recovery mode decides on, from sources that run already and from those that only it
//! asks: the doors of API servers, every member of etcd, the leases.
//!
//! What runs on this node wakes it where it concerns the control plane; else it looks every 15
//! seconds, and every 5 while anything is wrong. Every question has its deadline, and one that hangs
//! makes its own reading unknown and nothing else.

mod data_dir;
mod here;
mod leases;
mod manifests;
mod members;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::members::Members;
use crate::apiserver::{self, door};
use crate::config::Settings;
use crate::core::observed::{EngineView, RuntimeView};
use crate::core::operation::OperationsView;
use crate::core::operator_hold::HoldSeen;
use crate::core::reading::{Reading, Unseen, UnseenKind, chain};
use crate::core::recovery::etcd_seen::{EtcdHere, EtcdHost};
use crate::core::recovery::evidence::{
    CheckpointSeen, DoorAnswer, DoorKind, Evidence, Instance, Manifest,
};
use crate::core::recovery::part::Part;
use crate::core::report::Report;
use crate::core::time::Moment;
use crate::daemon::clock;
use crate::kubelet::KubeletSnapshot;
use crate::systemd::units;

/// Between two looks while all is well.
const WELL: Duration = Duration::from_secs(15);
/// While something is not.
const WRONG: Duration = Duration::from_secs(5);
/// Never more often, however much happens.
const SHORTEST: Duration = Duration::from_millis(500);
/// Where an API server of this node listens, as far as nobody says otherwise.
const LOOPBACK: &str = "https://127.0.0.1:6443";

/// What others observe already, to be read along.
#[derive(Debug, Clone)]
pub struct Receivers {
    /// containerd.
    pub runtime: watch::Receiver<Reading<RuntimeView>>,
    /// Our own engine.
    pub engine: watch::Receiver<Reading<EngineView>>,
    /// The kubelet, for this node's address.
    pub kubelet: watch::Receiver<Reading<KubeletSnapshot>>,
    /// Operations of the command line.
    pub operations: watch::Receiver<Reading<OperationsView>>,
    /// An operator's hold.
    pub hold: watch::Receiver<Reading<Option<HoldSeen>>>,
}

type Containers = Reading<BTreeMap<Part, Vec<Instance>>>;

/// Starts looking; ends with `stop`. `report` gives the loop's last report, for what it does about
/// checkpoints.
pub fn spawn(
    settings: &Settings,
    receivers: Receivers,
    report: impl Fn() -> Arc<Report> + Send + 'static,
    stop: &CancellationToken,
) -> watch::Receiver<Arc<Evidence>> {
    let first = Evidence::nothing(&settings.node.name, clock::now());
    let (publish, seen) = watch::channel(Arc::new(first));
    let manifests = manifests::spawn(settings, stop);
    let mut observer = Observer {
        doors: doors(settings),
        members: Members::new(settings),
        booted: here::booted(&settings.paths.boot_id_file),
        settings: settings.clone(),
        receivers,
        manifests,
        report: Box::new(report),
        last: None,
    };
    let rounds = async move {
        loop {
            let began = clock::now();
            let evidence = Box::pin(observer.look()).await;
            let pause = if is_well(&evidence) { WELL } else { WRONG };
            observer.last = Some(evidence.containers.clone());
            if publish.send(Arc::new(evidence)).is_err() {
                return;
            }
            let next = began.after(pause).since(clock::now());
            tokio::time::sleep(SHORTEST).await;
            let _elapsed = tokio::time::timeout(next, observer.changed()).await;
        }
    };
    tokio::spawn(stop.clone().run_until_cancelled_owned(rounds));
    seen
}

/// Every door, this node's own first.
fn doors(settings: &Settings) -> Vec<door::Door> {
    let configured = &settings.apiserver;
    let server = configured.server_override.as_ref();
    let base = server
        .filter(|url| url.host().is_some_and(members::is_loopback))
        .map_or(LOOPBACK.to_owned(), ToString::to_string);
    let config = |kubeconfig: &std::path::Path, server: Option<String>| apiserver::Config {
        kubeconfig: kubeconfig.to_owned(),
        server_override: server,
        node_name: settings.node.name.clone(),
        deadline: configured.call_deadline,
        relist: configured.relist_interval,
        retry: configured.retry_interval,
    };
    let own = door::Door::at(DoorKind::Loopback, &base, configured.call_deadline);
    let mut doors: Vec<door::Door> = own
        .inspect_err(|unseen| tracing::warn!(error = unseen.detail, "no client for loopback"))
        .into_iter()
        .collect();
    let kubelet = config(&configured.kubeconfig, server.map(ToString::to_string));
    doors.push(door::Door::by_kubeconfig(DoorKind::Kubeconfig, &kubelet));
    let admin = &settings.recovery.kubeconfig;
    if *admin != configured.kubeconfig && admin.exists() {
        let admin = config(admin, None);
        doors.push(door::Door::by_kubeconfig(DoorKind::Administrator, &admin));
    }
    doors
}

/// Everything serves as far as a glance tells: no need to look again soon.
fn is_well(evidence: &Evidence) -> bool {
    let etcd = &evidence.etcd;
    let members = etcd.members.known().map_or(0, |members| members.all.len());
    let answering = etcd.statuses().count();
    evidence
        .doors
        .iter()
        .all(|it| matches!(it.answer, DoorAnswer::Serving) || it.kind == DoorKind::Administrator)
        && etcd.read.known().is_some()
        && answering >= members.min(etcd.endpoints.len())
        && evidence.containers.known().is_some()
}

struct Observer {
    settings: Settings,
    receivers: Receivers,
    manifests: watch::Receiver<Reading<BTreeMap<Part, Manifest>>>,
    report: Box<dyn Fn() -> Arc<Report> + Send>,
    doors: Vec<door::Door>,
    members: Members,
    booted: Moment,
    last: Option<Containers>,
}

impl Observer {
    async fn look(&mut self) -> Evidence {
        let node = self.settings.node.name.clone();
        let at = clock::now();
        let containers = self.containers();
        let manifests = self.manifests.borrow_and_update().clone();
        let host_ip = {
            let kubelet = self.receivers.kubelet.borrow();
            kubelet.known().and_then(|it| it.host_ip.clone())
        };
        let asked = self.doors.iter().map(|door| door.ask(at));
        let doors = futures_util::future::join_all(asked);
        let (doors, mut etcd, host) = tokio::join!(
            doors,
            self.members.look(host_ip.as_deref()),
            host(&self.settings, &manifests, &containers)
        );
        let serves = doors.iter().any(|door| door.answer == DoorAnswer::Serving);
        let leases = self.members.leases(serves, &etcd).await;
        etcd.here = EtcdHere {
            host,
            data_dir: self.settings.etcd_data_dir.clone(),
            data: data_dir::look(&self.settings.etcd_data_dir).await,
        };
        let shutting_down = if serves {
            Reading::Known(false)
        } else {
            match units::stopping().await {
                Ok(stopping) => Reading::Known(stopping),
                Err(error) => Reading::Unknown(Unseen::because(UnseenKind::Unreachable, &error)),
            }
        };
        let operations = self.receivers.operations.borrow_and_update().clone();
        let hold = self.hold(at);
        Evidence {
            node,
            at: clock::now(),
            booted: self.booted,
            shutting_down,
            containers,
            manifests,
            doors,
            etcd,
            leases,
            operations,
            hold,
            loop_turned: !(self.report)().sources.is_empty(),
            checkpoints: self.checkpoints(),
        }
    }

    fn containers(&mut self) -> Containers {
        let runtime = self.receivers.runtime.borrow_and_update().clone();
        let engine = self.receivers.engine.borrow_and_update().clone();
        here::containers(&runtime, &engine)
    }

    /// The hold that is in force, in words.
    fn hold(&mut self, now: Moment) -> Reading<Option<String>> {
        let hold = self.receivers.hold.borrow_and_update();
        hold.map(|hold| {
            let hold = hold.as_ref().filter(|hold| !hold.is_over(now));
            hold.map(HoldSeen::said)
        })
    }

    /// Waits until something of the control plane changes on this node.
    async fn changed(&mut self) {
        loop {
            let of_containers = tokio::select! {
                Ok(()) = self.receivers.runtime.changed() => true,
                Ok(()) = self.receivers.engine.changed() => true,
                Ok(()) = self.receivers.operations.changed() => false,
                Ok(()) = self.receivers.hold.changed() => false,
                Ok(()) = self.manifests.changed() => false,
                else => std::future::pending().await,
            };
            // Most pods of a node are none of the control plane's.
            if !of_containers || Some(self.containers()) != self.last {
                return;
            }
        }
    }

    fn checkpoints(&self) -> Vec<CheckpointSeen> {
        let report = (self.report)();
        let node = &self.settings.node.name;
        let seen = report.checkpoints.iter().filter_map(|it| {
            Some(CheckpointSeen {
                part: here::part_of(&it.id, node)?,
                id: it.id.clone(),
                state: it.state,
                good: it.good.is_some(),
                reason: it.reason.clone(),
            })
        });
        seen.collect()
    }
}

/// Who runs etcd here.
async fn host(
    settings: &Settings,
    manifests: &Reading<BTreeMap<Part, Manifest>>,
    containers: &Containers,
) -> Reading<EtcdHost> {
    let manifest = manifests.known().and_then(|all| all.get(&Part::Etcd));
    if matches!(manifest, Some(Manifest::Present | Manifest::Broken(_))) {
        return Reading::Known(EtcdHost::StaticPod);
    }
    let here = containers.known().and_then(|all| all.get(&Part::Etcd));
    if here.is_some_and(|here| !here.is_empty()) {
        return Reading::Known(EtcdHost::Pod);
    }
    match units::state(&settings.etcd_unit).await {
        Ok(Some(state)) => Reading::Known(EtcdHost::Unit {
            name: settings.etcd_unit.clone(),
            state,
        }),
        Ok(None) | Err(units::UnitError::NotBooted) => match (manifests, containers) {
            (Reading::Known(_), Reading::Known(_)) => Reading::Known(EtcdHost::Nobody),
            (Reading::Unknown(unseen), _) | (_, Reading::Unknown(unseen)) => {
                Reading::Unknown(unseen.clone())
            }
        },
        Err(error) => Reading::Unknown(Unseen::new(UnseenKind::Unreachable, chain(&error))),
    }
}
