//! Long operations of the command line, one at a time on a node: the lock, and the journal that
//! lets a run go on where another was cut off.
//!
//! ```text
//! <state_dir>/operation/                its own lock: held for the length of one look or write
//! <state_dir>/operation/lock            locked by the process that works on an operation
//! <state_dir>/operation/<kind>.json     its journal: one sealed document
//! <state_dir>/operation/<kind>.damaged-<n>  one that could not be read, moved aside
//! <state_dir>/operation/staging         unfinished writes
//! ```
//!
//! The daemon reads all of it ([`look()`]) and holds back meanwhile; what that means, and that an
//! operation that was cut off goes on holding it back, is decided in [`crate::core::operation`].
//! Every function here blocks.

mod error;
mod look;

use std::marker::PhantomData;
use std::path::Path;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::error::{BeginError, RecordError};
pub use self::look::{PLACE, look};
use crate::core::operation::OperationKind;
use crate::store::dir::Dir;
use crate::store::durable::{self, Attributes};
use crate::store::lock::{self, Lock, LockError};
use crate::store::sealed::{self, Format};

const LOCK: &str = "lock";
const STAGING: &str = "staging";
const END: &str = ".json";

const FORMAT: Format = Format {
    kind: "rekindle operation",
    major: 1,
    minor: 0,
};

/// Largest journal, in bytes: what an operation remembers is where it is, not what it moves.
pub const LIMIT: u64 = 1 << 20; // 1 MiB

/// What everybody may read of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Which operation.
    pub kind: OperationKind,
    /// The process that wrote it last.
    pub pid: u32,
    /// When the operation was begun; a run that goes on with it does not change that.
    pub began: Timestamp,
    /// What it does, in words for people.
    pub at: String,
    /// It is done, and the node is to stay so.
    pub holding: bool,
}

impl Head {
    /// Command, process, time and step, for people.
    #[must_use]
    pub fn said(&self) -> String {
        format!(
            "`rekindle {}`, process {}, begun {} ({})",
            self.kind.word(),
            self.pid,
            self.began.strftime("%Y-%m-%d %H:%M:%S UTC"),
            self.at
        )
    }
}

#[derive(Serialize, Deserialize)]
struct Journal<T> {
    head: Head,
    step: T,
}

/// What a command may know of a journal: only its head.
type Headed = Journal<serde_json::Value>;

/// An operation that is under way: nobody else begins one while this lives. Dropped before
/// [`Operation::finish`], it is unfinished.
#[derive(Debug)]
pub struct Operation<T> {
    dir: Dir,
    staging: Dir,
    head: Head,
    generation: u64,
    _lock: Lock,
    of: PhantomData<fn(T)>,
}

/// What [`Operation::begin`] found.
#[derive(Debug)]
pub struct Begun<T> {
    /// The operation.
    pub operation: Operation<T>,
    /// Where an earlier run was cut off, or what one that holds the node left; `None`: a new one.
    pub resumed: Option<T>,
    /// The earlier run was done and held the node.
    pub held: bool,
    /// What was damaged and moved aside, one sentence each: then how far an earlier run came is
    /// not known, and `resumed` is `None`.
    pub problems: Vec<String>,
}

impl<T: Serialize + DeserializeOwned> Operation<T> {
    /// Takes the node for an operation. Never waits for another one. `first` is written to the
    /// journal where there is nothing to go on with.
    ///
    /// # Errors
    /// Where another one is under way or unfinished, or the journal cannot be read or written.
    pub fn begin(
        state_dir: &Path,
        kind: OperationKind,
        now: Timestamp,
        at: &str,
        first: &T,
    ) -> Result<Begun<T>, BeginError> {
        let dir = durable::ensure_root(&state_dir.join(PLACE))?;
        let gate = lock::wait_dir(dir.walk("")?)?;
        let lock = match lock::hold_file(&dir, LOCK) {
            Ok(lock) => lock,
            Err(LockError::Held { .. }) => {
                let holder = look::working(&dir);
                return Err(BeginError::Busy { holder });
            }
            Err(error) => return Err(error.into()),
        };
        let staging = durable::ensure_dir(&dir, STAGING, 0o700)?;
        durable::sweep(&staging)?;
        let others = OperationKind::ALL
            .into_iter()
            .filter(|other| *other != kind);
        for other in others {
            match read::<serde_json::Value>(&dir, other) {
                Ok(None) => {}
                Ok(Some((journal, _))) if journal.head.holding => {}
                Ok(Some((journal, _))) => return Err(BeginError::Unfinished(journal.head)),
                Err(why) => return Err(BeginError::Damaged { kind: other, why }),
            }
        }
        let mut problems = Vec::new();
        let found = match read::<T>(&dir, kind) {
            Ok(found) => found,
            Err(why) => {
                let name = file(kind);
                let aside = format!("{}.damaged-", kind.word());
                let aside = durable::set_aside(&dir, &name, &aside)?;
                problems.push(format!(
                    "{} was damaged ({why}) and is now {aside}: how far an earlier run came is \
                     not known",
                    dir.path().join(name).display()
                ));
                None
            }
        };
        let (began, held, resumed, generation) = match found {
            Some((journal, generation)) => {
                let Head { began, holding, .. } = journal.head;
                (began, holding, Some(journal.step), generation)
            }
            None => (now, false, None, 0),
        };
        let head = Head {
            kind,
            pid: std::process::id(),
            began,
            at: String::new(),
            holding: false,
        };
        let mut operation = Self {
            dir,
            staging,
            head,
            generation,
            _lock: lock,
            of: PhantomData,
        };
        operation.write(at, resumed.as_ref().unwrap_or(first))?;
        drop(gate);
        Ok(Begun {
            operation,
            resumed,
            held,
            problems,
        })
    }

    /// Writes down what comes next, before it is done: `at` in words for people, `step` to go on
    /// with. On the disk when this returns.
    ///
    /// # Errors
    /// Where it cannot be written, or is larger than [`LIMIT`]; the entry before is still there.
    pub fn record(&mut self, at: &str, step: &T) -> Result<(), RecordError> {
        let _gate = self.gate()?;
        self.write(at, step)
    }

    /// The operation is done: the node is free.
    ///
    /// # Errors
    /// Where its journal cannot be removed.
    pub fn finish(self) -> Result<(), RecordError> {
        let _gate = self.gate()?;
        Ok(durable::remove_in(&self.dir, &file(self.head.kind))?)
    }

    /// The operation is done, and the node is to stay as it is: the daemon is held back until
    /// [`release`], or until the operation is begun again.
    ///
    /// # Errors
    /// As [`Operation::record`].
    pub fn finish_holding(mut self, at: &str, step: &T) -> Result<(), RecordError> {
        let _gate = self.gate()?;
        self.head.holding = true;
        self.write(at, step)
    }

    /// When the operation was begun.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        self.head.began
    }

    fn gate(&self) -> Result<Lock, RecordError> {
        Ok(lock::wait_dir(self.dir.walk("")?)?)
    }

    fn write(&mut self, at: &str, step: &T) -> Result<(), RecordError> {
        at.clone_into(&mut self.head.at);
        self.generation = self.generation.saturating_add(1);
        let head = self.head.clone();
        let journal = Journal { head, step };
        let bytes = sealed::seal(FORMAT, self.generation, &journal)?;
        if u64::try_from(bytes.len()).map_or(true, |length| length > LIMIT) {
            return Err(RecordError::TooLarge);
        }
        let attributes = Attributes::ours(0o600);
        let name = file(self.head.kind);
        durable::write_in(&self.dir, &name, &bytes, &attributes, &self.staging)?;
        Ok(())
    }
}

/// Lets the node go that an operation held when it was done: for whoever goes on from there. `false`
/// where it does not hold it.
///
/// # Errors
/// Where the journal cannot be read or removed.
pub fn release(state_dir: &Path, kind: OperationKind) -> Result<bool, RecordError> {
    let dir = match Dir::open(&state_dir.join(PLACE)) {
        Ok(dir) => dir,
        Err(error) if error.is_absent() => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let _gate = lock::wait_dir(dir.walk("")?)?;
    let held = match read::<serde_json::Value>(&dir, kind) {
        Ok(found) => found.is_some_and(|(journal, _)| journal.head.holding),
        Err(why) => return Err(RecordError::Damaged { kind, why }),
    };
    if held {
        durable::remove_in(&dir, &file(kind))?;
    }
    Ok(held)
}

/// Makes the place, so that it can be watched.
///
/// # Errors
/// Where it cannot be made.
pub fn prepare(state_dir: &Path) -> Result<(), durable::DurableError> {
    durable::ensure_root(&state_dir.join(PLACE)).map(drop)
}

fn file(kind: OperationKind) -> String {
    format!("{}{END}", kind.word())
}

/// The journal of `kind`, where there is one, or why it cannot be read.
fn read<T: DeserializeOwned>(
    dir: &Dir,
    kind: OperationKind,
) -> Result<Option<(Journal<T>, u64)>, String> {
    let (bytes, _) = match dir.read(&file(kind), LIMIT) {
        Ok(read) => read,
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => return Err(crate::store::chain(&error)),
    };
    let (journal, generation): (Journal<T>, u64) =
        sealed::unseal(FORMAT, &bytes).map_err(|error| crate::store::chain(&error))?;
    if journal.head.kind != kind {
        return Err("it is the journal of another operation".to_owned());
    }
    Ok(Some((journal, generation)))
}
