//! The stored state: two generations on disk, the newest intact one loaded, never silently
//! "empty" (D07).
//!
//! A commit links `state.json` to `state.previous.json`, then replaces `state.json`: at every
//! instant both names hold whole documents, and one of them the generation committed last.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::chain;
use super::dir::{Dir, ReadError};
use super::durable::{self, Attributes, DurableError};
use super::rebuild::rebuild;
use super::revisions::{CHECKPOINTS, STAGING};
use super::sealed::{self, Format, SealError};
use super::{marks, reserve};
use crate::core::id::{CheckpointId, RevisionId};
use crate::core::stored::Stored;
use crate::failpoints::hit;

/// The newest generation.
pub const STATE: &str = "state.json";
/// The one before.
pub const PREVIOUS: &str = "state.previous.json";
const DAMAGED: &str = "state.damaged-";

/// Version of the state file: see [`super::sealed`] for what a change of it means.
pub const FORMAT: Format = Format {
    kind: "rekindle state",
    major: 1,
    minor: 0,
};

/// Largest state read: some 10 000 checkpoints.
const LIMIT: u64 = 16 << 20; // 16 MiB

/// What was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The memory: committed last, or the generation before, or rebuilt.
    pub stored: Stored,
    /// What was damaged and what was done about it, one sentence each.
    pub problems: Vec<String>,
    /// Where the next state is committed.
    pub file: StateFile,
}

/// Why the state could not be loaded or committed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The state directory is there and cannot be read: what it holds is unknown.
    #[error("the state directory cannot be read")]
    Read(#[from] ReadError),
    /// The state cannot be encoded.
    #[error("the state cannot be encoded")]
    Encode(#[from] SealError),
    /// The state cannot be written; the generation committed last is intact.
    #[error("the state cannot be committed")]
    Write(#[from] DurableError),
}

impl StateError {
    /// The disk is full or read-only.
    pub fn is_disk(&self) -> bool {
        matches!(self, Self::Write(error) if error.is_full() || error.is_read_only())
    }
}

/// One of the two files.
enum Generation {
    Absent,
    Intact(Stored, u64),
    Damaged(String),
}

/// Loads the state below `state_dir`. Damaged files are moved aside, not deleted.
///
/// # Errors
/// Where the directory is there and cannot be read. It may then hold anything, so nothing may be
/// committed either: there is no [`StateFile`]. A directory that is not there is a first start.
pub fn load(state_dir: &Path) -> Result<Loaded, StateError> {
    let mut problems = Vec::new();
    let (stored, generation) = newest(state_dir, move_aside, &mut problems)?;
    let file = StateFile {
        state_dir: state_dir.to_owned(),
        written: Mutex::new(Written {
            generation,
            last: None,
            marked: BTreeMap::new(),
        }),
    };
    Ok(Loaded {
        stored,
        problems,
        file,
    })
}

/// What [`load`] would load, with the problems; changes nothing on disk. For a reader beside a
/// daemon.
///
/// # Errors
/// As [`load`].
pub fn peek(state_dir: &Path) -> Result<(Stored, Vec<String>), StateError> {
    let mut problems = Vec::new();
    let leave = |_: &Dir, _: &str| "the daemon will move it aside when it starts".to_owned();
    let (stored, _) = newest(state_dir, leave, &mut problems)?;
    Ok((stored, problems))
}

/// The newest usable memory with its generation. `damaged` deals with a damaged file and says what
/// became of it.
fn newest(
    state_dir: &Path,
    damaged: impl Fn(&Dir, &str) -> String,
    problems: &mut Vec<String>,
) -> Result<(Stored, u64), StateError> {
    match Dir::open(state_dir) {
        Err(error) if error.is_absent() => Ok((Stored::default(), 0)),
        Err(error) => Err(error.into()),
        Ok(root) => load_from(&root, damaged, problems),
    }
}

fn load_from(
    root: &Dir,
    damaged: impl Fn(&Dir, &str) -> String,
    problems: &mut Vec<String>,
) -> Result<(Stored, u64), StateError> {
    let names = root.names()?;
    let mut newest: Option<(Stored, u64)> = None;
    let mut lost = names.iter().any(|name| name.starts_with(DAMAGED));
    for name in [STATE, PREVIOUS] {
        match read(root, name) {
            Generation::Intact(stored, generation) => {
                if newest.as_ref().is_none_or(|(_, other)| generation > *other) {
                    newest = Some((stored, generation));
                }
            }
            Generation::Absent => {}
            Generation::Damaged(why) => {
                lost = true;
                let aside = damaged(root, name);
                problems.push(format!("{name} was unusable: {why}; {aside}"));
            }
        }
    }
    if let Some((stored, generation)) = newest {
        if !names.iter().any(|name| name == STATE) {
            problems.push(format!("{STATE} was missing"));
        }
        if !problems.is_empty() {
            problems.push(format!("state generation {generation} is in use"));
        }
        return Ok((stored, generation));
    }
    let stored = rebuild(root, problems)?;
    if lost || !stored.checkpoints.is_empty() {
        problems.push(format!(
            "no generation of the state was usable: {} checkpoint(s) were rebuilt from the \
             revisions on disk, what they were doing is forgotten",
            stored.checkpoints.len()
        ));
    }
    Ok((stored, 0))
}

fn read(root: &Dir, name: &str) -> Generation {
    match root.read(name, LIMIT) {
        Err(error) if error.is_absent() => Generation::Absent,
        Err(error) => Generation::Damaged(chain(&error)),
        Ok((bytes, _)) => match sealed::unseal(FORMAT, &bytes) {
            Ok((stored, generation)) => Generation::Intact(stored, generation),
            Err(error) => Generation::Damaged(chain(&error)),
        },
    }
}

/// Moves a damaged file out of the way, to the first free number; says where it is now.
fn move_aside(root: &Dir, name: &str) -> String {
    match durable::set_aside(root, name, DAMAGED) {
        Ok(aside) => format!("it is kept as {aside}"),
        Err(error) => format!("it could not be moved aside: {}", chain(&error)),
    }
}

/// Where the state is committed. One for each state directory.
#[derive(Debug)]
pub struct StateFile {
    state_dir: PathBuf,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    generation: u64,
    last: Option<Stored>,
    marked: BTreeMap<CheckpointId, RevisionId>,
}

impl StateFile {
    /// Commits `stored` as the next generation, good revisions marked first. On return it is on
    /// the disk. Committing the same again does nothing.
    ///
    /// # Errors
    /// The step that failed; the generation committed before is then intact.
    pub fn commit(&self, stored: &Stored) -> Result<(), StateError> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.last.as_ref() == Some(stored) {
            return Ok(());
        }
        let next = written.generation.saturating_add(1);
        let bytes = sealed::seal(FORMAT, next, stored)?;
        let root = durable::ensure_root(&self.state_dir)?;
        match commit(&root, stored, &bytes, &mut written) {
            Err(error) if error.is_full() && reserve::release(&root)? => {
                commit(&root, stored, &bytes, &mut written)?;
            }
            done => done?,
        }
        hit("state.committed");
        written.generation = next;
        written.last = Some(stored.clone());
        if let Ok(staging) = root.sub(STAGING) {
            reserve::keep(&root, &staging);
        }
        Ok(())
    }
}

fn commit(
    root: &Dir,
    stored: &Stored,
    bytes: &[u8],
    written: &mut Written,
) -> Result<(), DurableError> {
    let staging = durable::ensure_dir(root, STAGING, 0o700)?;
    for (id, checkpoint) in &stored.checkpoints {
        if let Some(good) = &checkpoint.good
            && written.marked.get(id) != Some(good)
        {
            match mark(root, id, good, &staging) {
                Ok(()) => {
                    written.marked.insert(id.clone(), good.clone());
                }
                Err(marks::MarkError::Write(error)) if error.is_full() => return Err(error),
                // One broken checkpoint must not keep the state of the others off the disk.
                Err(error) => tracing::warn!(checkpoint = %id, error = chain(&error), "not marked"),
            }
        }
    }
    hit("state.good-marked");
    // Damage since the last commit must not become the previous generation.
    match read(root, STATE) {
        Generation::Absent => {}
        Generation::Intact(..) => durable::link_over(root, STATE, PREVIOUS, &staging)?,
        Generation::Damaged(why) => {
            let aside = move_aside(root, STATE);
            tracing::warn!(file = STATE, why, aside, "damaged since the last commit");
        }
    }
    hit("state.previous-kept");
    durable::write_in(root, STATE, bytes, &Attributes::ours(0o600), &staging)
}

fn mark(
    root: &Dir,
    id: &CheckpointId,
    good: &RevisionId,
    staging: &Dir,
) -> Result<(), marks::MarkError> {
    let checkpoint = root.sub(CHECKPOINTS)?.sub(id.as_str())?;
    marks::write(&checkpoint, good, staging)
}
