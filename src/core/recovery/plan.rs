//! The plan: for a loss, every way back with what it costs, how long it takes, what it needs and
//! what stands in its way; which of them is taken, or why none is. At any time, for a loss that is
//! there or for one that is only thought of; changes nothing.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::hygiene::foretold::{Foretold, foretold};
use super::loss::Loss;
use super::policy::RecoveryPolicy;
use super::resources::Resources;
use super::rung::Rung;
use super::rungs;

/// What an operator has asked for; nothing: the daemon's own decision.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Asked {
    /// The first way that is considered: those before it are passed over.
    pub from: Option<Rung>,
    /// The backup: its id, or a path.
    pub source: Option<String>,
    /// So many seconds of data may be lost.
    pub allow_loss_seconds: u64,
    /// The operator's user id.
    pub uid: u32,
}

impl Asked {
    /// The loss of etcd that it is for. The operator knows what cannot be seen from here: that
    /// members that give no sign are gone, and are not cut off; that the cluster has forgotten this
    /// node's member.
    #[must_use]
    pub fn loss_of_etcd(&self) -> Option<Loss> {
        self.from?.loss_of_etcd()
    }
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// For which loss.
    pub loss: Loss,
    /// The ways that lead out of it, in the order in which they are tried.
    pub rungs: Vec<RungPlan>,
    /// The first that nothing stands in the way of and that may be taken.
    pub chosen: Option<Rung>,
    /// Why none is, one sentence each.
    pub refusals: Vec<String>,
    /// What will stand in the way before long, one sentence each.
    pub warnings: Vec<String>,
    /// What is cleared up after a restore; empty where no way restores etcd.
    #[serde(default)]
    pub hygiene: Vec<Foretold>,
}

/// One way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RungPlan {
    /// Which.
    pub rung: Rung,
    /// Data that it loses, in words.
    pub loses: String,
    /// The same in seconds, where it is a time; `None`: there is nothing that could be restored, so
    /// nothing is foretold.
    pub loses_seconds: Option<u64>,
    /// How long it takes about, in seconds.
    pub takes_seconds: u64,
    /// What it works with, one sentence each.
    pub with: Vec<String>,
    /// What stands in its way, one sentence each.
    pub blockers: Vec<String>,
    /// Why an operator has to ask for it; empty: it is taken without asking.
    pub asks: Vec<String>,
}

impl RungPlan {
    /// What speaks against taking it without asking, one sentence each.
    pub(crate) fn against(&self) -> impl Iterator<Item = &str> {
        self.blockers.iter().chain(&self.asks).map(String::as_str)
    }

    /// Nothing stands in its way.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.blockers.is_empty()
    }
}

impl Plan {
    /// There is a way, with or without asking.
    #[must_use]
    pub fn has_way(&self) -> bool {
        self.rungs.iter().any(RungPlan::is_open)
    }
}

/// Why nothing at all is done without asking now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restraint {
    /// An operator's hold, an operation: one sentence each.
    pub held: Vec<String>,
    /// The control plane was never seen to work.
    pub never_worked: bool,
    /// Latched since an earlier recovery, and why.
    pub latched: Option<String>,
    /// When recoveries without asking began, newest last.
    pub recent: Vec<Timestamp>,
}

/// Plans a way out of `loss`. `tried`: ways that have failed in this recovery, with why.
#[must_use]
pub fn plan(
    loss: Loss,
    resources: &Resources,
    policy: &RecoveryPolicy,
    restraint: &Restraint,
    asked: Option<&Asked>,
    tried: &[(Rung, String)],
    now: Timestamp,
) -> Plan {
    let mut plan = Plan {
        loss,
        rungs: Vec::new(),
        chosen: None,
        refusals: Vec::new(),
        warnings: warnings(resources, now),
        hygiene: Vec::new(),
    };
    for rung in rungs::ways_out_of(loss) {
        let mut way = rungs::describe(rung, loss, resources, asked, now);
        if let Some((_, why)) = tried.iter().find(|(other, _)| *other == rung) {
            way.blockers.push(format!("it was tried: {why}"));
        }
        if let Some(from) = asked.and_then(|asked| asked.from)
            && rung < from
        {
            way.blockers
                .push(format!("{from} was asked for, which comes after it"));
        }
        if asked.is_none()
            && rung > Rung::StaticPods
            && let Some(why) = rungs::waits_for_manifests(loss, resources)
        {
            way.blockers
                .push(format!("{} comes before it, and {why}", Rung::StaticPods));
        }
        way.asks = asks(&way, policy, asked);
        plan.rungs.push(way);
    }
    plan.hygiene = foretold(&plan.rungs, policy);
    let common = common(policy, restraint, asked, now);
    plan.chosen = plan
        .rungs
        .iter()
        .find(|way| way.is_open() && way.asks.is_empty())
        .map(|way| way.rung)
        .filter(|_| common.is_empty());
    if plan.chosen.is_none() {
        plan.refusals = common;
        for way in &plan.rungs {
            let reasons = way.against();
            plan.refusals
                .extend(reasons.map(|reason| format!("{}: {reason}", way.rung)));
        }
    }
    plan
}

/// What forbids every way alike.
fn common(
    policy: &RecoveryPolicy,
    restraint: &Restraint,
    asked: Option<&Asked>,
    now: Timestamp,
) -> Vec<String> {
    let mut all = restraint.held.clone();
    if asked.is_some() {
        return all;
    }
    if !policy.automatic {
        all.push("recovery.automatic is off: an operator has to ask for it".to_owned());
    }
    if restraint.never_worked {
        all.push(
            "this control plane was never seen to work, so it may not be set up yet; `rekindle \
             recovery-mode enter` recovers it all the same"
                .to_owned(),
        );
    }
    if let Some(why) = &restraint.latched {
        all.push(format!(
            "latched: {why}; `rekindle recovery-mode enter` or `exit` ends that"
        ));
    }
    let recent = restraint
        .recent
        .iter()
        .filter(|began| crate::core::backup::report::age(**began, now) < policy.period)
        .count();
    if u32::try_from(recent).unwrap_or(u32::MAX) >= policy.limit {
        all.push(format!(
            "{recent} recoveries began within {} s, and recovery.limit is {}: an operator has to look",
            policy.period.as_secs(),
            policy.limit
        ));
    }
    all
}

/// Why a way is not taken without asking, or not by what was asked.
fn asks(way: &RungPlan, policy: &RecoveryPolicy, asked: Option<&Asked>) -> Vec<String> {
    let mut all = Vec::new();
    let allowed = match asked {
        Some(asked) => Duration::from_secs(asked.allow_loss_seconds),
        None => policy.max_auto_data_loss,
    };
    // Where there is nothing to restore, nothing is foretold, and that it is blocked says why.
    let too_much = match way.loses_seconds.map(Duration::from_secs) {
        Some(loses) => loses > allowed,
        None => way.is_open(),
    };
    // What the data directory had not heard of is no measure of time, and etcd's own guarantee is
    // that nothing acknowledged by a majority is missing on a single member.
    if way.rung == Rung::Backup && too_much {
        all.push(match asked {
            Some(_) => format!(
                "it loses {}, and --allow-data-loss allows {} s",
                way.loses,
                allowed.as_secs()
            ),
            None => format!(
                "it loses {}, and recovery.max_auto_data_loss_seconds allows {} s",
                way.loses,
                allowed.as_secs()
            ),
        });
    }
    if asked.is_some() {
        return all;
    }
    if !policy.rungs.contains(&way.rung) {
        all.push("recovery.automatic_rungs does not name it".to_owned());
    }
    if way.rung.restores_etcd() && !policy.other_masters.is_empty() {
        all.push(format!(
            "there are other masters ({}): an operator has to say which one restores",
            policy
                .other_masters
                .iter()
                .cloned()
                .collect::<Vec<_>>()
                .join(", ")
        ));
    }
    all
}

/// Certificates, images and backups that will not do for long.
fn warnings(resources: &Resources, now: Timestamp) -> Vec<String> {
    const SOON: Duration = Duration::from_secs(30 * 86400);
    const OLD: Duration = Duration::from_secs(86400);
    let mut all = Vec::new();
    for certificate in &resources.certificates {
        let left = Duration::try_from(certificate.at.duration_since(now)).unwrap_or_default();
        if left.is_zero() {
            all.push(format!("{} has expired", certificate.what));
        } else if left < SOON {
            let days = left.as_secs() / 86400;
            all.push(format!("{} expires in {days} days", certificate.what));
        }
    }
    for (part, images) in &resources.missing_images {
        let told = images.iter();
        all.extend(told.map(|image| {
            format!("image missing: the static pod of {part} needs it to start again, and {image}")
        }));
    }
    match resources.backup.known() {
        Some(Some(backup)) => {
            let age = backup.age(now);
            if age > OLD {
                let hours = age.as_secs() / 3600;
                all.push(format!("the newest verified backup is {hours} h old"));
            }
            if !backup.proven {
                all.push(format!("no rehearsal of backup {} has passed", backup.id));
            }
        }
        Some(None) => all.push("there is no verified backup".to_owned()),
        None => all.push("whether there is a verified backup is not known".to_owned()),
    }
    all
}
