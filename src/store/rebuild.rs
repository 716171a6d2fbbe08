//! A state made again from what stands on disk, when no generation of it could be read (D07).
//!
//! Knows each checkpoint and its good revision. What each was doing is lost: the next observation
//! shows what runs, and every timer starts again.

use super::chain;
use super::dir::{Dir, ReadError};
use super::inventory::{self, INVENTORY};
use super::marks;
use super::revisions::CHECKPOINTS;
use crate::core::id::{CheckpointId, RevisionId};
use crate::core::stored::{Candidate, Checkpoint, Stored};

/// The state as far as the revisions tell it; what they do not tell goes into `problems`.
///
/// # Errors
/// Where the revisions cannot be listed: unknown, not empty.
pub(super) fn rebuild(root: &Dir, problems: &mut Vec<String>) -> Result<Stored, ReadError> {
    let mut stored = Stored::default();
    let checkpoints = match root.sub(CHECKPOINTS) {
        Ok(checkpoints) => checkpoints,
        Err(error) if error.is_absent() => return Ok(stored),
        Err(error) => return Err(error),
    };
    let activations = activations_floor(root);
    for name in checkpoints.names()? {
        let Ok(id) = CheckpointId::parse(&name) else {
            continue;
        };
        let read = checkpoints
            .sub(&name)
            .map_err(|error| chain(&error))
            .and_then(|dir| rebuild_one(&dir, &id, activations));
        match read {
            Ok((checkpoint, problem)) => {
                problems.extend(problem.map(|text| format!("checkpoint {id}: {text}")));
                if checkpoint.good.is_some() || checkpoint.candidate.is_some() {
                    stored.checkpoints.insert(id, checkpoint);
                }
            }
            Err(text) => problems.push(format!("checkpoint {id} is unknown: {text}")),
        }
    }
    Ok(stored)
}

fn rebuild_one(
    dir: &Dir,
    id: &CheckpointId,
    activations: u64,
) -> Result<(Checkpoint, Option<String>), String> {
    let mut checkpoint = Checkpoint {
        activations,
        ..Checkpoint::default()
    };
    let problem = match marks::read(dir) {
        Ok(Some(good)) => {
            checkpoint.good = Some(good);
            None
        }
        Ok(None) => {
            // Never marked, so never good: it has to prove itself again.
            checkpoint.candidate = oldest_whole(dir, id)?.map(|revision| Candidate {
                revision,
                ready_since: None,
            });
            None
        }
        Err(error) => {
            // Some revision was good. A newer one may be unproven, so the oldest is the safest.
            checkpoint.good = oldest_whole(dir, id)?;
            Some(match &checkpoint.good {
                Some(good) => format!("{}; the oldest, {good}, is taken for good", chain(&error)),
                None => format!("{}, and no revision is whole", chain(&error)),
            })
        }
    };
    Ok((checkpoint, problem))
}

/// The whole revision that was stored first.
fn oldest_whole(dir: &Dir, id: &CheckpointId) -> Result<Option<RevisionId>, String> {
    let mut oldest = None;
    for name in dir.names().map_err(|error| chain(&error))? {
        let Ok(revision) = RevisionId::parse(&name) else {
            continue;
        };
        let Ok(opened) = dir.sub(&name) else {
            continue;
        };
        let Ok(Some(stat)) = opened.stat(INVENTORY) else {
            continue;
        };
        let stored_at = (stat.st_mtime, stat.st_mtime_nsec);
        let older = oldest.as_ref().is_none_or(|(first, _)| stored_at < *first);
        if older && inventory::verify(&opened, id, &revision).is_ok() {
            oldest = Some((stored_at, revision));
        }
    }
    Ok(oldest.map(|(_, revision)| revision))
}

/// A number of activations above any that was counted before the loss, so that no static pod's uid
/// comes again: the second in which the state directory changed last. No clock is read.
fn activations_floor(root: &Dir) -> u64 {
    root.stat_self()
        .ok()
        .and_then(|stat| u64::try_from(stat.st_mtime).ok())
        .unwrap_or_default()
}
