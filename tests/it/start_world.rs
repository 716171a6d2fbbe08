//! A node during a start, as the tests see it: what is there, and what becomes of it when a
//! decision's actions are carried out.

use std::collections::{BTreeMap, BTreeSet};

use rekindle::core::id::{CheckpointId, PodRef, RevisionId};
use rekindle::core::observed::{
    ContainerSeen, EnginePod, EngineState, EngineView, Probe, RuntimeView, Sandbox, TaskState,
};
use rekindle::core::reading::Reading;
use rekindle::core::sharing::Steered;
use rekindle::core::start::component::key;
use rekindle::core::start::decide::decide;
use rekindle::core::start::journal::{Component, Journal, Objects, Phase, State};
use rekindle::core::start::observed::{
    ApiSeen, Bound, Cluster, Node, ObjectsSeen, Observed, Placed, Standing,
};
use rekindle::core::start::required::{DEFAULT, Required};
use rekindle::core::start::turn::{Action, Decision, Orders};
use rekindle::core::time::Moment;

pub const NODE: &str = "master1";
pub const NAMES: [&str; 3] = [
    "kube-apiserver",
    "kube-scheduler",
    "kube-controller-manager",
];

/// What a self-hosted pod on this node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    Nothing,
    Starting,
    Frozen,
    Ended,
    Serving,
}

#[derive(Debug, Clone)]
pub struct World {
    pub now: u64,
    pub boot: String,
    pub journal: Journal,
    pub orders: Orders,
    /// By component: activation of the manifest that stands there.
    pub manifests: [Option<u64>; 3],
    /// By component: the kubelet's static pod has tasks.
    pub temporary: [bool; 3],
    pub engine: [bool; 3],
    pub parents: [Parent; 3],
    pub secrets: Standing,
    pub aside: bool,
    pub kubelet: bool,
    pub runtime_known: bool,
    pub api_answers: bool,
    pub api_elsewhere: bool,
    pub bound: Vec<Bound>,
    pub nodes: BTreeMap<String, Node>,
    pub objects: ObjectsSeen,
    /// What is steered; new connections can be where `shares`, the API servers' common flag, is set.
    pub steering: BTreeMap<CheckpointId, Steered>,
    pub shares: bool,
}

pub fn required(name: &str) -> Required {
    Required::parse(&format!("kube-system/{name}")).unwrap()
}

pub fn component(name: &str) -> Component {
    Component {
        file: format!("bootstrap-{name}.yaml"),
        namespace: "kube-system".to_owned(),
        name: format!("bootstrap-{name}"),
        api: name == "kube-apiserver",
        counterpart: Some(required(name)),
        activation: 0,
        failures: 0,
        not_before: None,
        held_since: None,
        shared_port: None,
        beside_since: None,
        state: State::Temporary,
    }
}

impl World {
    /// A wiped node with a kubelet, at the beginning of a start.
    pub fn new() -> Self {
        let now = 100_000;
        Self {
            now,
            boot: "boot-1".to_owned(),
            journal: Journal {
                id: "s1".to_owned(),
                boot_id: "boot-1".to_owned(),
                asset_dir: "/root/recovered".to_owned(),
                manifest_dir: "/etc/kubernetes/manifests".to_owned(),
                secrets_dir: "/etc/kubernetes/bootstrap-secrets".to_owned(),
                engine: None,
                phase: Phase::Placing,
                since: Moment(now),
                progress_at: Moment(now),
                gone_since: None,
                components: NAMES.iter().map(|name| component(name)).collect(),
                required: DEFAULT
                    .iter()
                    .map(|it| Required::parse(it).unwrap())
                    .collect(),
                strict: false,
                has_objects: false,
                objects: Objects::default(),
                forgotten: BTreeSet::new(),
            },
            orders: Orders {
                node: NODE.to_owned(),
                engine: None,
                timeout: None,
                abort: false,
                forget: Vec::new(),
                begun: Moment(now),
            },
            manifests: [None; 3],
            temporary: [false; 3],
            engine: [false; 3],
            parents: [Parent::Nothing; 3],
            secrets: Standing::Absent,
            aside: false,
            kubelet: true,
            runtime_known: true,
            api_answers: false,
            api_elsewhere: false,
            bound: Vec::new(),
            nodes: BTreeMap::new(),
            objects: ObjectsSeen::Idle,
            steering: BTreeMap::new(),
            shares: false,
        }
    }

    /// The phases and conditions that etcd remembers: everything ran and was Ready.
    pub fn with_stale_pods(mut self) -> Self {
        for name in NAMES {
            self.bound.push(bound(name, NODE));
        }
        self
    }

    /// So many seconds ago.
    pub fn ago(&self, seconds: u64) -> Moment {
        Moment(self.now.saturating_sub(1000 * seconds))
    }

    pub fn at(&self, phase: Phase) -> bool {
        self.journal.phase == phase
    }

    pub fn state(&self, index: usize) -> State {
        self.journal.components[index].state
    }

    /// The API server answers: a temporary one, or the self-hosted one alone.
    pub fn serves(&self) -> bool {
        let own = self.parents[0] == Parent::Serving;
        self.api_answers && (self.temporary[0] || self.engine[0] || own || self.api_elsewhere)
    }

    pub fn observed(&self) -> Observed {
        let unknown = || Reading::not_asked();
        let mut sandboxes = Vec::new();
        for (index, name) in NAMES.iter().enumerate() {
            if self.temporary[index] {
                let pod = format!("bootstrap-{name}-{NODE}");
                sandboxes.push(sandbox(&pod, "t", TaskState::Running));
            }
            let task = match self.parents[index] {
                Parent::Nothing => continue,
                Parent::Starting | Parent::Serving => TaskState::Running,
                Parent::Frozen => TaskState::Paused,
                Parent::Ended => TaskState::Exited(1),
            };
            sandboxes.push(sandbox(&format!("{name}-x"), "p", task));
        }
        let probes = NAMES.iter().enumerate().filter_map(|(index, name)| {
            let pod = reference(&format!("{name}-x"));
            match self.parents[index] {
                Parent::Serving => Some((pod, Probe::Passing)),
                Parent::Starting => Some((pod, Probe::Failing("not yet".to_owned()))),
                _ => None,
            }
        });
        let files = self.journal.components.iter().zip(self.manifests);
        let pods = self.journal.components.iter().zip(self.engine);
        Observed {
            boot_id: self.boot.clone(),
            runtime: if self.runtime_known {
                Reading::Known(RuntimeView { sandboxes })
            } else {
                unknown()
            },
            engine: Reading::Known(EngineView {
                pods: pods
                    .filter(|(_, runs)| *runs)
                    .map(|(component, _)| {
                        let revision = RevisionId::parse("0123456789abcdef").unwrap();
                        let state = EngineState::Serving;
                        (key(component).unwrap(), EnginePod { revision, state })
                    })
                    .collect(),
            }),
            placed: Reading::Known(Placed {
                secrets: self.secrets,
                aside: self.aside,
                files: files
                    .map(|(component, activation)| {
                        let standing = activation.map_or(Standing::Absent, Standing::Ours);
                        (component.file.clone(), standing)
                    })
                    .collect(),
            }),
            kubelet: if self.kubelet {
                Reading::Known(())
            } else {
                Reading::not_asked()
            },
            api: ApiSeen {
                asked: Moment(self.now),
                answer: if self.serves() {
                    Reading::Known(Ok(()))
                } else {
                    Reading::not_asked()
                },
            },
            cluster: if self.serves() {
                Reading::Known(Cluster {
                    pods: self.bound.clone(),
                    nodes: self.nodes.clone(),
                })
            } else {
                Reading::not_asked()
            },
            probes: probes.collect(),
            steering: self.steering.clone(),
            objects: self.objects.clone(),
            why: BTreeMap::new(),
        }
    }

    /// One decision, written down; the actions are not carried out yet.
    pub fn decide(&mut self) -> Decision {
        let decision = decide(
            &self.observed(),
            &self.journal,
            &self.orders,
            Moment(self.now),
        );
        self.journal = decision.journal.clone();
        decision
    }

    /// Carries out one action. A killed process never gets here.
    pub fn carry_out(&mut self, action: &Action) {
        match action {
            Action::Steer { index, port, to } => self.steer(*index, *port, *to),
            Action::PlaceSecrets => self.secrets = Standing::Ours(0),
            Action::RemoveSecrets => {
                self.secrets = Standing::Absent;
                self.aside = false;
            }
            Action::PlaceManifest { index } => {
                assert_eq!(self.manifests[*index], None, "nothing is replaced");
                self.manifests[*index] = Some(self.journal.components[*index].activation);
            }
            Action::RemoveManifest { index } => self.manifests[*index] = None,
            Action::Kill { sandbox } => {
                let names = NAMES
                    .iter()
                    .position(|name| *sandbox == format!("t-bootstrap-{name}-{NODE}"));
                self.temporary[names.expect("a temporary sandbox")] = false;
            }
            Action::StartEnginePod { index } => {
                assert!(!self.temporary[*index], "never two copies");
                self.engine[*index] = true;
            }
            Action::StopEnginePod { index, .. } => self.engine[*index] = false,
            Action::Pause { container }
            | Action::Hold { container }
            | Action::Resume { container } => {
                let index = NAMES
                    .iter()
                    .position(|name| *container == format!("p-{name}-x-c"));
                let index = index.expect("a self-hosted container");
                // One that has ended meanwhile is neither frozen nor thawed.
                self.parents[index] = match (action, self.parents[index]) {
                    (Action::Resume { .. }, Parent::Frozen) => Parent::Starting,
                    (Action::Resume { .. }, other) => other,
                    (_, Parent::Starting | Parent::Serving) => Parent::Frozen,
                    (_, other) => other,
                };
            }
            Action::CreateObjects => {
                self.objects = ObjectsSeen::Ended {
                    there: 1,
                    failed: Vec::new(),
                };
            }
            Action::ForgetNode { node } => {
                self.bound.retain(|bound| bound.node != *node);
                if let Some(seen) = self.nodes.get_mut(node) {
                    seen.exists = false;
                }
            }
        }
    }

    pub fn turn(&mut self) -> Decision {
        let decision = self.decide();
        for action in &decision.actions {
            self.carry_out(action);
        }
        decision
    }
}

pub fn done(world: &World) -> bool {
    world.at(Phase::Done)
}

pub fn reference(name: &str) -> PodRef {
    PodRef {
        namespace: "kube-system".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{name}"),
    }
}

pub fn bound(name: &str, node: &str) -> Bound {
    Bound {
        pod: reference(&format!("{name}-x")),
        node: node.to_owned(),
        ready_since: Some(Moment(0)),
        mirror: false,
        ends: false,
    }
}

fn sandbox(pod: &str, kind: &str, task: TaskState) -> Sandbox {
    Sandbox {
        id: format!("{kind}-{pod}"),
        pod: reference(pod),
        running: true,
        checkpoint: None,
        containers: vec![ContainerSeen {
            id: format!("{kind}-{pod}-c"),
            name: "c".to_owned(),
            task,
            pid: 1,
        }],
    }
}
