//! What is remembered of the guarded files. Survives a restart; written before what follows from it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::recovery::part::Part;
use crate::core::time::Moment;

/// So many good copies are kept of a file besides the last one.
pub const OLDER: usize = 3;

/// The whole memory. `Moment`s belong to `boot_id`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GuardMemory {
    /// Boot in which the moments below were taken.
    pub boot_id: String,
    /// By the file's name.
    pub files: BTreeMap<String, Kept>,
}

/// One file's memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// The last known good content.
    pub good: Option<Good>,
    /// Good ones before it, the newest first, at most [`OLDER`].
    pub older: Vec<Good>,
    /// What stands there now and is not known to be good.
    pub candidate: Option<Candidate>,
    /// Nothing usable stands there, and since when.
    pub missing_since: Option<Moment>,
    /// Sandboxes of its pod as last seen: what runs from before a change.
    pub sandboxes: BTreeSet<String>,
}

/// A content that was proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Good {
    /// SHA-256 of its bytes.
    pub digest: String,
    /// SHA-256 of what it says.
    pub meaning: String,
    /// When it was proven.
    pub since: Timestamp,
}

/// A content on its way to be the good one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// SHA-256 of its bytes.
    pub digest: String,
    /// SHA-256 of what it says.
    pub meaning: String,
    /// It stands there since.
    pub since: Moment,
    /// Its pod serves without a break since.
    pub serving_since: Option<Moment>,
    /// Some pod of that name has served since, so that it is not the file which keeps it from that.
    pub served: bool,
    /// Sandboxes from before the change: they run an earlier content.
    pub before: BTreeSet<String>,
}

/// What is stored with a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyFacts {
    /// SHA-256 of what it says.
    pub meaning: String,
    /// When it was proven and kept.
    pub kept_at: Timestamp,
    /// The part of the control plane that it is.
    pub part: Option<Part>,
    /// Permission bits of the file.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// What its pod mounts of the host and was there, and not empty, when it was proven.
    pub needs: Vec<String>,
}

impl GuardMemory {
    /// The same in the boot `boot_id`: every timer starts again.
    #[must_use]
    pub fn in_boot(&self, boot_id: &str, now: Moment) -> Self {
        let mut memory = self.clone();
        if memory.boot_id == boot_id {
            return memory;
        }
        boot_id.clone_into(&mut memory.boot_id);
        for kept in memory.files.values_mut() {
            if let Some(candidate) = &mut kept.candidate {
                candidate.since = now;
                candidate.serving_since = None;
            }
            if let Some(since) = &mut kept.missing_since {
                *since = now;
            }
        }
        memory
    }

    /// What can be known from the copies alone, where the memory is lost: only what was proven is
    /// ever kept, so the newest is the last good one.
    #[must_use]
    pub fn rebuilt(copies: &BTreeMap<String, BTreeMap<String, CopyFacts>>) -> Self {
        let mut memory = Self::default();
        for (file, copies) in copies {
            let mut good: Vec<Good> = copies
                .iter()
                .map(|(digest, facts)| Good {
                    digest: digest.clone(),
                    meaning: facts.meaning.clone(),
                    since: facts.kept_at,
                })
                .collect();
            good.sort_by_key(|good| std::cmp::Reverse(good.since));
            let mut good = good.into_iter();
            let kept = Kept {
                good: good.next(),
                older: good.take(OLDER).collect(),
                ..Kept::default()
            };
            memory.files.insert(file.clone(), kept);
        }
        memory
    }
}

impl Kept {
    /// Every good content, the last one first.
    pub fn all_good(&self) -> impl Iterator<Item = &Good> {
        self.good.iter().chain(&self.older)
    }
}
