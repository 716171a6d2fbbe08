//! What a daemon on the first master sees of the model: every source slow, silent or late, and none
//! that lies.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use rekindle::core::operation::{OperationKind, OperationSeen, OperationState, OperationsView};
use rekindle::core::reading::Reading;
use rekindle::core::recovery::etcd_seen::{EtcdAnswer, EtcdMembers};
use rekindle::core::recovery::evidence::{
    Distrust, DoorAnswer, DoorKind, Evidence, Instance, Lease, Manifest, Run,
};
use rekindle::core::recovery::part::Part;
use rekindle::core::time::Moment;

use crate::recovery_model::{Cluster, Dice, Disaster, LEADERS, State, Weather};
use crate::recovery_world::{
    data, door, etcd_door, healthy, identity, instance, member, status, unknown,
};

/// The sources, with what the late ones hold back.
#[derive(Default)]
pub(crate) struct Seen {
    listings: VecDeque<BTreeMap<Part, Vec<Instance>>>,
    /// Leases as first seen by this daemon: until they change, it has not seen them renewed.
    pub(crate) leases: Option<[u64; 2]>,
}

impl Seen {
    pub(crate) fn look(&mut self, cluster: &Cluster, dice: &mut Dice) -> Evidence {
        let mut evidence = healthy(cluster.masters.len() as u64);
        evidence.at = Moment(cluster.now * 1000);
        evidence.booted = Moment(cluster.booted * 1000);
        self.listings.push_front(containers(cluster));
        self.listings.truncate(4);
        let late = if cluster.is(Weather::Late) {
            dice.within(1, 3).min(self.listings.len() as u64 - 1)
        } else {
            0
        };
        let listing = self.listings[usize::try_from(late).unwrap()].clone();
        evidence.containers = Reading::Known(listing);
        evidence.manifests = Reading::Known(manifests(cluster));
        evidence.doors = vec![
            door(DoorKind::Loopback, loopback(cluster, dice)),
            door(DoorKind::Kubeconfig, balancer(cluster, dice)),
        ];
        etcd(cluster, &mut evidence, dice);
        self.leases(cluster, &mut evidence);
        if cluster.is(Weather::Operation) {
            let seen = vec![OperationSeen {
                kind: OperationKind::Cleanup,
                state: OperationState::Running { pid: 1 },
                began: None,
                at: String::new(),
            }];
            evidence.operations = Reading::Known(OperationsView { seen });
        }
        silences(cluster, &mut evidence);
        evidence
    }

    fn leases(&mut self, cluster: &Cluster, evidence: &mut Evidence) {
        if evidence.etcd.read.known().is_none() {
            evidence.leases = unknown();
            return;
        }
        let renewed = cluster.leases.map(|(renewed, _)| renewed);
        let first = *self.leases.get_or_insert(renewed);
        let leases = LEADERS.into_iter().enumerate().map(|(at, part)| {
            let lease = Lease {
                holder: format!("node{}", cluster.leases[at].1 + 1),
                changed: Moment(renewed[at] * 1000),
                renewed: renewed[at] != first[at],
            };
            (part, lease)
        });
        evidence.leases = Reading::Known(leases.collect());
    }
}

fn containers(cluster: &Cluster) -> BTreeMap<Part, Vec<Instance>> {
    let master = &cluster.masters[0];
    let here = Part::ALL.map(|part| {
        let running = master.part(part);
        let run = match running.state {
            State::Serving
            | State::Hangs
            | State::Starting { .. }
            | State::Looping { runs: true, .. } => Some(Run::Running),
            State::Looping { runs: false, .. } => Some(Run::Ended("exit code 2".to_owned())),
            State::Down { .. } => None,
        };
        let id = format!("{part}-{}", running.attempt);
        let instances = run.map(|run| instance(part, &id, run));
        (part, instances.into_iter().collect())
    });
    BTreeMap::from(here)
}

fn manifests(cluster: &Cluster) -> BTreeMap<Part, Manifest> {
    let asked = |part: Part| match cluster.masters[0].part(part).state {
        State::Down { until: None } => Manifest::Absent,
        _ => Manifest::Present,
    };
    BTreeMap::from(Part::ALL.map(|part| (part, asked(part))))
}

/// This node's own API server.
fn loopback(cluster: &Cluster, dice: &mut Dice) -> DoorAnswer {
    match cluster.masters[0].part(Part::ApiServer).state {
        State::Hangs => DoorAnswer::TimedOut,
        State::Serving if cluster.api(0) => {
            if cluster.is(Weather::SlowDisk) && dice.within(0, 2) == 0 {
                DoorAnswer::NotReady
            } else {
                DoorAnswer::Serving
            }
        }
        // Without etcd it is not ready, or has ended over it and starts again.
        State::Serving if dice.within(0, 3) > 0 => DoorAnswer::NotReady,
        _ => DoorAnswer::Refused,
    }
}

/// A balancer before all of them.
fn balancer(cluster: &Cluster, dice: &mut Dice) -> DoorAnswer {
    let mut others = cluster.side(0).into_iter().skip(1);
    let answer = if others.any(|m| cluster.api(m)) {
        DoorAnswer::Serving
    } else if cluster.is(Weather::Cut) && dice.within(0, 1) == 0 {
        DoorAnswer::TimedOut
    } else {
        loopback(cluster, dice)
    };
    if cluster.is(Weather::Expired) && answer == DoorAnswer::Serving {
        return DoorAnswer::Untrusted(Distrust::Expired);
    }
    answer
}

fn etcd(cluster: &Cluster, evidence: &mut Evidence, dice: &mut Dice) {
    let quorum = cluster.quorum(0);
    let side = cluster.side(0);
    let leader = quorum
        .then(|| {
            side.iter()
                .find(|m| cluster.masters[**m].serves(Part::Etcd))
        })
        .flatten()
        .map(|m| *m as u64 + 1);
    evidence.etcd.endpoints.clear();
    for (number, master) in cluster.masters.iter().enumerate() {
        let id = number as u64 + 1;
        let answer = if !side.contains(&number) || master.off_until.is_some() {
            EtcdAnswer::Not(DoorAnswer::TimedOut)
        } else {
            match master.part(Part::Etcd).state {
                State::Serving => {
                    let mut status = status(id, leader);
                    status.raft_term = cluster.term;
                    EtcdAnswer::Status(status)
                }
                State::Hangs => EtcdAnswer::Not(DoorAnswer::TimedOut),
                _ => EtcdAnswer::Not(DoorAnswer::Refused),
            }
        };
        let mut door = etcd_door(id, answer);
        if cluster.is(Weather::SlowDisk) {
            door.took_ms = dice.within(50, 4000);
        }
        evidence.etcd.endpoints.push(door);
    }
    let all = (1..=cluster.masters.len() as u64).map(member).collect();
    let at = evidence.at;
    evidence.etcd.members = Reading::Known(EtcdMembers { all, at });
    let slow = cluster.is(Weather::SlowDisk) && dice.within(0, 3) == 0;
    if !quorum || slow {
        evidence.etcd.read = unknown();
        evidence.etcd.identity = unknown();
    } else {
        evidence.etcd.identity = identity(Some(&format!("uid-{}", cluster.identity)));
    }
    let own = cluster.masters[0].part(Part::Etcd).state;
    let in_use = matches!(
        own,
        State::Serving | State::Hangs | State::Starting { .. } | State::Looping { runs: true, .. }
    );
    evidence.etcd.here.data = data(in_use);
}

/// Sources that say nothing.
fn silences(cluster: &Cluster, evidence: &mut Evidence) {
    if cluster.is(Weather::NoContainerd) {
        evidence.containers = unknown();
    }
    if cluster.is(Weather::NoManifests) {
        evidence.manifests = unknown();
    }
    if cluster.is(Weather::NoOperations) {
        evidence.operations = unknown();
    }
    if cluster.is(Weather::NoLeases) {
        evidence.leases = unknown();
    }
    if cluster.is(Weather::NoEtcd) {
        for door in &mut evidence.etcd.endpoints {
            door.answer = EtcdAnswer::Not(DoorAnswer::NotAsked);
        }
        evidence.etcd.read = unknown();
        evidence.etcd.identity = unknown();
        evidence.leases = unknown();
    }
    if cluster.is(Weather::NoDoors) {
        for door in &mut evidence.doors {
            door.answer = DoorAnswer::NotAsked;
        }
    }
}

/// Strikes.
pub(crate) fn strike(cluster: &mut Cluster, disaster: Disaster, dice: &mut Dice) {
    let gone = |dice: &mut Dice, now: u64| {
        if dice.within(0, 1) == 0 {
            State::Down { until: None }
        } else {
            State::Looping {
                runs: false,
                until: now + 10,
                pause: 10,
            }
        }
    };
    let now = cluster.now;
    let parts: &[Part] = match disaster {
        Disaster::Api | Disaster::ApiHangs => &[Part::ApiServer],
        Disaster::Schedulers => &[Part::Scheduler],
        Disaster::Controllers => &[Part::ControllerManager],
        Disaster::Quorum | Disaster::Member => &[Part::Etcd],
        Disaster::Everything => &Part::ALL,
        Disaster::Emptied => &[],
    };
    if disaster == Disaster::Emptied {
        cluster.identity = 2;
    }
    let own_lives = disaster == Disaster::Quorum && !cluster.alone() && dice.within(0, 1) == 0;
    for (number, master) in cluster.masters.iter_mut().enumerate() {
        if (disaster == Disaster::Member && number > 0) || (own_lives && number == 0) {
            continue;
        }
        for part in parts {
            let state = if disaster == Disaster::ApiHangs {
                State::Hangs
            } else {
                gone(dice, now)
            };
            master.set(*part, state);
        }
    }
    cluster.disaster = Some(disaster);
}
