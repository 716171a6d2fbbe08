//! What is wrong with a database, and where.

use std::io;

/// Something in a database that bbolt, or its user, would never have written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("page {page}, byte {offset}: {what}")]
pub struct Damage {
    /// The page.
    pub page: u64,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// What is wrong, as `key 7 is not greater than the key before it`.
    pub what: String,
}

/// Why a database could not be walked to its end.
#[derive(Debug, thiserror::Error)]
pub enum BoltError {
    /// It is damaged.
    #[error("{0}")]
    Damaged(Damage),
    /// It cannot be read.
    #[error("cannot read {length} bytes at byte {offset}")]
    Read {
        /// Offset in the file.
        offset: u64,
        /// Bytes wanted.
        length: usize,
        /// Why.
        source: io::Error,
    },
}

impl BoltError {
    /// Damage at a place.
    pub(crate) fn damaged(page: u64, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged(Damage {
            page,
            offset,
            what: what.into(),
        })
    }
}
