//! Which content of a guarded file is good, and how each file stands.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::memory::{Candidate, CopyFacts, Good, GuardMemory, Kept, OLDER};
use super::seen::{FileSeen, GuardSeen, PodFile};
use crate::core::id::PodRef;
use crate::core::observed::RuntimeView;
use crate::core::reading::Reading;
use crate::core::recovery::part::Part;
use crate::core::time::Moment;

/// A pod that was made of an earlier content is gone so long after the change: what still serves
/// then was not stopped by the change. Longer than a static pod's usual grace period of 30 s.
const SWAP: Duration = Duration::from_secs(120);

/// How files are learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardPolicy {
    /// A content must have stood, and its pod served, for so long before it is good.
    pub ready: Duration,
    /// A changed file whose pod has not served for so long since is wrong.
    pub wedged_after: Duration,
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wrong {
    /// It is not there.
    Gone,
    /// It has no content.
    Empty,
    /// It is no YAML, or no pod.
    Broken,
    /// It was changed, and no pod has served since.
    Wedged,
}

impl Wrong {
    /// In words, after the file's name.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Gone => "is gone",
            Self::Empty => "is empty",
            Self::Broken => "is no pod any more",
            Self::Wedged => "was changed, and its pod has not served since",
        }
    }
}

/// How a guarded file stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Its name in the static pod directory.
    pub file: String,
    /// The part of the control plane that it is.
    pub part: Option<Part>,
    /// How it stands, one sentence.
    pub what: String,
    /// What is wrong with it.
    pub wrong: Option<Wrong>,
    /// Since when.
    pub since: Option<Moment>,
    /// It was changed and has not served yet: given until then.
    #[serde(default)]
    pub judged: Option<Moment>,
    /// SHA-256 of the pod that stands there; `None` where there is none.
    pub present: Option<String>,
    /// The copy that would be put back: the newest good one that is whole.
    pub copy: Option<String>,
    /// When that one was proven.
    pub proven: Option<Timestamp>,
    /// What the copy needs on the host and is not there any more; filled in by whoever looks.
    #[serde(default)]
    pub lacks: Vec<String>,
}

/// What is to be done on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuardStep {
    /// Keep a copy of what stands there, if it is still this.
    Keep {
        /// The file.
        file: String,
        /// Its digest.
        digest: String,
    },
    /// Remove a copy that nobody needs.
    Drop {
        /// The file.
        file: String,
        /// The copy's digest.
        digest: String,
    },
}

/// What one look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardTurn {
    /// The memory to commit before the steps.
    pub next: GuardMemory,
    /// What to do.
    pub steps: Vec<GuardStep>,
    /// How each file stands.
    pub files: Vec<FileReport>,
    /// When to look again, where nothing happens before.
    pub wake_at: Option<Moment>,
    /// Pods whose probes matter now, with the file that they are of.
    pub probe: BTreeMap<PodRef, String>,
}

/// Looks at every guarded file. Total; changes nothing where something is unknown.
#[must_use]
pub fn turn(
    seen: &GuardSeen,
    memory: &GuardMemory,
    policy: &GuardPolicy,
    now: Moment,
    wall: Timestamp,
) -> GuardTurn {
    let mut turn = GuardTurn {
        next: memory.in_boot(&seen.boot_id, now),
        steps: Vec::new(),
        files: Vec::new(),
        wake_at: None,
        probe: BTreeMap::new(),
    };
    let none = BTreeMap::new();
    let copies = seen.copies.known().unwrap_or(&none);
    let Reading::Known(files) = &seen.files else {
        for (file, kept) in &turn.next.files {
            let what = "the static pod directory cannot be read: not known".to_owned();
            turn.files.push(report(file, kept, copies.get(file), what));
        }
        return turn;
    };
    for (file, content) in files {
        let mut kept = turn.next.files.remove(file).unwrap_or_default();
        let look = Look {
            file,
            seen,
            copies: copies.get(file),
            policy,
            now,
            wall,
        };
        turn.look(&look, content, &mut kept);
        turn.next.files.insert(file.clone(), kept);
    }
    turn
}

struct Look<'a> {
    file: &'a str,
    seen: &'a GuardSeen,
    copies: Option<&'a BTreeMap<String, CopyFacts>>,
    policy: &'a GuardPolicy,
    now: Moment,
    wall: Timestamp,
}

impl GuardTurn {
    fn look(&mut self, look: &Look<'_>, content: &FileSeen, kept: &mut Kept) {
        let wrong = match content {
            FileSeen::Unseen(why) => {
                let what = format!("not known: {why}");
                self.files.push(report(look.file, kept, look.copies, what));
                return;
            }
            FileSeen::Absent => Wrong::Gone,
            FileSeen::Empty => Wrong::Empty,
            FileSeen::Broken | FileSeen::NoPod(_) => Wrong::Broken,
            FileSeen::Pod(pod) => return self.pod(look, pod, kept),
        };
        // What is put there next is compared with what ran before, not with this.
        kept.candidate = None;
        let since = *kept.missing_since.get_or_insert(look.now);
        let what = match content {
            FileSeen::NoPod(why) => format!("{}: {why}", wrong.words()),
            _ => wrong.words().to_owned(),
        };
        let mut report = report(look.file, kept, look.copies, what);
        if kept.good.is_some() {
            (report.wrong, report.since) = (Some(wrong), Some(since));
        } else {
            report.what.push_str("; no good copy of it was ever kept");
        }
        self.files.push(report);
    }

    fn pod(&mut self, look: &Look<'_>, pod: &PodFile, kept: &mut Kept) {
        let missing = kept.missing_since.take();
        let is_good = kept.good.as_ref().map(|good| &good.digest) == Some(&pod.digest);
        if is_good {
            kept.candidate = None;
            Self::remember(look, pod, kept);
            self.drop_unused(look, kept);
            let damaged = look.seen.copies.known().is_some()
                && !look.copies.is_some_and(|c| c.contains_key(&pod.digest));
            if damaged {
                self.steps.push(keep(look.file, pod));
            }
            let what = "is as it was when it was proven".to_owned();
            let mut report = report(look.file, kept, look.copies, what);
            report.part = pod.part.or(report.part);
            report.present = Some(pod.digest.clone());
            self.files.push(report);
            return;
        }
        let fresh = Candidate {
            digest: pod.digest.clone(),
            meaning: pod.meaning.clone(),
            since: look.now,
            serving_since: None,
            served: false,
            // What ran when the file was something else, or nothing.
            before: kept.sandboxes.clone(),
        };
        let good = kept.good.as_ref();
        let same_meaning = good.is_some_and(|good| good.meaning == pod.meaning);
        let candidate = match &mut kept.candidate {
            Some(candidate) if candidate.digest == pod.digest => candidate,
            other => other.insert(fresh),
        };
        let mut waits = match &look.seen.runtime {
            Reading::Known(runtime) => {
                self.probe(look, pod, runtime);
                prove(candidate, look, pod, runtime, same_meaning)
            }
            Reading::Unknown(unseen) => {
                candidate.serving_since = None;
                Some(format!("containerd is silent: {}", unseen.detail))
            }
        };
        if !pod.host_network {
            waits = Some("its pod is not on the host's network, so nobody can probe it".to_owned());
        }
        let candidate = candidate.clone();
        if let Some(since) = candidate.serving_since {
            let proven = since.max(candidate.since).after(look.policy.ready);
            if look.now >= proven {
                self.keep(look, pod, kept);
            } else {
                self.wake(proven);
            }
        }
        Self::remember(look, pod, kept);
        let wedged = candidate.since.after(look.policy.wedged_after);
        let is_wedged = kept.good.is_some()
            && kept.candidate.is_some()
            && !same_meaning
            && !candidate.served
            && look.seen.runtime.known().is_some();
        let what = match (&kept.candidate, waits) {
            (None, _) => "is proven".to_owned(),
            (Some(_), Some(waits)) => format!("is not proven yet: {waits}"),
            (Some(_), None) => "serves, and is proven soon".to_owned(),
        };
        let mut report = report(look.file, kept, look.copies, what);
        report.part = pod.part.or(report.part);
        report.present = Some(pod.digest.clone());
        if is_wedged && look.now >= wedged {
            Wrong::Wedged.words().clone_into(&mut report.what);
            (report.wrong, report.since) = (Some(Wrong::Wedged), Some(candidate.since));
        } else if is_wedged {
            report.judged = Some(wedged);
            self.wake(wedged);
        }
        if missing.is_some() && kept.candidate.is_some() {
            report.what.push_str("; it was gone before");
        }
        self.files.push(report);
    }

    /// The candidate is proven: good once its copy is on the disk.
    fn keep(&mut self, look: &Look<'_>, pod: &PodFile, kept: &mut Kept) {
        if !look
            .copies
            .is_some_and(|copies| copies.contains_key(&pod.digest))
        {
            if look.seen.copies.known().is_some() {
                self.steps.push(keep(look.file, pod));
            }
            return;
        }
        let good = Good {
            digest: pod.digest.clone(),
            meaning: pod.meaning.clone(),
            since: look.wall,
        };
        kept.older.retain(|older| older.digest != good.digest);
        if let Some(before) = kept.good.replace(good) {
            kept.older.insert(0, before);
            kept.older.truncate(OLDER);
        }
        kept.candidate = None;
    }

    fn drop_unused(&mut self, look: &Look<'_>, kept: &Kept) {
        for digest in look.copies.into_iter().flat_map(BTreeMap::keys) {
            if !kept.all_good().any(|good| good.digest == *digest) {
                self.steps.push(GuardStep::Drop {
                    file: look.file.to_owned(),
                    digest: digest.clone(),
                });
            }
        }
    }

    fn remember(look: &Look<'_>, pod: &PodFile, kept: &mut Kept) {
        if let Reading::Known(runtime) = &look.seen.runtime {
            let ids = pod.sandboxes(runtime).map(|sandbox| sandbox.id.clone());
            kept.sandboxes = ids.collect();
        }
    }

    fn probe(&mut self, look: &Look<'_>, pod: &PodFile, runtime: &RuntimeView) {
        let running = pod.sandboxes(runtime).filter(|sandbox| sandbox.running);
        let pods = running.map(|sandbox| (sandbox.pod.clone(), look.file.to_owned()));
        self.probe.extend(pods);
    }

    fn wake(&mut self, at: Moment) {
        self.wake_at = Some(self.wake_at.map_or(at, |other| other.min(at)));
    }
}

/// Whether the candidate's own pod serves; `Some`: what is waited for.
fn prove(
    candidate: &mut Candidate,
    look: &Look<'_>,
    pod: &PodFile,
    runtime: &RuntimeView,
    same_meaning: bool,
) -> Option<String> {
    let probes = &look.seen.probes;
    let serving = || pod.sandboxes(runtime).filter(|one| pod.serves(one, probes));
    let own = serving().any(|one| same_meaning || !candidate.before.contains(&one.id));
    let swapped = look.now >= candidate.since.after(SWAP);
    candidate.served |= own || (swapped && serving().next().is_some());
    if own {
        candidate.serving_since.get_or_insert(look.now);
        return None;
    }
    candidate.serving_since = None;
    Some(if serving().next().is_some() {
        "its pod still runs as it was before the change".to_owned()
    } else {
        "its pod does not serve".to_owned()
    })
}

fn keep(file: &str, pod: &PodFile) -> GuardStep {
    GuardStep::Keep {
        file: file.to_owned(),
        digest: pod.digest.clone(),
    }
}

fn report(
    file: &str,
    kept: &Kept,
    copies: Option<&BTreeMap<String, CopyFacts>>,
    what: String,
) -> FileReport {
    let whole = |good: &&Good| copies.is_some_and(|copies| copies.contains_key(&good.digest));
    let copy = kept.all_good().find(whole);
    let facts = copy.and_then(|good| copies?.get(&good.digest));
    FileReport {
        file: file.to_owned(),
        part: facts.and_then(|facts| facts.part),
        what,
        wrong: None,
        since: None,
        judged: None,
        present: None,
        copy: copy.map(|good| good.digest.clone()),
        proven: copy.map(|good| good.since),
        lacks: Vec::new(),
    }
}
