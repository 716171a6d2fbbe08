//! A JSON document that carries its version and its own digest: damage never reads as content.
//!
//! `{"kind":…,"major":…,"minor":…,"generation":…,"sha256":…,"body":{…}}`, the digest over kind,
//! version, generation and the body's exact bytes. Versions follow one rule (C12): a new *minor*
//! version only adds fields, which an older binary ignores and a newer one defaults where they are
//! missing; anything else is a new *major* version, which only a later release may start to write
//! than the first that reads it. Both directions between neighbouring releases work by that.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// A kind of document and the version of it that this binary writes.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// What the document is.
    pub kind: &'static str,
    /// Readers of another major version refuse it.
    pub major: u32,
    /// Readers of any minor version read it.
    pub minor: u32,
}

/// Why a document cannot be used. Never holds content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// No JSON, or not in the form of a sealed document: truncated or overwritten.
    #[error("it is no sealed document ({0})")]
    Broken(String),
    /// A document of another kind.
    #[error("it is a sealed document of another kind")]
    OtherKind,
    /// Written by a version that is not this one's neighbour.
    #[error("its format has major version {0}, which this binary does not read")]
    OtherVersion(u32),
    /// The digest differs: some byte was changed.
    #[error("its digest does not match its content")]
    Damaged,
    /// Intact, yet not of this shape: a field that this binary cannot read.
    #[error("its content is not understood ({0})")]
    NotUnderstood(String),
    /// The value cannot be written as JSON.
    #[error("the value is no JSON ({0})")]
    NotJson(String),
}

#[derive(Serialize)]
struct Writing<'a> {
    kind: &'a str,
    major: u32,
    minor: u32,
    generation: u64,
    sha256: String,
    body: &'a RawValue,
}

#[derive(Deserialize)]
struct Read<'a> {
    kind: String,
    major: u32,
    minor: u32,
    generation: u64,
    sha256: String,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// The document for `value`. `generation` orders the documents of one name.
pub fn seal<T: Serialize>(
    format: Format,
    generation: u64,
    value: &T,
) -> Result<Vec<u8>, SealError> {
    let not_json = |error: serde_json::Error| SealError::NotJson(place(&error));
    let body = serde_json::value::to_raw_value(value).map_err(not_json)?;
    let document = Writing {
        kind: format.kind,
        major: format.major,
        minor: format.minor,
        generation,
        sha256: digest_of(format.kind, format.major, format.minor, generation, &body),
        body: &body,
    };
    serde_json::to_vec(&document).map_err(not_json)
}

/// The value and the generation of an intact document.
pub fn unseal<T: DeserializeOwned>(format: Format, bytes: &[u8]) -> Result<(T, u64), SealError> {
    if bytes.is_empty() {
        return Err(SealError::Empty);
    }
    let document: Read<'_> =
        serde_json::from_slice(bytes).map_err(|error| SealError::Broken(place(&error)))?;
    let Read {
        kind,
        major,
        minor,
        generation,
        sha256,
        body,
    } = document;
    if sha256 != digest_of(&kind, major, minor, generation, body) {
        return Err(SealError::Damaged);
    }
    if kind != format.kind {
        return Err(SealError::OtherKind);
    }
    if major != format.major {
        return Err(SealError::OtherVersion(major));
    }
    let value = serde_json::from_str(body.get())
        .map_err(|error| SealError::NotUnderstood(place(&error)))?;
    Ok((value, generation))
}

/// SHA-256 as 64 lower-case hex digits.
#[must_use]
pub fn hex_digest(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}

/// What is wrong with some JSON, and where, but never a word of it: it may be secret.
#[must_use]
pub fn place(error: &serde_json::Error) -> String {
    let class = match error.classify() {
        serde_json::error::Category::Io => "read error",
        serde_json::error::Category::Syntax => "syntax error",
        serde_json::error::Category::Data => "unexpected data",
        serde_json::error::Category::Eof => "unexpected end",
    };
    format!("{class} at line {} column {}", error.line(), error.column())
}

fn digest_of(kind: &str, major: u32, minor: u32, generation: u64, body: &RawValue) -> String {
    let mut hasher = Sha256::new();
    hasher.update(format!("{kind}\n{major}.{minor}\n{generation}\n"));
    hasher.update(body.get());
    hex(hasher.finalize().as_slice())
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
        .collect()
}
