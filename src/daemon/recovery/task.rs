//! The task of recovery: one turn for each change of the evidence, each question, each piece of
//! news of what is under way. The journal is on the disk before anything is done.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::door::Question;
use super::guard::GuardView;
use super::hooks::Hooks;
use super::jobs::{Job, News};
use super::leases::Leases;
use super::reporting::Told;
use super::resources;
use crate::config::Settings;
use crate::core::reading::Reading;
use crate::core::recovery::assess::assess;
use crate::core::recovery::back_off::Deaths;
use crate::core::recovery::evidence::Evidence;
use crate::core::recovery::journal::{Act, Journal};
use crate::core::recovery::loss::{Assessment, Condition};
use crate::core::recovery::memory::Memory;
use crate::core::recovery::plan::{Asked, Plan, Restraint, plan};
use crate::core::recovery::resources::Resources;
use crate::core::recovery::unasked::unasked;
use crate::core::time::Moment;
use crate::daemon::clock;
use crate::daemon::execute::blocking;
use crate::daemon::publish::{Published, RecoveryPublisher};
use crate::recovery::current::{self, Current, Standing};
use crate::store::chain;

/// A turn at least this often: no reliance on events alone.
const PERIOD: Duration = Duration::from_secs(15);
/// While a recovery is under way.
const QUICK: Duration = Duration::from_secs(1);
/// What there is to recover with is looked at again after this while nothing is lost.
const LOOK: Duration = Duration::from_secs(600);
/// While something is, it may have changed.
const LOOK_LOST: Duration = Duration::from_secs(10);
/// Nobody had asked some source then, shortly after the start.
const LOOK_EARLY: Duration = Duration::from_secs(1);
/// The journal could not be opened.
const RETRY: Duration = Duration::from_secs(10);

/// What the task looks at, and whom it tells whether a recovery is under way.
pub(in crate::daemon) struct Sources {
    pub(in crate::daemon) evidence: watch::Receiver<Arc<Evidence>>,
    pub(in crate::daemon) guard: watch::Receiver<GuardView>,
    pub(in crate::daemon) published: watch::Receiver<Published>,
    pub(in crate::daemon) hooks: Hooks,
}

/// The task's state.
pub(super) struct Task {
    pub(super) settings: Arc<Settings>,
    pub(super) evidence: watch::Receiver<Arc<Evidence>>,
    pub(super) guard: watch::Receiver<GuardView>,
    pub(super) published: watch::Receiver<Published>,
    pub(super) hooks: Hooks,
    pub(super) publisher: RecoveryPublisher,
    pub(super) boot_id: String,
    pub(super) stop: CancellationToken,
    pub(super) memory: Memory,
    pub(super) current: Option<Current>,
    pub(super) journal: Option<Journal>,
    pub(super) standing: Standing,
    pub(super) job: Option<Job>,
    pub(super) resources: Option<(Resources, Moment)>,
    pub(super) told: Told,
    /// Of this recovery: who waits in the kubelet's back-off.
    pub(super) deaths: Deaths,
    /// Leases of leader election after a restore.
    pub(super) leases: Leases,
    /// `resources` were looked at before every source was asked.
    looked_early: bool,
}

impl Task {
    pub(super) fn new(
        sources: Sources,
        settings: Arc<Settings>,
        publisher: RecoveryPublisher,
        boot_id: String,
        stop: CancellationToken,
    ) -> Self {
        let Sources {
            evidence,
            guard,
            published,
            hooks,
        } = sources;
        Self {
            settings,
            evidence,
            guard,
            published,
            hooks,
            publisher,
            boot_id,
            stop,
            memory: Memory::default(),
            current: None,
            journal: None,
            standing: Standing::default(),
            job: None,
            resources: None,
            told: Told::default(),
            deaths: Deaths::default(),
            leases: Leases::default(),
            looked_early: false,
        }
    }

    /// Runs until it is stopped; gives back where it is asked, for the next one.
    pub(super) async fn run(
        mut self,
        mut asked: mpsc::Receiver<Question>,
    ) -> mpsc::Receiver<Question> {
        loop {
            if self.current.is_none() {
                self.open().await;
            }
            let pause = self.turn().await;
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return asked,
                news = news(&mut self.job) => self.hear(news).await,
                Some(question) = asked.recv() => self.answer(question).await,
                Ok(()) = self.evidence.changed() => {}
                Ok(()) = self.guard.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn open(&mut self) {
        let state_dir = self.settings.paths.state_dir.clone();
        let opened = blocking(move || current::open(&state_dir).map_err(|e| chain(&e))).await;
        match opened {
            Ok(opened) => {
                for problem in &opened.problems {
                    warn!(problem, "recovery");
                }
                self.told.problems = opened.problems;
                self.standing = opened.standing;
                self.current = Some(opened.current);
                self.journal = opened.journal;
                if let Some(journal) = &mut self.journal {
                    journal.rebase(&self.boot_id, clock::now());
                    info!(recovery = journal.record.id, "gone on with after a cut-off");
                    let wall = clock::wall();
                    journal.event(
                        "the daemon has started anew and goes on with it",
                        None,
                        wall,
                    );
                }
                self.told.load(&self.settings).await;
            }
            Err(error) => self.told.problems = vec![error],
        }
    }

    /// Looks, decides, writes down, begins; gives how long nothing is to be done.
    async fn turn(&mut self) -> Duration {
        let evidence = Arc::clone(&self.evidence.borrow_and_update());
        let now = clock::now();
        let settings = Arc::clone(&self.settings);
        let policy = &settings.recovery.policy;
        let standing = &self.standing;
        self.memory
            .recall(standing.identity.as_ref(), standing.worked);
        let (mut assessment, memory) = assess(&evidence, &self.memory, policy, now);
        self.memory = memory;
        let seen = (self.memory.identity(), self.memory.worked());
        let known = (self.standing.identity.as_ref(), self.standing.worked);
        if self.current.is_some() && seen != known {
            self.standing.identity = self.memory.identity().cloned();
            self.standing.worked = self.memory.worked();
            self.remember().await;
        }
        let lost = !assessment.losses.is_empty() || self.journal.is_some();
        self.look(&evidence, lost, now).await;
        let Some((mut found, _)) = self.resources.clone() else {
            return RETRY;
        };
        let restraint = self.restraint(&evidence);
        self.static_pods(&mut found, &assessment, &restraint, self.asked().is_some());
        let mut plan = self.plan_for(&assessment, &found, &restraint);
        // What a recovery begins with is looked at now: a moment ago something else may have stood
        // in a way's way.
        let begins = self.journal.is_none() && plan.as_ref().is_some_and(|it| it.chosen.is_some());
        if begins && self.resources.as_ref().is_some_and(|(_, at)| *at != now) {
            found = self.gather(&evidence).await;
            self.resources = Some((found.clone(), now));
            self.static_pods(&mut found, &assessment, &restraint, self.asked().is_some());
            plan = self.plan_for(&assessment, &found, &restraint);
        }
        self.release_leases(&evidence, !restraint.held.is_empty())
            .await;
        if self.current.is_some() {
            if self.journal.is_some() {
                if restraint.held.is_empty() {
                    self.wake_up(&evidence).await;
                }
                self.go_on(&evidence, &assessment, plan.as_ref(), &found)
                    .await;
            } else if let Some(plan) = &plan
                && let Some(rung) = plan.chosen
            {
                let suspected = since(&assessment, now);
                self.begin(plan, rung, assessment.evidence(), None, suspected)
                    .await;
            }
        }
        if self.journal.is_some() {
            assessment.condition = Condition::Recovering;
        }
        let pause = match (&self.journal, assessment.wake_at) {
            (Some(_), _) => QUICK,
            (None, Some(at)) => at.since(now).clamp(Duration::from_millis(100), PERIOD),
            (None, None) => PERIOD,
        };
        self.publish(&assessment, plan.as_ref(), &found, &restraint, now);
        pause
    }

    /// What an operator has asked for.
    pub(super) fn asked(&self) -> Option<&Asked> {
        self.journal.as_ref()?.asked.as_ref()
    }

    /// The plan for what is confirmed to be lost.
    fn plan_for(
        &self,
        assessment: &Assessment,
        found: &Resources,
        restraint: &Restraint,
    ) -> Option<Plan> {
        let asked = self.asked();
        // What an operator has asked for is not waited for to be confirmed.
        let loss = match (assessment.confirmed(), asked) {
            (Some(loss), _) => loss,
            (None, Some(asked)) => assessment.worst().or_else(|| asked.loss_of_etcd())?,
            (None, None) => return None,
        };
        let tried = self.journal.as_ref().map(|journal| journal.tried.clone());
        // A recovery that is under way is not counted against itself.
        let mut restraint = restraint.clone();
        if self.journal.is_some() {
            restraint.recent.clear();
        }
        Some(plan(
            loss,
            found,
            &self.settings.recovery.policy,
            &restraint,
            asked,
            &tried.unwrap_or_default(),
            clock::wall(),
        ))
    }

    pub(super) fn restraint(&self, evidence: &Evidence) -> Restraint {
        let mut held = Vec::new();
        match &evidence.hold {
            Reading::Known(None) => {}
            Reading::Known(Some(hold)) => held.push(hold.clone()),
            Reading::Unknown(unseen) => {
                held.push(format!(
                    "whether it is held is not known: {}",
                    unseen.detail
                ));
            }
        }
        match &evidence.operations {
            // Our own is no reason to wait.
            Reading::Known(view) => held.extend(
                view.seen
                    .iter()
                    .filter(|seen| !seen.kind.is_of_recovery())
                    .filter(|_| !self.runs_start())
                    .map(crate::core::operation::OperationSeen::said),
            ),
            Reading::Unknown(unseen) => {
                held.push(format!(
                    "whether an operation runs is not known: {}",
                    unseen.detail
                ));
            }
        }
        Restraint {
            held,
            never_worked: !self.memory.worked(),
            latched: self.standing.latched.clone(),
            recent: self.standing.began.clone(),
        }
    }

    /// The `start` that is seen is our own.
    fn runs_start(&self) -> bool {
        let doing = self
            .journal
            .as_ref()
            .and_then(|journal| journal.doing.as_ref());
        doing == Some(&Act::Temporary)
    }

    /// Sources that nobody has asked since the start.
    pub(super) fn unasked(&self, evidence: &Evidence) -> Vec<String> {
        unasked(evidence, self.guard.borrow().looked)
    }

    async fn look(&mut self, evidence: &Evidence, lost: bool, now: Moment) {
        let every = match (self.looked_early, lost) {
            (true, _) => LOOK_EARLY,
            (false, true) => LOOK_LOST,
            (false, false) => LOOK,
        };
        if let Some((_, at)) = &self.resources
            && now.since(*at) < every
        {
            return;
        }
        self.looked_early = !self.unasked(evidence).is_empty();
        self.resources = Some((self.gather(evidence).await, now));
    }

    pub(super) async fn gather(&self, evidence: &Evidence) -> Resources {
        let report = Arc::clone(&self.published.borrow().report);
        let guarded = self.guard.borrow().clone();
        resources::gather(&self.settings, evidence, &report, &guarded).await
    }
}

/// How long the oldest loss has been seen.
pub(super) fn since(assessment: &Assessment, now: Moment) -> Duration {
    let since = assessment.losses.iter().map(|seen| seen.since).min();
    since.map_or(Duration::ZERO, |since| now.since(since))
}

async fn news(job: &mut Option<Job>) -> News {
    match job {
        Some(job) => job.news().await,
        None => std::future::pending().await,
    }
}
