//! A recovery from its first line in the journal to its last: begun, gone on with step by step,
//! ended. Nothing is done that is not written down before.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{info, warn};

use super::jobs::{Job, News};
use super::reporting;
use super::task::Task;
use crate::core::recovery::back_off::Deaths;
use crate::core::recovery::course::{self, Next, Position};
use crate::core::recovery::evidence::Evidence;
use crate::core::recovery::journal::{Act, Beginning, Journal};
use crate::core::recovery::loss::Assessment;
use crate::core::recovery::memory::Memory;
use crate::core::recovery::plan::{Asked, Plan};
use crate::core::recovery::record::Outcome;
use crate::core::recovery::resources::Resources;
use crate::core::recovery::rung::Rung;
use crate::daemon::clock;
use crate::daemon::execute::blocking;
use crate::failpoints::hit;
use crate::recovery::current::{Current, CurrentError};
use crate::store::chain;

impl Task {
    /// A recovery begins: its journal first.
    pub(super) async fn begin(
        &mut self,
        plan: &Plan,
        rung: Rung,
        evidence: Vec<String>,
        asked: Option<Asked>,
        suspected: Duration,
    ) {
        let wall = clock::wall();
        let automatic = asked.is_none();
        let suspected_at = wall.checked_sub(suspected).unwrap_or(wall);
        let journal = Journal::begin(Beginning {
            id: format!(
                "{}-{}",
                wall.strftime("%Y%m%dT%H%M%SZ"),
                self.settings.node.name
            ),
            node: &self.settings.node.name,
            losses: vec![plan.loss],
            evidence,
            plan,
            rung,
            asked,
            suspected_at,
            wall,
            boot_id: &self.boot_id,
        });
        // The loop activates checkpoints anyway: that is no recovery to be rationed.
        let rationed = automatic && rung != Rung::Checkpoints;
        if rationed {
            let period = self.settings.recovery.policy.period;
            self.standing
                .began
                .retain(|began| crate::core::backup::report::age(*began, wall) < period);
            self.standing.began.push(wall);
            if !self.remember().await {
                self.standing.began.pop();
                return;
            }
        } else if !automatic && self.standing.latched.take().is_some() {
            self.remember().await;
        }
        if !self.adopt(journal).await {
            if rationed {
                self.standing.began.pop();
                self.remember().await;
            }
            return;
        }
        if let Some(journal) = &self.journal {
            warn!(
                recovery = journal.record.id,
                loss = plan.loss.word(),
                rung = rung.word(),
                "the control plane is lost: recovery begins"
            );
            self.told.begun(&self.settings, &journal.record).await;
        }
    }

    /// Goes on from `journal` once it is on the disk. Until then what was before holds: nothing is
    /// begun that is not written down, now or by a later turn.
    async fn adopt(&mut self, journal: Journal) -> bool {
        let before = self.journal.replace(journal);
        let written = self.record().await;
        if !written {
            self.journal = before;
        }
        written
    }

    /// One step of the recovery that is under way.
    pub(super) async fn go_on(
        &mut self,
        evidence: &Evidence,
        assessment: &Assessment,
        plan: Option<&Plan>,
        found: &Resources,
    ) {
        let (now, wall) = (clock::now(), clock::wall());
        let Some(journal) = &mut self.journal else {
            return;
        };
        reporting::availability(journal, evidence, wall);
        let well = assessment.is_well();
        if well != journal.well_since.is_some() {
            journal.well_since = well.then_some(now);
        }
        if let Some(outcome) = journal.record.outcome.clone() {
            // Cut off after its last line: the report is written again.
            self.end(outcome).await;
            return;
        }
        // Cut off in the middle of an act: it is done again.
        if let Some(act) = journal.doing.clone()
            && act != Act::Checkpoints
            && self.job.is_none()
        {
            self.job = Some(Job::spawn(&act, journal, &self.settings));
        }
        let next = course::next(&Position {
            journal,
            assessment,
            plan,
            resources: found,
            policy: &self.settings.recovery.policy,
            lasts: lasts(journal, wall),
            now,
        });
        match next {
            Next::Do(act) => {
                let mut started = journal.clone();
                started.start(act.clone(), now, wall);
                if self.adopt(started).await
                    && let Some(journal) = &self.journal
                {
                    info!(recovery = journal.record.id, act = act.words(), "recovery");
                    if act != Act::Checkpoints {
                        self.job = Some(Job::spawn(&act, journal, &self.settings));
                    }
                }
            }
            Next::GiveUp(why) => {
                journal.end(Err(why), now, wall);
                self.record().await;
            }
            Next::Fruitless(rung, why) => {
                journal.event(&format!("{rung}: {why}"), None, wall);
                journal.tried.push((rung, why));
                self.record().await;
            }
            Next::Wait(waits, _) => reporting::waiting(journal, &waits),
            Next::End(outcome) => self.end(outcome).await,
        }
    }

    /// News of what is under way.
    pub(super) async fn hear(&mut self, news: News) {
        let (now, wall) = (clock::now(), clock::wall());
        let Some(journal) = &mut self.journal else {
            self.job = None;
            return;
        };
        match news {
            News::Line(line) => {
                info!(recovery = journal.record.id, line, "recovery");
                journal.event(&line, None, wall);
                if let Some(phase) = journal.record.phases.last_mut() {
                    phase.note = line;
                }
            }
            News::Ended(ended) => {
                self.job = None;
                reporting::settle(journal, ended, now, wall);
                hit("recovery.ended");
                self.record().await;
                self.resources = None;
            }
        }
    }

    async fn end(&mut self, outcome: Outcome) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        if journal.record.outcome.is_none() {
            journal.close(outcome.clone(), clock::wall());
        }
        let record = journal.record.clone();
        warn!(recovery = record.id, outcome = ?outcome, "recovery ended");
        if let Outcome::Failed(why) = &outcome {
            self.standing.latched = Some(format!("recovery {} failed: {why}", record.id));
            self.remember().await;
        }
        if !self.record().await {
            return;
        }
        hit("recovery.closing");
        // The report first: a cut-off here writes it again.
        if let Err(error) = self.told.ended(&self.settings, &record).await {
            self.told.problems = vec![error];
            return;
        }
        if let Err(error) = self.on_disk(Current::clear).await {
            self.told.problems = vec![error];
            return;
        }
        self.journal = None;
        self.deaths = Deaths::default();
        self.memory = Memory::default();
    }

    /// On the disk when it says so; a disk that hangs holds up this task and no other.
    pub(super) async fn record(&mut self) -> bool {
        let Some(journal) = self.journal.clone() else {
            return false;
        };
        hit("recovery.recording");
        let written = self.on_disk(move |current| current.record(&journal)).await;
        hit("recovery.recorded");
        self.written(written)
    }

    pub(super) async fn remember(&mut self) -> bool {
        let standing = self.standing.clone();
        let written = self
            .on_disk(move |current| current.remember(&standing))
            .await;
        self.written(written)
    }

    /// The journal's files are not this thread's to wait for.
    async fn on_disk(
        &mut self,
        work: impl FnOnce(&mut Current) -> Result<(), CurrentError> + Send + 'static,
    ) -> Result<(), String> {
        let Some(mut current) = self.current.take() else {
            return Err("the journal of recoveries is not open".to_owned());
        };
        let done = blocking(move || {
            let done = work(&mut current).map_err(|error| chain(&error));
            Ok((current, done))
        });
        // Where the thread was lost the journal is opened anew.
        let (current, done) = done.await?;
        self.current = Some(current);
        done
    }

    fn written(&mut self, written: Result<(), String>) -> bool {
        match written {
            Ok(()) => true,
            Err(error) => {
                warn!(error, "recovery is not written down: nothing is begun");
                self.told.problems = vec![error];
                false
            }
        }
    }
}

/// How long a recovery lasts.
fn lasts(journal: &Journal, wall: Timestamp) -> Duration {
    crate::core::backup::report::age(journal.record.entered_at, wall)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Arc;

    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::config::{Files, load_files};
    use crate::core::reading::Reading;
    use crate::core::recovery::loss::Loss;
    use crate::core::time::Moment;
    use crate::daemon::publish::{Published, Publisher};
    use crate::daemon::recovery::Sources;
    use crate::daemon::recovery::guard::GuardView;
    use crate::recovery::current;

    fn task(root: &Path) -> Task {
        let mut settings = load_files(&Files::installed(root), "n1").unwrap().settings;
        settings.paths.state_dir = root.to_owned();
        let evidence = Arc::new(Evidence::nothing("n1", Moment(0)));
        let guard = GuardView {
            looked: true,
            files: Vec::new(),
            kubeadm: Reading::not_asked(),
            problems: Vec::new(),
        };
        let sources = Sources {
            evidence: watch::channel(evidence).1,
            guard: watch::channel(guard).1,
            published: watch::channel(Published::default()).1,
            hooks: watch::channel(None).0,
        };
        let publisher = Publisher::new().0.of_recovery();
        let stop = CancellationToken::new();
        let boot = "boot".to_owned();
        Task::new(sources, Arc::new(settings), publisher, boot, stop)
    }

    fn nothing_to_recover_with() -> Resources {
        Resources {
            checkpoints: Reading::not_asked(),
            copies: Reading::not_asked(),
            put_back: BTreeMap::new(),
            not_put_back: Vec::new(),
            manifests_wait: BTreeMap::new(),
            restartable: BTreeMap::new(),
            missing_images: BTreeMap::new(),
            etcd_home: Err("not known".to_owned()),
            data: Reading::not_asked(),
            backup: Reading::not_asked(),
            tool: Err("none".to_owned()),
            free_bytes: Reading::not_asked(),
            administrator: Err("none".to_owned()),
            certificates: Vec::new(),
            blockers: Vec::new(),
        }
    }

    /// D02: where the journal cannot be written nothing is begun, by this turn or by a later one
    /// that would take it for cut off.
    #[tokio::test]
    async fn d02_what_is_not_written_down_is_not_begun_later_either() {
        let root = tempfile::tempdir().unwrap();
        let mut task = task(root.path());
        task.current = Some(current::open(root.path()).unwrap().current);
        let plan = Plan {
            loss: Loss::EtcdQuorum,
            rungs: Vec::new(),
            chosen: Some(Rung::DataDirectory),
            refusals: Vec::new(),
            warnings: Vec::new(),
            hygiene: Vec::new(),
        };
        // More than a journal may hold: refused at the same place as by a full disk.
        let too_much = vec!["x".repeat(5 << 20)];
        let rung = Rung::DataDirectory;
        task.begin(&plan, rung, too_much.clone(), None, Duration::ZERO)
            .await;
        assert!(task.journal.is_none(), "begun without a journal");
        assert!(task.standing.began.is_empty(), "counted as a recovery");
        assert!(!task.told.problems.is_empty(), "and nothing is said");

        task.begin(&plan, rung, Vec::new(), None, Duration::ZERO)
            .await;
        let journal = task.journal.as_mut().expect("it can be written now");
        journal.done.push(Act::RestoreData);
        journal.well_since = Some(Moment(0));
        journal.record.evidence = too_much;
        // Everything is well after a restore: hygiene would be next.
        let well = Assessment {
            condition: crate::core::recovery::loss::Condition::Healthy,
            ..Assessment::default()
        };
        let seen = Evidence::nothing("n1", Moment(0));
        for turn in 0..2 {
            let found = nothing_to_recover_with();
            task.go_on(&seen, &well, None, &found).await;
            let doing = task.journal.as_ref().and_then(|j| j.doing.clone());
            assert_eq!(doing, None, "turn {turn}");
            assert!(task.job.is_none(), "turn {turn}");
        }
        let on_disk = current::open(root.path());
        drop(task);
        assert!(on_disk.is_err(), "one process has the journal");
        let left = current::open(root.path()).unwrap().journal.unwrap();
        assert_eq!(left.doing, None);
    }
}
