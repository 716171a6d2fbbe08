//! What this node's own containers say of a part that does not answer: not there, starting,
//! hanging, or ending again and again.

use std::collections::BTreeSet;
use std::time::Duration;

use super::etcd_seen::{DataDir, EtcdAnswer};
use super::evidence::{Evidence, Run};
use super::memory::{Memory, Silence};
use super::part::Part;
use crate::core::time::Moment;

/// A holder of a lease renews it every two seconds; after so long another one may take it. Source:
/// Kubernetes 1.20 to 1.37, `--leader-elect-lease-duration` of kube-scheduler and
/// kube-controller-manager.
pub(super) const LEASE: Duration = Duration::from_secs(15);
/// A container that has not answered yet has so many times the patience with one that has: kubeadm
/// gives an API server 240 s to start. Source: Kubernetes 1.20 to 1.37,
/// `cmd/kubeadm/app/util/staticpod`, `StartupProbe` by `timeoutForControlPlane`.
const STARTS: u32 = 2;
/// So many containers that started and ended without an answer are a loop: the next start is no
/// sign of life.
const LOOP: usize = 2;
/// Ended containers that are remembered.
const REMEMBERED: usize = 16;

/// What is seen here of a part that does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Own {
    /// It has not answered, and nothing was a sign of life, since then.
    /// `None`: it answers here, or was not asked.
    pub(super) since: Option<Moment>,
    /// A container that runs is given until then to answer.
    pub(super) until: Option<Moment>,
    /// What is seen, one sentence; `None`: containerd is unknown.
    pub(super) said: Option<String>,
}

/// A process has etcd's database open.
pub(super) fn etcd_in_use(evidence: &Evidence) -> bool {
    matches!(
        evidence.etcd.here.data.known(),
        Some(DataDir::Present { in_use: true, .. })
    )
}

/// Whether the part gives no sign of itself on this node.
pub(super) fn is_silent(part: Part, evidence: &Evidence) -> bool {
    match part {
        Part::ApiServer => evidence
            .own_door()
            .is_some_and(|door| door.answer.is_silent()),
        Part::Etcd => match evidence.etcd.own_door() {
            Some(door) => match &door.answer {
                EtcdAnswer::Status(_) => false,
                EtcdAnswer::Not(answer) => answer.is_silent(),
            },
            None => nothing_runs(part, evidence),
        },
        Part::ControllerManager | Part::Scheduler => match evidence.leases.known() {
            Some(leases) => leases
                .get(&part)
                .is_none_or(|lease| evidence.at.since(lease.changed) >= LEASE),
            None => nothing_runs(part, evidence),
        },
    }
}

fn nothing_runs(part: Part, evidence: &Evidence) -> bool {
    evidence.containers.known().is_some() && evidence.running(part).next().is_none()
}

/// Keeps what is remembered of containers and silences up to date.
pub(super) fn remember(evidence: &Evidence, memory: &mut Memory) {
    let at = evidence.at;
    for part in Part::ALL {
        let here = evidence.here(part);
        if let Some(here) = here {
            let running: BTreeSet<&str> = here
                .iter()
                .filter(|it| it.run == Run::Running)
                .map(|it| it.container.as_str())
                .collect();
            memory
                .running
                .retain(|(of, id), _| *of != part || running.contains(id.as_str()));
            for id in running {
                memory.running.entry((part, id.to_owned())).or_insert(at);
            }
        }
        if !is_silent(part, evidence) {
            memory.silences.remove(&part);
            continue;
        }
        let since = match part {
            // A lease goes silent with its last renewal.
            Part::ControllerManager | Part::Scheduler => {
                let leases = evidence.leases.known();
                let lease = leases.and_then(|leases| leases.get(&part));
                lease.map_or(at, |lease| lease.changed)
            }
            Part::Etcd | Part::ApiServer => at,
        };
        let silence = memory.silences.entry(part).or_insert_with(|| Silence {
            since,
            before: ids(evidence, part),
            ended: BTreeSet::new(),
            started: None,
        });
        for instance in here.unwrap_or_default() {
            if silence.before.contains(&instance.container) {
                continue;
            }
            match instance.run {
                Run::Running | Run::Starting => {
                    silence.started = Some(at);
                    silence.ended.remove(&instance.container);
                }
                Run::Ended(_) if silence.ended.len() < REMEMBERED => {
                    silence.ended.insert(instance.container.clone());
                }
                Run::Ended(_) => {}
            }
        }
    }
}

fn ids(evidence: &Evidence, part: Part) -> BTreeSet<String> {
    let here = evidence.here(part).unwrap_or_default().iter();
    here.map(|instance| instance.container.clone()).collect()
}

/// What this node's own evidence says of `part`, which does not answer.
pub(super) fn own(part: Part, evidence: &Evidence, memory: &Memory, wedged: Duration) -> Own {
    let at = evidence.at;
    let Some(silence) = memory.silences.get(&part) else {
        // It answers here, or cannot be asked: somebody else's silence is what counts.
        return Own {
            since: None,
            until: None,
            said: Some(format!("{part} was not asked on this node")),
        };
    };
    let looping = silence.ended.len() >= LOOP;
    // One that runs is given its time below; one that ended was a sign of life until then.
    let runs = evidence.running(part).next().is_some();
    let since = Some(match silence.started {
        Some(started) if !looping && !runs => silence.since.max(started),
        _ => silence.since,
    });
    if evidence.here(part).is_none() {
        return Own {
            since,
            until: None,
            said: None,
        };
    }
    if looping {
        return Own {
            since,
            until: None,
            said: Some(format!(
                "{part} starts here and ends again and again without ever answering"
            )),
        };
    }
    let key = |id: &str| (part, id.to_owned());
    let newest = evidence
        .running(part)
        .map(|it| {
            let begun = memory.running.get(&key(&it.container)).unwrap_or(&at);
            (*begun, silence.before.contains(&it.container))
        })
        .max();
    let running = newest.map(|(begun, _)| begun);
    let patience = match newest {
        Some((_, false)) => wedged * STARTS,
        _ => wedged,
    };
    let in_use = part == Part::Etcd && etcd_in_use(evidence);
    let since_running = running.or(in_use.then_some(silence.since));
    // Nobody renews a lease while no API server serves.
    let could = match part {
        Part::Scheduler | Part::ControllerManager => memory.api_serves,
        Part::Etcd | Part::ApiServer => None,
    };
    let could = could.unwrap_or(silence.since).max(silence.since);
    let until = since_running.map(|running| running.max(could).after(patience));
    let said = match until {
        Some(until) if at < until => format!("{part} runs here and does not answer yet"),
        Some(_) => format!("{part} runs here and has not answered for long: it hangs"),
        None => format!("{part} does not run here"),
    };
    Own {
        since,
        until,
        said: Some(said),
    }
}
