//! Who is asked when: one task for all targets, each with a time of its own, so that a slow pod
//! delays no other.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::judge::{Answer, Standing, containers, ports, probe_of};
use super::{Door, ExecRequest, Target, ask, shared, tcp};
use crate::core::id::PodRef;
use crate::core::observed::Probe;
use crate::steering;

/// A pod that passes and of which no change is expected is asked this often.
const RARELY: Duration = Duration::from_secs(10);
/// One that does not pass, and of which no change is expected.
const SELDOM: Duration = Duration::from_secs(2);
/// For a port of a pod without probes to accept.
const PORT_DEADLINE: Duration = Duration::from_secs(1);

/// How often, and how long a pod without probes must be up.
pub(super) struct Pace {
    pub(super) period: Duration,
    pub(super) settle: Duration,
}

struct Entry {
    target: Target,
    standing: Standing,
    due: Instant,
    /// Being asked right now.
    asked: bool,
    /// Changed while being asked: to be asked again at once.
    again: bool,
}

type Flight = BoxFuture<'static, (PodRef, Vec<Answer>)>;

/// Asks for ever.
pub(super) async fn run(
    pace: Pace,
    mut targets: watch::Receiver<Arc<Vec<Target>>>,
    exec: mpsc::Sender<ExecRequest>,
    sender: watch::Sender<Arc<BTreeMap<PodRef, Probe>>>,
) {
    let mut entries: BTreeMap<PodRef, Entry> = BTreeMap::new();
    let mut flights: FuturesUnordered<Flight> = FuturesUnordered::new();
    targets.mark_changed();
    loop {
        let waiting = entries.values().filter(|entry| !entry.asked);
        let due = waiting.map(|entry| entry.due).min();
        tokio::select! {
            changed = targets.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = targets.borrow_and_update().clone();
                adopt(&mut entries, &now, Instant::now());
            }
            Some((pod, answers)) = flights.next() => {
                if let Some(entry) = entries.get_mut(&pod) {
                    for answer in answers {
                        entry.standing.hear(&entry.target, answer);
                    }
                    entry.asked = false;
                    entry.due = if std::mem::take(&mut entry.again) {
                        Instant::now()
                    } else {
                        pace.next(entry, Instant::now())
                    };
                }
            }
            () = at(due) => {
                let now = Instant::now();
                for (pod, entry) in &mut entries {
                    if !entry.asked && entry.due <= now {
                        entry.asked = true;
                        let door = entry.standing.wants_door(&entry.target);
                        let flight = inquire(pod.clone(), entry.target.clone(), door, exec.clone());
                        flights.push(flight.boxed());
                    }
                }
                continue;
            }
        }
        publish(&sender, &entries, pace.settle);
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}

/// Takes over the targets of now; whatever is new or changed is asked at once.
fn adopt(entries: &mut BTreeMap<PodRef, Entry>, targets: &[Target], now: Instant) {
    entries.retain(|pod, _| targets.iter().any(|target| target.pod == *pod));
    for target in targets {
        let entry = entries.entry(target.pod.clone()).or_insert_with(|| Entry {
            target: target.clone(),
            standing: Standing::default(),
            due: now,
            asked: false,
            again: false,
        });
        let new = entry.standing.follow(target, now);
        if new || entry.target != *target {
            entry.due = now;
            entry.again = entry.asked;
            entry.target = target.clone();
        }
    }
}

impl Pace {
    fn next(&self, entry: &Entry, now: Instant) -> Instant {
        let (verdict, settles) = entry.standing.verdict(&entry.target, now, self.settle);
        let wait = if entry.target.eager || entry.standing.wavers() {
            self.period
        } else if verdict == Probe::Passing {
            RARELY.max(self.period)
        } else {
            SELDOM.max(self.period)
        };
        settles.map_or(now + wait, |settles| settles.min(now + wait))
    }
}

/// Asks everything of one pod at the same time.
async fn inquire(
    pod: PodRef,
    target: Target,
    door: Option<Door>,
    exec: mpsc::Sender<ExecRequest>,
) -> (PodRef, Vec<Answer>) {
    if let Some(shared) = target.shared {
        return (pod, vec![Answer::Shared(shared::ask(shared).await)]);
    }
    let probes = containers(&target).iter().filter_map(|container| {
        let probe = probe_of(container)?;
        let id = target.running.get(&container.name)?;
        Some(async {
            let said = ask(container, probe, &target.host, &exec, id, target.ours).await;
            Answer::Probe {
                name: container.name.clone(),
                id: id.clone(),
                said,
            }
        })
    });
    let (mut answers, port, door) =
        tokio::join!(join_all(probes), any_port(&target), look_at(door));
    answers.extend(port.map(Answer::Port));
    answers.extend(door);
    (pod, answers)
}

/// Whether one of the declared ports accepts; `None` where there is none to ask.
async fn any_port(target: &Target) -> Option<Result<(), String>> {
    let mut last = None;
    for port in ports(target) {
        let said = match timeout(PORT_DEADLINE, tcp::ask(&target.host, port)).await {
            Ok(said) => said,
            Err(_) => Err(format!("TCP {}:{port}: no answer", target.host)),
        };
        if said.is_ok() {
            return Some(said);
        }
        last = Some(said);
    }
    last
}

/// By the kernel's list: a connection that says nothing would be a line in the API server's log.
async fn look_at(door: Option<Door>) -> Option<Answer> {
    let door = door?;
    let port = door.port;
    let looked = tokio::task::spawn_blocking(move || steering::is_listened_on(port)).await;
    let listens = looked.ok()?.ok()?;
    Some(Answer::Door { door, listens })
}

fn publish(
    sender: &watch::Sender<Arc<BTreeMap<PodRef, Probe>>>,
    entries: &BTreeMap<PodRef, Entry>,
    settle: Duration,
) {
    let now = Instant::now();
    let verdict = |entry: &Entry| entry.standing.verdict(&entry.target, now, settle).0;
    let probes: BTreeMap<PodRef, Probe> = entries
        .iter()
        .map(|(pod, entry)| (pod.clone(), verdict(entry)))
        .collect();
    sender.send_if_modified(|last| {
        let new = **last != probes;
        if new {
            *last = Arc::new(probes);
        }
        new
    });
}
