//! A small model of a cluster's masters: what is true of it, second by second, and what changes it.
//! What a daemon on the first of them sees of that is `recovery_model_seen`'s.

use rekindle::core::recovery::loss::Loss;
use rekindle::core::recovery::part::Part;

/// A generator of numbers that is the same on every machine: `SplitMix64`.
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// True so often in an hour, asked once for `seconds`.
    pub(crate) fn hourly(&mut self, times: f64, seconds: u64) -> bool {
        #[allow(clippy::cast_precision_loss, reason = "a chance")]
        let chance = times * seconds as f64 / 3600.0;
        #[allow(clippy::cast_precision_loss, reason = "a chance")]
        let dice = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        dice < chance
    }
}

/// What a part on one master does; times in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Serving,
    /// Its container runs and does not answer yet.
    Starting {
        until: u64,
    },
    /// No container; until it is started again, if ever.
    Down {
        until: Option<u64>,
    },
    /// Started again and again, and ends after some seconds each time.
    Looping {
        runs: bool,
        until: u64,
        pause: u64,
    },
    /// Runs and never answers.
    Hangs,
}

#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) state: State,
    /// Counts its containers.
    pub(crate) attempt: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Master {
    /// The machine is off or booting until then.
    pub(crate) off_until: Option<u64>,
    pub(crate) parts: [Running; 4],
}

impl Master {
    pub(crate) fn part(&self, part: Part) -> &Running {
        &self.parts[part as usize]
    }

    pub(crate) fn set(&mut self, part: Part, state: State) {
        let running = &mut self.parts[part as usize];
        if matches!(
            state,
            State::Starting { .. } | State::Looping { runs: true, .. }
        ) {
            running.attempt += 1;
        }
        running.state = state;
    }

    pub(crate) fn serves(&self, part: Part) -> bool {
        self.off_until.is_none() && self.part(part).state == State::Serving
    }
}

/// What lasts for a while and is no part's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weather {
    /// The first master is cut off from the others.
    Cut,
    SlowDisk,
    /// Everybody's certificates have expired.
    Expired,
    /// `rekindle cleanup` or `start` has the first master.
    Operation,
    NoContainerd,
    NoManifests,
    NoOperations,
    NoLeases,
    NoEtcd,
    NoDoors,
    /// containerd's listing is late.
    Late,
}

impl Weather {
    pub(crate) const ALL: [(Self, f64, (u64, u64)); 11] = [
        (Self::Cut, 0.15, (10, 7200)),
        (Self::SlowDisk, 0.2, (60, 1800)),
        (Self::Expired, 0.02, (600, 7200)),
        (Self::Operation, 0.05, (30, 1200)),
        (Self::NoContainerd, 0.5, (5, 300)),
        (Self::NoManifests, 0.3, (5, 120)),
        (Self::NoOperations, 0.2, (5, 60)),
        (Self::NoLeases, 0.3, (5, 300)),
        (Self::NoEtcd, 0.3, (5, 300)),
        (Self::NoDoors, 0.2, (5, 120)),
        (Self::Late, 1.0, (20, 600)),
    ];
}

/// A loss that lasts until it is dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disaster {
    Api,
    ApiHangs,
    Schedulers,
    Controllers,
    Quorum,
    Member,
    Everything,
    Emptied,
}

#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) now: u64,
    pub(crate) booted: u64,
    pub(crate) masters: Vec<Master>,
    pub(crate) weather: Vec<(Weather, u64)>,
    pub(crate) disaster: Option<Disaster>,
    /// Whose data etcd holds.
    pub(crate) identity: u32,
    /// Last renewals of the scheduler's and the controller manager's lease, and who leads.
    pub(crate) leases: [(u64, usize); 2],
    pub(crate) term: u64,
}

pub(crate) const LEADERS: [Part; 2] = [Part::ControllerManager, Part::Scheduler];

impl Cluster {
    pub(crate) fn new(masters: usize) -> Self {
        let serving = Running {
            state: State::Serving,
            attempt: 0,
        };
        let master = Master {
            off_until: None,
            parts: [serving.clone(), serving.clone(), serving.clone(), serving],
        };
        Self {
            now: 100_000,
            booted: 0,
            masters: vec![master; masters],
            weather: Vec::new(),
            disaster: None,
            identity: 1,
            leases: [(100_000, 0); 2],
            term: 2,
        }
    }

    pub(crate) fn is(&self, weather: Weather) -> bool {
        self.weather.iter().any(|(it, _)| *it == weather)
    }

    pub(crate) fn alone(&self) -> bool {
        self.masters.len() == 1
    }

    /// Masters that this one can talk to, itself included.
    pub(crate) fn side(&self, of: usize) -> Vec<usize> {
        let cut = self.is(Weather::Cut);
        (0..self.masters.len())
            .filter(|other| !cut || (*other == 0) == (of == 0))
            .collect()
    }

    /// etcd has a quorum on this master's side.
    pub(crate) fn quorum(&self, of: usize) -> bool {
        let side = self.side(of);
        let serving = side.iter().filter(|m| self.masters[**m].serves(Part::Etcd));
        serving.count() > self.masters.len() / 2
    }

    /// This master's API server serves.
    pub(crate) fn api(&self, of: usize) -> bool {
        self.masters[of].serves(Part::ApiServer)
            && self.masters[of].serves(Part::Etcd)
            && self.quorum(of)
    }

    fn anywhere(&self, ask: impl Fn(usize) -> bool) -> bool {
        (0..self.masters.len()).any(ask)
    }

    /// What is lost in truth.
    pub(crate) fn is_lost(&self, loss: Loss) -> bool {
        let quorum = self.anywhere(|m| self.quorum(m));
        let api = self.anywhere(|m| self.api(m));
        let leads = |part| self.anywhere(|m| self.api_for(m) && self.masters[m].serves(part));
        match loss {
            Loss::ApiServers => quorum && !api,
            Loss::Schedulers => api && !leads(Part::Scheduler),
            Loss::ControllerManagers => api && !leads(Part::ControllerManager),
            Loss::EtcdMember => quorum && !self.alone() && !self.masters[0].serves(Part::Etcd),
            Loss::EtcdQuorum => !quorum || self.identity != 1,
            Loss::Everything => !quorum,
        }
    }

    /// This master's components have an API server that they can use.
    fn api_for(&self, of: usize) -> bool {
        !self.is(Weather::Expired) && self.side(of).into_iter().any(|m| self.api(m))
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, seconds: u64, dice: &mut Dice) {
        self.now += seconds;
        let now = self.now;
        self.weather.retain(|(_, until)| *until > now);
        for number in 0..self.masters.len() {
            let master = &mut self.masters[number];
            if master.off_until.is_some_and(|until| until <= now) {
                master.off_until = None;
                for part in Part::ALL {
                    if !matches!(master.part(part).state, State::Down { until: None }) {
                        let until = now + dice.within(5, 70);
                        master.set(part, State::Starting { until });
                    }
                }
            }
            for part in Part::ALL {
                step(master, part, now, dice);
            }
        }
        for (at, part) in LEADERS.into_iter().enumerate() {
            let (renewed, holder) = self.leases[at];
            if self.api_for(holder) && self.masters[holder].serves(part) {
                self.leases[at].0 = now;
            } else if now - renewed > 17 {
                let other = (0..self.masters.len())
                    .find(|m| self.api_for(*m) && self.masters[*m].serves(part));
                if let Some(other) = other {
                    self.leases[at] = (now, other);
                }
            }
        }
    }
}

fn step(master: &mut Master, part: Part, now: u64, dice: &mut Dice) {
    match master.part(part).state {
        State::Starting { until } if until <= now => master.set(part, State::Serving),
        State::Down { until: Some(until) } if until <= now => {
            let until = now + dice.within(2, 40);
            master.set(part, State::Starting { until });
        }
        State::Looping { runs, until, pause } if until <= now => {
            let next = if runs {
                State::Looping {
                    runs: false,
                    until: now + pause,
                    pause: (pause * 2).min(300),
                }
            } else {
                let until = now + dice.within(1, 12);
                State::Looping {
                    runs: true,
                    until,
                    pause,
                }
            };
            master.set(part, next);
        }
        _ => {}
    }
}
