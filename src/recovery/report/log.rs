//! The log of recoveries: a file that only grows, a line for each beginning, end and decision.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::ReportError;
use super::chain::{self, Kind, NOTHING, Told};
use crate::core::recovery::view::Ended;
use crate::store::dir::{Dir, ReadError};
use crate::store::durable::{self, DurableError};
use crate::store::lock;

const LOG: &str = "log";
/// Longest line that is read, in bytes: far more than one of ours.
const LINE: usize = 64 << 10; // 64 KiB

/// The log of one state directory.
#[derive(Debug, Clone)]
pub struct Log {
    place: PathBuf,
    lock: PathBuf,
}

/// What appending found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The digest of the new line: with it the whole log so far is told.
    pub digest: String,
    /// A cut-off line was removed: one sentence.
    pub repaired: Option<String>,
}

/// What a look at the whole log found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// Lines that there are.
    pub lines: u64,
    /// The digest of the last whole line.
    pub digest: String,
    /// The first link that is broken.
    pub broken: Option<Broken>,
    /// The last line is cut off: it was never acknowledged, and the next append removes it.
    pub cut_off: bool,
}

/// A broken link.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Broken {
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

impl Log {
    pub(super) fn new(place: &Path, staging: &str) -> Self {
        Self {
            place: place.to_owned(),
            lock: place.join(staging),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.place.join(LOG)
    }

    /// Appends a line; it is on the disk when this returns. A damaged line does not stop it: the
    /// next one is chained to it as it is, and [`Log::verify`] names it.
    ///
    /// # Errors
    /// Where it is not on the disk.
    pub fn append(&self, told: &Told) -> Result<Appended, ReportError> {
        let _held = lock::wait(&self.lock)?;
        let dir = Dir::open(&self.place)?;
        let end = end_of(&dir)?;
        let repaired = end.torn.then(|| {
            "the last line of the log of recoveries was cut off and is removed: it was never \
             acknowledged"
                .to_owned()
        });
        if let Some(said) = &repaired {
            tracing::warn!("{said}");
            durable::cut_in(&dir, LOG, end.length)?;
        }
        let (mut line, digest) = chain::line(&end.before, told).map_err(|cause| {
            let source = std::io::Error::other(cause);
            let path = self.path();
            DurableError::Write { path, source }
        })?;
        if end.foreign {
            line.insert(0, '\n');
        }
        durable::append_in(&dir, LOG, line.as_bytes(), 0o600)?;
        tracing::info!(digest, "the log of recoveries has a new line");
        Ok(Appended { digest, repaired })
    }

    /// Reads every line and looks at every link. Changes nothing.
    ///
    /// # Errors
    /// Where it cannot be read; that there is none is no error.
    pub fn verify(&self) -> Result<Verified, ReportError> {
        let mut verified = Verified {
            lines: 0,
            digest: NOTHING.to_owned(),
            broken: None,
            cut_off: false,
        };
        let mut before = NOTHING.to_owned();
        verified.cut_off = self.each(|number, text| {
            let why = match chain::parse(text) {
                Ok(line) if line.before == before => None,
                Ok(_) => Some("it does not follow the line before it".to_owned()),
                Err(why) => Some(why),
            };
            if let Some(why) = why {
                let line = number;
                verified.broken.get_or_insert(Broken { line, why });
            }
            before = chain::link(text);
            verified.lines = number;
        })?;
        verified.digest = before;
        Ok(verified)
    }

    /// Every line that can be read, in order.
    ///
    /// # Errors
    /// As [`Log::verify`].
    pub fn lines(&self) -> Result<Vec<Told>, ReportError> {
        let mut all = Vec::new();
        self.each(|_, text| all.extend(chain::parse(text).map(|line| line.told)))?;
        Ok(all)
    }

    /// How many recoveries ended, and how.
    ///
    /// # Errors
    /// As [`Log::verify`].
    pub fn ended(&self) -> Result<Ended, ReportError> {
        let mut ended = Ended::default();
        self.each(|_, text| {
            let told = chain::parse(text).map(|line| line.told);
            if let Ok(told) = told.as_ref()
                && told.kind == Kind::Ended
            {
                ended.count_word(told.outcome.as_deref().unwrap_or_default());
            }
        })?;
        Ok(ended)
    }

    /// Gives each whole line with its number; whether something is left behind the last newline.
    fn each(&self, mut take: impl FnMut(u64, &str)) -> Result<bool, ReportError> {
        let opened = Dir::open(&self.place).and_then(|dir| dir.open_file(LOG));
        let (file, _) = match opened {
            Ok(opened) => opened,
            Err(error) if error.is_absent() => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let mut reader = BufReader::new(file);
        let mut number = 0;
        loop {
            let mut bytes = Vec::new();
            let limit = u64::try_from(LINE).unwrap_or(u64::MAX);
            let read = (&mut reader).take(limit).read_until(b'\n', &mut bytes);
            let read = read.map_err(|source| ReadError::Read {
                path: self.path(),
                source,
            })?;
            if read == 0 {
                return Ok(false);
            }
            // A piece as long as the limit is no torn line of ours: told as damaged, and its rest
            // as the next line.
            if bytes.pop() != Some(b'\n') && read < LINE {
                return Ok(true);
            }
            number += 1;
            take(number, &String::from_utf8_lossy(&bytes));
        }
    }
}

/// The end of the file.
struct End {
    /// The digest that the next line names.
    before: String,
    /// Bytes up to the last newline.
    length: u64,
    /// A piece of a line stands behind it.
    torn: bool,
    /// What stands at the end is longer than any line of ours: it is left, and told as damaged.
    foreign: bool,
}

/// Reads no more than the last lines: a log grows for years.
fn end_of(dir: &Dir) -> Result<End, ReportError> {
    let mut end = End {
        before: NOTHING.to_owned(),
        length: 0,
        torn: false,
        foreign: false,
    };
    let (mut file, stat) = match dir.open_file(LOG) {
        Ok(opened) => opened,
        Err(error) if error.is_absent() => return Ok(end),
        Err(error) => return Err(error.into()),
    };
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let tail = size.min(u64::try_from(2 * LINE).unwrap_or(u64::MAX));
    let mut bytes = Vec::new();
    let read = file
        .seek(SeekFrom::Start(size - tail))
        .and_then(|_| file.take(tail).read_to_end(&mut bytes));
    read.map_err(|source| ReadError::Read {
        path: dir.path().join(LOG),
        source,
    })?;
    let last = bytes.iter().rposition(|byte| *byte == b'\n');
    let whole = last.map_or(0, |at| at + 1);
    end.foreign = bytes.len() - whole >= LINE;
    end.torn = whole < bytes.len() && !end.foreign;
    end.length = size - u64::try_from(bytes.len() - whole).unwrap_or(0);
    if let Some(at) = last {
        let head = bytes.get(..at).unwrap_or_default();
        let begin = head.iter().rposition(|byte| *byte == b'\n');
        let line = head.get(begin.map_or(0, |at| at + 1)..).unwrap_or_default();
        end.before = chain::link(&String::from_utf8_lossy(line));
    }
    Ok(end)
}
