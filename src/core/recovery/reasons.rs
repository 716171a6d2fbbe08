//! What does not work and is no loss, or not yet: named, with who deals with it.

use super::claims::{Case, door_words};
use super::etcd_seen::EtcdHost;
use super::evidence::{Distrust, Door, DoorAnswer, DoorKind, Evidence, Manifest, Run};
use super::loss::{Assessment, Trouble};
use super::memory::Memory;
use super::own::{is_silent, own};
use super::part::Part;
use super::policy::RecoveryPolicy;
use super::quorum::Quorum;

/// Kinds of trouble, to tell since when there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// No container of it runs here.
    Gone,
    /// It runs here and does not answer.
    Mute,
    /// It answers, not ready.
    NotReady,
    /// A certificate is not believed.
    Untrusted,
    /// Our credentials are not accepted.
    Denied,
    /// The kubeconfig cannot be used.
    Kubeconfig,
    /// The kubeconfig's address does not answer, another door does.
    Elsewhere,
    /// Its static manifest is broken or gone.
    Manifest,
    /// Nobody renews its lease.
    Leaderless,
    /// This node is cut off, or the quorum is lost.
    CutOff,
    /// etcd is slow.
    Slow,
    /// etcd elects again and again.
    Elections,
    /// An alarm of etcd.
    Alarm,
    /// Members of etcd do not answer.
    Members,
    /// This node's member is behind, or does not vote.
    Behind,
    /// etcd's data directory.
    Data,
}

const OPERATOR: &str = "an operator";

/// What is collected.
pub(super) struct Found<'a> {
    pub(super) case: Case<'a>,
    all: Vec<(Part, Kind, String, String)>,
}

/// Adds every trouble to `found`.
pub(super) fn troubles(
    evidence: &Evidence,
    memory: &mut Memory,
    policy: &RecoveryPolicy,
    quorum: &Quorum,
    found: &mut Assessment,
) {
    let case = Case {
        evidence,
        memory: &*memory,
        policy,
        quorum,
    };
    let mut collected = Found {
        case,
        all: Vec::new(),
    };
    for part in Part::ALL {
        collected.here(part);
        collected.manifest(part);
    }
    collected.api();
    collected.etcd();
    collected.data();
    let all = collected.all;
    let at = evidence.at;
    memory
        .troubles
        .retain(|key, _| all.iter().any(|(part, kind, ..)| (*part, *kind) == *key));
    for (part, kind, what, handler) in all {
        let since = *memory.troubles.entry((part, kind)).or_insert(at);
        found.troubles.push(Trouble {
            part,
            what,
            since,
            handler,
        });
    }
}

impl Found<'_> {
    pub(super) fn add(&mut self, part: Part, kind: Kind, what: String) {
        let handler = self.handler(part);
        self.all.push((part, kind, what, handler));
    }

    pub(super) fn for_operator(&mut self, part: Part, kind: Kind, what: String, how: &str) {
        self.all
            .push((part, kind, what, format!("{OPERATOR}: {how}")));
    }

    /// Who deals with a part that does not run or answer.
    fn handler(&self, part: Part) -> String {
        let evidence = self.case.evidence;
        let operations = evidence.operations.known();
        if let Some(first) = operations.and_then(|it| it.seen.first()) {
            return format!("`rekindle {}`", first.kind.word());
        }
        if let Some(seen) = evidence.checkpoint_acts(part) {
            return format!("the loop of checkpoints: {}", seen.reason);
        }
        if let Some(EtcdHost::Unit { name, .. }) = evidence.etcd.here.host.known()
            && part == Part::Etcd
        {
            return format!("systemd, by its unit {name}");
        }
        if let Some(seen) = evidence.checkpoints_of(part).find(|seen| seen.good) {
            return format!("the kubelet, then the loop of checkpoints: {}", seen.reason);
        }
        match evidence.manifest(part) {
            Some(Manifest::Present) => "the kubelet, by its static manifest".to_owned(),
            Some(Manifest::Broken(_)) => {
                "recovery mode, once the control plane is lost by it; before, an operator"
                    .to_owned()
            }
            Some(Manifest::Absent) => "the kubelet, by its pod of the API server".to_owned(),
            None => "the kubelet".to_owned(),
        }
    }

    fn here(&mut self, part: Part) {
        let case = &self.case;
        let evidence = case.evidence;
        let Some(here) = evidence.here(part) else {
            return;
        };
        let runs = evidence.running(part).next().is_some();
        let asked = matches!(
            evidence.manifest(part),
            Some(Manifest::Present | Manifest::Broken(_))
        ) || evidence.checkpoints_of(part).next().is_some()
            || case.memory.seen.contains(&part);
        let provisioned = part == Part::Etcd
            && (super::own::etcd_in_use(evidence)
                || matches!(
                    evidence.etcd.here.host.known(),
                    Some(EtcdHost::Unit { state, .. }) if state == "active"
                ));
        let leaves = matches!(part, Part::ControllerManager | Part::Scheduler);
        if !runs && !provisioned {
            // Scheduler and controller manager need not run on every master.
            if !asked || (leaves && !is_silent(part, evidence)) {
                return;
            }
            let starting = here.iter().any(|it| it.run == Run::Starting);
            let why = here.iter().find_map(|it| match &it.run {
                Run::Ended(why) if !why.is_empty() => Some(why.clone()),
                _ => None,
            });
            let mut what = own(part, evidence, case.memory, case.policy.wedged_after)
                .said
                .filter(|said| said.contains("again and again"))
                .unwrap_or_else(|| {
                    let word = if starting {
                        "is being started"
                    } else {
                        "does not run"
                    };
                    format!("{part} {word} here")
                });
            if let Some(why) = why {
                what = format!("{what} ({why})");
            }
            self.add(part, Kind::Gone, what);
        } else if leaves {
            self.leader(part);
        } else if is_silent(part, evidence) {
            let said = own(part, evidence, case.memory, case.policy.wedged_after).said;
            let what = said.unwrap_or_else(|| format!("{part} runs here and does not answer"));
            self.add(part, Kind::Mute, what);
        }
    }

    fn leader(&mut self, part: Part) {
        let evidence = self.case.evidence;
        let leases = evidence.leases.known();
        if evidence.api_serves() && leases.is_some() && is_silent(part, evidence) {
            let what = format!("{part} runs here, and nobody renews its lease");
            self.add(part, Kind::Leaderless, what);
        }
    }

    fn manifest(&mut self, part: Part) {
        let evidence = self.case.evidence;
        match evidence.manifest(part) {
            Some(Manifest::Broken(why)) => {
                let what = format!("the static manifest of {part} is broken: {why}");
                let how = "put it right; once the control plane is lost by it, recovery mode puts \
                           the last good one back";
                self.for_operator(part, Kind::Manifest, what, how);
            }
            Some(Manifest::Absent) if part != Part::Etcd => {
                let others = Part::ALL.into_iter().filter(|other| *other != part);
                let static_pods = others
                    .filter(|other| evidence.manifest(*other) == Some(&Manifest::Present))
                    .count();
                // A cluster of static pods, with one of them missing and no checkpoint in its place.
                if static_pods >= 2 && evidence.checkpoints_of(part).next().is_none() {
                    let what = format!("the static manifest of {part} is gone");
                    let how = "put it back, or leave it; once the control plane is lost by it, \
                               recovery mode puts the last good one back";
                    self.for_operator(part, Kind::Manifest, what, how);
                }
            }
            _ => {}
        }
    }

    fn api(&mut self) {
        let evidence = self.case.evidence;
        let part = Part::ApiServer;
        let alive = evidence.api_is_alive();
        for door in &evidence.doors {
            let Door { url, detail, .. } = door;
            let words = door_words(door.answer);
            match door.answer {
                DoorAnswer::Untrusted(why) => {
                    let (what, how) = distrust(why);
                    let what = format!("the API server at {url} lives, and {what}: {detail}");
                    self.for_operator(part, Kind::Untrusted, what, how);
                }
                DoorAnswer::NotReady => {
                    let what =
                        format!("the API server at {url} answers and is not ready: {detail}");
                    self.add(part, Kind::NotReady, what);
                }
                // Anonymous questions may be forbidden; of credentials it is a fault.
                DoorAnswer::Denied if door.kind != DoorKind::Loopback => {
                    let what = format!(
                        "the API server at {url} does not accept our credentials: {detail}"
                    );
                    let how = "see whether the client certificate of that kubeconfig has expired: \
                               `kubeadm certs check-expiration`";
                    self.for_operator(part, Kind::Denied, what, how);
                }
                DoorAnswer::NotAsked if door.kind == DoorKind::Kubeconfig && alive => {
                    let what = format!("the kubeconfig cannot be used: {detail}");
                    let how = "apiserver.kubeconfig names it";
                    self.for_operator(part, Kind::Kubeconfig, what, how);
                }
                _ if door.kind == DoorKind::Kubeconfig
                    && alive
                    && (door.answer.is_silent() || door.answer == DoorAnswer::Unreadable) =>
                {
                    let what = format!(
                        "an API server lives, and not where the kubeconfig points: {url}: {words}"
                    );
                    let how = "see to the kubeconfig's server, or the balancer in front of it";
                    self.for_operator(part, Kind::Elsewhere, what, how);
                }
                _ => {}
            }
        }
    }
}

fn distrust(why: Distrust) -> (&'static str, &'static str) {
    match why {
        Distrust::Expired => (
            "its certificate has expired or is not valid yet",
            "renew it (`kubeadm certs renew all`), or see to this machine's clock",
        ),
        Distrust::WrongName => (
            "its certificate is for another name",
            "the kubeconfig's server must be one of the certificate's names",
        ),
        Distrust::WrongAuthority => (
            "its certificate is of an authority that the kubeconfig does not know",
            "the kubeconfig is of another cluster, or its authority is out of date",
        ),
        Distrust::Other => (
            "the connection's certificates are not believed",
            "see to the certificates of the kubeconfig and of the API server",
        ),
    }
}
