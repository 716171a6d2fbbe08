//! Carries out one action. No branching on state, no retries: the next decision sees what became
//! of it.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::render::Renderings;
use super::sources::Sources;
use crate::core::action::Action;
use crate::core::id::{CheckpointId, RevisionId};
use crate::core::manifest::finish::finish;
use crate::failpoints::hit;
use crate::manifests::dir::ManifestDir;
use crate::store::chain;
use crate::store::revisions::Revisions;

/// Longest time that one action may hold up the loop.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between SIGTERM and SIGKILL of a static pod that the kubelet did not stop.
const GRACE: Duration = Duration::from_secs(5);

/// What actions are carried out on.
pub(super) struct Executor {
    pub(super) revisions: Arc<Revisions>,
    pub(super) dir: Arc<ManifestDir>,
    pub(super) node_name: String,
}

impl Executor {
    /// Carries out `action`.
    ///
    /// # Errors
    /// What went wrong, with its causes, in one line for people.
    pub(super) async fn execute(
        &self,
        action: &Action,
        sources: &Sources,
        renderings: &Renderings,
    ) -> Result<(), String> {
        hit("action.starting");
        let done = tokio::time::timeout(DEADLINE, self.attempt(action, sources, renderings)).await;
        hit("action.ended");
        done.unwrap_or_else(|_| Err(format!("not done within {} s", DEADLINE.as_secs())))
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one arm for each action, none of them long"
    )]
    async fn attempt(
        &self,
        action: &Action,
        sources: &Sources,
        renderings: &Renderings,
    ) -> Result<(), String> {
        match action {
            Action::PauseParent { container, .. } => sources
                .containerd
                .pause(container)
                .await
                .map_err(|error| chain(&error)),
            Action::ResumeParent { container, .. } => sources
                .containerd
                .resume(container)
                .await
                .map_err(|error| chain(&error)),
            Action::Steer {
                checkpoint,
                port,
                to,
            } => sources
                .steering
                .steer(checkpoint, *port, *to)
                .await
                .map_err(|error| error.to_string()),
            // Not waited for: the parent may have to be frozen before the copy has ended.
            Action::KillStaticPod {
                sandbox,
                at_once: true,
                ..
            } => {
                let (containerd, sandbox) = (sources.containerd.clone(), sandbox.clone());
                tokio::spawn(async move {
                    if let Err(error) = containerd.kill_sandbox_tasks(&sandbox, true, GRACE).await {
                        warn!(sandbox, error = chain(&error), "not killed");
                    }
                });
                Ok(())
            }
            Action::KillStaticPod {
                sandbox,
                at_once: false,
                ..
            } => sources
                .containerd
                .kill_sandbox_tasks(sandbox, false, GRACE)
                .await
                .map_err(|error| chain(&error)),
            Action::StopEnginePod {
                checkpoint,
                at_once,
            } => sources
                .engine
                .stop(checkpoint, *at_once)
                .await
                .map_err(|error| chain(&error)),
            Action::StartEnginePod {
                checkpoint,
                revision,
            } => {
                let pod = self.finished(checkpoint, revision, 0).await?;
                let started = sources.engine.start(checkpoint, revision, pod).await;
                started.map_err(|error| chain(&error))
            }
            Action::WriteManifest {
                checkpoint,
                revision,
                activation,
            } => {
                let pod = self.finished(checkpoint, revision, *activation).await?;
                let (dir, id) = (Arc::clone(&self.dir), checkpoint.clone());
                let written = blocking(move || dir.write(&id, &pod).map_err(|e| chain(&e))).await;
                sources.manifests_again.now().await;
                written
            }
            Action::RemoveManifest { checkpoint } => {
                let (dir, id) = (Arc::clone(&self.dir), checkpoint.clone());
                let removed = blocking(move || dir.remove(&id).map_err(|e| chain(&e))).await;
                sources.manifests_again.now().await;
                removed
            }
            Action::RemoveDamagedManifest { file } => {
                let (dir, file) = (Arc::clone(&self.dir), file.clone());
                let removed =
                    blocking(move || dir.remove_damaged(&file).map_err(|e| chain(&e))).await;
                sources.manifests_again.now().await;
                removed
            }
            Action::StoreRevision {
                checkpoint,
                revision,
                parent,
            } => {
                let rendered = renderings
                    .whole(parent, checkpoint, &self.node_name)
                    .filter(|rendered| rendered.revision == *revision)
                    .ok_or("the parent has changed since")?;
                let revisions = Arc::clone(&self.revisions);
                blocking(move || revisions.store(&rendered).map_err(|e| chain(&e))).await
            }
            Action::DropRevision {
                checkpoint,
                revision,
            } => {
                let revisions = Arc::clone(&self.revisions);
                let (id, revision) = (checkpoint.clone(), revision.clone());
                blocking(move || {
                    revisions
                        .drop_revision(&id, &revision)
                        .map_err(|e| chain(&e))
                })
                .await
            }
            Action::RemoveCheckpoint { checkpoint } => {
                let (revisions, id) = (Arc::clone(&self.revisions), checkpoint.clone());
                blocking(move || revisions.remove_checkpoint(&id).map_err(|e| chain(&e))).await
            }
            Action::PinImage { image } => {
                let pinned = sources.containerd.pin_image(image).await;
                sources.images_again.notify_one();
                pinned.map_err(|error| chain(&error))
            }
            Action::ConfirmWithApi => {
                sources.api.confirm.notify_one();
                Ok(())
            }
        }
    }

    /// The static pod of a stored revision, whole again checked.
    async fn finished(
        &self,
        id: &CheckpointId,
        revision: &RevisionId,
        activation: u64,
    ) -> Result<k8s_openapi::api::core::v1::Pod, String> {
        let revisions = Arc::clone(&self.revisions);
        let (id, revision) = (id.clone(), revision.clone());
        blocking(move || {
            let pod = revisions
                .verified_manifest(&id, &revision)
                .map_err(|e| chain(&e))?;
            let data = revisions.data_dir(&id, &revision);
            Ok(finish(pod, &data.to_string_lossy(), activation))
        })
        .await
    }
}

/// Runs a blocking file operation beside the loop's thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| error.to_string())?
}
