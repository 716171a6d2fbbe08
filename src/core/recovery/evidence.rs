//! Everything that recovery mode decides on: what each source said of the control plane of this
//! node and of its cluster, at one moment. Plain data; `daemon::recovery::observe` gathers it.
//!
//! What was not learnt is said so, everywhere: a [`Reading`] that is unknown, or an answer that
//! says that nobody asked. Nothing here says what follows from it; that is `assess`'s.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::etcd_seen::EtcdEvidence;
use super::part::Part;
use crate::core::id::CheckpointId;
use crate::core::observed::EngineState;
use crate::core::operation::OperationsView;
use crate::core::reading::Reading;
use crate::core::report::State;
use crate::core::time::Moment;

/// What is seen at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// This node's name.
    pub node: String,
    /// When it was put together. Evidence of long ago is worth nothing.
    pub at: Moment,
    /// When this boot began; `Moment(0)` by the meaning of [`Moment`], later only where the boot id
    /// is not the kernel's (a lab's node).
    pub booted: Moment,
    /// The system is going down.
    pub shutting_down: Reading<bool>,
    /// Containers of each part on this node, our own copies included; a part that has none is
    /// there with an empty list.
    pub containers: Reading<BTreeMap<Part, Vec<Instance>>>,
    /// The static manifest of each part, under the names that kubeadm uses.
    pub manifests: Reading<BTreeMap<Part, Manifest>>,
    /// The API servers that were asked, each door by itself.
    pub doors: Vec<Door>,
    /// etcd.
    pub etcd: EtcdEvidence,
    /// Leases of leader election of the scheduler and the controller manager. A part that never
    /// had one is missing.
    pub leases: Reading<BTreeMap<Part, Lease>>,
    /// Long operations of the command line that have this node.
    pub operations: Reading<OperationsView>,
    /// An operator's hold that is in force, in words. It holds back actions, not what is seen.
    pub hold: Reading<Option<String>>,
    /// Checkpoints of parts of the control plane, as the loop last decided on them.
    pub checkpoints: Vec<CheckpointSeen>,
    /// The loop has decided once. Before that, that there are no checkpoints means nothing.
    pub loop_turned: bool,
}

/// One container of a part on this node, running or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Whose it is.
    pub owner: Owner,
    /// The pod, `namespace/name`, or the checkpoint that our own engine runs.
    pub name: String,
    /// containerd's id of the sandbox; empty: of our own engine, which has its own.
    pub sandbox: String,
    /// containerd's id of the container, by which two attempts are told apart; of our own engine
    /// the checkpoint's key.
    pub container: String,
    /// What it does.
    pub run: Run,
}

/// Who runs a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The kubelet: a pod of the API server, or a static pod that is not ours.
    Kubelet,
    /// The kubelet, by a manifest of ours: a copy.
    Copy,
    /// Our own engine: a copy.
    Engine,
}

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    /// Its task runs.
    Running,
    /// Not started yet, or being started.
    Starting,
    /// Ended, waiting for its next start, or left over: why, as far as it is known.
    Ended(String),
}

/// A static manifest of the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// There is none.
    Absent,
    /// It asks for the part.
    Present,
    /// No kubelet can run it: empty, no pod, no container of the part: why.
    Broken(String),
}

/// One address at which an API server was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// What kind of door it is.
    pub kind: DoorKind,
    /// The address as it may be shown.
    pub url: String,
    /// What came of it.
    pub answer: DoorAnswer,
    /// The answer in words; for [`DoorAnswer::Serving`] empty. Never holds a secret.
    pub detail: String,
    /// When that answer came.
    pub at: Moment,
}

/// Which API servers a door leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoorKind {
    /// This node's own, on loopback, without credentials, believed whoever it is.
    Loopback,
    /// Where the kubelet's (or the daemon's) kubeconfig points: this one, another, or a balancer.
    Kubeconfig,
    /// Where the administrator's kubeconfig points.
    Administrator,
}

/// What came of asking an API server. The closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DoorAnswer {
    /// `/readyz` says that it serves.
    Serving,
    /// It answers, and is not ready.
    NotReady,
    /// 401 or 403: it lives, and does not tell us.
    Denied,
    /// Its certificate is not believed: it lives.
    Untrusted(Distrust),
    /// Somebody's machine refuses the connection: nobody listens there.
    Refused,
    /// No way there: no route, no such host, the connection broke before an answer.
    Unreachable,
    /// Nothing within the deadline.
    TimedOut,
    /// An answer of no API server that we know.
    Unreadable,
    /// It could not be asked: the kubeconfig cannot be used, or nobody did yet.
    NotAsked,
}

/// Why a certificate is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distrust {
    /// Its time is over, or has not come.
    Expired,
    /// It is for another name or address.
    WrongName,
    /// Of an authority that we do not know.
    WrongAuthority,
    /// Anything else, also: ours is not believed.
    Other,
}

impl DoorAnswer {
    /// Somebody who is an API server is there, whatever it says.
    #[must_use]
    pub fn is_alive(self) -> bool {
        matches!(
            self,
            Self::Serving | Self::NotReady | Self::Denied | Self::Untrusted(_)
        )
    }

    /// Nobody is there, as far as can be told from here.
    #[must_use]
    pub fn is_silent(self) -> bool {
        matches!(self, Self::Refused | Self::Unreachable | Self::TimedOut)
    }
}

/// A lease of leader election, watched by its changes: no two machines' clocks are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it; empty: it was given back.
    pub holder: String,
    /// When it was last seen to have changed, or, with [`Lease::renewed`] false, first seen.
    pub changed: Moment,
    /// It has been seen to change at all: before, its age is at least since `changed`.
    pub renewed: bool,
}

/// A checkpoint of a part, for who deals with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSeen {
    /// Of which part.
    pub part: Part,
    /// Its key.
    pub id: CheckpointId,
    /// Its state.
    pub state: State,
    /// It has a good revision, so it can be activated.
    pub good: bool,
    /// Why it is so and what it waits for.
    pub reason: String,
}

impl Evidence {
    /// Nothing is known yet.
    #[must_use]
    pub fn nothing(node: &str, at: Moment) -> Self {
        Self {
            node: node.to_owned(),
            at,
            booted: Moment(0),
            shutting_down: Reading::not_asked(),
            containers: Reading::not_asked(),
            manifests: Reading::not_asked(),
            doors: Vec::new(),
            etcd: EtcdEvidence::nothing(PathBuf::new()),
            leases: Reading::not_asked(),
            operations: Reading::not_asked(),
            hold: Reading::not_asked(),
            checkpoints: Vec::new(),
            loop_turned: false,
        }
    }

    /// Some API server serves.
    #[must_use]
    pub fn api_serves(&self) -> bool {
        let mut doors = self.doors.iter();
        doors.any(|door| door.answer == DoorAnswer::Serving)
    }

    /// Some API server serves or is there, whatever it says.
    #[must_use]
    pub fn api_is_alive(&self) -> bool {
        self.doors.iter().any(|door| door.answer.is_alive())
    }

    /// The door to this node's own API server.
    #[must_use]
    pub fn own_door(&self) -> Option<&Door> {
        let mut doors = self.doors.iter();
        doors.find(|door| door.kind == DoorKind::Loopback)
    }

    /// Containers of `part` here, running or not; `None`: containerd is unknown.
    #[must_use]
    pub fn here(&self, part: Part) -> Option<&[Instance]> {
        let containers = self.containers.known()?;
        Some(containers.get(&part).map_or(&[], Vec::as_slice))
    }

    /// Those of them that run.
    pub fn running(&self, part: Part) -> impl Iterator<Item = &Instance> {
        let here = self.here(part).unwrap_or_default().iter();
        here.filter(|instance| instance.run == Run::Running)
    }

    /// What the static pod directory says of `part`; `None`: it is unknown.
    #[must_use]
    pub fn manifest(&self, part: Part) -> Option<&Manifest> {
        let manifests = self.manifests.known()?;
        Some(manifests.get(&part).unwrap_or(&Manifest::Absent))
    }

    /// Checkpoints of `part`.
    pub fn checkpoints_of(&self, part: Part) -> impl Iterator<Item = &CheckpointSeen> {
        self.checkpoints.iter().filter(move |it| it.part == part)
    }

    /// A checkpoint of `part` is asked to run, runs, or is being handed over.
    #[must_use]
    pub fn checkpoint_acts(&self, part: Part) -> Option<&CheckpointSeen> {
        self.checkpoints_of(part).find(|seen| {
            matches!(
                seen.state,
                State::Activating | State::Active | State::HandingOver
            )
        })
    }

    /// How long this boot lasts.
    #[must_use]
    pub fn up_for(&self, now: Moment) -> Duration {
        now.since(self.booted)
    }
}

impl Run {
    /// What a pod of our own engine does.
    #[must_use]
    pub fn of_engine(state: &EngineState) -> Self {
        match state {
            EngineState::Serving | EngineState::NotReady(_) => Self::Running,
            EngineState::Starting => Self::Starting,
            EngineState::BackOff(why) => Self::Ended(why.clone()),
            EngineState::Refused(why) => Self::Ended(format!("refused: {why}")),
            EngineState::Stopping => Self::Ended("being stopped".to_owned()),
        }
    }
}
