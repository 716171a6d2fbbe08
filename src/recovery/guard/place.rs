//! Putting a copy back into the static pod directory, and undoing that.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{FORMAT, Guard, GuardError, LIMIT};
use crate::core::recovery::guard::restore::Restore;
use crate::core::recovery::guard::seen::FileSeen;
use crate::failpoints::hit;
use crate::store::dir::Dir;
use crate::store::durable::{self, Attributes};
use crate::store::sealed::{self, hex_digest};

const ASIDE: &str = "aside";
const PLACED: &str = "placed";

/// One putting back, as it was written down before it was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutBack {
    /// The file's name in the static pod directory.
    pub file: String,
    /// The copy that was put there.
    pub digest: String,
    /// What stood there before.
    pub before: Before,
    /// When.
    pub at: Timestamp,
}

/// What stood where a copy was put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Before {
    /// Nothing.
    Nothing,
    /// A file, which is kept aside.
    File {
        /// Where, an absolute path.
        aside: String,
        /// Its permission bits.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
}

impl Guard {
    /// Puts a good copy back. What stands there is kept aside first, outside of the kubelet's
    /// directory, and replaced in one step. May be repeated: one that was cut off is completed, and
    /// what it found at first stays what [`Guard::undo`] puts back.
    ///
    /// # Errors
    /// Where the copy is not whole, what stands there is no regular file or another pod than the one
    /// that was decided on, or the disk refuses; what stood there is then still there.
    pub fn put_back(&self, restore: &Restore, now: Timestamp) -> Result<PutBack, GuardError> {
        let (file, digest) = (restore.file.as_str(), restore.digest.as_str());
        let (bytes, facts) = self.copy(file, digest)?;
        let present = self.present(file)?;
        if present
            .as_ref()
            .map(|(bytes, _)| hex_digest(bytes))
            .as_deref()
            == Some(digest)
        {
            // Cut off after the rename, or done by somebody else.
            let recorded = self.last_put_back(file)?;
            return Ok(recorded
                .filter(|last| last.digest == digest)
                .unwrap_or(PutBack {
                    file: file.to_owned(),
                    digest: digest.to_owned(),
                    before: Before::Nothing,
                    at: now,
                }));
        }
        let pod = present
            .as_ref()
            .and_then(|(bytes, _)| self.pod(file, bytes));
        if pod.is_some() && pod != restore.instead_of {
            return Err(GuardError::Changed {
                file: file.to_owned(),
            });
        }
        let (dir, staging) = self.open()?;
        let ours = Attributes::ours(0o600);
        let before = match present {
            None => Before::Nothing,
            Some((bytes, stat)) => {
                let aside = durable::ensure_dir(&dir, ASIDE, 0o700)?;
                let name = format!("{file}.{}", hex_digest(&bytes));
                durable::write_in(&aside, &name, &bytes, &ours, &staging)?;
                hit("guard.kept-aside");
                Before::File {
                    aside: aside.path().join(name).to_string_lossy().into_owned(),
                    mode: stat.st_mode & 0o7777,
                    uid: stat.st_uid,
                    gid: stat.st_gid,
                }
            }
        };
        let done = PutBack {
            file: file.to_owned(),
            digest: digest.to_owned(),
            before,
            at: now,
        };
        let placed = durable::ensure_dir(&dir, PLACED, 0o700)?;
        let record = sealed::seal(FORMAT, 1, &done)?;
        durable::write_in(&placed, &record_name(file), &record, &ours, &staging)?;
        hit("guard.recorded");
        let attributes = Attributes {
            mode: facts.mode,
            uid: facts.uid,
            gid: facts.gid,
        };
        self.write(file, &bytes, &attributes)?;
        hit("guard.put-back");
        if self.is_there(file, digest)? {
            Ok(done)
        } else {
            Err(GuardError::NotThere {
                file: file.to_owned(),
            })
        }
    }

    /// The last putting back of `file`, done or cut off.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn last_put_back(&self, file: &str) -> Result<Option<PutBack>, GuardError> {
        let read = Dir::open(&self.state.join(PLACED))
            .and_then(|placed| placed.read(&record_name(file), LIMIT));
        match read {
            Ok((bytes, _)) => Ok(Some(sealed::unseal::<PutBack>(FORMAT, &bytes)?.0)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts back what stood there before the last putting back, where nobody has changed the file
    /// since.
    ///
    /// # Errors
    /// [`GuardError::NothingToUndo`], [`GuardError::Changed`], or where the disk refuses.
    pub fn undo(&self, file: &str) -> Result<(), GuardError> {
        let file_name = || file.to_owned();
        let Some(last) = self.last_put_back(file)? else {
            return Err(GuardError::NothingToUndo { file: file_name() });
        };
        let (present, _) = self.present(file)?.unzip();
        let present = present.map(|bytes| hex_digest(&bytes));
        match &last.before {
            // An undoing that was cut off, or nothing was placed yet.
            Before::Nothing if present.is_none() => {}
            Before::File { aside, .. }
                if present.as_deref() == aside.rsplit_once('.').map(|name| name.1) => {}
            _ if present.as_deref() != Some(&last.digest) => {
                return Err(GuardError::Changed { file: file_name() });
            }
            Before::Nothing => durable::remove_in(&Dir::open(&self.manifests)?, file)?,
            Before::File {
                aside,
                mode,
                uid,
                gid,
            } => {
                let name = aside.rsplit_once('/').map_or(aside.as_str(), |path| path.1);
                let kept = Dir::open(&self.state.join(ASIDE))?;
                let (bytes, _) = kept.read(name, LIMIT)?;
                let (mode, uid, gid) = (*mode, *uid, *gid);
                self.write(file, &bytes, &Attributes { mode, uid, gid })?;
            }
        }
        hit("guard.undone");
        durable::remove_in(&Dir::open(&self.state.join(PLACED))?, &record_name(file))?;
        Ok(())
    }

    fn write(&self, file: &str, bytes: &[u8], attributes: &Attributes) -> Result<(), GuardError> {
        durable::ensure_root(&self.manifest_staging)?;
        let target = self.manifests.join(file);
        durable::write(&target, bytes, attributes, &self.manifest_staging)?;
        Ok(())
    }

    /// The digest of `bytes` where they are a pod.
    fn pod(&self, file: &str, bytes: &[u8]) -> Option<String> {
        match self.content(file, bytes) {
            FileSeen::Pod(pod) => Some(pod.digest),
            _ => None,
        }
    }

    fn is_there(&self, file: &str, digest: &str) -> Result<bool, GuardError> {
        let present = self.present(file)?;
        Ok(present.is_some_and(|(bytes, _)| hex_digest(&bytes) == digest))
    }
}

fn record_name(file: &str) -> String {
    format!("{file}.json")
}
