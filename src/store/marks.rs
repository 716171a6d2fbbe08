//! The mark on disk that names a checkpoint's good revision, so that "good" outlives the loss of
//! both generations of the state.

use serde::{Deserialize, Serialize};

use super::dir::{Dir, ReadError};
use super::durable::{self, Attributes, DurableError};
use super::sealed::{self, Format, SealError};
use crate::core::id::RevisionId;

/// Name of the mark in a checkpoint's directory.
pub const GOOD: &str = "good";

const FORMAT: Format = Format {
    kind: "rekindle good revision",
    major: 1,
    minor: 0,
};
const LIMIT: u64 = 4096;

#[derive(Serialize, Deserialize)]
struct Mark {
    revision: RevisionId,
}

/// Why a mark says nothing.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// It cannot be read.
    #[error("its mark of the good revision cannot be read")]
    Read(#[from] ReadError),
    /// It is damaged.
    #[error("its mark of the good revision is damaged")]
    Sealed(#[from] SealError),
    /// It cannot be written.
    #[error("its good revision cannot be marked")]
    Write(#[from] DurableError),
}

/// The marked revision; `None` where nothing was ever marked.
pub fn read(checkpoint: &Dir) -> Result<Option<RevisionId>, MarkError> {
    if checkpoint.stat(GOOD)?.is_none() {
        return Ok(None);
    }
    let (bytes, _) = checkpoint.read(GOOD, LIMIT)?;
    let (mark, _): (Mark, u64) = sealed::unseal(FORMAT, &bytes)?;
    Ok(Some(mark.revision))
}

/// Marks `revision` as the good one, durably; does nothing where it is marked already.
pub fn write(checkpoint: &Dir, revision: &RevisionId, staging: &Dir) -> Result<(), MarkError> {
    if matches!(read(checkpoint), Ok(Some(marked)) if marked == *revision) {
        return Ok(());
    }
    let mark = Mark {
        revision: revision.clone(),
    };
    let bytes = sealed::seal(FORMAT, 1, &mark)?;
    durable::write_in(checkpoint, GOOD, &bytes, &Attributes::ours(0o600), staging)?;
    Ok(())
}
