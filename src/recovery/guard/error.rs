//! What can go wrong with copies of static manifests.

use std::path::PathBuf;

use crate::store::dir::ReadError;
use crate::store::durable::DurableError;
use crate::store::sealed::SealError;

/// Why a copy was not kept or not put back. Never holds content.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// Something cannot be read.
    #[error("static manifests cannot be read")]
    Read(#[from] ReadError),
    /// Something cannot be written.
    #[error("static manifests cannot be written")]
    Write(#[from] DurableError),
    /// A document of ours is damaged, or cannot be encoded.
    #[error("what is remembered of static manifests cannot be used")]
    Sealed(#[from] SealError),
    /// There is no such copy, or it is damaged.
    #[error("there is no whole copy {digest} of {file}")]
    NoCopy {
        /// The file.
        file: String,
        /// The copy.
        digest: String,
    },
    /// The file is not what it was when this was decided.
    #[error("{file} was changed meanwhile: left alone")]
    Changed {
        /// The file.
        file: String,
    },
    /// What stands there is a link or a directory.
    #[error("{} is no regular file: left alone", path.display())]
    NotAFile {
        /// Where.
        path: PathBuf,
    },
    /// It was written and is not there.
    #[error("{file} was written and does not read back: somebody else writes it")]
    NotThere {
        /// The file.
        file: String,
    },
    /// Nothing was put back under this name.
    #[error("{file} was not put back: there is nothing to undo")]
    NothingToUndo {
        /// The file.
        file: String,
    },
}
