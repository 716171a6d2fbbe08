//! One backup: taken, recorded, older ones pruned. Used by the daemon's task and, where no daemon
//! answers, by the command line.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::host::host;
use super::lock::{self, Busy};
use super::look::index_file;
use super::task::Ended;
use crate::backup::Progress;
use crate::backup::take::{Request, take};
use crate::config::Settings;
use crate::containerd::{self, Containerd};
use crate::core::backup::id::BackupId;
use crate::core::backup::manifest::Trigger;
use crate::core::backup::record::Index;
use crate::daemon::clock;
use crate::daemon::execute::blocking;
use crate::etcd::{Allow, Etcd};
use crate::store::chain;

/// Most images whose digests are asked for.
const IMAGES: usize = 64;

/// Takes a backup and keeps the index true: the try is on record before it begins and when it
/// ends, whatever its end.
pub async fn backup(
    settings: Arc<Settings>,
    trigger: Trigger,
    allow: Allow,
    progress: Progress,
) -> Ended {
    let begin = Arc::clone(&settings);
    let begun = blocking(move || {
        let lock = lock::hold(&begin).map_err(Busy::said)?;
        change(&begin, |index| index.runs.under_way = Some(clock::wall()))?;
        Ok(lock)
    })
    .await;
    let _lock = begun.map_err(|error| (None, error))?;
    let taken = attempt(&settings, trigger, allow, &progress).await;
    let failure = taken.as_ref().err().cloned();
    let end = Arc::clone(&settings);
    let recorded = blocking(move || {
        change(&end, |index| {
            let runs = &mut index.runs;
            runs.under_way = None;
            runs.failures = match &failure {
                Some(_) => runs.failures.saturating_add(1),
                None => 0,
            };
            runs.last_try = Some((clock::wall(), failure));
        })
    })
    .await;
    match (taken, recorded) {
        (Ok((id, mut notes)), recorded) => {
            notes.extend(recorded.err());
            Ok((id, notes))
        }
        (Err(failure), Ok(())) => Err((None, failure)),
        (Err(failure), Err(error)) => Err((None, format!("{failure}; and {error}"))),
    }
}

/// Takes it, records its verification, and prunes what the rules keep no longer.
async fn attempt(
    settings: &Arc<Settings>,
    trigger: Trigger,
    allow: Allow,
    progress: &Progress,
) -> Result<(BackupId, Vec<String>), String> {
    let looking = Arc::clone(settings);
    let room = blocking(move || super::pruning::make_room(&looking)).await;
    let looking = Arc::clone(settings);
    let found = blocking(move || Ok(host(&looking))).await?;
    let etcd = Etcd::connect(&settings.etcd).await.map_err(|e| chain(&e))?;
    let request = Request {
        backups: settings.backup.dir.clone(),
        state_dir: settings.paths.state_dir.clone(),
        node: settings.node.name.clone(),
        trigger,
        allow,
        prefix: settings.backup.key_prefix.clone(),
        compression_level: settings.backup.compression_level,
        min_free_bytes: settings.backup.policy.retention.min_free_bytes,
        images: digests(settings, found.images).await,
        host_paths: found.paths,
        versions: found.versions,
    };
    let taken = take(&etcd, &request, progress).await.map_err(|error| {
        let hint = error.hint().map(|hint| format!(" ({hint})"));
        format!("{}{}", chain(&error), hint.unwrap_or_default())
    })?;
    let manifest = taken.bundle.manifest();
    let id = manifest.id.clone();
    let mut notes = found.missing;
    notes.extend(manifest.marks.iter().cloned());
    notes.extend(room.err());
    progress.begin("pruning", 0);
    let (settings, verified, named) = (Arc::clone(settings), taken.verified, id.clone());
    let kept = blocking(move || {
        change(&settings, |index| {
            let record = index.records.entry(named).or_default();
            record.verified = Some(verified);
        })?;
        super::pruning::prune(&settings)
    })
    .await;
    notes.extend(kept.err());
    Ok((id, notes))
}

/// Digests of images, as far as containerd says them in time: they are good to know, and no
/// backup waits for them.
async fn digests(settings: &Settings, images: BTreeSet<String>) -> BTreeMap<String, String> {
    let containerd = Containerd::new(containerd::Config {
        socket: settings.containerd.socket.clone(),
        cri_namespace: settings.containerd.kubelet_namespace.clone(),
        engine_namespace: settings.containerd.engine_namespace.clone(),
        call_deadline: settings.containerd.call_deadline,
        resync: settings.containerd.resync_interval,
    });
    let mut found = BTreeMap::new();
    for image in images.into_iter().take(IMAGES) {
        match containerd.image_digest(&image).await {
            Ok(Some(digest)) => {
                found.insert(image, digest);
            }
            Ok(None) => {}
            Err(_) => break,
        }
    }
    found
}

fn change<T>(settings: &Settings, change: impl FnOnce(&mut Index) -> T) -> Result<T, String> {
    index_file(settings)
        .with(change)
        .map_err(|error| chain(&error))
}
