//! The inside of a snapshot: the one place where bundles meet the walker of databases.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::CHUNK;
use super::digest::{Sum, Summing};
use super::error::BundleError;
use crate::backup::Progress;
use crate::core::backup::manifest::{Content, Manifest};
use crate::store::sealed::hex;

/// What was found in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// What it holds.
    pub content: Option<Content>,
    /// What was checked, in words.
    pub checked: Vec<String>,
    /// SHA-256 of the whole file in hexadecimal.
    pub sha256: String,
    /// It has no trailer: a member's own database file.
    pub raw: bool,
}

/// Walks the snapshot or database in the file `path`; `named`: what to call it.
///
/// # Errors
/// [`BundleError::Content`] with what is damaged.
pub fn check_content(
    path: &Path,
    named: &Path,
    progress: &Progress,
) -> Result<Inside, BundleError> {
    let stream = |source| BundleError::Stream {
        doing: "read",
        path: named.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(stream)?;
    let length = file.metadata().map_err(stream)?.len();
    progress.begin("verifying", length);
    // `snapshot save` appends a SHA-256 to a file of whole pages.
    let raw = length % 512 != 32;
    let mut whole = Summing::new(&mut file);
    let mut body = Sum::default();
    let mut left = if raw { length } else { length - 32 };
    let mut buffer = vec![0; CHUNK];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let read = whole.read(&mut buffer[..most]).map_err(stream)?;
        if read == 0 {
            return Err(stream(io::ErrorKind::UnexpectedEof.into()));
        }
        body.add(&buffer[..read]);
        left -= read as u64;
        progress.advance(read as u64);
    }
    let mut trailer = Vec::new();
    whole.read_to_end(&mut trailer).map_err(stream)?;
    if !raw && body.finish().1 != hex(&trailer) {
        return Err(BundleError::Content {
            path: named.to_owned(),
            why: "the hash at its end is not of its content".to_owned(),
        });
    }
    let mut checked = Vec::new();
    if !raw {
        checked.push("trailer hash".to_owned());
    }
    Ok(Inside {
        content: None,
        checked,
        sha256: whole.sum.finish().1,
        raw,
    })
}

/// Refuses content that is not what the manifest says.
pub(super) fn fits(manifest: &Manifest, found: &Content, named: &Path) -> Result<(), BundleError> {
    let said = &manifest.content;
    let figures = [
        ("bytes", said.database_bytes, found.database_bytes),
        ("records", said.records, found.records),
        ("live keys", said.live_keys, found.live_keys),
    ];
    let differs = figures.iter().find(|(_, said, found)| said != found);
    let why = if let Some((what, said, found)) = differs {
        format!("it holds {found} {what}, and its manifest says {said}")
    } else if said.revision != found.revision || manifest.etcd.revision != found.revision {
        let (a, b) = (said.revision, manifest.etcd.revision);
        format!(
            "its revision is {}, and its manifest says {a} and {b}",
            found.revision
        )
    } else {
        return Ok(());
    };
    let path = named.to_owned();
    Err(BundleError::Content { path, why })
}
