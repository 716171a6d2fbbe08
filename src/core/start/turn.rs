//! What a decision is made of: the operator's orders, what there is to do, how a run ends.

use std::time::Duration;

use super::journal::{Component, Journal};
use super::observed::Observed;
use crate::core::sharing::Side;
use crate::core::stored::Engine;
use crate::core::time::Moment;

/// From a decision that is withdrawn to the next one, if nothing is seen before.
const AGAIN: Duration = Duration::from_millis(200);

/// What the operator asked this run for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// This node's name.
    pub node: String,
    /// Who may run the temporary pods; `None`: whoever is there.
    pub engine: Option<Engine>,
    /// Ends the run when nothing has gone forward for so long.
    pub timeout: Option<Duration>,
    /// Give up: take everything away again.
    pub abort: bool,
    /// Nodes that are gone for good.
    pub forget: Vec<String>,
    /// When this run began: what was seen before it was seen by another process.
    pub begun: Moment,
}

/// One thing to do. Every one may be repeated. `index` is of the journal's components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Put the secrets in their place; what is there is moved aside.
    PlaceSecrets,
    /// Take our secrets away, and put back what was moved aside.
    RemoveSecrets,
    /// Put a manifest into the static pod directory.
    PlaceManifest {
        /// Of which component.
        index: usize,
    },
    /// Take our manifest out of it.
    RemoveManifest {
        /// Of which component.
        index: usize,
    },
    /// Kill everything in a temporary pod's sandbox.
    Kill {
        /// containerd's id.
        sandbox: String,
    },
    /// Have our own engine run a component.
    StartEnginePod {
        /// Which.
        index: usize,
    },
    /// Have our own engine stop one.
    StopEnginePod {
        /// Which.
        index: usize,
        /// SIGKILL.
        at_once: bool,
    },
    /// Send new connections to the port of an API server to one of the two.
    Steer {
        /// Of which component.
        index: usize,
        /// The port.
        port: u16,
        /// Whom they are to reach.
        to: Side,
    },
    /// Freeze a counterpart's container before it finds its port taken.
    Pause {
        /// containerd's id.
        container: String,
    },
    /// Freeze one whose turn comes later: another one needs the processor.
    Hold {
        /// containerd's id.
        container: String,
    },
    /// Thaw it.
    Resume {
        /// containerd's id.
        container: String,
    },
    /// Begin to create the objects.
    CreateObjects,
    /// Delete a node and the pods bound to it.
    ForgetNode {
        /// Its name.
        node: String,
    },
}

impl Action {
    /// Done before the journal is written: whoever comes after a kill sees and mends it.
    #[must_use]
    pub fn cannot_wait(&self) -> bool {
        matches!(self, Self::Pause { .. } | Self::Resume { .. })
    }
}

/// Why a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The self-hosted control plane is back and nothing temporary is left.
    Done,
    /// Everything was taken away again.
    Aborted,
    /// The temporary control plane serves, and there is no kubelet to start the self-hosted one.
    Temporary,
    /// It cannot go on.
    Failed {
        /// Why.
        why: String,
    },
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The journal to be written before anything is done.
    pub journal: Journal,
    /// What to do then.
    pub actions: Vec<Action>,
    /// What is waited for, and why it is not there yet, line by line.
    pub waits: Vec<String>,
    /// The run ends after the actions.
    pub ended: Option<Ended>,
    /// Decide again then, if nothing is seen before.
    pub wake_at: Option<Moment>,
}

impl Decision {
    /// A counterpart could not be frozen: most likely it has ended already, and its temporary pod
    /// would be released in vain. Nothing of the decision is written down or done; another one is
    /// made at once.
    pub fn withdraw(&mut self, before: &Journal, now: Moment) {
        self.journal.clone_from(before);
        self.actions.clear();
        self.ended = None;
        self.wake_at = Some(now.after(AGAIN));
    }
}

/// One decision being made.
pub(crate) struct Turn<'a> {
    pub(crate) observed: &'a Observed,
    pub(crate) orders: &'a Orders,
    pub(crate) now: Moment,
    pub(crate) actions: Vec<Action>,
    pub(crate) waits: Vec<String>,
    pub(crate) wake_at: Option<Moment>,
    pub(crate) ended: Option<Ended>,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(observed: &'a Observed, orders: &'a Orders, now: Moment) -> Self {
        Self {
            observed,
            orders,
            now,
            actions: Vec::new(),
            waits: Vec::new(),
            wake_at: None,
            ended: None,
        }
    }

    pub(crate) fn wait(&mut self, component: &Component, text: &str) {
        let name = component
            .counterpart
            .as_ref()
            .map_or(&component.name, |required| &required.name);
        self.waits.push(format!("{name}: {text}"));
    }

    pub(crate) fn wake(&mut self, at: Moment) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}
