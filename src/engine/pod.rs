//! One pod: a task that keeps what it asks for running, until it is told to stop.
//!
//! Each turn asks containerd anew, so that a step that was cut off, by a kill of the daemon or a
//! lost answer, is seen and put in order; see [`super::plan`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use k8s_openapi::api::core::v1::PodSpec;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use super::Ask;
use super::board::Board;
use super::container::{
    ATTEMPT, BOOT, CHECKPOINT, EXIT, NAME, REVISION, StartError, Workshop, text,
};
use super::plan::{Attempt, Attempts, Next, Progress, Restart, Step, Waits, Wanted, next};
use super::probing::{Asker, Health, Probing, begin};
use super::record::{self, Record, chain};
use crate::containerd::{Error, listing::Listing};
use crate::core::observed::{EnginePod, EngineState, TaskState};
use crate::core::reading::Reading;

/// How to stop: `Some(at_once)`.
pub(super) type Order = Option<bool>;

/// Wait before containerd is asked again after it failed.
const RETRY: Duration = Duration::from_secs(1);

pub(super) struct Supervisor {
    pub(super) workshop: Workshop,
    pub(super) ask: Ask,
    pub(super) board: Arc<Board>,
    pub(super) record: Record,
    pub(super) order: watch::Receiver<Order>,
    /// Changes when something happened in our namespace.
    pub(super) events: watch::Receiver<Reading<Arc<Listing>>>,
}

/// What is remembered between turns; nothing that containerd knows.
struct Memory {
    begun: Instant,
    waits: BTreeMap<String, Waits>,
    /// By containerd's id.
    probes: BTreeMap<String, Probing>,
    /// Containers that this process started.
    started: Vec<String>,
    /// Why the newest attempt at a container could not be started.
    failed: BTreeMap<String, String>,
    refused: Option<String>,
    /// Why the newest turn failed, if one did: said once.
    trouble: String,
    wake: Arc<Notify>,
}

impl Supervisor {
    /// Runs the pod. Ends when it was told to stop and nothing of the pod is left.
    pub(super) async fn run(mut self) {
        let mut memory = Memory {
            begun: Instant::now(),
            waits: BTreeMap::new(),
            probes: BTreeMap::new(),
            started: Vec::new(),
            failed: BTreeMap::new(),
            refused: None,
            trouble: String::new(),
            wake: Arc::new(Notify::new()),
        };
        self.say(EngineState::Starting);
        loop {
            let order = *self.order.borrow_and_update();
            if let Some(at_once) = order {
                memory.probes.clear();
                self.say(EngineState::Stopping);
                match self.stop(at_once).await {
                    Ok(()) => return,
                    Err(cause) => {
                        let checkpoint = self.record.checkpoint.as_str();
                        tracing::warn!(checkpoint, cause, "pod is not stopped yet");
                        sleep(RETRY).await;
                        continue;
                    }
                }
            }
            self.events.mark_unchanged();
            let wait = match self.turn(&mut memory).await {
                Ok(Some(wait)) => wait,
                Ok(None) => continue,
                Err(error) => {
                    let cause = chain(&error);
                    if memory.trouble != cause {
                        tracing::warn!(pod = %self.record, cause, "pod cannot be seen to");
                        memory.trouble = cause;
                    }
                    RETRY
                }
            };
            let wake = memory.wake.clone();
            tokio::select! {
                changed = self.order.changed() => if changed.is_err() { return },
                changed = self.events.changed() => if changed.is_err() { return },
                () = wake.notified() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// One turn; how long to wait for the next, or `None` to go on at once.
    async fn turn(&self, memory: &mut Memory) -> Result<Option<Duration>, Error> {
        const QUIET: Duration = Duration::from_secs(30);
        if let Some(cause) = &memory.refused {
            self.say(EngineState::Refused(cause.clone()));
            return Ok(Some(QUIET));
        }
        let Some(spec) = self.record.pod.spec.as_ref() else {
            return Ok(Some(QUIET));
        };
        let (attempts, foreign) = self.attempts().await?;
        for id in foreign {
            self.workshop.end(&id, Duration::ZERO).await?;
        }
        let now = memory.begun.elapsed();
        let Next {
            steps,
            progress,
            wake,
        } = next(&wanted(spec), &attempts, &memory.waits, now);
        if steps.is_empty() {
            self.probe(spec, &attempts, memory);
            if self.kill_the_dead(memory).await? {
                return Ok(None);
            }
        }
        self.say(state(&progress, memory));
        for step in &steps {
            if self.order.has_changed().unwrap_or(true) {
                return Ok(None);
            }
            self.carry_out(step, memory).await?;
        }
        if !steps.is_empty() {
            return Ok(None);
        }
        Ok(Some(wake.map_or(QUIET, |at| at.saturating_sub(now))))
    }

    async fn carry_out(&self, step: &Step, memory: &mut Memory) -> Result<(), Error> {
        let now = memory.begun.elapsed();
        match step {
            Step::Finish { id, name, code } => {
                memory.probes.remove(id);
                self.workshop.finish(id, *code).await?;
                tracing::info!(pod = %self.record, container = name, code, "container ended");
                memory.waits.entry(name.clone()).or_default().ended(now);
            }
            Step::Discard { id, name } => {
                memory.probes.remove(id);
                self.workshop.discard(id).await?;
                if memory.started.contains(name) {
                    memory.waits.entry(name.clone()).or_default().ended(now);
                }
            }
            Step::Start {
                name,
                number,
                replaces,
            } => {
                if let Some(id) = replaces {
                    self.workshop.discard(id).await?;
                }
                let waits = memory.waits.entry(name.clone()).or_default();
                waits.started(now);
                match self.workshop.start(&self.record, name, *number).await {
                    Ok(()) => {
                        tracing::info!(pod = %self.record, container = name, attempt = number, "container started");
                        memory.failed.remove(name);
                        memory.started.push(name.clone());
                    }
                    Err(StartError::Refused(refusal)) => {
                        memory.refused = Some(refusal.to_string());
                    }
                    Err(error) => {
                        let cause = text(&error);
                        tracing::warn!(pod = %self.record, container = name, cause, "container not started");
                        waits.ended(memory.begun.elapsed());
                        memory.failed.insert(name.clone(), cause);
                    }
                }
            }
        }
        Ok(())
    }

    /// This pod's attempts, and the ids of containers of the same checkpoint that belong to
    /// another revision or another boot.
    async fn attempts(&self) -> Result<(Attempts, Vec<String>), Error> {
        let c = &self.workshop.containerd;
        let listing = c.list(self.workshop.namespace()).await?;
        let (mut attempts, mut foreign) = (Attempts::new(), Vec::new());
        for (id, found) in &listing {
            if found.label(CHECKPOINT) != self.record.checkpoint.as_str() {
                continue;
            }
            if found.label(REVISION) != self.record.revision.as_str()
                || found.label(BOOT) != self.record.boot_id
            {
                foreign.push(id.clone());
                continue;
            }
            let name = found.label(NAME).to_owned();
            attempts.entry(name).or_default().push(Attempt {
                id: id.clone(),
                number: found.label(ATTEMPT).parse().unwrap_or(0),
                task: found.task,
                exit: found.labels.get(EXIT).and_then(|code| code.parse().ok()),
            });
        }
        for list in attempts.values_mut() {
            list.sort_by_key(|attempt| attempt.number);
        }
        Ok((attempts, foreign))
    }

    /// Probes run for exactly the containers that run.
    fn probe(&self, spec: &PodSpec, attempts: &Attempts, memory: &mut Memory) {
        let mut running = Vec::new();
        for container in &spec.containers {
            let newest = attempts.get(&container.name).and_then(|list| list.last());
            let Some(newest) = newest.filter(|newest| newest.task == TaskState::Running) else {
                continue;
            };
            running.push(newest.id.clone());
            if memory.probes.contains_key(&newest.id) {
                continue;
            }
            let asker = Asker {
                containerd: self.workshop.containerd.clone(),
                config: self.workshop.config.clone(),
                ask: self.ask.clone(),
                id: newest.id.clone(),
                container: Arc::new(container.clone()),
            };
            let adopted = !memory.started.contains(&container.name);
            let probing = begin(asker, adopted, memory.wake.clone());
            memory.probes.insert(newest.id.clone(), probing);
        }
        memory.probes.retain(|id, _| running.contains(id));
    }

    /// Ends containers whose liveness probe failed; whether there were any.
    async fn kill_the_dead(&self, memory: &mut Memory) -> Result<bool, Error> {
        let mut dead = Vec::new();
        for (id, probing) in &memory.probes {
            if let Health::Dead(cause) = &*probing.health.borrow() {
                dead.push((id.clone(), cause.clone()));
            }
        }
        for (id, cause) in &dead {
            tracing::warn!(pod = %self.record, container = id, cause, "container is killed");
            memory.probes.remove(id);
            let (c, ns) = (&self.workshop.containerd, self.workshop.namespace());
            c.end_task(ns, id, self.grace()).await?;
        }
        Ok(!dead.is_empty())
    }

    fn grace(&self) -> Duration {
        let spec = self.record.pod.spec.as_ref();
        let seconds = spec.and_then(|spec| spec.termination_grace_period_seconds);
        let seconds = u64::try_from(seconds.unwrap_or(30)).unwrap_or(0);
        Duration::from_secs(seconds).min(self.workshop.config.stop_grace_limit)
    }

    /// Stops and removes everything; succeeds only when containerd has nothing of the pod left.
    async fn stop(&self, at_once: bool) -> Result<(), String> {
        let grace = if at_once {
            Duration::ZERO
        } else {
            self.grace()
        };
        let failed = |error: Error| chain(&error);
        let (attempts, foreign) = self.attempts().await.map_err(failed)?;
        let ids = attempts.into_values().flatten().map(|attempt| attempt.id);
        let ids: Vec<String> = ids.chain(foreign).collect();
        let ends = ids.iter().map(|id| self.workshop.end(id, grace));
        // An order to stop at once does not wait for a grace period that is under way.
        let mut order = self.order.clone();
        let hurry = async {
            loop {
                if !at_once && *order.borrow_and_update() == Some(true) {
                    return;
                }
                if order.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            ended = try_join_all(ends) => ended.map_err(failed).map(|_| ())?,
            () = hurry => return Box::pin(self.stop(true)).await,
        }
        let (attempts, foreign) = self.attempts().await.map_err(failed)?;
        if !attempts.is_empty() || !foreign.is_empty() {
            return Err("something of it is still there".to_owned());
        }
        let config = self.workshop.config.clone();
        let id = self.record.checkpoint.clone();
        let removed = tokio::task::spawn_blocking(move || {
            record::remove(&config, &id)?;
            super::places::remove_cgroup_parent(&config.cgroup_parent);
            Ok(())
        });
        removed.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    fn say(&self, state: EngineState) {
        let pod = EnginePod {
            revision: self.record.revision.clone(),
            state,
        };
        self.board.set(&self.record.checkpoint, pod);
    }
}

fn wanted(spec: &PodSpec) -> Wanted {
    let inits = spec.init_containers.iter().flatten();
    Wanted {
        inits: inits.map(|container| container.name.clone()).collect(),
        mains: spec.containers.iter().map(|c| c.name.clone()).collect(),
        restart: match spec.restart_policy.as_deref() {
            Some("Never") => Restart::Never,
            Some("OnFailure") => Restart::OnFailure,
            _ => Restart::Always,
        },
    }
}

fn state(progress: &Progress, memory: &Memory) -> EngineState {
    match progress {
        Progress::Starting => EngineState::Starting,
        Progress::Waiting(cause) => {
            let failed = memory
                .failed
                .iter()
                .map(|(name, why)| format!("; {name}: {why}"));
            EngineState::BackOff(format!("{cause}{}", failed.collect::<String>()))
        }
        Progress::Running => {
            for probing in memory.probes.values() {
                if let Health::NotReady(cause) | Health::Dead(cause) = &*probing.health.borrow() {
                    return EngineState::NotReady(cause.clone());
                }
            }
            EngineState::Serving
        }
    }
}
