//! What the answers so far say of a pod. No I/O; time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe as ProbeSpec};
use tokio::time::Instant;

use super::{Door, Target};
use crate::core::observed::Probe;

/// Failures in a row that count, where a probe does not say. Source: core/v1 defaults.
const FAILURE_THRESHOLD: i32 = 3;
/// Looks in a row that find nobody on a port, after which it counts as closed.
const LOOKS: u32 = 2;

/// The answers of one pod.
#[derive(Debug, Default)]
pub(super) struct Standing {
    containers: BTreeMap<String, Standpoint>,
    /// Whether a declared port accepts, for pods without probes.
    port: Option<Result<(), String>>,
    /// What it says on a port that its copy shares.
    shared: Option<Result<(), String>>,
    /// It listened on its door while no copy stood beside it.
    listened: bool,
    /// Looks in a row at which nobody did.
    silent_looks: u32,
}

/// The answers of one container (one containerd id).
#[derive(Debug)]
struct Standpoint {
    id: String,
    since: Instant,
    passed: bool,
    failures: i32,
    last: String,
}

/// One answer, with the container it is about.
#[derive(Debug)]
pub(super) enum Answer {
    /// Of a container's probe.
    Probe {
        /// Its name.
        name: String,
        /// The containerd id that was asked.
        id: String,
        /// What it said.
        said: Result<(), String>,
    },
    /// Of the declared ports.
    Port(Result<(), String>),
    /// Of a port that its copy shares.
    Shared(Result<(), String>),
    /// Of who listens.
    Door {
        /// Where.
        door: Door,
        /// Somebody does.
        listens: bool,
    },
}

/// The probe of a container that tells whether it serves: readiness, else liveness, else startup.
pub(super) fn probe_of(container: &Container) -> Option<&ProbeSpec> {
    let liveness = container.liveness_probe.as_ref();
    let readiness = container.readiness_probe.as_ref();
    readiness.or(liveness).or(container.startup_probe.as_ref())
}

/// The containers that must serve.
pub(super) fn containers(target: &Target) -> &[Container] {
    target
        .spec
        .spec
        .as_ref()
        .map_or(&[], |spec| &spec.containers)
}

/// TCP ports of which one must accept: those declared by a pod on the host's network without
/// probes. On a pod network of its own, a port says nothing about the daemon's way to it.
pub(super) fn ports(target: &Target) -> Vec<u16> {
    let host_network = target.spec.spec.as_ref().and_then(|spec| spec.host_network);
    let probed = containers(target)
        .iter()
        .any(|container| probe_of(container).is_some());
    if host_network != Some(true) || probed {
        return Vec::new();
    }
    let ports = containers(target)
        .iter()
        .flat_map(|container| container.ports.iter().flatten());
    ports
        .filter(|port| {
            port.protocol
                .as_deref()
                .is_none_or(|protocol| protocol == "TCP")
        })
        .filter_map(|port| u16::try_from(port.host_port.unwrap_or(port.container_port)).ok())
        .filter(|port| *port != 0)
        .collect()
}

impl Standing {
    /// Forgets containers that are gone or were started anew; true where there was one.
    pub(super) fn follow(&mut self, target: &Target, now: Instant) -> bool {
        let before = self.containers.len();
        let running = &target.running;
        self.containers
            .retain(|name, seen| running.get(name) == Some(&seen.id));
        let mut new = self.containers.len() != before;
        for (name, id) in running {
            self.containers.entry(name.clone()).or_insert_with(|| {
                new = true;
                Standpoint {
                    id: id.clone(),
                    since: now,
                    passed: false,
                    failures: 0,
                    last: "not asked yet".to_owned(),
                }
            });
        }
        if new {
            self.port = None;
            self.shared = None;
            self.listened = false;
            self.silent_looks = 0;
        }
        new
    }

    /// Takes an answer in; one about a container that is gone does not count.
    pub(super) fn hear(&mut self, target: &Target, answer: Answer) {
        let (name, id, said) = match answer {
            Answer::Port(said) => {
                self.port = Some(said);
                return;
            }
            Answer::Shared(said) => {
                self.shared = target.shared.is_some().then_some(said);
                return;
            }
            Answer::Door { door, listens } => {
                // What was seen while a copy stood beside it may have been the copy.
                if target.door.as_ref() == Some(&door) {
                    self.listened |= listens;
                    self.silent_looks = if listens { 0 } else { self.silent_looks + 1 };
                }
                return;
            }
            Answer::Probe { name, id, said } => (name, id, said),
        };
        let threshold = containers(target)
            .iter()
            .find(|container| container.name == name)
            .and_then(probe_of)
            .and_then(|probe| probe.failure_threshold)
            .unwrap_or(FAILURE_THRESHOLD);
        let Some(seen) = self.containers.get_mut(&name).filter(|seen| seen.id == id) else {
            return;
        };
        match said {
            Ok(()) => {
                seen.passed = true;
                seen.failures = 0;
            }
            Err(text) => {
                seen.failures = seen.failures.saturating_add(1);
                seen.passed &= seen.failures < threshold;
                seen.last = text;
            }
        }
    }

    /// Some container passed and has failed since, less often than its threshold.
    pub(super) fn wavers(&self) -> bool {
        self.containers
            .values()
            .any(|seen| seen.passed && seen.failures > 0)
    }

    /// The door to look at: until it was seen open, and while a change is expected.
    pub(super) fn wants_door(&self, target: &Target) -> Option<Door> {
        let wanted = target.eager || !self.listened;
        target.door.clone().filter(|_| wanted)
    }

    /// The container that runs on and has closed its door.
    fn closed(&self, target: &Target) -> Option<String> {
        let door = target.door.as_ref()?;
        let closed = self.listened && self.silent_looks >= LOOKS;
        let seen = self.containers.get(&door.container);
        seen.filter(|_| closed).map(|seen| seen.id.clone())
    }

    /// What all this says at `now`, and when time alone may change it.
    pub(super) fn verdict(
        &self,
        target: &Target,
        now: Instant,
        settle: Duration,
    ) -> (Probe, Option<Instant>) {
        let failing = |text: String| (Probe::Failing(text), None);
        if let Some(id) = self.closed(target) {
            return (Probe::Closed(id), None);
        }
        let all = containers(target);
        if all.is_empty() {
            return failing("the pod has no containers".to_owned());
        }
        let mut settled = None;
        for container in all {
            let Some(seen) = self.containers.get(&container.name) else {
                return failing(format!("container {} does not run", container.name));
            };
            if target.shared.is_some() {
                continue;
            }
            if probe_of(container).is_some() {
                if !seen.passed {
                    return failing(format!("container {}: {}", container.name, seen.last));
                }
            } else {
                settled = settled.max(Some(seen.since + settle));
            }
        }
        if target.shared.is_some() {
            return match &self.shared {
                Some(Ok(())) => (Probe::Passing, None),
                Some(Err(text)) => failing(text.clone()),
                None => failing("not asked yet beside its copy".to_owned()),
            };
        }
        if all.iter().any(|container| probe_of(container).is_some()) {
            return (Probe::Passing, None);
        }
        if let Some(settled) = settled.filter(|settled| *settled > now) {
            let text = format!("no probes; not up for {} s yet", settle.as_secs());
            return (Probe::Failing(text), Some(settled));
        }
        match &self.port {
            _ if ports(target).is_empty() => (Probe::Passing, None),
            Some(Ok(())) => (Probe::Passing, None),
            Some(Err(text)) => failing(text.clone()),
            None => failing("no probes; its ports are not asked yet".to_owned()),
        }
    }
}
