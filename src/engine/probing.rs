//! Probes of one running container: startup, liveness, readiness.
//!
//! Source: kubelet 1.20 `pkg/kubelet/prober/worker.go`.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Ask, Config, ProbeRequest};
use crate::containerd::Containerd;

/// A container without probes serves when it has run for so long.
const SETTLED: Duration = Duration::from_secs(3);
/// Longest wait for one answer, whatever the pod says.
const LONGEST: Duration = Duration::from_secs(60);

/// What the probes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Health {
    /// Not ready yet, or not any more: the reason.
    NotReady(String),
    /// Ready.
    Ready,
    /// To be killed and started again: the reason.
    Dead(String),
}

/// The probes of one running container. Ends when dropped.
#[derive(Debug)]
pub(super) struct Probing {
    /// What they say now.
    pub(super) health: watch::Receiver<Health>,
    task: AbortHandle,
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whom to ask, and how.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) containerd: Containerd,
    pub(super) config: Arc<Config>,
    pub(super) ask: Ask,
    /// containerd's id of the container.
    pub(super) id: String,
    pub(super) container: Arc<Container>,
}

impl Asker {
    async fn ask(&self, probe: &Probe) -> Result<(), String> {
        let limit = seconds(probe.timeout_seconds, 1).clamp(Duration::from_secs(1), LONGEST);
        if let Some(exec) = &probe.exec {
            let command = exec.command.clone().unwrap_or_default();
            let namespace = &self.containerd.config().engine_namespace;
            let code = self.containerd.exec(namespace, &self.id, &command, limit);
            return match code.await {
                Ok(0) => Ok(()),
                Ok(code) => Err(format!("the command ended with {code}")),
                Err(error) => Err(super::record::chain(&error)),
            };
        }
        let request = ProbeRequest {
            probe: probe.clone(),
            container: self.container.clone(),
            container_id: self.id.clone(),
            host: self.config.node_address.clone(),
            deadline: limit,
        };
        let answer = timeout(limit + Duration::from_secs(1), (self.ask)(request)).await;
        answer.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))
    }
}

/// Starts the probes of a container. `adopted`: it has run before we came, so initial delays are
/// over.
pub(super) fn begin(asker: Asker, adopted: bool, wake: Arc<tokio::sync::Notify>) -> Probing {
    let (publish, health) = watch::channel(Health::NotReady("not asked yet".to_owned()));
    let task = tokio::spawn(async move {
        let say = |health: Health| {
            let changed = publish.send_if_modified(|said| {
                let changed = *said != health;
                *said = health;
                changed
            });
            if changed {
                wake.notify_one();
            }
        };
        probe(&asker, adopted, &say).await;
    });
    Probing {
        health,
        task: task.abort_handle(),
    }
}

async fn probe(asker: &Asker, adopted: bool, say: &impl Fn(Health)) {
    let container = &asker.container;
    let start = Instant::now();
    if let Some(startup) = container.startup_probe.as_ref() {
        let mut failures = 0;
        let mut due = first(startup, start, adopted);
        loop {
            sleep_until(due).await;
            match asker.ask(startup).await {
                Ok(()) => break,
                Err(cause) => failures += note(startup, failures, "startup", &cause, say),
            }
            due = Instant::now() + seconds(startup.period_seconds, 10);
        }
    }
    let (live, ready) = (
        container.liveness_probe.as_ref(),
        container.readiness_probe.as_ref(),
    );
    if live.is_none() && ready.is_none() {
        if !adopted {
            sleep(SETTLED).await;
        }
        return say(Health::Ready);
    }
    let watch_liveness = async {
        if let Some(probe) = live {
            let mut failures = 0;
            let mut due = first(probe, start, adopted);
            loop {
                sleep_until(due).await;
                match asker.ask(probe).await {
                    Ok(()) => {
                        failures = 0;
                        if ready.is_none() {
                            say(Health::Ready);
                        }
                    }
                    Err(cause) => {
                        failures += 1;
                        if failures >= threshold(probe) {
                            say(Health::Dead(format!("liveness probe: {cause}")));
                        }
                    }
                }
                due = Instant::now() + seconds(probe.period_seconds, 10);
            }
        }
    };
    let watch_readiness = async {
        if let Some(probe) = ready {
            let (mut successes, mut failures, mut was_ready) = (0, 0, false);
            let mut due = first(probe, start, adopted);
            loop {
                sleep_until(due).await;
                match asker.ask(probe).await {
                    Ok(()) => {
                        (successes, failures) = (successes + 1, 0);
                        if successes >= probe.success_threshold.unwrap_or(1) {
                            was_ready = true;
                            say(Health::Ready);
                        }
                    }
                    Err(cause) => {
                        (successes, failures) = (0, failures + 1);
                        if failures >= threshold(probe) || !was_ready {
                            was_ready = false;
                            say(Health::NotReady(format!("readiness probe: {cause}")));
                        }
                    }
                }
                due = Instant::now() + seconds(probe.period_seconds, 10);
            }
        }
    };
    tokio::join!(watch_liveness, watch_readiness);
}

/// Says what one more failure means; returns 1, the failure.
fn note(probe: &Probe, before: i32, kind: &str, cause: &str, say: &impl Fn(Health)) -> i32 {
    if before + 1 >= threshold(probe) {
        say(Health::Dead(format!("{kind} probe: {cause}")));
    } else {
        say(Health::NotReady(format!("{kind} probe: {cause}")));
    }
    1
}

fn threshold(probe: &Probe) -> i32 {
    probe.failure_threshold.unwrap_or(3).max(1)
}

fn first(probe: &Probe, start: Instant, adopted: bool) -> Instant {
    if adopted {
        return start;
    }
    start + seconds(probe.initial_delay_seconds, 0)
}

fn seconds(value: Option<i32>, default: u64) -> Duration {
    let value = value.filter(|value| *value > 0);
    let value = value.map_or(default, |value| u64::from(value.unsigned_abs()));
    Duration::from_secs(value.min(3600))
}
