//! Who of this node may still lead: the containers of controller manager and scheduler that ran
//! while etcd could be written to. Once all of them have ended, whoever holds a lease that was
//! restored from this node leads no more, and nobody who has started since ever did.
//!
//! - What ran in a look in which etcd may have served, or in the one after it, may lead. Only what
//!   ends stops being so; what is not known is not absent.
//! - Once etcd, seen to be down in two looks, is being restored, nobody becomes a leader until it
//!   serves what was restored; and who takes a lease of that renews it, so it is not stale.
//! - Only this node's containers are seen: with other masters nothing is proven by them, nor about
//!   a holder that is not named after this host or a pod that ran here, nor where none of the part
//!   was ever seen in a container, nor while two of it run.

use std::collections::{BTreeMap, BTreeSet};

use super::etcd_seen::EtcdAnswer;
use super::evidence::{Evidence, Instance, Owner, Run};
use super::own::{LEASE, etcd_in_use};
use super::part::Part;
use crate::core::time::Moment;

/// Names of pods that are remembered.
const REMEMBERED: usize = 64;

/// How far etcd is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is done to it.
    Untouched,
    /// It is being stopped, restored and started.
    BeingRestored,
    /// It was restored by this recovery.
    Restored,
}

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leaders {
    looked: Option<Moment>,
    /// etcd may have served in the last look.
    served: bool,
    /// It was down in the last two looks.
    down: bool,
    /// It was down when its restore began: nobody becomes a leader by it.
    settled: bool,
    of: BTreeMap<Part, Tenants>,
}

/// Of one part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Tenants {
    /// Containers that may lead; `None`: not known.
    may_lead: Option<BTreeSet<String>>,
    /// One that may lead was seen.
    seen: bool,
    /// The pods that they were of.
    pods: BTreeSet<String>,
    /// How many run now.
    live: usize,
}

/// Whose holders lead no more: the hosts that identities of a part begin with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proven(BTreeMap<Part, BTreeSet<String>>);

impl Proven {
    /// The holder of the lease `name` leads no more. Identities are `HOST_UUID`. Source:
    /// Kubernetes 1.20 to 1.37, `cmd/kube-controller-manager/app/controllermanager.go`,
    /// `cmd/kube-scheduler/app/options/options.go`.
    #[must_use]
    pub fn covers(&self, name: &str, holder: &str) -> bool {
        let hosts = Part::of_name(name).and_then(|part| self.0.get(&part));
        let host = holder.rsplit_once('_').map(|(host, _)| host.to_lowercase());
        hosts
            .zip(host)
            .is_some_and(|(hosts, host)| hosts.contains(&host))
    }
}

impl Leaders {
    /// Takes in what is seen.
    pub fn look(&mut self, evidence: &Evidence, stage: Stage) {
        let before = self.looked.replace(evidence.at);
        // The same evidence once more says nothing new of etcd.
        if before != Some(evidence.at) {
            let serves = !is_down(evidence);
            // Long enough for somebody to have become a leader unseen.
            let gap = before.is_none_or(|before| evidence.at.since(before) >= LEASE);
            self.down = !(serves || self.served || gap);
            self.served = serves;
        }
        match stage {
            Stage::Untouched => self.settled = false,
            Stage::BeingRestored => self.settled |= self.down,
            Stage::Restored => {}
        }
        let may_lead = !self.down && !self.settled;
        for part in Part::LEADERS {
            let tenants = self.of.entry(part).or_default();
            match evidence.here(part) {
                Some(here) => tenants.see(here, may_lead),
                // What ran meanwhile is not known.
                None if may_lead => tenants.may_lead = None,
                None => {}
            }
        }
    }

    /// What is proven now. `host`: this machine's name, empty where it is not known; `alone`: it is
    /// the only master.
    #[must_use]
    pub fn proven(&self, host: &str, alone: bool) -> Proven {
        if !self.settled {
            return Proven::default();
        }
        self.ended(host, alone)
    }

    /// The same where etcd has served all the time: whoever starts may lead at once, so this holds
    /// only until then.
    #[must_use]
    pub fn ended(&self, host: &str, alone: bool) -> Proven {
        if !alone {
            return Proven::default();
        }
        let ended = self.of.iter().filter(|(_, tenants)| {
            let may_lead = tenants.may_lead.as_ref();
            tenants.seen && tenants.live <= 1 && may_lead.is_some_and(BTreeSet::is_empty)
        });
        let hosts = |tenants: &Tenants| {
            let pods = tenants.pods.iter().cloned();
            let own = (!host.is_empty()).then(|| host.to_lowercase());
            pods.chain(own).collect()
        };
        Proven(ended.map(|(part, it)| (*part, hosts(it))).collect())
    }
}

impl Tenants {
    fn see(&mut self, here: &[Instance], may_lead: bool) {
        let live = |it: &&Instance| match it.run {
            Run::Running | Run::Starting => true,
            // Of our own engine one that is being stopped still runs.
            Run::Ended(_) => it.owner == Owner::Engine,
        };
        let live: BTreeMap<&str, &str> = here
            .iter()
            .filter(live)
            .map(|it| (it.container.as_str(), it.name.as_str()))
            .collect();
        self.live = live.len();
        let before = self.may_lead.take();
        let known = before.is_some();
        let mut now = before.unwrap_or_default();
        now.retain(|id| live.contains_key(id.as_str()));
        if may_lead || !known {
            now.extend(live.keys().map(|id| (*id).to_owned()));
            self.seen |= !live.is_empty();
            if self.pods.len() >= REMEMBERED {
                self.pods.clear();
            }
            let pods = live.values().filter_map(|name| name.split_once('/'));
            self.pods.extend(pods.map(|(_, pod)| pod.to_lowercase()));
        }
        self.may_lead = Some(now);
    }
}

/// etcd is this node's alone, does not answer, and nothing here can be running it.
fn is_down(evidence: &Evidence) -> bool {
    let etcd = &evidence.etcd;
    let silent = etcd.endpoints.iter().all(|door| {
        door.own
            && match &door.answer {
                EtcdAnswer::Status(_) => false,
                EtcdAnswer::Not(answer) => answer.is_silent(),
            }
    });
    let runs = evidence.here(Part::Etcd).is_none_or(|here| {
        let mut here = here.iter();
        here.any(|it| matches!(it.run, Run::Running | Run::Starting))
    });
    let read = etcd.here.data.known().is_some();
    silent && !etcd.endpoints.is_empty() && !runs && read && !etcd_in_use(evidence)
}
