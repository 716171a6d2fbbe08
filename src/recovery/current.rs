//! The journal of the recovery that is under way, and what is remembered between recoveries.
//!
//! ```text
//! <state_dir>/recovery/lock            locked by the process that recovers: the daemon
//! <state_dir>/recovery/current.json    the journal, while a recovery is under way: sealed
//! <state_dir>/recovery/standing.json   when recoveries began, and whether it is latched: sealed
//! <state_dir>/recovery/staging         unfinished writes
//! ```
//!
//! A journal that cannot be read is moved aside and latches: how far a recovery came is then not
//! known, and nothing is begun until an operator has looked. Every function here blocks.

use std::path::Path;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use super::PLACE;
use crate::core::reading::chain;
use crate::core::recovery::etcd_seen::Identity;
use crate::core::recovery::journal::Journal;
use crate::store::dir::{Dir, ReadError};
use crate::store::durable::{self, Attributes, DurableError};
use crate::store::lock::{self, Lock, LockError};
use crate::store::sealed::{self, Format, SealError};

const LOCK: &str = "lock";
const STAGING: &str = "staging";
const CURRENT: &str = "current.json";
const STANDING: &str = "standing.json";
/// Largest of them in bytes.
const LIMIT: u64 = 4 << 20; // 4 MiB

const JOURNAL: Format = Format {
    kind: "rekindle recovery journal",
    major: 1,
    minor: 0,
};
const MEMORY: Format = Format {
    kind: "rekindle recovery standing",
    major: 1,
    minor: 0,
};

/// What outlives a recovery.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// When recoveries without asking began, oldest first.
    pub began: Vec<Timestamp>,
    /// Nothing is done without asking until an operator has looked: why.
    pub latched: Option<String>,
    /// The control plane was seen to work: before that nothing is recovered without asking.
    pub worked: bool,
    /// Whose data etcd holds: an emptied one is told from it by that, also after a restart.
    pub identity: Option<Identity>,
}

/// Why the journal cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum CurrentError {
    /// Another process recovers.
    #[error("another process recovers this node")]
    Lock(#[from] LockError),
    /// It cannot be read.
    #[error("the journal of recoveries cannot be read")]
    Read(#[from] ReadError),
    /// It is no JSON.
    #[error("the journal of recoveries cannot be encoded")]
    Encode(#[from] SealError),
    /// It cannot be written.
    #[error("the journal of recoveries cannot be written")]
    Write(#[from] DurableError),
    /// More than it may hold.
    #[error("the journal of recoveries is larger than {LIMIT} bytes")]
    TooLarge,
}

/// The open journal. One process has it.
#[derive(Debug)]
pub struct Current {
    dir: Dir,
    staging: Dir,
    generation: u64,
    _lock: Lock,
}

/// What was found.
#[derive(Debug)]
pub struct Opened {
    /// Where it is written.
    pub current: Current,
    /// A recovery that was cut off.
    pub journal: Option<Journal>,
    /// What outlived the others.
    pub standing: Standing,
    /// What was damaged, one sentence each.
    pub problems: Vec<String>,
}

/// Opens the journal below `state_dir`.
///
/// # Errors
/// Where another process has it, or the place cannot be used.
pub fn open(state_dir: &Path) -> Result<Opened, CurrentError> {
    let dir = durable::ensure_root(&state_dir.join(PLACE))?;
    let lock = lock::hold_file(&dir, LOCK)?;
    let staging = durable::ensure_dir(&dir, STAGING, 0o700)?;
    durable::sweep(&staging)?;
    let mut problems = Vec::new();
    let journal = load::<Journal>(&dir, CURRENT, JOURNAL, &mut problems)?;
    let cut_off_unknown = !problems.is_empty();
    let standing = load::<Standing>(&dir, STANDING, MEMORY, &mut problems)?;
    let generations = [
        journal.as_ref().map_or(0, |(_, generation)| *generation),
        standing.as_ref().map_or(0, |(_, generation)| *generation),
    ];
    let mut current = Current {
        dir,
        staging,
        generation: generations.into_iter().max().unwrap_or(0),
        _lock: lock,
    };
    let mut standing = standing.map(|(standing, _)| standing).unwrap_or_default();
    if !problems.is_empty() {
        standing.latched = Some(if cut_off_unknown {
            "the journal of a recovery was damaged: how far it came is not known".to_owned()
        } else {
            "what is remembered of recoveries was damaged".to_owned()
        });
        current.remember(&standing)?;
    }
    Ok(Opened {
        current,
        journal: journal.map(|(journal, _)| journal),
        standing,
        problems,
    })
}

/// What is there, for who only looks: changes nothing, takes no lock.
///
/// # Errors
/// Where something is there and cannot be read.
pub fn peek(state_dir: &Path) -> Result<(Option<Journal>, Standing), String> {
    let dir = match Dir::open(&state_dir.join(PLACE)) {
        Ok(dir) => dir,
        Err(error) if error.is_absent() => return Ok((None, Standing::default())),
        Err(error) => return Err(chain(&error)),
    };
    let journal = read::<Journal>(&dir, CURRENT, JOURNAL)?;
    let standing = read::<Standing>(&dir, STANDING, MEMORY)?;
    Ok((
        journal.map(|(journal, _)| journal),
        standing.map(|(standing, _)| standing).unwrap_or_default(),
    ))
}

impl Current {
    /// Writes the journal: on the disk when this returns.
    ///
    /// # Errors
    /// Where it cannot be written; the one before is still there.
    pub fn record(&mut self, journal: &Journal) -> Result<(), CurrentError> {
        self.write(CURRENT, JOURNAL, journal)
    }

    /// The recovery has ended and is written down elsewhere.
    ///
    /// # Errors
    /// Where the journal cannot be removed.
    pub fn clear(&mut self) -> Result<(), CurrentError> {
        Ok(durable::remove_in(&self.dir, CURRENT)?)
    }

    /// Writes what outlives a recovery.
    ///
    /// # Errors
    /// As [`Current::record`].
    pub fn remember(&mut self, standing: &Standing) -> Result<(), CurrentError> {
        self.write(STANDING, MEMORY, standing)
    }

    fn write<T: Serialize>(
        &mut self,
        name: &str,
        format: Format,
        value: &T,
    ) -> Result<(), CurrentError> {
        self.generation = self.generation.saturating_add(1);
        let bytes = sealed::seal(format, self.generation, value)?;
        if u64::try_from(bytes.len()).map_or(true, |length| length > LIMIT) {
            return Err(CurrentError::TooLarge);
        }
        let attributes = Attributes::ours(0o600);
        durable::write_in(&self.dir, name, &bytes, &attributes, &self.staging)?;
        Ok(())
    }
}

/// What a file holds; one that is damaged is moved aside and said.
fn load<T: DeserializeOwned>(
    dir: &Dir,
    name: &str,
    format: Format,
    problems: &mut Vec<String>,
) -> Result<Option<(T, u64)>, CurrentError> {
    match read(dir, name, format) {
        Ok(found) => Ok(found),
        Err(why) => {
            let prefix = format!("{name}.damaged-");
            let aside = durable::set_aside(dir, name, &prefix)?;
            problems.push(format!(
                "{} was damaged ({why}) and is now {aside}",
                dir.path().join(name).display()
            ));
            Ok(None)
        }
    }
}

fn read<T: DeserializeOwned>(
    dir: &Dir,
    name: &str,
    format: Format,
) -> Result<Option<(T, u64)>, String> {
    match dir.read(name, LIMIT) {
        Ok((bytes, _)) => sealed::unseal(format, &bytes)
            .map(Some)
            .map_err(|error| chain(&error)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(chain(&error)),
    }
}
