//! From facts to steps.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::facts::{Answer, EtcdOwner, Facts, Kubelet, Place, Unit};
use crate::core::reading::Reading;

/// What the operator asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// Why a control plane that serves is taken down all the same.
    pub force_reason: Option<String>,
    /// The operator's word that no kubelet runs, where no unit can be asked.
    pub kubelet_stopped: bool,
    /// The kubelet is started again.
    pub restart_kubelet: bool,
    /// etcd's data stays where it is.
    pub keep_etcd: bool,
    /// An earlier run of the same clean-up was cut off: what served then was asked then.
    pub resumed: bool,
}

/// Where things are and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Where quarantines are kept.
    pub quarantine_dir: PathBuf,
    /// Our own memory, which stays.
    pub state_dir: PathBuf,
    /// The backups, which stay.
    pub backup_dir: PathBuf,
}

/// One thing to do, in the order of the variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// Archive the logs of containers.
    ArchiveLogs,
    /// Stop the kubelet and see that it is stopped.
    StopKubelet,
    /// Stop and remove containers and sandboxes.
    RemoveContainers,
    /// Unmount what is mounted below the pods.
    Unmount,
    /// Move the static pods.
    MoveManifests,
    /// Move the pods' directories.
    MovePods,
    /// Copy etcd's database out and verify it.
    CopyDatabase,
    /// Move etcd's data.
    MoveEtcd,
    /// Start the kubelet.
    StartKubelet,
}

/// A step with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What kind.
    pub kind: StepKind,
    /// What is done, one sentence.
    pub what: String,
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What is in the way.
    pub why: String,
    /// What to do about it.
    pub hint: String,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Plan {
    /// In their order; empty: nothing is left to clean up.
    pub steps: Vec<Step>,
    /// Nothing is done while there is one.
    pub refused: Vec<Refusal>,
    /// What is left as it is, and why, one sentence each.
    pub left: Vec<String>,
}

/// Plans. Total: every combination of facts has a plan.
#[must_use]
pub fn plan(facts: &Facts, asked: &Asked, layout: &Layout) -> Plan {
    let mut plan = Plan::default();
    plan.serving(facts, asked);
    plan.kubelet(&facts.kubelet, asked);
    plan.containers(facts);
    for (kind, place, name) in [
        (StepKind::MoveManifests, &facts.manifests, "static pods"),
        (StepKind::MovePods, &facts.pods, "directories of pods"),
    ] {
        plan.place(kind, place, name, layout);
    }
    plan.etcd(facts, asked, layout);
    let logs = facts.logs > 0 && !facts.logs_archived;
    if logs && !plan.steps.is_empty() {
        plan.step(
            StepKind::ArchiveLogs,
            format!(
                "archive the logs of containers ({} files) as logs.tar.zst",
                facts.logs
            ),
        );
    }
    if asked.restart_kubelet {
        plan.restart(&facts.kubelet);
    }
    plan.steps.sort_by_key(|step| step.kind);
    plan
}

impl Plan {
    fn step(&mut self, kind: StepKind, what: String) {
        self.steps.push(Step { kind, what });
    }

    fn refuse(&mut self, why: String, hint: impl Into<String>) {
        let hint = hint.into();
        self.refused.push(Refusal { why, hint });
    }

    fn serving(&mut self, facts: &Facts, asked: &Asked) {
        if asked.resumed || asked.force_reason.is_some() {
            return;
        }
        for served in &facts.control_plane {
            let why = match &served.answer {
                Answer::Healthy => format!("{} is healthy", served.who),
                Answer::Lives(how) => format!("{} lives, and may be healthy: {how}", served.who),
                Answer::Silent(_) => continue,
            };
            self.refuse(
                why,
                "a control plane that serves is not cleaned away; where it must be, say why with \
                 --force-reason TEXT, which is recorded",
            );
        }
    }

    fn kubelet(&mut self, kubelet: &Kubelet, asked: &Asked) {
        let unit = &kubelet.unit_name;
        let runs = !kubelet.ports.is_empty() || !kubelet.processes.is_empty();
        match &kubelet.unit {
            Unit::Unknown(why) => self.refuse(
                format!("whether {unit} runs is not known: {why}"),
                "see `systemctl status`; systemd is asked over its D-Bus socket",
            ),
            up @ Unit::Known(_) if up.is_up() => {
                self.step(StepKind::StopKubelet, format!("stop {unit}"));
            }
            Unit::Known(_) | Unit::NoSystemd | Unit::Missing if !runs => {}
            Unit::Known(_) | Unit::NoSystemd | Unit::Missing => {
                let ports = kubelet.ports.join(", ");
                if !kubelet.ports.is_empty() {
                    self.refuse(
                        format!("a kubelet that is not {unit} answers ({ports})"),
                        "stop it; kubelet.unit of the configuration names its unit",
                    );
                } else if !asked.kubelet_stopped {
                    let pids: Vec<String> = kubelet.processes.iter().map(u32::to_string).collect();
                    self.refuse(
                        format!(
                            "a process named kubelet runs that is not {unit}: {}",
                            pids.join(", ")
                        ),
                        "stop it, or say --kubelet-stopped if it is no kubelet of this node",
                    );
                }
            }
        }
    }

    fn containers(&mut self, facts: &Facts) {
        match &facts.containers {
            Reading::Unknown(unseen) => self.refuse(
                format!("what containerd runs is not known: {}", unseen.detail),
                "start containerd, or set containerd.socket: its containers outlive it",
            ),
            Reading::Known(seen) => {
                if !seen.none() {
                    let pods = seen.pods.join(", ");
                    self.step(
                        StepKind::RemoveContainers,
                        format!(
                            "stop and remove {} containers and sandboxes of Kubernetes and {} of \
                             our own engine; images stay ({pods})",
                            seen.kubernetes, seen.ours
                        ),
                    );
                }
                if seen.foreign > 0 {
                    self.left.push(format!(
                        "{} containers that are not Kubernetes' are left alone",
                        seen.foreign
                    ));
                }
            }
        }
        match &facts.mounts {
            Reading::Unknown(unseen) => self.refuse(
                format!("what is mounted is not known: {}", unseen.detail),
                "run it as root on the node itself",
            ),
            Reading::Known(mounts) if mounts.is_empty() => {}
            Reading::Known(mounts) => self.step(
                StepKind::Unmount,
                format!("unmount {} file systems of pods", mounts.len()),
            ),
        }
    }

    /// `true` where something is to be moved.
    fn place(&mut self, kind: StepKind, place: &Place, name: &str, layout: &Layout) -> bool {
        let path = place.path.display();
        if let Some(why) = &place.unreadable {
            self.refuse(
                format!("{path} cannot be read: {why}"),
                "run it as root; nothing is moved that cannot be seen",
            );
            return false;
        }
        for (entry, why) in &place.stuck {
            self.refuse(
                format!("{path}/{entry} cannot be moved: {why}"),
                "see to it by hand, then run it again",
            );
        }
        for kept in [
            &layout.quarantine_dir,
            &layout.state_dir,
            &layout.backup_dir,
        ] {
            if overlap(kept, &place.path) {
                self.refuse(
                    format!("{} and {path} lie in one another", kept.display()),
                    "what is kept must lie elsewhere: paths.quarantine_dir, paths.state_dir and \
                     backup.directory of the configuration",
                );
            }
        }
        if place.entries.is_empty() {
            return false;
        }
        let count = place.entries.len();
        self.step(
            kind,
            format!("move {count} {name} of {path} to the quarantine"),
        );
        true
    }

    fn etcd(&mut self, facts: &Facts, asked: &Asked, layout: &Layout) {
        let place = &facts.etcd;
        let path = place.path.display();
        if place.entries.is_empty() && place.stuck.is_empty() && place.unreadable.is_none() {
            return;
        }
        let left = match &facts.etcd_owner {
            _ if asked.keep_etcd => Some("--keep-etcd".to_owned()),
            EtcdOwner::Unit(unit) => Some(format!("{unit} is its etcd's, not Kubernetes'")),
            EtcdOwner::Process => {
                Some("a process that is no container of Kubernetes' has it open".to_owned())
            }
            EtcdOwner::Unknown(why) => {
                self.refuse(
                    format!("whose the data of {path} is, is not known: {why}"),
                    "see `systemctl status`, or say --keep-etcd",
                );
                return;
            }
            EtcdOwner::Pod => None,
        };
        if let Some(why) = left {
            self.left
                .push(format!("etcd's data in {path} stays: {why}"));
            return;
        }
        if !self.place(StepKind::MoveEtcd, place, "entries of etcd's data", layout) {
            return;
        }
        match &facts.database {
            Some(database) if !facts.database_copied => self.step(
                StepKind::CopyDatabase,
                format!("copy {} out as backup.db and verify it", database.display()),
            ),
            Some(_) => {}
            None => self
                .left
                .push(format!("{path} holds no database: there is no backup.db")),
        }
    }

    fn restart(&mut self, kubelet: &Kubelet) {
        let unit = &kubelet.unit_name;
        let stops = self
            .steps
            .iter()
            .any(|step| step.kind == StepKind::StopKubelet);
        match &kubelet.unit {
            Unit::Known(_) if stops || !kubelet.unit.is_up() => {
                self.step(StepKind::StartKubelet, format!("start {unit}"));
            }
            Unit::Known(_) => {}
            Unit::NoSystemd | Unit::Missing | Unit::Unknown(_) => self.refuse(
                format!("--restart-kubelet: systemd has no {unit}"),
                "start the kubelet by hand afterwards",
            ),
        }
    }
}

/// One of the two paths is the other or lies below it.
fn overlap(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}
