//! Carries out one step. Every step may be repeated.

use std::time::Duration;

use super::error::CleanupError;
use super::gather::{containerd, place};
use super::kubelet::Kubelet;
use super::quarantine::Quarantine;
use super::{etcd, logs, mounts};
use crate::config::Settings;
use crate::core::cleanup::plan::StepKind;
use crate::engine::container::CHECKPOINT;
use crate::failpoints::hit;

/// Between SIGTERM and SIGKILL: etcd and the API server end well within it.
const GRACE: Duration = Duration::from_secs(10);

/// Does it, with what is there now, and says what was done, for people.
///
/// # Errors
/// What failed; the step is then open, and done by the next run.
pub async fn carry_out(
    kind: StepKind,
    settings: &Settings,
    quarantine: &mut Quarantine,
) -> Result<String, CleanupError> {
    hit("cleanup.step-begun");
    let said = attempt(kind, settings, quarantine).await?;
    hit("cleanup.step-done");
    Ok(said)
}

async fn attempt(
    kind: StepKind,
    settings: &Settings,
    quarantine: &mut Quarantine,
) -> Result<String, CleanupError> {
    let paths = &settings.paths;
    let kubelet = Kubelet::new(settings);
    Ok(match kind {
        StepKind::ArchiveLogs => {
            let dirs = [paths.container_log_dir.as_path(), &paths.pod_log_dir];
            let count = logs::archive(&dirs, quarantine.dir())?;
            format!("{count} logs and links archived")
        }
        StepKind::StopKubelet => {
            kubelet.stop().await?;
            "the kubelet is stopped".to_owned()
        }
        StepKind::RemoveContainers => {
            containerd(settings).clear(CHECKPOINT, GRACE).await?;
            "no container of Kubernetes or of our engine is left".to_owned()
        }
        StepKind::Unmount => {
            mounts::unmount_below(&settings.kubelet.pods_dir)?;
            "nothing is mounted below the pods".to_owned()
        }
        StepKind::MoveManifests => {
            let place = place(&paths.manifest_dir, true);
            quarantine.take("manifests", &place.path, &place.entries)?;
            format!("{} static pods moved", place.entries.len())
        }
        StepKind::MovePods => {
            // A mount that came meanwhile would be moved with its directory.
            mounts::unmount_below(&settings.kubelet.pods_dir)?;
            let place = place(&settings.kubelet.pods_dir, false);
            quarantine.take("pods", &place.path, &place.entries)?;
            format!("{} directories of pods moved", place.entries.len())
        }
        StepKind::CopyDatabase => {
            let copied = etcd::copy_out(&settings.etcd_data_dir, quarantine.dir())?;
            format!(
                "backup.db is verified: revision {}, {} keys",
                copied.content.revision, copied.total_keys
            )
        }
        StepKind::MoveEtcd => {
            let place = place(&settings.etcd_data_dir, false);
            if etcd::in_use(&place.path)? {
                return Err(CleanupError::EtcdRuns(place.path));
            }
            quarantine.take("etcd", &place.path, &place.entries)?;
            format!("{} entries of etcd's data moved", place.entries.len())
        }
        StepKind::StartKubelet => {
            kubelet.start().await?;
            "the kubelet is started".to_owned()
        }
    })
}
