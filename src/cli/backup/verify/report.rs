//! What a verification found, for people and programs.

use std::error::Error;
use std::path::Path;

use serde::Serialize;

use crate::backup::bundle::{Bundle, Checked};
use crate::backup::verify::{Kind, Verified};
use crate::cli::output::columns;
use crate::core::backup::manifest::Content;
use crate::core::reading::chain;

/// The result.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The bundle or file.
    path: String,
    /// Everything was checked, and nothing is wrong.
    pub(super) whole: bool,
    /// What is wrong, or why that cannot be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
    /// `bundle`, `snapshot` or `raw_database`; absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    /// The key that signed it; absent: none was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_by: Option<String>,
    checked: Vec<String>,
    remarks: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content>,
    /// Of a bare file.
    #[serde(flatten)]
    file: Option<FileFigures>,
}

/// Figures of a bare file, comparable with those of `etcdctl snapshot status`.
#[derive(Debug, Serialize)]
struct FileFigures {
    sha256: String,
    snapshot_hash: u64,
    total_keys: u64,
    consistent_index: Option<u64>,
    term: Option<u64>,
    compacting: bool,
}

impl Report {
    /// A bare file that is whole.
    pub(super) fn of_file(path: &Path, found: Verified) -> Self {
        Self {
            path: path.display().to_string(),
            whole: true,
            failure: None,
            hint: None,
            kind: Some(match found.kind {
                Kind::Snapshot => "snapshot",
                Kind::RawDatabase => "raw_database",
            }),
            signed_by: None,
            checked: found.checked,
            remarks: found.remarks,
            content: Some(found.content),
            file: Some(FileFigures {
                sha256: found.sha256_of_file,
                snapshot_hash: found.integrity,
                total_keys: found.total_keys,
                consistent_index: found.consistent_index,
                term: found.term,
                compacting: found.compacting,
            }),
        }
    }

    /// A bundle that is whole.
    pub(super) fn of_bundle(bundle: &Bundle, found: Checked) -> Self {
        Self {
            path: bundle.path().display().to_string(),
            whole: true,
            failure: None,
            hint: None,
            kind: Some("bundle"),
            signed_by: found.signed_by.map(|key| key.to_string()),
            checked: found.checked,
            remarks: bundle.manifest().marks.clone(),
            content: found.content,
            file: None,
        }
    }

    /// Something that is not whole, or that cannot be read.
    pub(super) fn failed(path: &Path, error: &dyn Error, hint: Option<String>) -> Self {
        Self {
            path: path.display().to_string(),
            whole: false,
            failure: Some(chain(error)),
            hint,
            kind: None,
            signed_by: None,
            checked: Vec::new(),
            remarks: Vec::new(),
            content: None,
            file: None,
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        let kind = self.kind.unwrap_or_default().replace('_', " ");
        let mut rows = vec![row("whole", format!("{} ({kind})", self.path))];
        if let Some(key) = &self.signed_by {
            rows.push(row("signed by", key.clone()));
        }
        if let Some(content) = &self.content {
            rows.push(row("database", format!("{} bytes", content.database_bytes)));
            rows.push(row("revision", content.revision.to_string()));
            let compacted = match content.compacted_revision {
                0 => "never".to_owned(),
                revision => format!("revision {revision}"),
            };
            rows.push(row("compacted", compacted));
            rows.push(row("records", content.records.to_string()));
            rows.push(row("live keys", content.live_keys.to_string()));
        }
        if let Some(file) = &self.file {
            rows.push(row("SHA-256", file.sha256.clone()));
            rows.push(row("snapshot hash", format!("{:x}", file.snapshot_hash)));
        }
        rows.extend(self.checked.iter().map(|what| row("checked", what.clone())));
        rows.extend(self.remarks.iter().map(|what| row("remark", what.clone())));
        let mut text = columns(&rows, "");
        let resources = self.content.iter().flat_map(|content| &content.resources);
        let mut counted: Vec<_> = resources.collect();
        counted.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), name.as_str()));
        if !counted.is_empty() {
            text.push_str("\nlive keys by resource\n");
            let rows: Vec<_> = counted
                .iter()
                .map(|(name, count)| vec![name.as_str().to_owned(), count.to_string()])
                .collect();
            text.push_str(&columns(&rows, "  "));
        }
        text
    }
}
