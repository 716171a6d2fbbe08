//! Rehearsal: a backup is really restored, in a place of its own, an etcd is started on it, and
//! everything in it is read back.
//!
//! What it shows: the snapshot restores with the tools of this host; etcd serves it; revision and
//! numbers of keys are those of the manifest; every object decodes; and what is encrypted at rest
//! opens with the encryption configuration in the same backup (scenario B09).
//!
//! The etcd listens on a Unix socket in a directory that only we may enter, and on nothing else;
//! it and the tool that restores run with idle I/O, low priority, a memory limit and, where the
//! kernel lets us, no network at all ([`confine`]). Nothing stays: see [`scratch`].
//!
//! There is no time-out for the whole, which depends on the size: each step is watched for
//! progress ([`child`]).
//!
//! Children die with the *thread* that starts them (`PR_SET_PDEATHSIG`), so [`rehearse`] belongs
//! on a runtime whose threads outlive it: a current-thread runtime, not a `spawn_blocking` thread.

mod census;
mod child;
mod client;
mod confine;
mod encrypted;
mod error;
mod quarantine;
mod restore;
mod scratch;
mod server;
mod steps;
mod tools;

use std::path::PathBuf;
use std::time::Duration;

pub use self::error::RehearseError;
pub use self::quarantine::{Quarantine, QuarantineError, Ways};
pub use self::scratch::sweep;
pub use self::steps::rehearse;
pub use self::tools::Tools;
use crate::objects::REGISTRY;

/// What to rehearse, and where.
#[derive(Debug, Clone)]
pub struct Request {
    /// Directory of the sealed bundle.
    pub bundle: PathBuf,
    /// Directory for what lasts as long as the rehearsal; made (0700) where it is missing, and
    /// nobody else's. It needs room for the database twice where the snapshot is compressed.
    pub scratch: PathBuf,
    /// Where `etcd` and `etcdutl` or `etcdctl` are looked for before `PATH`'s usual directories.
    pub tools: Option<PathBuf>,
    /// The API server's `--etcd-prefix`.
    pub prefix: String,
    /// How much it may take.
    pub limits: Limits,
}

impl Request {
    /// A rehearsal of the bundle with default limits.
    pub fn new(bundle: PathBuf, scratch: PathBuf) -> Self {
        Self {
            bundle,
            scratch,
            tools: None,
            prefix: REGISTRY.to_owned(),
            limits: Limits::default(),
        }
    }
}

/// How much a rehearsal may take of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory of each child process, in bytes: its heap, not the pages of the database that the
    /// kernel keeps in its cache.
    pub memory_bytes: u64,
    /// Bytes of the scratch directory's file system that stay free.
    pub min_free_bytes: u64,
    /// A step that shows no progress for so long has failed; bringing some GiB to a slow disk shows
    /// none for minutes.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 2 << 30,
            min_free_bytes: 1 << 30,
            stall: Duration::from_secs(300),
        }
    }
}
