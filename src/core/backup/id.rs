//! Names of backups.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest name: it becomes a directory and a part of object names.
const LONGEST: usize = 200;

/// Name of a backup: `<UTC time>-<node>`, as `20261124T003000Z-master1`, so that names sort by
/// time. A second one in the same second gets `-2`. Safe as a file name by construction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(String);

/// Why some text is no backup id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no backup id: it needs the form 20261124T003000Z-NODE, of letters, digits, `-` and `.`"
)]
pub struct BadBackupId {
    /// The offending text, at most 80 characters of it.
    pub text: String,
}

impl BackupId {
    /// The id of a backup that `node` begins at `at`; `again` counts those of the same second
    /// from 0.
    ///
    /// # Errors
    /// Where the node's name is none.
    pub fn new(at: Timestamp, node: &str, again: u32) -> Result<Self, BadBackupId> {
        let time = at.strftime("%Y%m%dT%H%M%SZ");
        match again {
            0 => Self::parse(&format!("{time}-{node}")),
            _ => Self::parse(&format!("{time}-{node}-{}", again.saturating_add(1))),
        }
    }

    /// Reads an id back from text: a directory's name, an argument.
    ///
    /// # Errors
    /// Where it has not the form of one.
    pub fn parse(text: &str) -> Result<Self, BadBackupId> {
        let bytes = text.as_bytes();
        let digits = |range: std::ops::Range<usize>| {
            bytes
                .get(range)
                .is_some_and(|part| part.iter().all(u8::is_ascii_digit))
        };
        let dated = digits(0..8)
            && bytes.get(8) == Some(&b'T')
            && digits(9..15)
            && bytes.get(15..17) == Some(b"Z-".as_slice());
        let plain = bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
        let named = bytes.get(17).is_some_and(u8::is_ascii_alphanumeric);
        let temporary = text.to_ascii_lowercase().ends_with(".part");
        if dated && plain && named && !temporary && bytes.len() <= LONGEST {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadBackupId {
                text: text.chars().take(80).collect(),
            })
        }
    }

    /// The text of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for BackupId {
    type Error = BadBackupId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.0
    }
}
