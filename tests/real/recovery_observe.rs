//! What the daemon sees of a real control plane: members of etcd and an API server that serve, end,
//! hang and come back.

use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams, PostParams};
use rekindle::config::{Files, Settings, load_files};
use rekindle::core::observed::{EngineView, RuntimeView};
use rekindle::core::operation::OperationsView;
use rekindle::core::reading::Reading;
use rekindle::core::recovery::assess::assess;
use rekindle::core::recovery::etcd_seen::{DataDir, EtcdAnswer};
use rekindle::core::recovery::evidence::{Distrust, DoorAnswer, DoorKind, Evidence};
use rekindle::core::recovery::loss::{Assessment, Condition, Loss};
use rekindle::core::recovery::memory::Memory;
use rekindle::core::recovery::part::Part;
use rekindle::core::report::Report;
use rekindle::core::time::Moment;
use rekindle::daemon::recovery::observe::{Receivers, spawn};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::control_plane::{ControlPlane, NODE};
use crate::etcd_cluster::{Cluster, PATIENCE};

/// A first line that says how etcd is asked.
const PLAIN: &str = "# etcd speaks plain HTTP";

struct Observed {
    evidence: watch::Receiver<Arc<Evidence>>,
    settings: Settings,
    _operations: watch::Sender<Reading<OperationsView>>,
    _stop: DropGuard,
    _dir: TempDir,
}

impl Observed {
    /// `config` is in TOML; `name` the node's.
    fn start(name: &str, config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rekindle.toml");
        write(&file, config);
        let loaded = load_files(&Files::one(file), name);
        let mut settings = loaded
            .unwrap_or_else(|mistakes| panic!("{mistakes}"))
            .settings;
        // The API server's test etcd speaks plain HTTP, which no configuration may say.
        if config.contains(PLAIN) {
            for endpoint in &mut settings.etcd.endpoints {
                *endpoint = endpoint.replace("https://", "http://");
            }
        }
        let (_, runtime) = watch::channel(Reading::Known(RuntimeView::default()));
        let (_, engine) = watch::channel(Reading::Known(EngineView::default()));
        let (_, kubelet) = watch::channel(Reading::not_asked());
        let (_, hold) = watch::channel(Reading::Known(None));
        let (operations_sender, operations) =
            watch::channel(Reading::Known(OperationsView::default()));
        let receivers = Receivers {
            runtime,
            engine,
            kubelet,
            operations,
            hold,
        };
        let stop = CancellationToken::new();
        let report = Arc::new(Report::default());
        let evidence = spawn(&settings, receivers, move || Arc::clone(&report), &stop);
        Self {
            evidence,
            settings,
            _operations: operations_sender,
            _stop: stop.drop_guard(),
            _dir: dir,
        }
    }

    /// Waits until the evidence is as it should be.
    async fn until(&mut self, what: &str, is: impl Fn(&Evidence) -> bool) -> Arc<Evidence> {
        let seen = self.evidence.wait_for(|evidence| is(evidence));
        if let Ok(seen) = tokio::time::timeout(PATIENCE, seen).await {
            return Arc::clone(&seen.unwrap());
        }
        panic!("waited in vain: {what}: {:#?}", self.evidence.borrow())
    }

    /// What it would come to, if it stayed so for an hour.
    fn after_an_hour(&self, evidence: &Evidence) -> Assessment {
        let mut later = evidence.clone();
        let (mut found, mut memory) = (Assessment::default(), Memory::default());
        for second in (0..3600).step_by(15) {
            later.at = Moment(evidence.at.0 + 86_400_000 + second * 1000);
            let policy = &self.settings.recovery.policy;
            (found, memory) = assess(&later, &memory, policy, later.at);
        }
        found
    }
}

#[allow(clippy::disallowed_methods, reason = "a test's own files")]
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[expect(clippy::unnecessary_debug_formatting, reason = "quoted for TOML")]
fn etcd_config(cluster: &Cluster) -> String {
    format!(
        "[etcd]\nendpoints = [{:?}]\nca_file = {:?}\ncertificate_file = {:?}\nkey_file = {:?}\n\
         data_dir = {:?}\ncall_deadline_seconds = 1\n",
        cluster.endpoint(0),
        cluster.path("ca.crt"),
        cluster.path("client.crt"),
        cluster.path("client.key"),
        cluster.data_dir(0),
    )
}

fn answer(evidence: &Evidence, endpoint: &str) -> Option<DoorAnswer> {
    let doors = &evidence.etcd.endpoints;
    let door = doors.iter().find(|door| door.endpoint == endpoint)?;
    match &door.answer {
        EtcdAnswer::Status(_) => Some(DoorAnswer::Serving),
        EtcdAnswer::Not(answer) => Some(*answer),
    }
}

fn no_leader(evidence: &Evidence) -> bool {
    let mut statuses = evidence.etcd.statuses();
    evidence.etcd.anybody_answers() && statuses.all(|(_, status)| status.leader.is_none())
}

#[tokio::test]
async fn of_three_members_two_are_a_quorum_and_one_has_no_leader() {
    let mut cluster = Cluster::start("3.5", 3).await;
    let mut node = Observed::start("m0", &etcd_config(&cluster));
    let seen = node
        .until("all three answer", |evidence| {
            evidence.etcd.statuses().count() == 3 && evidence.etcd.read.known().is_some()
        })
        .await;
    assert!(seen.etcd.has_quorum());
    let own: Vec<&str> = seen
        .etcd
        .endpoints
        .iter()
        .filter(|door| door.own)
        .map(|door| door.endpoint.as_str())
        .collect();
    assert_eq!(own, [cluster.endpoint(0)]);
    let members = seen.etcd.members.known().unwrap();
    assert_eq!(members.all.iter().filter(|member| member.own).count(), 1);
    assert!(matches!(
        seen.etcd.here.data.known(),
        Some(DataDir::Present { in_use: true, .. })
    ));

    cluster.pause(2);
    let hung = cluster.endpoint(2);
    node.until("a member that hangs does not answer in time", |evidence| {
        answer(evidence, &hung) == Some(DoorAnswer::TimedOut)
    })
    .await;
    cluster.resume(2);

    cluster.kill(2);
    let gone = cluster.endpoint(2);
    let seen = node
        .until("one refuses and two are a quorum", |evidence| {
            answer(evidence, &gone) == Some(DoorAnswer::Refused)
                && evidence.etcd.read.known().is_some()
        })
        .await;
    assert!(seen.etcd.has_quorum());

    cluster.kill(1);
    let seen = node
        .until("the last one has no leader", |evidence| {
            no_leader(evidence)
                && cluster.endpoints()[1..]
                    .iter()
                    .all(|it| answer(evidence, it) == Some(DoorAnswer::Refused))
        })
        .await;
    assert!(!seen.etcd.has_quorum());
    assert!(seen.etcd.read.unseen().is_some());
    let mut without_manifests = (*seen).clone();
    // This test has no static pod directory: what it would say is not the point.
    without_manifests.manifests = Reading::Known(std::collections::BTreeMap::new());
    let found = node.after_an_hour(&without_manifests);
    let confirmed: Vec<Loss> = found
        .losses
        .iter()
        .filter(|it| it.confirmed)
        .map(|it| it.loss)
        .collect();
    assert!(confirmed.contains(&Loss::EtcdQuorum), "{found:#?}");

    cluster.restart_all().await;
    node.until("all three are back", |evidence| {
        evidence.etcd.statuses().count() == 3 && evidence.etcd.has_quorum()
    })
    .await;
}

#[tokio::test]
async fn members_that_are_cut_off_from_each_other_have_no_leader_and_are_not_lost() {
    let cluster = Cluster::start_cuttable("3.5").await;
    let mut node = Observed::start("m0", &etcd_config(&cluster));
    node.until("all three answer", |evidence| {
        evidence.etcd.statuses().count() == 3 && evidence.etcd.read.known().is_some()
    })
    .await;
    cluster.cut();
    let seen = node
        .until("all answer and none has a leader", |evidence| {
            evidence.etcd.statuses().count() == 3 && no_leader(evidence)
        })
        .await;
    let found = node.after_an_hour(&seen);
    assert!(found.losses.is_empty(), "{found:#?}");
    assert!(
        found.waits.iter().any(|it| it.contains("none leads")),
        "{found:#?}"
    );
}

#[tokio::test]
async fn etcd_with_another_authority_lives_and_is_not_believed() {
    let (cluster, other) = (
        Cluster::start("3.5", 1).await,
        Cluster::start("3.5", 1).await,
    );
    let config = etcd_config(&cluster).replace(
        cluster.path("ca.crt").to_str().unwrap(),
        other.path("ca.crt").to_str().unwrap(),
    );
    let mut node = Observed::start("m0", &config);
    let endpoint = cluster.endpoint(0);
    let seen = node
        .until("its certificate is not believed", |evidence| {
            answer(evidence, &endpoint) == Some(DoorAnswer::Untrusted(Distrust::WrongAuthority))
        })
        .await;
    // That no API server is here is true; of etcd nothing is lost, and nothing is sure.
    let found = node.after_an_hour(&seen);
    let of_etcd = [Loss::EtcdMember, Loss::EtcdQuorum, Loss::Everything];
    assert!(
        found
            .losses
            .iter()
            .all(|seen| !of_etcd.contains(&seen.loss) && !seen.confirmed),
        "{found:#?}"
    );
}

#[expect(clippy::unnecessary_debug_formatting, reason = "quoted for TOML")]
fn plane_config(plane: &ControlPlane) -> String {
    format!(
        "{PLAIN}\n[apiserver]\nkubeconfig = {:?}\nserver_override = {:?}\n\
         [etcd]\nendpoints = [{:?}]\ndata_dir = {:?}\ncall_deadline_seconds = 1\n\
         [recovery]\nkubeconfig = {:?}\n",
        plane.kubeconfig("kubelet"),
        plane.server(),
        plane.etcd_endpoint().replace("http://", "https://"),
        plane.data_dir(),
        plane.kubeconfig_here("admin"),
    )
}

fn doors(evidence: &Evidence, expected: DoorAnswer) -> bool {
    let mut own = evidence.doors.iter();
    let kinds = [DoorKind::Loopback, DoorKind::Kubeconfig];
    kinds
        .iter()
        .all(|kind| evidence.doors.iter().any(|door| door.kind == *kind))
        && own.all(|door| door.answer == expected)
}

#[tokio::test]
async fn an_api_server_serves_ends_loses_its_etcd_and_its_leases_are_followed() {
    let mut plane = ControlPlane::start().await;
    let mut node = Observed::start(NODE, &plane_config(&plane));
    let seen = node
        .until("it serves", |evidence| {
            let identity = evidence.etcd.identity.known();
            doors(evidence, DoorAnswer::Serving)
                && identity.is_some_and(|identity| identity.cluster.is_some())
        })
        .await;
    assert!(seen.leases.known().unwrap().is_empty());

    let leases: Api<Lease> = Api::namespaced(plane.admin().await, "kube-system");
    let lease = |second: u32| {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "kube-scheduler"},
            "spec": {"holderIdentity": "one_a", "leaseDurationSeconds": 15,
                     "renewTime": format!("2026-01-01T00:00:{second:02}.000000Z")},
        })
    };
    let first = serde_json::from_value(lease(1)).unwrap();
    leases.create(&PostParams::default(), &first).await.unwrap();
    let held = |evidence: &Evidence, renewed: bool| {
        let leases = evidence.leases.known();
        let lease = leases.and_then(|leases| leases.get(&Part::Scheduler));
        lease.is_some_and(|lease| lease.holder == "one_a" && lease.renewed == renewed)
    };
    node.until("the lease is seen", |evidence| held(evidence, false))
        .await;
    let patch = Patch::Merge(lease(2));
    leases
        .patch("kube-scheduler", &PatchParams::default(), &patch)
        .await
        .unwrap();
    node.until("its renewal is seen", |evidence| held(evidence, true))
        .await;

    plane.kill_apiserver().await;
    node.until("it is gone", |evidence| {
        doors(evidence, DoorAnswer::Refused)
    })
    .await;
    plane.start_apiserver().await;
    node.until("it is back", |evidence| {
        doors(evidence, DoorAnswer::Serving)
    })
    .await;

    plane.kill_etcd().await;
    let endpoint = plane.etcd_endpoint();
    let seen = node
        .until("etcd is gone under it", |evidence| {
            answer(evidence, &endpoint) == Some(DoorAnswer::Refused)
                && evidence
                    .doors
                    .iter()
                    .all(|door| door.answer != DoorAnswer::Serving)
        })
        .await;
    assert!(matches!(
        seen.etcd.here.data.known(),
        Some(DataDir::Present { in_use: false, .. })
    ));
    plane.stop().await;
}

#[tokio::test]
async fn r11_a_kubeconfig_of_another_cluster_is_named_and_is_no_loss() {
    let (plane, other) = tokio::join!(ControlPlane::start(), ControlPlane::start());
    let config = plane_config(&plane).replace(
        plane.kubeconfig("kubelet").to_str().unwrap(),
        other.kubeconfig("kubelet").to_str().unwrap(),
    );
    let mut node = Observed::start(NODE, &config);
    let seen = node
        .until("its certificate is not believed", |evidence| {
            evidence
                .doors
                .iter()
                .any(|door| door.answer == DoorAnswer::Untrusted(Distrust::WrongAuthority))
        })
        .await;
    assert!(seen.api_serves());
    let found = node.after_an_hour(&seen);
    assert_eq!(found.condition, Condition::Degraded, "{found:#?}");
    assert!(found.losses.is_empty());
    plane.stop().await;
    other.stop().await;
}
