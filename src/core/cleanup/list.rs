//! The list of a quarantine: what was moved, where it came from, and how it comes back. It is on
//! the disk before anything is moved.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How the name of an original begins that was set aside beside its place. The kubelet reads no
/// file of its static pod directory whose name begins with a dot.
pub const ASIDE: &str = ".rekindle-quarantined-";

/// `list.json`. Fields are only ever added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// The quarantine's id: when it was made.
    pub id: String,
    /// When the clean-up was begun.
    pub began: Timestamp,
    /// Which node.
    pub node: String,
    /// Why a control plane that served was taken down.
    pub force_reason: Option<String>,
    /// What was, or is about to be, moved. Where a name stands at neither end, nothing is lost: the
    /// step before it is known.
    pub entries: Vec<Entry>,
    /// When everything was put back.
    #[serde(default)]
    pub undone: Option<Timestamp>,
}

/// One thing that was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The directory that it stood in, as the configuration names it.
    pub from_dir: PathBuf,
    /// Its name there.
    pub name: String,
    /// Its path in the quarantine.
    pub to: String,
    /// On another file system than the quarantine: the original is beside its place under this
    /// name, and `to` is a verified copy.
    #[serde(default)]
    pub aside: Option<String>,
    /// It was gone before it could be moved.
    #[serde(default)]
    pub gone: bool,
    /// `file`, `directory`, `link` or `other`.
    pub kind: String,
    /// Permission bits, octal.
    pub mode: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Entry {
    /// Where it stood.
    #[must_use]
    pub fn from(&self) -> PathBuf {
        self.from_dir.join(&self.name)
    }
}
