//! The report: states, reasons and what is waited for, in words.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::learn::Learned;
use super::observed::{ImagePresence, Observed};
use super::operation::OperationSeen;
use super::policy::Policy;
use super::reading::{Reading, UnseenKind};
use super::report::{CheckpointReport, Report, SourceReport, State};
use super::stored::{Checkpoint, Phase, Stored};
use super::time::Moment;

/// A checkpoint's state in one word.
pub(crate) fn state(checkpoint: &Checkpoint, learned: &Learned) -> State {
    match &checkpoint.phase {
        Phase::Activating { .. } => State::Activating,
        Phase::Active { .. } => State::Active,
        Phase::HandingOver { .. } => State::HandingOver,
        Phase::Deactivating { .. } => State::Deactivating,
        Phase::Inactive if checkpoint.orphan.is_some() => State::Orphaned,
        Phase::Inactive if checkpoint.good.is_some() => State::Inactive,
        Phase::Inactive if learned.refused.is_some() => State::Refused,
        Phase::Inactive => State::Learning,
    }
}

/// The whole reason: the phase's own, then what learning has to say.
pub(crate) fn reason(checkpoint: &Checkpoint, learned: &Learned, phase: String) -> String {
    let kept = if checkpoint.good.is_some() {
        "last known good revision kept: "
    } else {
        ""
    };
    if let Some(refused) = &learned.refused {
        return format!("{phase}; {kept}the present parent can be no checkpoint: {refused}");
    }
    if let Some(waiting) = &learned.waiting {
        return format!("{phase}; {kept}waits for {waiting}");
    }
    if let Some(candidate) = &checkpoint.candidate {
        let revision = &candidate.revision;
        return match candidate.ready_since {
            None => format!("{phase}; {kept}revision {revision} waits for its parent to be Ready"),
            Some(_) => format!("{phase}; {kept}revision {revision} is Ready, proven soon"),
        };
    }
    phase
}

/// The report of a whole turn.
pub(crate) fn report(
    observed: &Observed,
    next: &Stored,
    policy: &Policy,
    now: Moment,
    checkpoints: Vec<CheckpointReport>,
) -> Report {
    let sources = sources(observed);
    let mut report = Report {
        node: policy.node_name.clone(),
        ..Report::default()
    };
    for source in sources.iter().filter(|source| source.unknown.is_some()) {
        report
            .waiting
            .push(format!("{}: {}", source.name, source.detail));
    }
    for checkpoint in &checkpoints {
        let line = format!("{}: {}", checkpoint.id, checkpoint.reason);
        match checkpoint.state {
            State::Activating | State::Deactivating | State::HandingOver | State::Active => {
                report.waiting.push(line);
            }
            State::Orphaned | State::Refused => report.refused.push(line),
            State::Learning | State::Inactive if checkpoint.parent_state == "serving" => {}
            State::Learning | State::Inactive => report.waiting.push(line),
        }
    }
    match &observed.hold {
        Reading::Known(hold) => report.hold = hold.clone().filter(|hold| !hold.is_over(now)),
        Reading::Unknown(unseen) if unseen.kind == UnseenKind::NotAsked => {}
        Reading::Unknown(unseen) => report.problems.push(format!(
            "whether an operator holds this node is not known ({}), and NOTHING IS PROTECTED HERE \
             until it is: `rekindle hold --release` ends the hold",
            unseen.detail
        )),
    }
    if let Reading::Known(operations) = &observed.operations {
        report.operations.clone_from(&operations.seen);
        let left = operations.seen.iter().filter(|seen| seen.is_left());
        report.problems.extend(left.map(OperationSeen::said));
    }
    problems(observed, next, &mut report);
    report.summary = summary(&checkpoints, &sources, &report);
    report.sources = sources;
    report.checkpoints = checkpoints;
    report
}

fn problems(observed: &Observed, next: &Stored, report: &mut Report) {
    if let Reading::Known(images) = &observed.images {
        for (image, presence) in images {
            if let ImagePresence::Missing(what) = presence {
                report.missing_images.push(image.clone());
                report.problems.push(format!(
                    "image {image} could not be started without a registry: {what}"
                ));
            }
        }
    }
    if let Reading::Known(manifests) = &observed.manifests {
        for id in manifests
            .ours
            .keys()
            .filter(|id| !next.checkpoints.contains_key(*id))
        {
            report.problems.push(format!(
                "the static pod directory holds a manifest of checkpoint {id}, which is not \
                 stored here: left alone"
            ));
        }
    }
    if let Reading::Known(stored) = &observed.stored_revisions {
        for (id, checkpoint) in &next.checkpoints {
            if let Some(good) = &checkpoint.good
                && !stored
                    .get(id)
                    .is_some_and(|revisions| revisions.contains_key(good))
            {
                report.problems.push(format!(
                    "{id}: good revision {good} is not whole on disk; it is stored again from its \
                     parent where there is one"
                ));
            }
        }
    }
}

fn summary(checkpoints: &[CheckpointReport], sources: &[SourceReport], report: &Report) -> String {
    let count = |states: &[State]| {
        checkpoints
            .iter()
            .filter(|checkpoint| states.contains(&checkpoint.state))
            .count()
    };
    let running = count(&[State::Activating, State::Active, State::HandingOver]);
    let silent: Vec<&str> = sources
        .iter()
        .filter(|source| source.unknown.is_some())
        .map(|source| source.name.as_str())
        .collect();
    let mut summary = if running > 0 {
        let total = checkpoints.len();
        format!("{running} of {total} checkpoints stand in for their parents")
    } else if checkpoints.is_empty() {
        "no checkpoints yet".to_owned()
    } else {
        format!(
            "{} checkpoints stored, none needed",
            count(&[State::Inactive, State::Orphaned])
        )
    };
    if let Some(operation) = report.operations.first() {
        summary.insert_str(0, &format!("{}; ", operation.said()));
    }
    if let Some(hold) = &report.hold {
        summary.insert_str(0, &format!("{}; ", hold.said()));
    }
    if !silent.is_empty() {
        summary.push_str("; silent: ");
        summary.push_str(&silent.join(", "));
    }
    if !report.problems.is_empty() {
        let _ = write!(summary, "; {} problems", report.problems.len());
    }
    summary
}

fn sources(observed: &Observed) -> Vec<SourceReport> {
    fn source<T>(name: &str, reading: &Reading<T>, say: impl Fn(&T) -> String) -> SourceReport {
        let (unknown, detail) = match reading {
            Reading::Known(value) => (None, say(value)),
            Reading::Unknown(unseen) => (Some(unseen.kind), unseen.detail.clone()),
        };
        SourceReport {
            name: name.to_owned(),
            unknown,
            detail,
            since_seconds: 0,
        }
    }
    vec![
        source("containerd", &observed.runtime, |runtime| {
            let running = runtime
                .sandboxes
                .iter()
                .filter(|sandbox| sandbox.running)
                .count();
            format!("{running} pods run")
        }),
        source("kubelet", &observed.kubelet, |kubelet| {
            format!("{} pods", kubelet.pods.len())
        }),
        source("manifests", &observed.manifests, |manifests| {
            let (ours, foreign) = (manifests.ours.len(), manifests.foreign.len());
            format!("{ours} files of ours, {foreign} of others")
        }),
        source("apiserver", &observed.apiserver, |api| {
            format!("{} pods bound here", api.pods.len())
        }),
        source("engine", &observed.engine, |engine| {
            format!("{} pods", engine.pods.len())
        }),
        source("store", &observed.stored_revisions, |stored| {
            let revisions: usize = stored.values().map(BTreeMap::len).sum();
            format!(
                "{revisions} whole revisions of {} checkpoints",
                stored.len()
            )
        }),
        source("operations", &observed.operations, |operations| {
            let words = operations.seen.iter().map(|seen| seen.kind.word());
            let words: Vec<&str> = words.collect();
            if words.is_empty() {
                return "none under way".to_owned();
            }
            words.join(", ")
        }),
        source("hold", &observed.hold, |hold| {
            hold.as_ref().map_or("none", |_| "held").to_owned()
        }),
    ]
}
