//! The good copies on the disk.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{FORMAT, Guard, GuardError, LIMIT, host};
use crate::core::manifest::facts::facts;
use crate::core::recovery::guard::memory::CopyFacts;
use crate::core::recovery::guard::seen::FileSeen;
use crate::failpoints::hit;
use crate::store::dir::{Dir, ReadError};
use crate::store::durable::{self, Attributes};
use crate::store::sealed::{self, hex_digest};

const COPIES: &str = "copies";
const CONTENT: &str = ".yaml";
const FACTS: &str = ".json";

/// The whole copies, by file and digest.
pub type Copies = BTreeMap<String, BTreeMap<String, CopyFacts>>;

impl Guard {
    /// Every copy that is whole: its digest is that of its name, and what was true of it can be
    /// read. Damaged ones are named and left where they are.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn copies(&self) -> Result<(Copies, Vec<String>), GuardError> {
        let (mut copies, mut problems) = (Copies::new(), Vec::new());
        let dir = match Dir::open(&self.state.join(COPIES)) {
            Ok(dir) => dir,
            Err(error) if error.is_absent() => return Ok((copies, problems)),
            Err(error) => return Err(error.into()),
        };
        for file in dir.names()? {
            let own = dir.sub(&file)?;
            for name in own.names()? {
                let Some(digest) = name.strip_suffix(FACTS) else {
                    continue;
                };
                match whole(&own, digest)? {
                    Some((_, facts)) => {
                        let of = copies.entry(file.clone()).or_default();
                        of.insert(digest.to_owned(), facts);
                    }
                    None => problems.push(format!("the copy {digest} of {file} is damaged")),
                }
            }
        }
        Ok((copies, problems))
    }

    /// Keeps a copy of what stands under `file`, which must be `digest`.
    ///
    /// # Errors
    /// [`GuardError::Changed`] where it is something else by now; where it cannot be written.
    pub fn keep(&self, file: &str, digest: &str, now: Timestamp) -> Result<(), GuardError> {
        let changed = || GuardError::Changed {
            file: file.to_owned(),
        };
        let (bytes, stat) = self.present(file)?.ok_or_else(changed)?;
        let FileSeen::Pod(pod) = self.content(file, &bytes) else {
            return Err(changed());
        };
        if pod.digest != digest {
            return Err(changed());
        }
        let facts = CopyFacts {
            meaning: pod.meaning.clone(),
            kept_at: now,
            part: pod.part,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            needs: host::needs(&pod.spec),
        };
        let (dir, staging) = self.open()?;
        let all = durable::ensure_dir(&dir, COPIES, 0o700)?;
        let own = durable::ensure_dir(&all, file, 0o700)?;
        let ours = Attributes::ours(0o600);
        durable::write_in(&own, &format!("{digest}{CONTENT}"), &bytes, &ours, &staging)?;
        hit("guard.content-kept");
        let facts = sealed::seal(FORMAT, 1, &facts)?;
        durable::write_in(&own, &format!("{digest}{FACTS}"), &facts, &ours, &staging)?;
        hit("guard.copy-kept");
        Ok(())
    }

    /// Removes a copy that nobody needs. That there is none is fine.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn drop_copy(&self, file: &str, digest: &str) -> Result<(), GuardError> {
        let own = Dir::open(&self.state.join(COPIES))?.sub(file)?;
        durable::remove_in(&own, &format!("{digest}{FACTS}"))?;
        hit("guard.copy-forgotten");
        durable::remove_in(&own, &format!("{digest}{CONTENT}"))?;
        Ok(())
    }

    /// What the copy needs on this node and is not there any more.
    ///
    /// # Errors
    /// Where the copy is not whole.
    pub fn lacks(&self, file: &str, digest: &str) -> Result<Vec<String>, GuardError> {
        let (_, facts) = self.copy(file, digest)?;
        let gone = facts.needs.into_iter().filter(|path| !host::is_there(path));
        Ok(gone.collect())
    }

    /// Images of the pod that stands under `file`, or of its copy of this digest; none where that is
    /// no pod.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn images(&self, file: &str, copy: Option<&str>) -> Result<Vec<String>, GuardError> {
        let bytes = match copy {
            Some(digest) => self.copy(file, digest)?.0,
            None => self
                .present(file)?
                .map_or_else(Vec::new, |(bytes, _)| bytes),
        };
        Ok(match self.content(file, &bytes) {
            FileSeen::Pod(pod) => facts(&pod.spec).images,
            _ => Vec::new(),
        })
    }

    /// A whole copy and what was true of it.
    pub(super) fn copy(
        &self,
        file: &str,
        digest: &str,
    ) -> Result<(Vec<u8>, CopyFacts), GuardError> {
        let none = || GuardError::NoCopy {
            file: file.to_owned(),
            digest: digest.to_owned(),
        };
        let own = match Dir::open(&self.state.join(COPIES)).and_then(|all| all.sub(file)) {
            Ok(own) => own,
            Err(error) if error.is_absent() => return Err(none()),
            Err(error) => return Err(error.into()),
        };
        whole(&own, digest)?.ok_or_else(none)
    }
}

/// The copy `digest` in a file's directory; `None` where it is damaged or not there.
fn whole(own: &Dir, digest: &str) -> Result<Option<(Vec<u8>, CopyFacts)>, GuardError> {
    let read = |end: &str| match own.read(&format!("{digest}{end}"), LIMIT) {
        Ok((bytes, _)) => Ok(Some(bytes)),
        Err(error) if error.is_absent() => Ok(None),
        Err(ReadError::TooLarge { .. } | ReadError::NotAFile { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    let (Some(facts), Some(bytes)) = (read(FACTS)?, read(CONTENT)?) else {
        return Ok(None);
    };
    let facts = sealed::unseal::<CopyFacts>(FORMAT, &facts).ok();
    let intact = hex_digest(&bytes) == digest;
    Ok(facts.filter(|_| intact).map(|(facts, _)| (bytes, facts)))
}
