//! One line of the log, chained to the line before it by its digest.
//!
//! `{"before":…,"sha256":…,"body":{…}}`: the digest is over `before`, a newline, and the body's
//! exact bytes, so that a line that is changed, left out or moved breaks the chain at a line that
//! can be named. It shows that something was changed by accident or by hand; it is no proof
//! against somebody who writes the whole file anew: for that, the digest of the last line is
//! told in the journal of systemd at each append, where it can be compared.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::store::sealed::{hex, place};

/// What stands before the first line.
pub const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Longest text of a line, in characters.
const TEXT: usize = 2000;

/// What a line tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When, by the wall clock.
    pub at: Timestamp,
    /// The node.
    pub node: String,
    /// Of what kind it is.
    pub kind: Kind,
    /// The recovery that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How it ended: the word of an outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// In words. At most 2000 characters are kept.
    pub text: String,
}

/// Kinds of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A recovery began.
    Begun,
    /// A recovery ended.
    Ended,
    /// An operator decided something: entered, exited, held, released, allowed a loss.
    Decision,
}

#[derive(Serialize)]
struct Writing<'a> {
    before: &'a str,
    sha256: &'a str,
    body: &'a RawValue,
}

#[derive(Deserialize)]
struct Read<'a> {
    before: String,
    sha256: String,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// A line as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The digest of the line before it.
    pub before: String,
    /// Its own.
    pub digest: String,
    /// What it tells.
    pub told: Told,
}

/// The line for `told` behind the line with the digest `before`, its newline included, and its
/// own digest.
///
/// # Errors
/// Where it cannot be encoded, in words.
pub fn line(before: &str, told: &Told) -> Result<(String, String), String> {
    let mut told = told.clone();
    told.text = told.text.chars().take(TEXT).collect();
    let body = serde_json::value::to_raw_value(&told).map_err(|error| place(&error))?;
    let digest = digest(before, &body);
    let writing = Writing {
        before,
        sha256: &digest,
        body: &body,
    };
    let mut line = serde_json::to_string(&writing).map_err(|error| place(&error))?;
    line.push('\n');
    Ok((line, digest))
}

/// Reads a line without its newline.
///
/// # Errors
/// What is wrong with it, in words: no line of ours, or its digest does not match its content.
pub fn parse(text: &str) -> Result<Line, String> {
    let read: Read<'_> = serde_json::from_str(text)
        .map_err(|error| format!("it is no line of a log ({})", place(&error)))?;
    if read.sha256 != digest(&read.before, read.body) {
        return Err("its digest does not match its content".to_owned());
    }
    let told = serde_json::from_str(read.body.get())
        .map_err(|error| format!("its content is not understood ({})", place(&error)))?;
    Ok(Line {
        before: read.before,
        digest: read.sha256,
        told,
    })
}

/// What the line behind `text` has to name as the one before, also where `text` is damaged.
#[must_use]
pub fn link(text: &str) -> String {
    parse(text).map_or_else(
        |_| hex(Sha256::digest(text.as_bytes()).as_slice()),
        |line| line.digest,
    )
}

fn digest(before: &str, body: &RawValue) -> String {
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update("\n");
    hasher.update(body.get());
    hex(hasher.finalize().as_slice())
}
