//! What a start remembers between its steps, and between two runs.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::required::Required;
use crate::core::stored::Engine;
use crate::core::time::Moment;

/// One start, from its first step to its last. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// Marks what this start has placed. Letters, digits and `-`.
    pub id: String,
    /// Boot in which it was written last: moments of another boot mean nothing.
    pub boot_id: String,
    /// The asset tree.
    pub asset_dir: String,
    /// The kubelet's static pod directory.
    pub manifest_dir: String,
    /// Where the static pods find their keys.
    pub secrets_dir: String,
    /// Who runs the temporary pods; `None`: it is not known yet whether there is a kubelet.
    pub engine: Option<Engine>,
    /// How far it is.
    pub phase: Phase,
    /// When that phase began.
    pub since: Moment,
    /// When anything went forward last.
    pub progress_at: Moment,
    /// While it is given up: since when nothing temporary is left.
    #[serde(default)]
    pub gone_since: Option<Moment>,
    /// The temporary pods.
    pub components: Vec<Component>,
    /// The pods that are waited for.
    pub required: Vec<Required>,
    /// Stop at the first object that cannot be created.
    pub strict: bool,
    /// The tree has a directory `manifests`.
    pub has_objects: bool,
    /// What became of the objects in it.
    pub objects: Objects,
    /// Nodes that were forgotten by the operator's word.
    pub forgotten: BTreeSet<String>,
}

/// How far a start is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Secrets and static pods are put in place.
    Placing,
    /// Waits until an API server serves.
    Serving,
    /// Creates the objects of `manifests`.
    Objects,
    /// Hands over, component by component, and waits for what is required.
    HandingOver,
    /// Everything is back; it has to stay so for a while.
    Verifying,
    /// Takes away what was placed.
    Removing,
    /// The same, because the operator gave it up.
    Aborting,
    /// Nothing is left of it but what `kept` names.
    Done,
    /// Nothing is left of it: it was given up.
    Aborted,
}

impl Phase {
    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Placing => "placing the temporary control plane",
            Self::Serving => "waiting for the API server",
            Self::Objects => "creating self-hosted objects",
            Self::HandingOver => "waiting for the self-hosted control plane",
            Self::Verifying => "verifying the self-hosted control plane",
            Self::Removing => "removing the temporary control plane",
            Self::Aborting => "giving up: removing what was placed",
            Self::Done => "done",
            Self::Aborted => "given up, nothing is left",
        }
    }

    /// There is nothing left to do.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Aborted)
    }
}

/// What became of the objects of `manifests`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objects {
    /// All were tried.
    pub ended: bool,
    /// How many are there now.
    pub there: u64,
    /// Which could not be created, and why.
    pub failed: Vec<String>,
}

/// One temporary pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// Name of its file.
    pub file: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name, without the node's that the kubelet adds.
    pub name: String,
    /// It is an API server.
    pub api: bool,
    /// The required pod in whose place it stands; `None`: it is kept.
    pub counterpart: Option<Required>,
    /// How often it was put in place: makes each static pod's uid its own.
    pub activation: u64,
    /// Failed hand-overs in a row.
    pub failures: u32,
    /// No hand-over before.
    pub not_before: Option<Moment>,
    /// Since when its counterpart has been held back, because another one is handed over first.
    #[serde(default)]
    pub held_since: Option<Moment>,
    /// Where its counterpart may listen beside it (`--permit-port-sharing`): the port.
    #[serde(default)]
    pub shared_port: Option<u16>,
    /// Since when its counterpart starts beside it. It is still there while the temporary pod is
    /// being let go of for it.
    #[serde(default)]
    pub beside_since: Option<Moment>,
    /// Where it is.
    pub state: State,
}

/// Where a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The temporary pod is to run.
    Temporary,
    /// The temporary pod is to go, its counterpart starts.
    HandingOver {
        /// Since when.
        since: Moment,
        /// When the temporary pod was seen to be gone.
        gone: Option<Moment>,
        /// The counterpart is a pod on this node.
        local: bool,
    },
    /// The counterpart serves.
    HandedOver {
        /// It has not served since.
        lost: Option<Moment>,
    },
}

/// First wait after a failed hand-over; doubled each time.
const BACKOFF: Duration = Duration::from_secs(10);
/// Longest wait after failed hand-overs.
const BACKOFF_LIMIT: Duration = Duration::from_secs(300);

impl Component {
    /// The counterpart failed: the temporary pod comes back, and has its time.
    pub(crate) fn back(&mut self, now: Moment) {
        self.fails(now);
        self.temporary();
    }

    /// The counterpart failed: the next try comes later.
    pub(crate) fn fails(&mut self, now: Moment) {
        self.beside_since = None;
        self.failures = self.failures.saturating_add(1);
        let doubled = 1u32
            .checked_shl(self.failures.saturating_sub(1).min(16))
            .unwrap_or(u32::MAX);
        let wait = BACKOFF.saturating_mul(doubled).min(BACKOFF_LIMIT);
        self.not_before = Some(now.after(wait));
    }

    /// The temporary pod is to run, as a new one.
    pub(crate) fn temporary(&mut self) {
        self.activation += 1;
        self.state = State::Temporary;
    }

    /// It is to run.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.state == State::Temporary
    }

    /// Its counterpart serves.
    #[must_use]
    pub fn is_handed_over(&self) -> bool {
        matches!(self.state, State::HandedOver { .. })
    }
}

impl Journal {
    /// What stays when everything else is done: temporary pods with no counterpart.
    pub fn kept(&self) -> impl Iterator<Item = &Component> {
        let kept = self
            .components
            .iter()
            .filter(|component| component.counterpart.is_none());
        kept.filter(|_| self.phase == Phase::Done)
    }

    /// Goes on to `phase`.
    pub(crate) fn enter(&mut self, phase: Phase, now: Moment) {
        self.phase = phase;
        self.since = now;
        self.progress_at = now;
    }

    /// After a reboot nothing runs that was not asked for anew: the temporary pods are to run
    /// again, and every timer begins now. A removal that was under way is not gone on with, since
    /// what had been verified is down again; giving up is.
    pub(crate) fn rebooted(&mut self, boot_id: &str, now: Moment) {
        boot_id.clone_into(&mut self.boot_id);
        self.since = now;
        self.progress_at = now;
        self.gone_since = None;
        if self.phase.is_final() || self.phase == Phase::Aborting {
            return;
        }
        // Who runs them is found out anew.
        for component in &mut self.components {
            component.not_before = None;
            component.held_since = None;
            component.beside_since = None;
            component.failures = 0;
            if component.state != State::Temporary {
                component.temporary();
            }
        }
        self.engine = None;
        self.phase = Phase::Placing;
    }
}
