//! The inside of a snapshot: the one place where bundles meet the walker of databases.

use std::path::Path;

use super::error::BundleError;
use crate::backup::Progress;
use crate::backup::verify::{Kind, Options, verify_with};
use crate::core::backup::manifest::{Content, Manifest};

/// What was found in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// What it holds.
    pub content: Option<Content>,
    /// What was checked, in words.
    pub checked: Vec<String>,
    /// What is worth knowing, and what could not be checked.
    pub remarks: Vec<String>,
    /// SHA-256 of the whole file in hexadecimal.
    pub sha256: String,
    /// It has no trailer: a member's own database file.
    pub raw: bool,
}

/// Walks the snapshot or database in the file `path`; `named`: what to call it.
///
/// # Errors
/// [`BundleError::Verify`] with what is damaged.
pub fn check_content(
    path: &Path,
    named: &Path,
    progress: &Progress,
) -> Result<Inside, BundleError> {
    // A bundle is verified before it is sealed, when its directory ends in `.part`; a file that
    // does so itself is a transfer that was cut off.
    let end = named.extension().unwrap_or_default();
    let options = Options {
        unfinished: !end.eq_ignore_ascii_case("part"),
        named: Some(named),
        ..Options::default()
    };
    let found = verify_with(path, &options, progress)?;
    Ok(Inside {
        raw: found.kind == Kind::RawDatabase,
        content: Some(found.content),
        checked: found.checked,
        remarks: found.remarks,
        sha256: found.sha256_of_file,
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
