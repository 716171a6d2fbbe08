//! One turn of the loop, and what it carries from one to the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::clock;
use super::execute::{Executor, blocking};
use super::publish::Publisher;
use super::render::Renderings;
use super::sources::{Sources, StoredRevisions};
use super::targets::{GoodPods, targets};
use crate::core::action::Action;
use crate::core::decide::{Decision, decide};
use crate::core::id::CheckpointId;
use crate::core::manifest::finish::finish;
use crate::core::policy::Policy;
use crate::core::reading::{Reading, Unseen, UnseenKind};
use crate::core::report::{Report, State};
use crate::core::sharing::Side;
use crate::core::stored::{Phase, Stored};
use crate::core::time::Moment;
use crate::failpoints::hit;
use crate::store::chain;
use crate::store::lock::Lock;
use crate::store::state::StateFile;

/// After a failed action or commit, the next try comes no sooner.
const RETRY: Duration = Duration::from_secs(1);

/// The loop's state: owned by one task.
pub(super) struct Loop {
    pub(super) boot_id: String,
    pub(super) policy: Policy,
    pub(super) node_address: Option<String>,
    pub(super) stored: Stored,
    pub(super) state_file: Arc<StateFile>,
    pub(super) executor: Executor,
    pub(super) sources: Sources,
    pub(super) renderings: Renderings,
    pub(super) revisions: Reading<StoredRevisions>,
    pub(super) good: GoodPods,
    pub(super) publisher: Publisher,
    /// What the store found damaged, and what the last tries of actions failed with.
    pub(super) opening_problems: Vec<String>,
    pub(super) store_problems: Vec<String>,
    pub(super) failures: BTreeMap<String, String>,
    /// Each checkpoint's state in the last turn: changes are logged.
    pub(super) states: BTreeMap<String, State>,
    /// What the last turn asked for.
    pub(super) last_actions: Vec<Action>,
    /// The last report's first line.
    pub(super) summary: String,
    /// One daemon for each state directory.
    pub(super) _lock: Option<Lock>,
}

impl Loop {
    /// One turn: observes, decides, commits, executes, publishes. Returns when to turn again at
    /// the latest, if anything but an event asks for it.
    pub(super) async fn turn(&mut self) -> Option<Moment> {
        let started = clock::now();
        let parents = self.sources.parents();
        let gathered = Arc::clone(&self.sources.api.gathered.borrow_and_update());
        let address = self.node_address.clone().or_else(|| self.sources.host_ip());
        let node_name = self.policy.node_name.clone();
        self.renderings
            .update(&parents, &gathered, &node_name, address.as_deref());
        self.ask_for_data();
        let observed =
            self.sources
                .observe(&self.boot_id, &self.renderings.current, &self.revisions);
        let decision = decide(&observed, &self.stored, &self.policy, started);
        self.probe(&decision, &observed.runtime, address.as_deref())
            .await;
        self.want_images(&decision.next);
        let mut wake_at = decision.wake_at;
        if self.commit(&decision).await {
            self.measure_handover(&decision, started);
            self.stored = decision.next;
            if self.execute(&decision.actions).await {
                wake_at = Some(earlier(wake_at, started.after(RETRY)));
            }
        } else {
            wake_at = Some(earlier(wake_at, started.after(RETRY)));
        }
        let ended = clock::now();
        self.publisher.counters.turns += 1;
        self.publisher.counters.last_turn_seconds = ended.since(started).as_secs_f64();
        self.publish(decision.report, ended);
        wake_at
    }

    fn ask_for_data(&self) {
        self.sources.api.want.send_if_modified(|wanted| {
            let changed = *wanted != self.renderings.wanted;
            if changed {
                wanted.clone_from(&self.renderings.wanted);
            }
            changed
        });
    }

    /// The next state is on disk before its actions start (invariant 9). A disk that cannot be
    /// written stops no decision that the state already holds, but nothing new is begun.
    async fn commit(&mut self, decision: &Decision) -> bool {
        if decision.next == self.stored {
            return true;
        }
        hit("turn.committing");
        let (file, next) = (Arc::clone(&self.state_file), decision.next.clone());
        let committed = blocking(move || file.commit(&next).map_err(|error| chain(&error))).await;
        hit("turn.committed");
        match committed {
            Ok(()) => {
                self.failures.remove("commit");
                true
            }
            Err(error) => {
                self.note_failure("commit", format!("the state could not be written: {error}"));
                false
            }
        }
    }

    /// Carries out the actions in their order; true if any failed. A copy is not released in the
    /// turn in which its parent could not be frozen: most likely that has ended already.
    async fn execute(&mut self, actions: &[Action]) -> bool {
        let mut failed = false;
        let mut store_changed = false;
        let mut unfrozen = Vec::new();
        for action in actions {
            if action.releases(&unfrozen) {
                continue;
            }
            let word = action.word();
            let subject = action
                .checkpoint()
                .map(ToString::to_string)
                .unwrap_or_default();
            let done = self
                .executor
                .execute(action, &self.sources, &self.renderings)
                .await;
            let outcome = if done.is_ok() { "done" } else { "failed" };
            *self
                .publisher
                .counters
                .actions
                .entry((word, outcome))
                .or_default() += 1;
            store_changed |= matches!(
                action,
                Action::StoreRevision { .. }
                    | Action::DropRevision { .. }
                    | Action::RemoveCheckpoint { .. }
            );
            let key = format!("{word} {subject}");
            match done {
                Ok(()) => {
                    // Asked for again while its effect is not seen yet: said once.
                    if !self.last_actions.contains(action) {
                        info!(action = word, checkpoint = subject, "done");
                    }
                    self.failures.remove(&key);
                }
                Err(error) => {
                    failed = true;
                    if let Action::PauseParent { checkpoint, .. } = action {
                        unfrozen.push(checkpoint);
                    }
                    self.note_failure(&key, format!("{key}: {error}"));
                }
            }
        }
        if store_changed {
            self.scan().await;
        }
        self.last_actions = actions.to_vec();
        failed
    }

    /// Logs a failure once, and keeps it for the report until the same thing succeeds.
    fn note_failure(&mut self, key: &str, text: String) {
        if self.failures.get(key) != Some(&text) {
            warn!(failure = text, "failed");
            self.failures.insert(key.to_owned(), text);
        }
    }

    /// Reads the store again: which revisions are whole.
    pub(super) async fn scan(&mut self) {
        let revisions = Arc::clone(&self.executor.revisions);
        self.revisions = match blocking(move || revisions.scan().map_err(|e| chain(&e))).await {
            Ok(scan) => {
                self.store_problems = scan.problems;
                Reading::Known(scan.by_checkpoint)
            }
            Err(error) => Reading::Unknown(Unseen::new(UnseenKind::Unreadable, error)),
        };
    }

    async fn probe(
        &mut self,
        decision: &Decision,
        runtime: &Reading<crate::core::observed::RuntimeView>,
        address: Option<&str>,
    ) {
        self.read_good_pods(&decision.next).await;
        let Reading::Known(runtime) = runtime else {
            return;
        };
        let targets = targets(
            &decision.probe,
            runtime,
            &self.renderings,
            &decision.next,
            &self.good,
            address.unwrap_or("127.0.0.1"),
            &self.sources.steering,
        );
        self.sources.targets.send_if_modified(|current| {
            let changed = **current != targets;
            if changed {
                *current = Arc::new(targets);
            }
            changed
        });
    }

    async fn read_good_pods(&mut self, next: &Stored) {
        self.good.retain(|id, _| next.checkpoints.contains_key(id));
        for (id, checkpoint) in &next.checkpoints {
            let Some(good) = &checkpoint.good else {
                continue;
            };
            if self
                .good
                .get(id)
                .is_some_and(|(revision, _)| revision == good)
            {
                continue;
            }
            let revisions = Arc::clone(&self.executor.revisions);
            let key = (id.clone(), good.clone());
            let pod = blocking(move || {
                let pod = revisions
                    .verified_manifest(&key.0, &key.1)
                    .map_err(|e| chain(&e))?;
                Ok(finish(
                    pod,
                    &revisions.data_dir(&key.0, &key.1).to_string_lossy(),
                    0,
                ))
            })
            .await;
            if let Ok(pod) = pod {
                self.good.insert(id.clone(), (good.clone(), Arc::new(pod)));
            }
        }
    }

    fn want_images(&self, next: &Stored) {
        let Reading::Known(stored) = &self.revisions else {
            return;
        };
        let mut images: Vec<String> = next
            .checkpoints
            .iter()
            .filter_map(|(id, checkpoint)| stored.get(id)?.get(checkpoint.good.as_ref()?))
            .flat_map(|facts| facts.images.iter().cloned())
            .collect();
        images.sort();
        images.dedup();
        self.sources.images_wanted.send_if_modified(|wanted| {
            let changed = *wanted != images;
            *wanted = images;
            changed
        });
    }

    /// From the release of a copy to its parent serving: nothing where they stood side by side.
    fn measure_handover(&mut self, decision: &Decision, now: Moment) {
        let beside = |id: &CheckpointId| {
            let switch = |action: &Action| {
                matches!(
                    action,
                    Action::Steer {
                        to: Side::Parent,
                        ..
                    }
                ) && action.checkpoint() == Some(id)
            };
            decision.actions.iter().any(switch)
        };
        for (id, checkpoint) in &decision.next.checkpoints {
            let before = self.stored.checkpoints.get(id).map(|old| &old.phase);
            let seconds = match (before, &checkpoint.phase) {
                (Some(Phase::HandingOver { since, .. }), Phase::Inactive) => {
                    now.since(*since).as_secs_f64()
                }
                _ if beside(id) => 0.0,
                _ => continue,
            };
            info!(checkpoint = %id, seconds, "handed over");
            self.publisher.counters.last_handover_seconds = Some(seconds);
        }
    }

    fn publish(&mut self, mut report: Report, now: Moment) {
        report
            .problems
            .extend(self.opening_problems.iter().cloned());
        report.problems.extend(self.store_problems.iter().cloned());
        report.problems.extend(self.failures.values().cloned());
        report.problems.extend(self.sources.problems());
        for checkpoint in &report.checkpoints {
            let key = checkpoint.id.to_string();
            if self.states.get(&key) != Some(&checkpoint.state) {
                info!(
                    checkpoint = key,
                    state = checkpoint.state.word(),
                    reason = checkpoint.reason,
                    "state"
                );
                self.states.insert(key, checkpoint.state);
            }
        }
        self.summary.clone_from(&report.summary);
        self.publisher.publish(report, now);
    }
}

fn earlier(one: Option<Moment>, other: Moment) -> Moment {
    one.map_or(other, |at| at.min(other))
}
