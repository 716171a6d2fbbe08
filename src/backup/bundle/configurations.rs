//! The encryption configurations that lie in a backup, found by their content: the path is an
//! argument of an API server that may be described anywhere.

use std::path::PathBuf;

use super::error::BundleError;
use super::{Bundle, search_host};
use crate::encryption::EncryptionConfiguration;

/// Larger files are no configuration.
const LARGEST: u64 = 1 << 20;

/// What was found.
#[derive(Debug, Default)]
pub struct Configurations {
    /// Each with its path on the host.
    pub usable: Vec<(PathBuf, EncryptionConfiguration)>,
    /// Files that look like one and cannot be used, each with the reason.
    pub unusable: Vec<String>,
}

/// Looks through the host's files in the bundle. Blocks.
///
/// # Errors
/// Where the part is not what the manifest says.
pub fn configurations(bundle: &Bundle) -> Result<Configurations, BundleError> {
    let mut found = Configurations::default();
    search_host(bundle, LARGEST, |path, content| {
        if !mentions_kind(content) {
            return;
        }
        match EncryptionConfiguration::parse(content) {
            Ok(configuration) => found.usable.push((path.to_owned(), configuration)),
            Err(error) => found.unusable.push(format!("{}: {error}", path.display())),
        }
    })?;
    Ok(found)
}

fn mentions_kind(content: &[u8]) -> bool {
    let words: [&[u8]; 2] = [b"EncryptionConfiguration", b"EncryptionConfig\n"];
    words
        .iter()
        .any(|word| content.windows(word.len()).any(|window| window == *word))
}
