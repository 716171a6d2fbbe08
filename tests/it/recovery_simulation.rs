//! Hours of a simulated control plane, with everything that may look like a loss and is none, and
//! now and then a loss. What is confirmed must be true and must have lasted; what is true and lasts
//! must be confirmed.
//!
//! `REKINDLE_SIMULATED_HOURS=10000 cargo nextest run recovery_simulation` for more of them.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "how many hours is said by the environment, and what came of them is printed"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use rekindle::core::recovery::assess::assess;
use rekindle::core::recovery::loss::{Assessment, Condition, Loss};
use rekindle::core::recovery::memory::Memory;
use rekindle::core::recovery::policy::RecoveryPolicy;
use rekindle::core::time::Moment;

use crate::recovery_model::{Cluster, Dice, Disaster, State, Weather};
use crate::recovery_model_seen::{Seen, strike};
use crate::recovery_world::{confirmed, policy};
use rekindle::core::recovery::part::Part;

/// Each runs alone and with three masters; more are derived where more hours are asked for. Those
/// that once found a mistake stay.
const SEEDS: [u64; 6] = [1, 2, 3, 20_251_125, 0xdead_beef, 4_242_424_242];
/// Hours of one run.
const RUN: u64 = 25;
/// What is known late may be late by so many seconds: three listings and a look.
const LATE: u64 = 35;
/// A loss that lasts is confirmed so long after its threshold: a hanging component's patience, the
/// kubelet's first starts of what ends again and again, leases that run out.
const BOUND: u64 = 300;

#[derive(Debug, Default)]
struct Tally {
    hours: u64,
    looks: u64,
    confirmed: BTreeMap<&'static str, u64>,
    worst: u64,
}

struct Run {
    seed: u64,
    cluster: Cluster,
    policy: RecoveryPolicy,
    memory: Memory,
    seen: Seen,
    dice: Dice,
    /// Losses that are true, since when.
    truth: BTreeMap<Loss, u64>,
    /// When each was last true.
    until: BTreeMap<Loss, u64>,
    /// When something last kept the daemon from seeing.
    disturbed: u64,
    tally: Tally,
}

#[test]
fn recovery_simulation_confirms_what_is_lost_and_nothing_else() {
    let asked = std::env::var("REKINDLE_SIMULATED_HOURS").ok();
    let hours: u64 = asked.map_or(300, |text| text.parse().expect("a number of hours"));
    let began = std::time::Instant::now();
    let mut total = Tally::default();
    let mut more = Dice(SEEDS[0]);
    let mut seeds = SEEDS.to_vec();
    while (seeds.len() as u64) * 2 * RUN < hours {
        seeds.push(more.next());
    }
    for seed in seeds {
        for masters in [1, 3] {
            let tally = run(seed, masters);
            total.hours += tally.hours;
            total.looks += tally.looks;
            total.worst = total.worst.max(tally.worst);
            for (word, count) in tally.confirmed {
                *total.confirmed.entry(word).or_default() += count;
            }
        }
    }
    assert_eq!(total.confirmed.len(), Loss::ALL.len(), "{total:?}");
    println!(
        "{} simulated hours, {} looks in {:?}; confirmed {:?}; none false, none missed; the latest \
         {} s after its threshold",
        total.hours,
        total.looks,
        began.elapsed(),
        total.confirmed,
        total.worst
    );
}

fn run(seed: u64, masters: usize) -> Tally {
    let mut policy = policy();
    policy.other_masters = (2..=masters).map(|id| format!("node{id}")).collect();
    let mut run = Run {
        seed,
        cluster: Cluster::new(masters),
        policy,
        memory: Memory::default(),
        seen: Seen::default(),
        dice: Dice(seed),
        truth: BTreeMap::new(),
        until: BTreeMap::new(),
        disturbed: 0,
        tally: Tally::default(),
    };
    let end = run.cluster.now + RUN * 3600;
    let mut pause = 5;
    while run.cluster.now < end {
        run.happen(pause);
        run.cluster.pass(pause, &mut run.dice);
        pause = run.look();
    }
    run.tally.hours = RUN;
    run.tally
}

impl Run {
    /// What may happen in so many seconds.
    fn happen(&mut self, seconds: u64) {
        let now = self.cluster.now;
        let dice = &mut self.dice;
        for (weather, hourly, (low, high)) in Weather::ALL {
            if dice.hourly(hourly, seconds) && !self.cluster.is(weather) {
                let until = now + dice.within(low, high);
                self.cluster.weather.push((weather, until));
            }
        }
        if self.cluster.is(Weather::SlowDisk) && dice.hourly(60.0, seconds) {
            self.cluster.term += 1;
        }
        let masters = self.cluster.masters.len() as u64;
        // Restarts and rollouts.
        for part in Part::ALL {
            if dice.hourly(0.5, seconds) {
                let at = usize::try_from(dice.within(0, masters - 1)).unwrap();
                let until = Some(now + dice.within(1, 15));
                let master = &mut self.cluster.masters[at];
                if master.serves(part) {
                    master.set(part, State::Down { until });
                }
            }
        }
        if dice.hourly(0.1, seconds) {
            for at in 0..self.cluster.masters.len() {
                for part in Part::ALL {
                    let until = Some(now + dice.within(1, 90));
                    let master = &mut self.cluster.masters[at];
                    if master.serves(part) && dice.within(0, 3) > 0 {
                        master.set(part, State::Down { until });
                    }
                }
            }
        }
        if dice.hourly(0.1, seconds) && masters > 1 {
            let at = usize::try_from(dice.within(1, masters - 1)).unwrap();
            self.cluster.masters[at].off_until = Some(now + dice.within(30, 400));
        }
        if dice.hourly(0.1, seconds) {
            self.reboot();
        }
        if self.dice.hourly(0.1, seconds) {
            // The machine sleeps, or is moved.
            let asleep = self.dice.within(10, 3600);
            self.cluster.pass(asleep, &mut self.dice);
            self.disturbed = self.cluster.now;
        }
        if self.dice.hourly(0.2, seconds) {
            self.restart_daemon();
        }
        if self.cluster.disaster.is_none() && self.dice.hourly(0.5, seconds) {
            let disaster = match self.dice.within(0, 7) {
                0 => Disaster::Api,
                1 => Disaster::ApiHangs,
                2 => Disaster::Schedulers,
                3 => Disaster::Controllers,
                4 => Disaster::Quorum,
                5 if masters > 1 => Disaster::Member,
                6 => Disaster::Emptied,
                _ => Disaster::Everything,
            };
            strike(&mut self.cluster, disaster, &mut self.dice);
        }
    }

    fn restart_daemon(&mut self) {
        self.memory = Memory::default();
        self.seen = Seen::default();
        self.disturbed = self.cluster.now;
    }

    fn reboot(&mut self) {
        let off = self.dice.within(20, 120);
        self.cluster.masters[0].off_until = Some(self.cluster.now + off);
        self.cluster.pass(off, &mut self.dice);
        self.cluster.booted = self.cluster.now;
        self.restart_daemon();
    }

    /// One look; seconds to the next.
    fn look(&mut self) -> u64 {
        let now = self.cluster.now;
        for loss in Loss::ALL {
            if self.cluster.is_lost(loss) {
                self.truth.entry(loss).or_insert(now);
                self.until.insert(loss, now);
            } else {
                self.truth.remove(&loss);
            }
        }
        let evidence = self.seen.look(&self.cluster, &mut self.dice);
        let at = Moment(now * 1000);
        let (found, memory) = assess(&evidence, &self.memory, &self.policy, at);
        self.memory = memory;
        self.tally.looks += 1;
        self.judge(&found);
        self.heal(&found);
        if found.condition == Condition::Healthy {
            15
        } else {
            5
        }
    }

    fn judge(&mut self, found: &Assessment) {
        let now = self.cluster.now;
        let excused = self
            .cluster
            .weather
            .iter()
            .any(|(it, _)| *it != Weather::Late);
        let others_off = self.cluster.masters.iter().any(|it| it.off_until.is_some());
        let grace = self.cluster.booted + self.policy.boot_grace.as_secs();
        if excused || others_off || now < grace {
            self.disturbed = now;
        }
        let confirmed = confirmed(found);
        if now < grace || self.cluster.is(Weather::Operation) {
            assert!(confirmed.is_empty(), "{}", self.tell("suspended", found));
        }
        for loss in Loss::ALL {
            let threshold = threshold(loss, &self.policy).as_secs();
            let since = self.truth.get(&loss).copied();
            if confirmed.contains(&loss) {
                let lasted = since.is_some_and(|since| now - since + LATE >= threshold);
                let passed = self.until.get(&loss).is_some_and(|it| now - it <= LATE);
                assert!(
                    lasted || (since.is_none() && passed),
                    "{}",
                    self.tell(loss.word(), found)
                );
                continue;
            }
            let Some(since) = since else { continue };
            // What hides behind a greater loss, or was emptied before this daemon began.
            let hidden = self.cluster.identity != 1 && self.cluster.quorum(0);
            let hidden = hidden
                || (loss == Loss::Everything && self.cluster.masters[0].serves(Part::ApiServer));
            let waited = now - since.max(self.disturbed);
            if !hidden {
                let missed = waited > threshold + BOUND;
                assert!(!missed, "missed: {}", self.tell(loss.word(), found));
                self.tally.worst = self.tally.worst.max(waited.saturating_sub(threshold));
            }
        }
    }

    /// What was confirmed is dealt with; what cannot be is, after a while, by an operator.
    fn heal(&mut self, found: &Assessment) {
        let now = self.cluster.now;
        let old = self.truth.values().any(|since| now - since > 7200);
        if found.confirmed().is_none() && !(old && self.cluster.disaster.is_some()) {
            return;
        }
        for loss in confirmed(found) {
            *self.tally.confirmed.entry(loss.word()).or_default() += 1;
        }
        if self.cluster.identity != 1 {
            self.cluster.identity = 1;
        }
        for master in &mut self.cluster.masters {
            for part in Part::ALL {
                if !master.serves(part) {
                    let until = now + self.dice.within(1, 30);
                    master.set(part, State::Starting { until });
                }
            }
        }
        self.cluster.disaster = None;
        self.truth.clear();
        self.memory = Memory::default();
        self.seen = Seen::default();
        self.disturbed = now;
    }

    fn tell(&self, what: &str, found: &Assessment) -> String {
        format!(
            "{what}: seed {} with {} masters at {} s (truth {:?}, disturbed {}): {found:#?}\n{:#?}",
            self.seed,
            self.cluster.masters.len(),
            self.cluster.now,
            self.truth,
            self.disturbed,
            self.cluster
        )
    }
}

fn threshold(loss: Loss, policy: &RecoveryPolicy) -> Duration {
    match loss {
        Loss::EtcdMember => policy.member_lost_after,
        _ => policy.lost_after,
    }
}
