//! Our own copies of a checkpoint: the manifest, the static pod, the engine's pod. Asks for them
//! to run or to go, each only where the sources are known well enough.

use std::collections::BTreeMap;

use super::action::Action;
use super::id::{CheckpointId, RevisionId};
use super::observed::{EnginePod, EngineState, Observed, RevisionFacts, Sandbox};
use super::phase::engine_words;
use super::reading::Reading;
use super::sharing;
use super::stored::{Engine, Phase};
use super::time::Moment;
use super::view::Running;

/// How a copy is stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    /// SIGKILL: somebody needs the ports now.
    pub(crate) at_once: bool,
    /// Stop the static pod through containerd instead of waiting for the kubelet.
    pub(crate) kill: bool,
}

impl Stop {
    /// By manifest first; through containerd once the kubelet had its time (scenario C17). A copy
    /// whose parent has its port already ends its clients' requests, but not their watches, which
    /// would keep it for as long as its grace period.
    pub(crate) fn when(step: &mut super::phase::Step<'_>, since: Moment) -> Self {
        let beside = sharing::has_switched(step);
        let wait = if beside {
            sharing::LAST_ANSWERS
        } else {
            step.policy.stop_deadline
        };
        Self {
            at_once: beside,
            kill: step.passed(since, wait),
        }
    }
}

/// The copies of one checkpoint as the sources show them.
#[derive(Debug)]
pub(crate) struct Copies<'a> {
    /// Revision asked for in the static pod directory.
    manifest: Reading<Option<&'a RevisionId>>,
    /// Our static pod's sandboxes with tasks; `None`: containerd is unknown.
    sandboxes: Option<&'a [&'a Sandbox]>,
    /// The engine's pod.
    engine: Reading<Option<&'a EnginePod>>,
    /// Whole revisions on disk.
    stored: Option<&'a BTreeMap<RevisionId, RevisionFacts>>,
}

impl<'a> Copies<'a> {
    pub(crate) fn of(
        id: &CheckpointId,
        observed: &'a Observed,
        sandboxes: Option<&'a [&'a Sandbox]>,
    ) -> Self {
        Self {
            manifest: observed.manifests.map(|manifests| manifests.ours.get(id)),
            sandboxes,
            engine: observed.engine.map(|engine| engine.pods.get(id)),
            stored: observed
                .stored_revisions
                .known()
                .and_then(|stored| stored.get(id)),
        }
    }

    /// What runs or is asked to run, to be taken over as it is: even where its revision is
    /// damaged on disk, what runs is better than nothing.
    pub(crate) fn asked_for(&self) -> Option<(Engine, RevisionId)> {
        if let Reading::Known(Some(revision)) = self.manifest {
            return Some((Engine::Kubelet, revision.clone()));
        }
        match self.engine {
            Reading::Known(Some(pod)) if pod.state != EngineState::Stopping => {
                Some((Engine::Containerd, pod.revision.clone()))
            }
            _ => None,
        }
    }

    /// Whether the engine still holds a pod of ours.
    pub(crate) fn engine_left(&self) -> bool {
        matches!(self.engine, Reading::Known(Some(_)))
    }

    /// Whether a copy is known to have a container with a process, and so ports. Its sandbox has
    /// none: the parent need not wait until that has ended too.
    pub(crate) fn holds_ports(&self) -> bool {
        let holds = |sandboxes: &[&Sandbox]| sandboxes.iter().any(|it| it.has_process());
        self.engine_left() || self.sandboxes.is_some_and(holds)
    }

    /// Has the kubelet run `revision`, and the engine nothing.
    pub(crate) fn run_in_kubelet(
        &self,
        id: &CheckpointId,
        revision: &RevisionId,
        activation: u64,
        actions: &mut Vec<Action>,
    ) {
        match self.engine {
            Reading::Known(None) => {}
            // Not known to be free of our own copy: no second one.
            Reading::Unknown(_) => return,
            Reading::Known(Some(_)) => {
                let checkpoint = id.clone();
                actions.push(Action::StopEnginePod {
                    checkpoint,
                    at_once: true,
                });
                return;
            }
        }
        if let Reading::Known(manifest) = &self.manifest
            && *manifest != Some(revision)
        {
            let (checkpoint, revision) = (id.clone(), revision.clone());
            actions.push(Action::WriteManifest {
                checkpoint,
                revision,
                activation,
            });
        }
    }

    /// Has our own engine run `revision`, once the static pod is verified gone.
    pub(crate) fn run_in_engine(
        &self,
        id: &CheckpointId,
        revision: &RevisionId,
        actions: &mut Vec<Action>,
    ) {
        let stop = Stop {
            at_once: true,
            kill: true,
        };
        if !self.stop_static_pod(id, actions, stop) {
            return;
        }
        let checkpoint = id.clone();
        match self.engine {
            Reading::Known(None) => {
                let revision = revision.clone();
                actions.push(Action::StartEnginePod {
                    checkpoint,
                    revision,
                });
            }
            Reading::Known(Some(pod)) if pod.revision != *revision => {
                actions.push(Action::StopEnginePod {
                    checkpoint,
                    at_once: false,
                });
            }
            Reading::Known(Some(_)) | Reading::Unknown(_) => {}
        }
    }

    /// Stops the static pod; true once it is verified gone from the directory and from containerd.
    pub(crate) fn stop_static_pod(
        &self,
        id: &CheckpointId,
        actions: &mut Vec<Action>,
        stop: Stop,
    ) -> bool {
        let (Reading::Known(manifest), Some(sandboxes)) = (&self.manifest, self.sandboxes) else {
            return false;
        };
        if manifest.is_some() {
            actions.push(Action::RemoveManifest {
                checkpoint: id.clone(),
            });
        }
        if stop.kill {
            actions.extend(sandboxes.iter().map(|sandbox| Action::KillStaticPod {
                checkpoint: id.clone(),
                sandbox: sandbox.id.clone(),
                pod: sandbox.pod.clone(),
                at_once: stop.at_once,
            }));
        }
        manifest.is_none() && sandboxes.is_empty()
    }

    /// Stops every copy; true once all are verified gone.
    pub(crate) fn stop(&self, id: &CheckpointId, actions: &mut Vec<Action>, stop: Stop) -> bool {
        let static_pod_gone = self.stop_static_pod(id, actions, stop);
        match self.engine {
            Reading::Unknown(_) => false,
            Reading::Known(None) => static_pod_gone,
            Reading::Known(Some(_)) => {
                let (checkpoint, at_once) = (id.clone(), stop.at_once);
                actions.push(Action::StopEnginePod {
                    checkpoint,
                    at_once,
                });
                false
            }
        }
    }

    /// The copy of `engine` is verified: tasks run and probes pass.
    pub(crate) fn serves(&self, engine: Engine, copy: Running) -> bool {
        match engine {
            Engine::Kubelet => copy == Running::Serving,
            Engine::Containerd => matches!(
                self.engine,
                Reading::Known(Some(pod)) if pod.state == EngineState::Serving
            ),
        }
    }

    /// The engine's pod is up, serving or not. An engine that does not answer is not an engine
    /// whose pod is gone.
    pub(crate) fn engine_runs(&self) -> bool {
        match self.engine {
            Reading::Unknown(_) => true,
            Reading::Known(None) => false,
            Reading::Known(Some(pod)) => matches!(
                pod.state,
                EngineState::Serving | EngineState::NotReady(_) | EngineState::Starting
            ),
        }
    }

    /// Why our own engine cannot run `revision`, if it cannot.
    pub(crate) fn refusal(&self, revision: &RevisionId) -> Option<String> {
        match self.stored.and_then(|stored| stored.get(revision)) {
            Some(facts) => facts.engine_refusal.clone(),
            None => Some("the revision is not whole on disk".to_owned()),
        }
    }

    /// The copy and its parent want the same ports.
    pub(crate) fn fights_for_ports(&self, revision: &RevisionId) -> bool {
        self.stored
            .and_then(|stored| stored.get(revision))
            .is_none_or(|facts| facts.host_network)
    }

    /// The port on which the copy and its parent may listen together.
    pub(crate) fn shared_port(&self, revision: &RevisionId) -> Option<u16> {
        let facts = self.stored?.get(revision)?;
        facts.shared_port.filter(|_| facts.host_network)
    }

    /// The engine's pod in words.
    pub(crate) fn engine_words(&self) -> String {
        match self.engine {
            Reading::Unknown(_) => "does not answer".to_owned(),
            Reading::Known(pod) => engine_words(pod.map(|pod| &pod.state)),
        }
    }

    /// What keeps a stop from being complete, in words.
    pub(crate) fn what_is_left(&self) -> String {
        let manifest = match self.manifest {
            Reading::Unknown(_) => Some("an answer of the static pod directory"),
            Reading::Known(Some(_)) => Some("its manifest to go"),
            Reading::Known(None) => None,
        };
        let static_pod = match self.sandboxes {
            None => Some("an answer of containerd"),
            Some([]) => None,
            Some(_) => Some("its static pod to end"),
        };
        let engine = match self.engine {
            Reading::Unknown(_) => Some("an answer of the containerd engine"),
            Reading::Known(Some(_)) => Some("the engine's pod to end"),
            Reading::Known(None) => None,
        };
        let left: Vec<&str> = [manifest, static_pod, engine]
            .into_iter()
            .flatten()
            .collect();
        if left.is_empty() {
            "nothing".to_owned()
        } else {
            left.join(" and ")
        }
    }
}

/// Who runs a checkpoint in this phase.
pub(crate) fn engine_of(phase: &Phase) -> Option<Engine> {
    match phase {
        Phase::Activating { engine, .. }
        | Phase::Active { engine, .. }
        | Phase::HandingOver { engine, .. } => Some(*engine),
        Phase::Inactive | Phase::Deactivating { .. } => None,
    }
}
