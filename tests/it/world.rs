//! A simulated node for `decide`: what the sources say, changed by the test and by the actions of
//! each decision, in simulated time. The kubelet, containerd and the API server are scripted.

use std::collections::BTreeMap;
use std::time::Duration;

use rekindle::core::action::Action;
use rekindle::core::decide::{Decision, decide};
use rekindle::core::id::{CheckpointId, PodRef, RevisionId};
use rekindle::core::manifest::finish::label_value;
use rekindle::core::observed::{
    ApiView, ContainerSeen, EnginePod, EngineState, EngineView, KubeletView, ManifestsView,
    Observed, PodSeen, Probe, Rendering, RevisionFacts, RuntimeView, Sandbox, TaskState,
};
use rekindle::core::operation::OperationsView;
use rekindle::core::policy::Policy;
use rekindle::core::reading::{Reading, Unseen, UnseenKind};
use rekindle::core::report::State;
use rekindle::core::stored::{Phase, Stored};
use rekindle::core::time::Moment;

pub(crate) struct World {
    pub(crate) observed: Observed,
    pub(crate) stored: Stored,
    pub(crate) policy: Policy,
    pub(crate) now: Moment,
    /// Every action so far, with the second in which it was asked for.
    pub(crate) done: Vec<(u64, Action)>,
    /// containerd refuses to freeze: what is to be frozen has ended already.
    pub(crate) pause_fails: bool,
    /// The port cannot be steered.
    pub(crate) steering_fails: bool,
}

pub(crate) const API: &str = "daemonset.kube-system.kube-apiserver";
pub(crate) const KCM: &str = "deployment.kube-system.kube-controller-manager";
pub(crate) const SCHEDULER: &str = "deployment.kube-system.kube-scheduler";

pub(crate) fn id(text: &str) -> CheckpointId {
    CheckpointId::parse(text).expect("a checkpoint id")
}

pub(crate) fn revision(digit: char) -> RevisionId {
    RevisionId::parse(&digit.to_string().repeat(16)).expect("a revision")
}

pub(crate) fn pod(name: &str) -> PodRef {
    PodRef {
        namespace: "kube-system".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
    }
}

pub(crate) fn silent<T>(kind: UnseenKind) -> Reading<T> {
    Reading::Unknown(Unseen::new(kind, "scripted"))
}

pub(crate) fn policy() -> Policy {
    Policy {
        node_name: "node1".into(),
        ready: Duration::from_secs(10),
        activation_delay: Duration::from_secs(15),
        grace_period: Duration::from_secs(300),
        kubelet_deadline: Duration::from_secs(60),
        stop_deadline: Duration::from_secs(10),
        handover_deadline: Duration::from_secs(45),
        handover_backoff: Duration::from_secs(5),
        handover_backoff_limit: Duration::from_secs(600),
        handover_first: [id(API)].into(),
        handover_spread: Duration::ZERO,
        engine_enabled: true,
        rescue: [id(KCM), id(SCHEDULER)].into(),
        rescue_delay: Duration::from_secs(30),
    }
}

pub(crate) fn facts() -> RevisionFacts {
    RevisionFacts {
        host_network: true,
        shared_port: None,
        containers: vec!["main".into()],
        images: vec![],
        engine_refusal: None,
    }
}

impl World {
    /// A node with every source answering and nothing on it but one ordinary pod.
    pub(crate) fn new() -> Self {
        let proxy = pod("kube-proxy-x");
        let mut world = Self {
            observed: Observed {
                boot_id: "boot-1".into(),
                runtime: Reading::Known(RuntimeView::default()),
                kubelet: Reading::Known(KubeletView::default()),
                manifests: Reading::Known(ManifestsView::default()),
                apiserver: Reading::Known(ApiView {
                    pods: vec![],
                    lists: 1,
                }),
                engine: Reading::Known(EngineView::default()),
                renderings: BTreeMap::new(),
                probes: BTreeMap::new(),
                steering: BTreeMap::new(),
                images: Reading::Known(BTreeMap::new()),
                stored_revisions: Reading::Known(BTreeMap::new()),
                operations: Reading::Known(OperationsView::default()),
                hold: Reading::Known(None),
            },
            stored: Stored::default(),
            policy: policy(),
            now: Moment(1_000_000),
            done: vec![],
            pause_fails: false,
            steering_fails: false,
        };
        world.api().pods.push(seen(&proxy, None));
        world.run_pod(&proxy, None, TaskState::Running);
        world
    }

    /// A node whose checkpoints `ids` are learned, proven and inactive, their parents serving.
    pub(crate) fn learned(ids: &[&str]) -> Self {
        let mut world = Self::new();
        for text in ids {
            world.parent_appears(text, &parent_name(text), 'a');
        }
        world.turns(12);
        for text in ids {
            assert_eq!(world.state(text), State::Inactive, "{text} is learned");
            assert_eq!(
                world.stored.checkpoints[&id(text)].good,
                Some(revision('a'))
            );
        }
        world.done.clear();
        world
    }

    pub(crate) fn api(&mut self) -> &mut ApiView {
        let Reading::Known(api) = &mut self.observed.apiserver else {
            panic!("API is silent")
        };
        api
    }

    pub(crate) fn runtime(&mut self) -> &mut RuntimeView {
        let Reading::Known(runtime) = &mut self.observed.runtime else {
            panic!("runtime silent")
        };
        runtime
    }

    pub(crate) fn manifests(&mut self) -> &mut ManifestsView {
        let Reading::Known(manifests) = &mut self.observed.manifests else {
            panic!("dir silent")
        };
        manifests
    }

    pub(crate) fn engine(&mut self) -> &mut EngineView {
        let Reading::Known(engine) = &mut self.observed.engine else {
            panic!("engine silent")
        };
        engine
    }

    /// The API server lists a Ready parent here and it serves.
    pub(crate) fn parent_appears(&mut self, text: &str, name: &str, content: char) {
        let parent = pod(name);
        self.api().pods.push(seen(&parent, Some(text)));
        self.observed
            .renderings
            .insert(parent.clone(), Rendering::Whole(revision(content)));
        self.run_pod(&parent, None, TaskState::Running);
    }

    /// containerd shows the pod with its one container in this state; its probes pass if it runs.
    pub(crate) fn run_pod(&mut self, pod: &PodRef, copy_of: Option<&str>, task: TaskState) {
        let sandbox = Sandbox {
            id: format!("sandbox-{}", pod.name),
            pod: pod.clone(),
            running: !matches!(task, TaskState::None),
            checkpoint: copy_of.map(|text| label_value(&id(text))),
            containers: vec![ContainerSeen {
                id: format!("container-{}", pod.name),
                name: "main".into(),
                task,
                pid: 1,
            }],
        };
        self.vanish(&pod.name);
        self.runtime().sandboxes.push(sandbox);
        if task == TaskState::Running {
            self.observed.probes.insert(pod.clone(), Probe::Passing);
        } else {
            self.observed.probes.remove(pod);
        }
    }

    /// The pod's container runs but its probes fail.
    pub(crate) fn run_unready(&mut self, pod: &PodRef) {
        self.run_pod(pod, None, TaskState::Running);
        self.observed
            .probes
            .insert(pod.clone(), Probe::Failing("scripted".into()));
    }

    /// The sandbox is gone from containerd.
    pub(crate) fn vanish(&mut self, name: &str) {
        self.runtime()
            .sandboxes
            .retain(|sandbox| sandbox.pod.name != name);
    }

    /// The kubelet has run the manifest of this checkpoint.
    pub(crate) fn kubelet_runs(&mut self, text: &str) {
        assert!(
            self.manifests().ours.contains_key(&id(text)),
            "there is a manifest to run"
        );
        self.run_pod(&copy(text), Some(text), TaskState::Running);
    }

    /// A power cut: nothing runs, nobody answers but containerd and the directories.
    pub(crate) fn power_cut(&mut self) {
        self.observed.boot_id.push('+');
        self.now = Moment(20_000);
        self.observed.runtime = Reading::Known(RuntimeView::default());
        self.observed.apiserver = silent(UnseenKind::Unreachable);
        self.observed.kubelet = silent(UnseenKind::Unreachable);
        self.observed.probes.clear();
        self.observed.renderings.clear();
    }

    /// One turn: decides, commits, carries out what the world can carry out.
    pub(crate) fn turn(&mut self) {
        let _carried_out = self.decided();
    }

    /// One turn, with what it decided.
    pub(crate) fn decided(&mut self) -> Decision {
        let decision = decide(&self.observed, &self.stored, &self.policy, self.now);
        self.stored = decision.next.clone();
        let mut unfrozen = Vec::new();
        for action in &decision.actions {
            if action.releases(&unfrozen) {
                continue;
            }
            if let (Action::PauseParent { checkpoint, .. }, true) = (action, self.pause_fails) {
                unfrozen.push(checkpoint);
            }
            self.done.push((self.now.0 / 1000, action.clone()));
            self.carry_out(action);
        }
        decision
    }

    /// `count` turns, one each second.
    pub(crate) fn turns(&mut self, count: u64) {
        for _ in 0..count {
            self.turn();
            self.now = self.now.after(Duration::from_secs(1));
        }
    }

    fn carry_out(&mut self, action: &Action) {
        match action {
            Action::WriteManifest {
                checkpoint,
                revision,
                ..
            } => {
                self.manifests()
                    .ours
                    .insert(checkpoint.clone(), revision.clone());
            }
            Action::RemoveManifest { checkpoint } => {
                self.manifests().ours.remove(checkpoint);
            }
            Action::KillStaticPod { pod, .. } => self.vanish(&pod.name),
            Action::StartEnginePod {
                checkpoint,
                revision,
            } => {
                let pod = EnginePod {
                    revision: revision.clone(),
                    state: EngineState::Serving,
                };
                self.engine().pods.insert(checkpoint.clone(), pod);
            }
            Action::StopEnginePod { checkpoint, .. } => {
                self.engine().pods.remove(checkpoint);
            }
            Action::StoreRevision {
                checkpoint,
                revision,
                ..
            } => {
                let Reading::Known(stored) = &mut self.observed.stored_revisions else {
                    return;
                };
                let revisions = stored.entry(checkpoint.clone()).or_default();
                revisions.insert(revision.clone(), facts());
            }
            Action::DropRevision {
                checkpoint,
                revision,
            } => {
                let Reading::Known(stored) = &mut self.observed.stored_revisions else {
                    return;
                };
                stored
                    .entry(checkpoint.clone())
                    .or_default()
                    .remove(revision);
            }
            Action::RemoveCheckpoint { checkpoint } => {
                let Reading::Known(stored) = &mut self.observed.stored_revisions else {
                    return;
                };
                stored.remove(checkpoint);
            }
            Action::ConfirmWithApi => {
                if let Reading::Known(api) = &mut self.observed.apiserver {
                    api.lists += 1;
                }
            }
            Action::Steer {
                checkpoint,
                port,
                to,
            } => self.steer(checkpoint, *port, *to),
            Action::PauseParent { .. }
            | Action::ResumeParent { .. }
            | Action::RemoveDamagedManifest { .. }
            | Action::PinImage { .. } => {}
        }
    }

    pub(crate) fn state(&mut self, text: &str) -> State {
        self.report(text).0
    }

    pub(crate) fn reason(&mut self, text: &str) -> String {
        self.report(text).1
    }

    fn report(&mut self, text: &str) -> (State, String) {
        let decision = decide(&self.observed, &self.stored, &self.policy, self.now);
        let found = decision
            .report
            .checkpoints
            .into_iter()
            .find(|report| report.id == id(text));
        let report = found.unwrap_or_else(|| panic!("{text} is reported"));
        (report.state, report.reason)
    }

    pub(crate) fn phase(&self, text: &str) -> &Phase {
        &self.stored.checkpoints[&id(text)].phase
    }

    /// Whether any action so far satisfies `wanted`.
    pub(crate) fn did(&self, wanted: impl Fn(&Action) -> bool) -> bool {
        self.done.iter().any(|(_, action)| wanted(action))
    }

    /// Whether nothing was asked for that starts, stops or removes a copy.
    pub(crate) fn left_alone(&self) -> bool {
        !self.did(|action| {
            !matches!(
                action,
                Action::StoreRevision { .. } | Action::PinImage { .. } | Action::ConfirmWithApi
            )
        })
    }
}

pub(crate) fn parent_name(text: &str) -> String {
    format!("{}-x", id(text).parts().2)
}

pub(crate) fn copy(text: &str) -> PodRef {
    pod(&format!("{}-copy-node1", id(text).parts().2))
}

pub(crate) fn seen(pod: &PodRef, parent_of: Option<&str>) -> PodSeen {
    PodSeen {
        pod: pod.clone(),
        parent_of: parent_of.map(id),
        ready: true,
        finished: false,
        deleting: false,
    }
}
