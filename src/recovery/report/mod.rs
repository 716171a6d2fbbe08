//! What recoveries leave behind: a record and a page for each, and the log of all.
//!
//! ```text
//! <state_dir>/recovery/log                one line for each beginning, end and decision, chained
//! <state_dir>/recovery/records/<id>.json  one sealed document for each recovery
//! <state_dir>/recovery/pages/<id>.html    the same for people, once it has ended
//! <state_dir>/recovery/reports-staging    unfinished writes; also the lock of all of it
//! ```
//!
//! A record is written whole at each change of it, so the one of a recovery that was cut off tells
//! how far it came. The newest [`KEPT`] are kept; of older ones the log keeps a line. Works with
//! no daemon. Every function here blocks.

pub mod chain;
pub mod log;

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::core::reading::chain as causes;
use crate::core::recovery::page;
use crate::core::recovery::record::Record;
use crate::failpoints::hit;
use crate::store::dir::{Dir, ReadError, is_name};
use crate::store::durable::{self, Attributes, DurableError};
use crate::store::lock::{self, LockError};
use crate::store::sealed::{self, Format, SealError};

use self::log::Log;
use super::PLACE;

const RECORDS: &str = "records";
const PAGES: &str = "pages";
const STAGING: &str = "reports-staging";

/// So many records and pages are kept.
pub const KEPT: usize = 50;
/// Largest record that is read, in bytes.
const LIMIT: u64 = 8 << 20; // 8 MiB

/// Version of a record: see [`crate::store::sealed`] for what a change of it means.
pub const FORMAT: Format = Format {
    kind: "rekindle recovery",
    major: 1,
    minor: 0,
};

/// Why what recoveries left cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It is there and cannot be read.
    #[error("what recoveries left cannot be read")]
    Read(#[from] ReadError),
    /// The disk: full, say.
    #[error("what a recovery leaves cannot be written")]
    Write(#[from] DurableError),
    /// Its lock cannot be taken.
    #[error("what recoveries leave cannot be locked")]
    Lock(#[from] LockError),
    /// The id is no name of a file.
    #[error("{0:?} is no id of a recovery")]
    NoId(String),
    /// It cannot be encoded, or what was read is damaged.
    #[error("the record {id}")]
    Seal {
        /// Which.
        id: String,
        /// What is wrong with it.
        source: SealError,
    },
}

/// Records and pages below one state directory.
#[derive(Debug, Clone)]
pub struct Reports {
    place: PathBuf,
}

/// What there is.
#[derive(Debug, Default)]
pub struct Found {
    /// Newest first.
    pub records: Vec<Record>,
    /// What lies among them and is none, one sentence each.
    pub damaged: Vec<String>,
}

impl Reports {
    /// Those of `state_dir`. Touches nothing.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self {
            place: state_dir.join(PLACE),
        }
    }

    /// The log of all recoveries.
    #[must_use]
    pub fn log(&self) -> Log {
        Log::new(&self.place, STAGING)
    }

    /// Where the page of a recovery is, or will be.
    #[must_use]
    pub fn page_of(&self, id: &str) -> PathBuf {
        self.place.join(PAGES).join(format!("{id}.html"))
    }

    /// Writes a record as it is now. One that has ended gets its page, and what is too old goes.
    ///
    /// # Errors
    /// Where it is not on the disk; the one before is intact then.
    pub fn save(&self, record: &Record, now: Timestamp) -> Result<(), ReportError> {
        if !is_id(&record.id) {
            return Err(ReportError::NoId(record.id.clone()));
        }
        let dir = durable::ensure_root(&self.place)?;
        let staging = durable::ensure_dir(&dir, STAGING, 0o700)?;
        let _held = lock::wait(staging.path())?;
        durable::sweep(&staging)?;
        let records = durable::ensure_dir(&dir, RECORDS, 0o700)?;
        let bytes = sealed::seal(FORMAT, 1, record).map_err(|source| ReportError::Seal {
            id: record.id.clone(),
            source,
        })?;
        let attributes = Attributes::ours(0o600);
        let name = format!("{}.json", record.id);
        durable::write_in(&records, &name, &bytes, &attributes, &staging)?;
        hit("report.recorded");
        if record.outcome.is_some() {
            let pages = durable::ensure_dir(&dir, PAGES, 0o700)?;
            let page = page::render(record, now, env!("CARGO_PKG_VERSION"));
            let name = format!("{}.html", record.id);
            durable::write_in(&pages, &name, page.as_bytes(), &attributes, &staging)?;
            hit("report.paged");
            drop_old(&records, &pages, &record.id)?;
        }
        Ok(())
    }

    /// Every record, newest first.
    ///
    /// # Errors
    /// Where the directory cannot be read; that there is none is no error.
    pub fn all(&self) -> Result<Found, ReportError> {
        let mut found = Found::default();
        let Some(records) = self.records()? else {
            return Ok(found);
        };
        for name in newest_first(&records)? {
            match read(&records, &name) {
                Ok(record) => found.records.push(record),
                Err(error) => found.damaged.push(causes(&error)),
            }
        }
        Ok(found)
    }

    /// The record `id`; `None`: there is none.
    ///
    /// # Errors
    /// Where it is there and cannot be read.
    pub fn find(&self, id: &str) -> Result<Option<Record>, ReportError> {
        if !is_id(id) {
            return Err(ReportError::NoId(id.to_owned()));
        }
        let Some(records) = self.records()? else {
            return Ok(None);
        };
        match read(&records, &format!("{id}.json")) {
            Ok(record) => Ok(Some(record)),
            Err(ReportError::Read(error)) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn records(&self) -> Result<Option<Dir>, ReportError> {
        let opened = Dir::open(&self.place).and_then(|place| place.sub(RECORDS));
        match opened {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// An id that may be the name of a file: never one that leads out of the directory.
fn is_id(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    id.chars().all(plain) && !id.starts_with('.') && id.len() <= 200 && is_name(id)
}

/// Names begin with the time, so that they sort by it.
fn newest_first(records: &Dir) -> Result<Vec<String>, ReadError> {
    let mut names = records.names()?;
    names.retain(|name| name.strip_suffix(".json").is_some_and(is_id));
    names.reverse();
    Ok(names)
}

fn read(records: &Dir, name: &str) -> Result<Record, ReportError> {
    let (bytes, _) = records.read(name, LIMIT)?;
    let unsealed = sealed::unseal(FORMAT, &bytes);
    unsealed
        .map(|(record, _)| record)
        .map_err(|source| ReportError::Seal {
            id: name.trim_end_matches(".json").to_owned(),
            source,
        })
}

/// Drops the oldest beyond [`KEPT`], never the one that was just written.
fn drop_old(records: &Dir, pages: &Dir, written: &str) -> Result<(), ReportError> {
    for name in newest_first(records)?.into_iter().skip(KEPT) {
        let id = name.trim_end_matches(".json");
        if id == written {
            continue;
        }
        // The page first: what is left by a kill is still listed, and goes the next time.
        durable::remove_in(pages, &format!("{id}.html"))?;
        durable::remove_in(records, &name)?;
        hit("report.dropped");
    }
    Ok(())
}
