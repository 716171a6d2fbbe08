//! Which guarded files are put back, and why the others are not.
//!
//! Without asking: only a file by which the control plane is confirmed lost. Everything that looks
//! like somebody's intent is respected: an operation, a hold, a `kubeadm` at work, an API server that
//! serves elsewhere, a host that was cleared of what the file needs, and every file gone at once
//! while the kubelet does not answer, as `kubeadm reset` leaves a node. An operator may have any
//! wrong file put back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::learn::{FileReport, Wrong};
use crate::core::reading::Reading;
use crate::core::recovery::loss::{Assessment, Loss, Trouble};
use crate::core::recovery::part::Part;
use crate::core::time::Moment;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// The daemon, by itself.
    Automatic,
    /// An operator: `rekindle recovery-mode enter --from static-pods`.
    Operator,
}

/// What the decision knows besides the files.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// Who asks.
    pub asker: Asker,
    /// How the control plane stands.
    pub assessment: &'a Assessment,
    /// Why nothing is begun now: an operation, a hold, or that neither is known.
    pub held: Option<&'a str>,
    /// The kubelet answers.
    pub kubelet: &'a Reading<()>,
    /// A process `kubeadm` is at work on this node.
    pub kubeadm: &'a Reading<bool>,
}

/// A file that is to be put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// Its name in the static pod directory.
    pub file: String,
    /// The copy.
    pub digest: String,
    /// SHA-256 of the pod that it replaces; `None`: nothing that is a pod.
    pub instead_of: Option<String>,
    /// Why, one sentence.
    pub why: String,
}

/// What is put back, and what is not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restores {
    /// In the order in which their parts are needed.
    pub files: Vec<Restore>,
    /// Wrong files that are left alone, with who deals with them.
    pub troubles: Vec<Trouble>,
    /// Why no more is put back, one sentence each.
    pub blockers: Vec<String>,
    /// Lost parts whose file somebody may be at work on: until that is known, no way after this one
    /// is taken without asking. Why, one sentence.
    pub waits: BTreeMap<Part, String>,
}

/// Decides on every file that is wrong. Total.
#[must_use]
pub fn restores(files: &[FileReport], situation: &Situation<'_>) -> Restores {
    let mut found = Restores::default();
    let mut wrong: Vec<(&FileReport, Wrong)> = files
        .iter()
        .filter_map(|file| Some((file, file.wrong?)))
        .collect();
    wrong.sort_by_key(|(file, _)| (file.part, &file.file));
    let all = everything_gone(files);
    let whole: Option<String> = node_wide(situation, all);
    let by_itself = situation.asker == Asker::Automatic;
    for file in files.iter().filter(|file| file.judged.is_some()) {
        if let (Some(part), Some(_), true) = (file.part, &file.copy, by_itself)
            && file.lacks.is_empty()
            && explained(file.part, situation.assessment).is_some()
        {
            let said = format!(
                "{} was changed, and is given recovery.wedged_after_seconds to serve before the \
                 last known good copy is put back",
                file.file
            );
            found.waits.insert(part, said.clone());
            found.blockers.push(said);
        }
    }
    for (file, wrong) in wrong {
        let name = &file.file;
        let explained = explained(file.part, situation.assessment);
        let because = match (situation.asker, explained) {
            (Asker::Operator, _) => "an operator asks for it".to_owned(),
            (Asker::Automatic, Some(loss)) => format!("{} are lost by it", words(loss)),
            (Asker::Automatic, None) => {
                found.troubles.push(trouble(
                    file,
                    wrong,
                    "an operator: the control plane is not lost by it, so it may be meant",
                ));
                continue;
            }
        };
        let own = match &file.copy {
            None => Some("no good copy of it is whole on the disk".to_owned()),
            Some(_) if !file.lacks.is_empty() => Some(format!(
                "what it needs on this node is gone as well: {}",
                file.lacks.join(", ")
            )),
            Some(_) => None,
        };
        let is_whole = own.is_none();
        match (&file.copy, own.or_else(|| whole.clone())) {
            (Some(digest), None) => found.files.push(Restore {
                file: name.clone(),
                digest: digest.clone(),
                instead_of: file.present.clone(),
                why: format!("{name} {}, and {because}", wrong.words()),
            }),
            (_, why) => {
                let why = why.unwrap_or_default();
                let said = format!("{name} is not put back: {why}");
                if let (Some(part), true, true) = (file.part, by_itself, is_whole) {
                    found.waits.insert(part, said.clone());
                }
                found.blockers.push(said);
                let handler = format!(
                    "an operator: {why}; `rekindle recovery-mode enter --from static-pods` puts \
                     it back"
                );
                found.troubles.push(trouble(file, wrong, &handler));
            }
        }
    }
    found.blockers.sort();
    found.blockers.dedup();
    found
}

/// What keeps every file from being put back.
fn node_wide(situation: &Situation<'_>, all_gone: bool) -> Option<String> {
    if let Some(why) = situation.held {
        return Some(why.to_owned());
    }
    // What an operator asks for is not second-guessed, only what nobody could mean.
    if situation.asker == Asker::Operator {
        return None;
    }
    match situation.kubeadm {
        Reading::Known(false) => {}
        Reading::Known(true) => return Some("`kubeadm` is at work on this node".to_owned()),
        Reading::Unknown(unseen) => {
            return Some(format!(
                "whether `kubeadm` is at work is not known ({})",
                unseen.detail
            ));
        }
    }
    match situation.kubelet {
        Reading::Unknown(unseen) if all_gone => Some(format!(
            "all of them are gone and the kubelet does not answer ({}), as after `kubeadm reset`",
            unseen.detail
        )),
        Reading::Unknown(_) | Reading::Known(()) => None,
    }
}

/// Every file of which there is a good copy is gone, and there is more than one.
fn everything_gone(files: &[FileReport]) -> bool {
    let mut good = files.iter().filter(|file| file.copy.is_some()).peekable();
    let count = good.clone().count();
    count > 1 && good.all(|file| file.wrong == Some(Wrong::Gone))
}

/// The confirmed loss that a wrong file of this part explains.
fn explained(part: Option<Part>, assessment: &Assessment) -> Option<Loss> {
    let part = part?;
    let explains = |loss: Loss| match loss {
        Loss::ApiServers => part == Part::ApiServer,
        Loss::Schedulers => part == Part::Scheduler,
        Loss::ControllerManagers => part == Part::ControllerManager,
        // The others have a quorum: the control plane is not lost by it.
        Loss::EtcdMember => false,
        Loss::EtcdQuorum => part == Part::Etcd,
        Loss::Everything => matches!(part, Part::Etcd | Part::ApiServer),
    };
    let confirmed = assessment.losses.iter().filter(|seen| seen.confirmed);
    confirmed.map(|seen| seen.loss).find(|loss| explains(*loss))
}

fn words(loss: Loss) -> &'static str {
    match loss {
        Loss::ApiServers => "all API servers",
        Loss::Schedulers => "all schedulers",
        Loss::ControllerManagers => "all controller managers",
        Loss::EtcdMember => "this etcd member's data",
        Loss::EtcdQuorum => "etcd and its quorum",
        Loss::Everything => "etcd and all API servers",
    }
}

fn trouble(file: &FileReport, wrong: Wrong, handler: &str) -> Trouble {
    Trouble {
        part: file.part.unwrap_or(Part::ApiServer),
        what: format!("the static manifest {} {}", file.file, wrong.words()),
        since: file.since.unwrap_or(Moment(0)),
        handler: handler.to_owned(),
    }
}
