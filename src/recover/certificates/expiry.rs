//! When the certificates of a host's directory end.

use std::path::Path;

use jiff::Timestamp;

use super::held;
use crate::fetch::files::read;

/// Most files that are looked at.
const MOST: usize = 200;
/// Deepest directory below: `pki/etcd`.
const DEPTH: usize = 2;

/// Each certificate file (`*.crt`, `*.pem`) below `dir` with its end. What cannot be read is left
/// out: others look at that. Blocking.
#[must_use]
pub fn ends_below(dir: &Path) -> Vec<(String, Timestamp)> {
    let mut found = Vec::new();
    walk(dir, DEPTH, &mut found);
    found.sort();
    found
}

fn walk(dir: &Path, depth: usize, found: &mut Vec<(String, Timestamp)>) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten().take(MOST) {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 1 => walk(&path, depth - 1, found),
            Ok(_) => {
                let end = path.extension().and_then(|end| end.to_str());
                if matches!(end, Some("crt" | "pem")) && found.len() < MOST {
                    found.extend(end_of(&path).map(|at| (path.display().to_string(), at)));
                }
            }
            Err(_) => {}
        }
    }
}

/// The earliest end of the certificates in a file.
fn end_of(path: &Path) -> Option<Timestamp> {
    let bytes = read(path).ok()?;
    let ends = held::certificates("", bytes.as_ref())
        .into_iter()
        .filter_map(|held| {
            let (_, certificate) = x509_parser::parse_x509_certificate(&held.der).ok()?;
            Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
        });
    ends.min()
}
