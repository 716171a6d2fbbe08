//! Carries out the actions of a decision. No decisions here: the next one sees what became of it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::cluster;
use super::objects;
use super::place::{PlaceError, Places, find};
use super::tree::Tree;
use super::watching::Sources;
use crate::core::id::RevisionId;
use crate::core::reading::chain;
use crate::core::start::component::key;
use crate::core::start::journal::{Component, Journal};
use crate::core::start::observed::ObjectsSeen;
use crate::core::start::turn::{Action, Decision};
use crate::store::sealed::hex_digest;

/// Between SIGTERM and SIGKILL of what is not in a hurry.
const GRACE: Duration = Duration::from_secs(5);
/// Longest time for one action.
const DEADLINE: Duration = Duration::from_secs(10);
/// For deleting a node and the pods bound to it.
const FORGETTING: Duration = Duration::from_secs(60);

/// What actions are carried out on.
pub(super) struct Executor {
    pub(super) tree: Arc<Tree>,
    pub(super) places: Places,
    pub(super) lines: UnboundedSender<String>,
    /// Sandboxes that are being killed: each event of containerd asks for it again.
    pub(super) killing: Arc<Mutex<BTreeSet<String>>>,
    /// Containers that this process has frozen and not thawed; containerd's word may come later.
    pub(super) frozen: Mutex<BTreeSet<String>>,
}

impl Executor {
    /// Carries out `action`.
    ///
    /// # Errors
    /// What went wrong, in one line for people.
    pub(super) async fn execute(
        &self,
        action: &Action,
        journal: &Journal,
        sources: &mut Sources,
    ) -> Result<(), String> {
        let limit = match action {
            Action::ForgetNode { .. } => FORGETTING,
            _ => DEADLINE,
        };
        let done = tokio::time::timeout(limit, self.attempt(action, journal, sources)).await;
        done.unwrap_or_else(|_| Err(format!("{action:?}: not done within {} s", limit.as_secs())))
    }

    /// Carries out what of `decision` cannot wait, and takes it out; whether a counterpart could
    /// not be frozen whose temporary pod is to be released.
    pub(super) async fn at_once(
        &self,
        decision: &mut Decision,
        journal: &Journal,
        sources: &mut Sources,
    ) -> bool {
        let mut late = false;
        let all = std::mem::take(&mut decision.actions).into_iter();
        let (at_once, others): (Vec<_>, Vec<_>) = all.partition(Action::cannot_wait);
        decision.actions = others;
        for action in &at_once {
            if let Err(why) = self.execute(action, journal, sources).await {
                late |= matches!(action, Action::Pause { .. });
                decision.waits.push(why);
            }
        }
        late
    }

    async fn attempt(
        &self,
        action: &Action,
        journal: &Journal,
        sources: &mut Sources,
    ) -> Result<(), String> {
        match action {
            Action::PlaceSecrets => self.disk(Places::place_secrets).await,
            Action::RemoveSecrets => self.disk(|places, _| places.remove_secrets()).await,
            Action::PlaceManifest { index } => {
                let component = component(journal, *index)?.clone();
                self.disk(move |places, tree| places.place_manifest(tree, &component))
                    .await
            }
            Action::RemoveManifest { index } => {
                let component = component(journal, *index)?.clone();
                self.disk(move |places, tree| places.remove_manifest(tree, &component))
                    .await
            }
            Action::Kill { sandbox } => {
                self.kill(sandbox, sources);
                Ok(())
            }
            Action::StartEnginePod { index } => {
                self.start_engine_pod(component(journal, *index)?, sources)
                    .await
            }
            Action::StopEnginePod { index, at_once } => {
                let component = component(journal, *index)?;
                let Some(key) = key(component) else {
                    return Ok(());
                };
                let stopped = sources.engine().stop(&key, *at_once).await;
                stopped.map_err(|error| chain(&error))
            }
            Action::Pause { container } | Action::Hold { container } => {
                self.frozen().insert(container.clone());
                let paused = sources.containerd.pause(container).await;
                paused.map_err(|error| chain(&error))
            }
            Action::Resume { container } => {
                let resumed = sources.containerd.resume(container).await;
                resumed.map_err(|error| chain(&error))?;
                self.frozen().remove(container);
                Ok(())
            }
            Action::Steer { index, port, to } => {
                let component = component(journal, *index)?;
                let Some(key) = key(component) else {
                    return Ok(());
                };
                let steered = sources.steering.steer(&key, *port, *to).await;
                steered.map_err(|error| error.to_string())
            }
            Action::CreateObjects => {
                self.create_objects(journal, sources);
                Ok(())
            }
            Action::ForgetNode { node } => {
                let forgotten = cluster::forget(&sources.asker, node).await;
                sources.look_again.notify_one();
                forgotten?;
                let line = format!("node {node} and the pods bound to it are deleted");
                let _gone = self.lines.send(line);
                Ok(())
            }
        }
    }

    async fn disk(
        &self,
        work: impl FnOnce(&Places, &Tree) -> Result<(), PlaceError> + Send + 'static,
    ) -> Result<(), String> {
        let (places, tree) = (self.places.clone(), Arc::clone(&self.tree));
        let done = tokio::task::spawn_blocking(move || {
            work(&places, &tree).map_err(|error| chain(&error))
        });
        done.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    fn frozen(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.frozen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What thaws everything that this process has frozen.
    pub(super) fn thawing(&self) -> Vec<Action> {
        let frozen = self.frozen().clone();
        let resume = |container| Action::Resume { container };
        frozen.into_iter().map(resume).collect()
    }

    /// Not waited for: the counterpart may have to be frozen before it has ended.
    fn kill(&self, sandbox: &str, sources: &Sources) {
        let killing = Arc::clone(&self.killing);
        let lock = |killing: &Mutex<BTreeSet<String>>, sandbox: &str, add: bool| {
            let mut set = killing.lock().unwrap_or_else(PoisonError::into_inner);
            if add {
                set.insert(sandbox.to_owned())
            } else {
                set.remove(sandbox)
            }
        };
        if !lock(&killing, sandbox, true) {
            return;
        }
        let (containerd, sandbox) = (sources.containerd.clone(), sandbox.to_owned());
        let lines = self.lines.clone();
        tokio::spawn(async move {
            if let Err(error) = containerd.kill_sandbox_tasks(&sandbox, true, GRACE).await {
                let _gone = lines.send(format!("a temporary pod is not killed: {}", chain(&error)));
            }
            lock(&killing, &sandbox, false);
        });
    }

    async fn start_engine_pod(
        &self,
        component: &Component,
        sources: &mut Sources,
    ) -> Result<(), String> {
        let Some(key) = key(component) else {
            return Err(format!("{} makes no key", component.name));
        };
        let pod = find(&self.tree, component).map_err(|error| chain(&error))?;
        let value = self.places.rendered(pod, component.activation);
        let digest = hex_digest(value.to_string().as_bytes());
        let revision = RevisionId::parse(digest.get(..16).unwrap_or_default())
            .map_err(|error| chain(&error))?;
        let pod = serde_json::from_value(value)
            .map_err(|_| format!("{} is no static pod", component.file))?;
        let started = sources.engine().start(&key, &revision, pod).await;
        started.map_err(|error| chain(&error))
    }

    fn create_objects(&self, journal: &Journal, sources: &Sources) {
        let say = sources.objects.clone();
        let begun = say.send_if_modified(|seen| {
            let idle = *seen == ObjectsSeen::Idle;
            if idle {
                *seen = ObjectsSeen::Running {
                    there: 0,
                    doing: "reading the objects".to_owned(),
                };
            }
            idle
        });
        if !begun {
            return;
        }
        let (asker, lines) = (Arc::clone(&sources.asker), self.lines.clone());
        let (dir, strict) = (self.tree.dir.join("manifests"), journal.strict);
        tokio::spawn(async move {
            let read = tokio::task::spawn_blocking(move || {
                objects::read(&dir).map_err(|error| chain(&error))
            });
            match read.await.unwrap_or_else(|error| Err(error.to_string())) {
                Ok(found) => objects::create(&asker, found, strict, &say, &lines).await,
                Err(why) => {
                    let failed = vec![why];
                    say.send_replace(ObjectsSeen::Ended { there: 0, failed });
                }
            }
        });
    }
}

fn component(journal: &Journal, index: usize) -> Result<&Component, String> {
    let component = journal.components.get(index);
    component.ok_or_else(|| format!("there is no component {index}"))
}
