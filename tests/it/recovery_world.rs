//! Evidence as it may be, and time that passes over it: what `assess` says of a scripted node.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use rekindle::core::operation::{OperationKind, OperationSeen, OperationState, OperationsView};
use rekindle::core::reading::{Reading, Unseen, UnseenKind};
use rekindle::core::recovery::assess::assess;
use rekindle::core::recovery::etcd_seen::{
    DataDir, EtcdAnswer, EtcdDoor, EtcdEvidence, EtcdHere, EtcdHost, EtcdMember, EtcdMembers,
    Identity, MemberStatus,
};
use rekindle::core::recovery::evidence::{
    Door, DoorAnswer, DoorKind, Evidence, Instance, Lease, Manifest, Owner, Run,
};
use rekindle::core::recovery::loss::{Assessment, Condition, Loss};
use rekindle::core::recovery::memory::Memory;
use rekindle::core::recovery::part::Part;
use rekindle::core::recovery::policy::RecoveryPolicy;
use rekindle::core::time::Moment;

pub(crate) fn policy() -> RecoveryPolicy {
    RecoveryPolicy {
        automatic: true,
        lost_after: Duration::from_secs(60),
        boot_grace: Duration::from_secs(120),
        member_lost_after: Duration::from_secs(300),
        wedged_after: Duration::from_secs(120),
        rungs: BTreeSet::new(),
        max_auto_data_loss: Duration::ZERO,
        limit: 3,
        period: Duration::from_secs(86400),
        deadline: Duration::from_secs(1800),
        other_masters: BTreeSet::new(),
        hygiene: BTreeSet::new(),
    }
}

pub(crate) fn unknown<T>() -> Reading<T> {
    Reading::Unknown(Unseen::new(UnseenKind::TimedOut, "scripted"))
}

/// `rekindle start` has the node.
pub(crate) fn start_runs() -> Reading<OperationsView> {
    let seen = vec![OperationSeen {
        kind: OperationKind::Start,
        state: OperationState::Running { pid: 7 },
        began: None,
        at: String::new(),
    }];
    Reading::Known(OperationsView { seen })
}

pub(crate) fn instance(part: Part, id: &str, run: Run) -> Instance {
    Instance {
        owner: Owner::Kubelet,
        name: format!("kube-system/{part}-node1"),
        sandbox: format!("sandbox-{id}"),
        container: id.to_owned(),
        run,
    }
}

pub(crate) fn door(kind: DoorKind, answer: DoorAnswer) -> Door {
    let url = match kind {
        DoorKind::Loopback => "https://127.0.0.1:6443",
        _ => "https://api.example:6443",
    };
    Door {
        kind,
        url: url.to_owned(),
        answer,
        detail: "scripted".to_owned(),
        at: Moment(0),
    }
}

pub(crate) fn status(id: u64, leader: Option<u64>) -> MemberStatus {
    MemberStatus {
        member_id: id,
        cluster_id: 7,
        leader,
        learner: false,
        revision: 1000,
        raft_term: 2,
        raft_index: 5000,
        raft_applied: 5000,
        db_bytes: 1 << 20,
        alarms: Vec::new(),
        complaints: Vec::new(),
    }
}

pub(crate) fn member(id: u64) -> EtcdMember {
    EtcdMember {
        id,
        name: format!("node{id}"),
        client_urls: vec![url(id)],
        peer_urls: Vec::new(),
        learner: false,
        own: id == 1,
    }
}

pub(crate) fn url(id: u64) -> String {
    format!("https://10.0.0.{id}:2379")
}

pub(crate) fn etcd_door(id: u64, answer: EtcdAnswer) -> EtcdDoor {
    EtcdDoor {
        endpoint: url(id),
        own: id == 1,
        configured: id == 1,
        answer,
        detail: "scripted".to_owned(),
        took_ms: 3,
    }
}

/// A node of `masters` masters, static pods, all well.
pub(crate) fn healthy(masters: u64) -> Evidence {
    let mut evidence = Evidence::nothing("node1", Moment(0));
    let by_part = |make: &dyn Fn(Part) -> Vec<Instance>| Part::ALL.map(|part| (part, make(part)));
    let running = by_part(&|part| vec![instance(part, &format!("{part}-0"), Run::Running)]);
    evidence.containers = Reading::Known(BTreeMap::from(running));
    let manifests = Part::ALL.map(|part| (part, Manifest::Present));
    evidence.manifests = Reading::Known(BTreeMap::from(manifests));
    evidence.shutting_down = Reading::Known(false);
    evidence.operations = Reading::Known(OperationsView::default());
    evidence.hold = Reading::Known(None);
    evidence.doors = vec![
        door(DoorKind::Loopback, DoorAnswer::Serving),
        door(DoorKind::Kubeconfig, DoorAnswer::Serving),
    ];
    let ids = 1..=masters;
    evidence.etcd = EtcdEvidence {
        endpoints: ids
            .clone()
            .map(|id| etcd_door(id, EtcdAnswer::Status(status(id, Some(masters)))))
            .collect(),
        members: Reading::Known(EtcdMembers {
            all: ids.map(member).collect(),
            at: Moment(0),
        }),
        read: Reading::Known(2),
        identity: identity(Some("uid-1")),
        here: EtcdHere {
            host: Reading::Known(EtcdHost::StaticPod),
            data_dir: PathBuf::from("/var/lib/etcd"),
            data: data(true),
        },
    };
    evidence
}

pub(crate) fn identity(cluster: Option<&str>) -> Reading<Identity> {
    Reading::Known(Identity {
        authority: "ca-1".to_owned(),
        cluster: cluster.map(str::to_owned),
    })
}

pub(crate) fn data(in_use: bool) -> Reading<DataDir> {
    let db_bytes = 1 << 20;
    Reading::Known(DataDir::Present { in_use, db_bytes })
}

/// A node that is looked at while time passes.
pub(crate) struct Watched {
    pub(crate) evidence: Evidence,
    pub(crate) policy: RecoveryPolicy,
    pub(crate) memory: Memory,
    pub(crate) now: Moment,
    /// Somebody who leads renews these leases.
    pub(crate) renewed: BTreeSet<Part>,
}

impl Watched {
    /// All well, ten minutes after the boot.
    pub(crate) fn new(masters: u64) -> Self {
        let mut policy = policy();
        let others = (2..=masters).map(|id| format!("node{id}"));
        policy.other_masters = others.collect();
        let mut watched = Self {
            evidence: healthy(masters),
            policy,
            memory: Memory::default(),
            now: Moment(600_000),
            renewed: BTreeSet::from([Part::Scheduler, Part::ControllerManager]),
        };
        let lease = || Lease {
            holder: "node1_x".to_owned(),
            changed: watched.now,
            renewed: true,
        };
        let leases = [Part::Scheduler, Part::ControllerManager].map(|part| (part, lease()));
        watched.evidence.leases = Reading::Known(BTreeMap::from(leases));
        let first = watched.look();
        assert_eq!(first.condition, Condition::Healthy, "{first:#?}");
        watched
    }

    pub(crate) fn look(&mut self) -> Assessment {
        self.evidence.at = self.now;
        if let Reading::Known(leases) = &mut self.evidence.leases {
            for (part, lease) in leases {
                if self.renewed.contains(part) {
                    (lease.changed, lease.renewed) = (self.now, true);
                }
            }
        }
        let (found, memory) = assess(&self.evidence, &self.memory, &self.policy, self.now);
        self.memory = memory;
        found
    }

    /// Time passes, looked at every five seconds; what is said at the end.
    pub(crate) fn pass(&mut self, seconds: u64) -> Assessment {
        let mut found = self.look();
        for _ in 0..seconds / 5 {
            self.now = self.now.after(Duration::from_secs(5));
            found = self.look();
        }
        found
    }

    /// Time passes and nothing is ever confirmed; what is said at the end.
    pub(crate) fn pass_without_loss(&mut self, seconds: u64) -> Assessment {
        let mut found = self.look();
        for _ in 0..seconds / 5 {
            assert_eq!(found.confirmed(), None, "{found:#?}");
            self.now = self.now.after(Duration::from_secs(5));
            found = self.look();
        }
        assert_eq!(found.confirmed(), None, "{found:#?}");
        found
    }

    pub(crate) fn doors(&mut self, loopback: DoorAnswer, kubeconfig: DoorAnswer) {
        self.evidence.doors = vec![
            door(DoorKind::Loopback, loopback),
            door(DoorKind::Kubeconfig, kubeconfig),
        ];
    }

    pub(crate) fn containers(&mut self, part: Part, here: Vec<Instance>) {
        let mut all = self.evidence.containers.known().unwrap().clone();
        all.insert(part, here);
        self.evidence.containers = Reading::Known(all);
    }

    pub(crate) fn manifest(&mut self, part: Part, manifest: Manifest) {
        let mut all = self.evidence.manifests.known().unwrap().clone();
        all.insert(part, manifest);
        self.evidence.manifests = Reading::Known(all);
    }

    pub(crate) fn etcd(&mut self, id: u64, answer: EtcdAnswer) {
        let doors = self.evidence.etcd.endpoints.iter_mut();
        let door = doors.into_iter().find(|door| door.endpoint == url(id));
        door.unwrap().answer = answer;
    }

    /// The API server's containers end, and nobody answers at any door.
    pub(crate) fn api_gone(&mut self) {
        self.doors(DoorAnswer::Refused, DoorAnswer::Refused);
        let ended = Run::Ended("exit code 1".to_owned());
        let old = instance(Part::ApiServer, "kube-apiserver-0", ended);
        self.containers(Part::ApiServer, vec![old]);
        self.renewed.clear();
    }

    /// This node's etcd ends.
    pub(crate) fn etcd_gone(&mut self) {
        self.etcd(1, EtcdAnswer::Not(DoorAnswer::Refused));
        self.containers(Part::Etcd, Vec::new());
        self.evidence.etcd.here.data = data(false);
    }

    /// No linearizable read comes through any more.
    pub(crate) fn no_reads(&mut self) {
        self.evidence.etcd.read = unknown();
        self.evidence.etcd.identity = unknown();
        self.evidence.leases = unknown();
    }
}

/// Asserts what was found lost, and nothing else.
pub(crate) fn confirmed(found: &Assessment) -> Vec<Loss> {
    let confirmed = found.losses.iter().filter(|seen| seen.confirmed);
    confirmed.map(|seen| seen.loss).collect()
}

/// Some trouble says all of `words`.
pub(crate) fn says(found: &Assessment, words: &[&str]) -> bool {
    let troubles = found.troubles.iter();
    let texts = troubles.map(|it| format!("{} ({})", it.what, it.handler));
    let mut texts = texts
        .chain(found.waits.clone())
        .chain(found.unknown.clone());
    texts.any(|text| words.iter().all(|word| text.contains(word)))
}
