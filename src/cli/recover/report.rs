//! What a recovery wrote or would write, for people and programs.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::cli::output::clean;
use crate::core::recover::plan::Plan;
use crate::recover::tree::Asset;

/// The whole report.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    source: &'a str,
    pub(super) recovery_dir: &'a Path,
    pub(super) written: bool,
    /// Paths in the directory.
    assets: Vec<&'a str>,
    pods: Vec<Pod<'a>>,
    /// Changes that are no pod's alone.
    changes: &'a [String],
    pub(super) warnings: &'a [String],
}

#[derive(Debug, Serialize)]
struct Pod<'a> {
    name: &'a str,
    from: &'a str,
    changes: &'a [String],
}

impl<'a> Report<'a> {
    pub(super) fn of(
        source: &'a str,
        recovery_dir: &'a Path,
        plan: &'a Plan,
        assets: &'a [Asset],
        dry_run: bool,
    ) -> Self {
        Self {
            source,
            recovery_dir,
            written: !dry_run,
            assets: assets.iter().map(|asset| asset.path.as_str()).collect(),
            pods: plan
                .pods
                .iter()
                .map(|planned| Pod {
                    name: planned.pod.metadata.name.as_deref().unwrap_or_default(),
                    from: &planned.from,
                    changes: &planned.changes,
                })
                .collect(),
            changes: &plan.changes,
            warnings: &plan.warnings,
        }
    }

    /// The plan in full where nothing was written; else what is not on stderr: the changes.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |line: String| {
            let _ = writeln!(text, "{}", clean(&line));
        };
        if !self.written {
            line(format!("would write to {}:", self.recovery_dir.display()));
            for asset in &self.assets {
                line(format!("  {asset}"));
            }
        }
        for pod in &self.pods {
            line(format!("{} from {}", pod.name, pod.from));
            for change in pod.changes {
                line(format!("  {change}"));
            }
        }
        if !self.changes.is_empty() {
            line("other files".to_owned());
            for change in self.changes {
                line(format!("  {change}"));
            }
        }
        text
    }
}
