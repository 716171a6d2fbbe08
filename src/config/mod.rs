//! Configuration: TOML files as written ([`files`], [`document`]), read key by key against one
//! declaration of each key ([`keys`], [`reader`]), checked in combination ([`checks`]), shown by
//! `rekindle check-config` ([`show`]).
//!
//! Every mistake of every file is found in one run. No configuration file at all is no mistake:
//! every key has a default. Nothing here opens a socket, resolves a name or asks whether a path
//! exists: what is missing at start may be there later.

pub mod checks;
pub mod document;
pub mod files;
pub mod keys;
mod kinds;
pub mod mistake;
pub mod reader;
pub mod settings;
pub mod show;

use std::path::Path;

pub use files::Files;
pub use mistake::{Mistake, Mistakes};
pub use settings::Settings;
pub use show::InForce;

/// Settings, and where each value comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What is in force.
    pub settings: Settings,
    /// The same, key by key, for `check-config`.
    pub in_force: Vec<InForce>,
}

/// Reads and checks the configuration.
///
/// `explicit` is `--config FILE`: then exactly that file is read and no drop-in.
///
/// # Errors
/// Every mistake of every file, in the order of files and lines.
pub fn load(explicit: Option<&Path>) -> Result<Loaded, Mistakes> {
    let files = explicit.map_or_else(
        || Files::installed(Path::new("/")),
        |file| Files::one(file.to_owned()),
    );
    load_files(&files, &hostname())
}

/// As [`load`], for given files and a given host name (tests use another root directory).
///
/// # Errors
/// As [`load`].
pub fn load_files(files: &Files, hostname: &str) -> Result<Loaded, Mistakes> {
    let mut mistakes = Vec::new();
    let (texts, unread) = files.read();
    mistakes.extend(unread);
    let mut found = Vec::new();
    for (path, text) in &texts {
        let (entries, wrong) = document::parse(path, text);
        found.extend(entries);
        mistakes.extend(wrong);
    }
    let mut reader = reader::Reader::new(found);
    let settings = keys::read(&mut reader, hostname);
    checks::combinations(&mut reader, &settings);
    let (in_force, wrong) = reader.finish();
    mistakes.extend(wrong);
    if mistakes.is_empty() {
        return Ok(Loaded { settings, in_force });
    }
    Err(Mistakes::in_order(mistakes, &texts))
}

/// The kernel's host name as the kubelet registers it: trimmed, lower case.
///
/// Source: Kubernetes 1.20 `pkg/util/node/node.go`, `GetHostname`.
fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap_or_default()
        .trim()
        .to_lowercase()
}
