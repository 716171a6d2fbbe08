//! What looks lost, each loss by itself: whether the evidence agrees, since when, and what of it is
//! missing. Time that must pass is added up in `assess`.

use std::time::Duration;

use super::etcd_seen::{AlarmWord, DataDir, EtcdAnswer};
use super::evidence::{DoorAnswer, DoorKind, Evidence, Manifest};
use super::loss::Loss;
use super::memory::Memory;
use super::own::{LEASE, Own, is_silent, own};
use super::part::Part;
use super::policy::RecoveryPolicy;
use super::quorum::Quorum;
use crate::core::time::Moment;

/// What the evidence says of one loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It speaks against it: time starts again.
    No,
    /// It does not look so; the part's own memory says since when it is well.
    Well,
    /// Too little is known to say anything.
    Silent,
    /// It looks so.
    Looks(Looks),
}

/// Something that looks lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Looks {
    /// It has looked so since then, by what is remembered of its part.
    pub(super) since: Option<Moment>,
    /// It must have looked so for so long.
    pub(super) threshold: Duration,
    /// Not before then: something that runs is given its time.
    pub(super) not_before: Option<Moment>,
    /// What agrees, one sentence each.
    pub(super) evidence: Vec<String>,
    /// What is missing, one sentence each; then it is not confirmed.
    pub(super) missing: Vec<String>,
}

/// Everything that the verdicts look at.
pub(super) struct Case<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) memory: &'a Memory,
    pub(super) policy: &'a RecoveryPolicy,
    pub(super) quorum: &'a Quorum,
}

impl Case<'_> {
    pub(super) fn verdict(&self, loss: Loss) -> Verdict {
        match loss {
            Loss::ApiServers => self.api_servers(),
            Loss::Schedulers => self.leader(Part::Scheduler),
            Loss::ControllerManagers => self.leader(Part::ControllerManager),
            Loss::EtcdMember => self.member(),
            Loss::EtcdQuorum => self.etcd(),
            Loss::Everything => self.everything(),
        }
    }

    fn looks(&self, threshold: Duration) -> Looks {
        let mut missing = Vec::new();
        if let Some(unseen) = self.evidence.containers.unseen() {
            missing.push(format!("containerd is not known: {}", unseen.detail));
        }
        if let Some(unseen) = self.evidence.manifests.unseen() {
            let why = &unseen.detail;
            missing.push(format!("the static pod directory is not known: {why}"));
        }
        if let Some(unseen) = self.evidence.operations.unseen() {
            let why = &unseen.detail;
            missing.push(format!(
                "whether an operation is under way is not known: {why}"
            ));
        }
        Looks {
            since: None,
            threshold,
            not_before: None,
            evidence: Vec::new(),
            missing,
        }
    }

    fn own(&self, part: Part) -> Own {
        own(part, self.evidence, self.memory, self.policy.wedged_after)
    }

    /// No API server answers at any door.
    fn doors(&self, looks: &mut Looks) -> Verdict {
        let evidence = self.evidence;
        if evidence.api_is_alive() {
            return Verdict::No;
        }
        if evidence.doors.iter().all(|door| !door.answer.is_silent()) {
            return Verdict::Silent;
        }
        let alone = self.policy.other_masters.is_empty();
        for door in &evidence.doors {
            let (url, detail) = (&door.url, &door.detail);
            match door.answer {
                DoorAnswer::Unreadable => {
                    looks
                        .missing
                        .push(format!("{url} answers, and not as an API server: {detail}"));
                }
                DoorAnswer::NotAsked if door.kind == DoorKind::Loopback => {
                    looks
                        .missing
                        .push(format!("this node's API server was not asked: {detail}"));
                }
                // Whoever else there is could only be asked there.
                DoorAnswer::NotAsked if !alone => {
                    looks
                        .missing
                        .push(format!("other API servers could not be asked: {detail}"));
                }
                DoorAnswer::NotAsked => {}
                // Several kubeconfigs may point to one place.
                _ => {
                    let seen = format!("{url}: {}", door_words(door.answer));
                    if !looks.evidence.contains(&seen) {
                        looks.evidence.push(seen);
                    }
                }
            }
        }
        if evidence.own_door().is_none() {
            looks
                .missing
                .push("this node's API server was not asked".to_owned());
        }
        Verdict::Looks(looks.clone())
    }

    fn api_servers(&self) -> Verdict {
        match self.quorum {
            Quorum::Has | Quorum::Unknown(_) => {}
            // Then no API server could serve: that is the loss.
            _ => return Verdict::No,
        }
        let mut looks = self.looks(self.policy.lost_after);
        match self.doors(&mut looks) {
            Verdict::Looks(found) => looks = found,
            other => return other,
        }
        if let Quorum::Unknown(why) = self.quorum {
            looks
                .missing
                .push(format!("whether etcd has a quorum is not known: {why}"));
        } else {
            looks.evidence.push("etcd has a quorum".to_owned());
        }
        // Who renews a lease does it through an API server, wherever that is.
        for (part, lease) in self.evidence.leases.known().into_iter().flatten() {
            if lease.renewed && self.evidence.at.since(lease.changed) < LEASE {
                looks.missing.push(format!(
                    "{} renewed the lease of {part} a moment ago: an API server serves somewhere",
                    lease.holder
                ));
            }
        }
        self.seen_here(Part::ApiServer, &mut looks);
        Verdict::Looks(looks)
    }

    /// Adds what this node's own containers say.
    fn seen_here(&self, part: Part, looks: &mut Looks) {
        let own = self.own(part);
        looks.since = own.since;
        looks.not_before = own.until;
        if let Some(said) = own.said {
            looks.evidence.push(said);
        }
    }

    fn etcd(&self) -> Verdict {
        let said = match self.quorum {
            Quorum::Gone(said) | Quorum::Wedged(said) => said,
            Quorum::Unknown(_) => return Verdict::Silent,
            Quorum::Has => return self.emptied(),
            Quorum::CutOff(_) | Quorum::Leaderless(_) => return Verdict::No,
        };
        let mut looks = self.looks(self.policy.lost_after);
        looks.evidence.clone_from(said);
        if is_silent(Part::Etcd, self.evidence) {
            self.seen_here(Part::Etcd, &mut looks);
        }
        if matches!(self.quorum, Quorum::Wedged(_)) {
            looks.threshold = looks.threshold.max(self.policy.wedged_after);
        }
        Verdict::Looks(looks)
    }

    /// An etcd that was started on an emptied directory serves, and the cluster is gone.
    fn emptied(&self) -> Verdict {
        let now = self.evidence.etcd.identity.known();
        let (Some(before), Some(now)) = (&self.memory.identity, now) else {
            return Verdict::No;
        };
        if now.authority != before.authority || now.cluster == before.cluster {
            return Verdict::No;
        }
        let mut looks = self.looks(self.policy.lost_after);
        looks.evidence.push(
            "etcd serves, and not the data it had: the namespace kube-system is gone or another \
             one"
            .to_owned(),
        );
        Verdict::Looks(looks)
    }

    fn everything(&self) -> Verdict {
        if *self.quorum == Quorum::Has {
            return Verdict::No;
        }
        let Verdict::Looks(etcd) = self.etcd() else {
            return Verdict::No;
        };
        let mut looks = self.looks(self.policy.lost_after);
        match self.doors(&mut looks) {
            Verdict::Looks(found) => looks = found,
            other => return other,
        }
        let missing = etcd.missing.into_iter();
        let missing: Vec<String> = missing.filter(|it| !looks.missing.contains(it)).collect();
        looks.missing.extend(missing);
        looks.evidence.extend(etcd.evidence);
        looks.since = etcd.since;
        looks.not_before = etcd.not_before;
        looks.threshold = etcd.threshold;
        Verdict::Looks(looks)
    }

    /// This node's member, while the others have a quorum.
    fn member(&self) -> Verdict {
        if *self.quorum != Quorum::Has {
            return Verdict::No;
        }
        let etcd = &self.evidence.etcd;
        let Some(members) = etcd.members.known() else {
            return Verdict::Silent;
        };
        let Some(own) = members.all.iter().find(|member| member.own) else {
            return Verdict::No;
        };
        let mut looks = self.looks(self.policy.member_lost_after);
        let corrupt = etcd.statuses().any(|(_, status)| {
            let mut alarms = status.alarms.iter();
            alarms.any(|it| it.kind == AlarmWord::Corrupt && it.member_id == own.id)
        });
        if corrupt {
            let said = "etcd's alarm CORRUPT: the data of this node's member differs";
            looks.evidence.push(said.to_owned());
            return Verdict::Looks(looks);
        }
        let answers = etcd
            .statuses()
            .any(|(_, status)| status.member_id == own.id);
        if answers {
            return Verdict::No;
        }
        // Its address says something, and it is not known what.
        let unclear = |answer: &EtcdAnswer| match answer {
            EtcdAnswer::Status(_) => false,
            EtcdAnswer::Not(answer) => !answer.is_silent(),
        };
        if etcd
            .endpoints
            .iter()
            .any(|door| door.own && unclear(&door.answer))
        {
            return Verdict::Silent;
        }
        looks
            .evidence
            .push("the other members of etcd have a quorum".to_owned());
        match etcd.here.data.known() {
            Some(DataDir::Absent | DataDir::Empty) => {
                let dir = etcd.here.data_dir.display();
                looks.evidence.push(format!("{dir} holds no data of etcd"));
            }
            Some(DataDir::Damaged(what)) => {
                looks
                    .evidence
                    .push(format!("etcd's data is damaged: {what}"));
            }
            Some(DataDir::Present { .. }) | None => {}
        }
        self.seen_here(Part::Etcd, &mut looks);
        Verdict::Looks(looks)
    }

    /// Scheduler or controller manager: nobody leads.
    fn leader(&self, part: Part) -> Verdict {
        let evidence = self.evidence;
        if !evidence.api_serves() || !is_expected(part, evidence, self.memory) {
            return Verdict::No;
        }
        // They have the same certificates' age, and the same address to ask: that is the cause.
        let distrusted = evidence.doors.iter().any(|door| {
            door.kind != DoorKind::Loopback
                && matches!(door.answer, DoorAnswer::Untrusted(_) | DoorAnswer::Denied)
        });
        if distrusted {
            return Verdict::No;
        }
        let mut looks = self.looks(self.policy.lost_after);
        if !is_silent(part, evidence) {
            return Verdict::Well;
        }
        match evidence.leases.known() {
            Some(leases) => looks.evidence.push(match leases.get(&part) {
                Some(lease) if lease.holder.is_empty() => {
                    format!("the lease of {part} was given back and nobody took it")
                }
                Some(lease) => format!("{} does not renew the lease of {part}", lease.holder),
                None => format!("nobody ever held the lease of {part}"),
            }),
            None if !self.policy.other_masters.is_empty() => return Verdict::Silent,
            None if evidence.manifest(part) == Some(&Manifest::Present)
                || evidence.checkpoint_acts(part).is_some() =>
            {
                return Verdict::No;
            }
            None => looks
                .evidence
                .push("nothing on this node asks for it".to_owned()),
        }
        self.seen_here(part, &mut looks);
        // Whoever could not renew it while no API server served is not to blame for that.
        looks.since = looks.since.max(self.memory.api_serves);
        looks.threshold = looks.threshold.max(LEASE);
        Verdict::Looks(looks)
    }
}

/// This cluster has such a part at all.
pub(super) fn is_expected(part: Part, evidence: &Evidence, memory: &Memory) -> bool {
    let leases = evidence.leases.known();
    leases.is_some_and(|leases| leases.contains_key(&part))
        || matches!(
            evidence.manifest(part),
            Some(Manifest::Present | Manifest::Broken(_))
        )
        || evidence.checkpoints_of(part).next().is_some()
        || memory.seen.contains(&part)
}

pub(super) fn door_words(answer: DoorAnswer) -> &'static str {
    match answer {
        DoorAnswer::Serving => "it serves",
        DoorAnswer::NotReady => "it answers, and is not ready",
        DoorAnswer::Denied => "it lives, and does not accept our credentials",
        DoorAnswer::Untrusted(_) => "it lives, and its certificate is not believed",
        DoorAnswer::Refused => "nobody listens there",
        DoorAnswer::Unreachable => "there is no way there",
        DoorAnswer::TimedOut => "no answer in time",
        DoorAnswer::Unreadable => "its answer cannot be used",
        DoorAnswer::NotAsked => "it was not asked",
    }
}
