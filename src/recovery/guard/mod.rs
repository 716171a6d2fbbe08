//! Last known good copies of the control plane's static manifests, and putting one back. Which
//! content is good and when it is put back is decided in [`crate::core::recovery::guard`].
//!
//! ```text
//! <state_dir>/static-pods/index.json                   what is remembered: one sealed document
//! <state_dir>/static-pods/copies/<file>/<sha256>.yaml  a good copy, byte for byte
//! <state_dir>/static-pods/copies/<file>/<sha256>.json  what was true of it: sealed, written last
//! <state_dir>/static-pods/aside/<file>.<sha256>        what stood where a copy was put back
//! <state_dir>/static-pods/placed/<file>.json           the last putting back: for its undoing
//! <state_dir>/static-pods/staging                      unfinished writes
//! ```
//!
//! Everything is 0600 in 0700 directories: manifests may hold secrets. Every function here blocks.

mod copies;
mod error;
mod host;
pub mod kubeadm;
mod place;

use std::collections::BTreeMap;
use std::path::PathBuf;

use rustix::fs::{FileType, Stat};

pub use self::copies::Copies;
pub use self::error::GuardError;
pub use self::place::{Before, PutBack};
use crate::core::reading::{Reading, Unseen, UnseenKind};
use crate::core::recovery::guard::memory::GuardMemory;
use crate::core::recovery::guard::seen::FileSeen;
use crate::failpoints::hit;
use crate::store::dir::{Dir, ReadError};
use crate::store::durable::{self, Attributes};
use crate::store::sealed::{self, Format};
use crate::yaml;

/// The directory below the state directory.
pub const PLACE: &str = "static-pods";
/// Largest static manifest that is read, in bytes.
pub const LIMIT: u64 = 1 << 20; // 1 MiB
const INDEX: &str = "index.json";
const STAGING: &str = "staging";

const FORMAT: Format = Format {
    kind: "rekindle static pods",
    major: 1,
    minor: 0,
};

/// Where everything is.
#[derive(Debug, Clone)]
pub struct Guard {
    /// `<state_dir>/static-pods`.
    state: PathBuf,
    /// The kubelet's static pod directory.
    manifests: PathBuf,
    /// On the same file system, not inside it.
    manifest_staging: PathBuf,
    /// Names in the static pod directory.
    files: Vec<String>,
    /// The node's name.
    node: String,
}

/// What was remembered.
#[derive(Debug)]
pub struct Loaded {
    /// The memory.
    pub memory: GuardMemory,
    /// Generation of the index on the disk.
    pub generation: u64,
    /// The whole copies.
    pub copies: Copies,
    /// What was damaged, one sentence each.
    pub problems: Vec<String>,
}

impl Guard {
    /// The guard of these files. Names of our own manifests are left out: checkpoints have their own
    /// copies.
    #[must_use]
    pub fn new(
        state_dir: impl Into<PathBuf>,
        manifests: impl Into<PathBuf>,
        manifest_staging: impl Into<PathBuf>,
        files: impl IntoIterator<Item = String>,
        node: &str,
    ) -> Self {
        let ours = |file: &String| file.starts_with("rekindle-");
        Self {
            state: state_dir.into().join(PLACE),
            manifests: manifests.into(),
            manifest_staging: manifest_staging.into(),
            files: files.into_iter().filter(|file| !ours(file)).collect(),
            node: node.to_owned(),
        }
    }

    /// The static pod directory.
    #[must_use]
    pub fn directory(&self) -> &std::path::Path {
        &self.manifests
    }

    /// What stands under each guarded name. Unknown where the directory cannot be read.
    #[must_use]
    pub fn seen(&self) -> Reading<BTreeMap<String, FileSeen>> {
        let dir = match Dir::open(&self.manifests) {
            Ok(dir) => dir,
            Err(error) => {
                return Reading::Unknown(Unseen::because(UnseenKind::Unreadable, &error));
            }
        };
        let look = |file: &String| (file.clone(), self.look(&dir, file));
        Reading::Known(self.files.iter().map(look).collect())
    }

    fn look(&self, dir: &Dir, file: &str) -> FileSeen {
        match dir.read(file, LIMIT) {
            Ok((bytes, _)) => self.content(file, &bytes),
            Err(error) if error.is_absent() => FileSeen::Absent,
            Err(error) => FileSeen::Unseen(crate::store::chain(&error)),
        }
    }

    /// What `bytes` are under this name: as the kubelet, of several documents the first one.
    fn content(&self, file: &str, bytes: &[u8]) -> FileSeen {
        let documents = yaml::documents(bytes);
        let first = documents.and_then(|all| all.into_iter().next());
        FileSeen::of(file, bytes, first, &self.node)
    }

    /// Reads what is remembered, and makes its place. A damaged index is moved aside and made anew
    /// from the copies.
    ///
    /// # Errors
    /// Where the place cannot be made or read.
    pub fn load(&self) -> Result<Loaded, GuardError> {
        let dir = durable::ensure_root(&self.state)?;
        durable::sweep(&durable::ensure_dir(&dir, STAGING, 0o700)?)?;
        let (copies, mut problems) = self.copies()?;
        let found = match dir.read(INDEX, LIMIT) {
            Ok((bytes, _)) => sealed::unseal::<GuardMemory>(FORMAT, &bytes)
                .map(Some)
                .map_err(|error| error.to_string()),
            Err(error) if error.is_absent() => Ok(None),
            Err(error @ (ReadError::TooLarge { .. } | ReadError::NotAFile { .. })) => {
                Err(error.to_string())
            }
            Err(error) => return Err(error.into()),
        };
        let (memory, generation) = match found {
            Ok(Some(found)) => found,
            Ok(None) => (GuardMemory::rebuilt(&copies), 0),
            Err(why) => {
                let aside = durable::set_aside(&dir, INDEX, "index.damaged-")?;
                problems.push(format!(
                    "the memory of static manifests was damaged ({why}) and is now {aside}: made \
                     anew from the copies"
                ));
                (GuardMemory::rebuilt(&copies), 0)
            }
        };
        Ok(Loaded {
            memory,
            generation,
            copies,
            problems,
        })
    }

    /// Writes the memory down; `generation` grows with each.
    ///
    /// # Errors
    /// Where it cannot be written; the one before is still there.
    pub fn commit(&self, memory: &GuardMemory, generation: u64) -> Result<(), GuardError> {
        let (dir, staging) = self.open()?;
        let bytes = sealed::seal(FORMAT, generation, memory)?;
        durable::write_in(&dir, INDEX, &bytes, &Attributes::ours(0o600), &staging)?;
        hit("guard.committed");
        Ok(())
    }

    /// The place and its staging directory, made where they are missing.
    fn open(&self) -> Result<(Dir, Dir), GuardError> {
        let dir = durable::ensure_root(&self.state)?;
        let staging = durable::ensure_dir(&dir, STAGING, 0o700)?;
        Ok((dir, staging))
    }

    /// The content of a guarded name; `None` where there is nothing.
    fn present(&self, file: &str) -> Result<Option<(Vec<u8>, Stat)>, GuardError> {
        let dir = Dir::open(&self.manifests)?;
        match dir.read(file, LIMIT) {
            Ok((bytes, stat)) => Ok(Some((bytes, stat))),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => {
                let path = dir.path().join(file);
                let kind = dir.stat(file)?.map(|stat| stat.st_mode);
                match kind.map(FileType::from_raw_mode) {
                    Some(FileType::RegularFile) | None => Err(error.into()),
                    // A link or a directory is somebody's own way: nothing of ours to replace.
                    Some(_) => Err(GuardError::NotAFile { path }),
                }
            }
        }
    }
}
