//! Taking over what a process before us ran, and telling the board whether containerd answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Shared;
use super::container::{BOOT, CHECKPOINT, RECORD};
use super::record::{self, Record};
use crate::core::id::CheckpointId;
use crate::core::reading::{Unseen, UnseenKind};

/// Wait before taking over is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Takes over once, then only watches containerd.
pub(super) async fn keep(shared: Arc<Shared>) {
    loop {
        match take_over(&shared).await {
            Ok(()) => break,
            Err(unseen) => shared.board.seen(Some(unseen)),
        }
        sleep(RETRY).await;
    }
    let mut events = shared.events.clone();
    loop {
        let unseen = events.borrow_and_update().unseen().cloned();
        let waiting = unseen
            .as_ref()
            .is_some_and(|u| u.kind == UnseenKind::NotAsked);
        if !waiting {
            shared.board.seen(unseen);
        }
        if events.changed().await.is_err() {
            return;
        }
    }
}

async fn take_over(shared: &Arc<Shared>) -> Result<(), Unseen> {
    let (workshop, c) = (&shared.workshop, &shared.workshop.containerd);
    let failed = |error: crate::containerd::Error| error.unseen();
    let unreadable = |cause: String| Unseen::new(UnseenKind::Unreadable, cause);
    c.ensure_namespace(workshop.namespace())
        .await
        .map_err(failed)?;
    let listing = c.list(workshop.namespace()).await.map_err(failed)?;
    let config = workshop.config.clone();
    let records = tokio::task::spawn_blocking(move || record::all(&config)).await;
    let records = records.unwrap_or_else(|error| Err(error.to_string()));
    let (mut known, mut past) = (BTreeMap::new(), Vec::new());
    for record in records.map_err(unreadable)? {
        if record.boot_id == workshop.config.boot_id {
            known.insert(record.checkpoint.clone(), record);
        } else {
            past.push(record.checkpoint);
        }
    }
    let mut kept = BTreeSet::new();
    for (id, container) in &listing {
        let checkpoint = container.label(CHECKPOINT);
        if checkpoint.is_empty() {
            continue;
        }
        let checkpoint = CheckpointId::parse(checkpoint).ok();
        let now = container.label(BOOT) == workshop.config.boot_id;
        if let Some(checkpoint) = checkpoint.filter(|_| now) {
            if known.contains_key(&checkpoint) {
                kept.insert(id.clone());
                continue;
            }
            if let Some(record) = copy(shared, id).await.map_err(failed)? {
                save(shared, &record).await.map_err(unreadable)?;
                known.insert(checkpoint, record);
                kept.insert(id.clone());
                continue;
            }
        }
        tracing::info!(container = id, "a container of another boot is removed");
        workshop.discard(id).await.map_err(failed)?;
    }
    workshop
        .sweep(|id| kept.contains(id))
        .await
        .map_err(failed)?;
    let config = workshop.config.clone();
    let removed = tokio::task::spawn_blocking(move || {
        record::sweep(&config);
        for checkpoint in &past {
            record::remove(&config, checkpoint)?;
        }
        super::places::remove_cgroup_parent(&config.cgroup_parent);
        record::keep_reserve(&config);
        Ok(())
    });
    let removed = removed.await.unwrap_or_else(|error| Err(error.to_string()));
    removed.map_err(unreadable)?;
    let mut pods = shared.pods.lock().await;
    for (_, record) in known {
        if !pods.contains_key(&record.checkpoint) {
            tracing::info!(pod = %record, "pod of our own engine is taken over");
            Shared::supervise(shared, &mut pods, record);
        }
    }
    drop(pods);
    shared.board.seen(None);
    Ok(())
}

/// The copy of the pod's record that a container carries.
async fn copy(shared: &Shared, id: &str) -> Result<Option<Record>, crate::containerd::Error> {
    let c = &shared.workshop.containerd;
    let container = c.container(shared.workshop.namespace(), id).await?;
    let any = container.and_then(|mut container| container.extensions.remove(RECORD));
    Ok(any.and_then(|any| serde_json::from_slice(&any.value).ok()))
}

async fn save(shared: &Shared, record: &Record) -> Result<(), String> {
    let (config, record) = (shared.workshop.config.clone(), record.clone());
    let saved = tokio::task::spawn_blocking(move || record::save(&config, &record));
    saved.await.unwrap_or_else(|error| Err(error.to_string()))
}
