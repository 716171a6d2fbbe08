//! `rekindle checkpoint show`. Never shows a secret: see [`crate::api::details`].

use std::fmt::Write;

use clap::Args;

use crate::api::wire;
use crate::cli::ask::Places;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Out, clean, columns};
use crate::cli::status_view::engine_word;
use crate::cli::{Format, Global};
use crate::core::id::CheckpointId;
use crate::core::report::CheckpointReport;
use crate::yaml;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Values of environment variables and contents of files are never shown.

Examples:
  rekindle checkpoint show daemonset.kube-system.kube-apiserver
  rekindle checkpoint show daemonset.kube-system.kube-apiserver -o json";

/// Options of `checkpoint show`.
#[derive(Debug, Args)]
pub struct Options {
    /// The checkpoint, `kind.namespace.name`
    #[arg(value_parser = super::id)]
    id: CheckpointId,
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Shows.
///
/// # Errors
/// Exit code 1 where there is no such checkpoint, 3 where nobody can say.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let checkpoint = Places::of(global)?.checkpoint(&options.id, out)?;
    let text = match options.output {
        Format::Json => serde_json::to_string_pretty(&checkpoint)
            .map_err(|error| Failure::of(Exit::No, &error))?,
        Format::Table => text(&options.id, &checkpoint)?,
    };
    out.data(text.trim_end())?;
    out.data("\n")?;
    Ok(Exit::Done)
}

fn text(id: &CheckpointId, checkpoint: &wire::Checkpoint) -> Result<String, Failure> {
    let mut out = format!("{id}\n");
    if let Some(report) = &checkpoint.report {
        out.push_str(&columns(&facts(report), "  "));
    }
    let details = &checkpoint.details;
    for (name, revision) in [("good", &details.good), ("candidate", &details.candidate)] {
        let Some(revision) = revision else { continue };
        let _ = writeln!(out, "\nRevision {} ({name})", clean(&revision.revision));
        for note in &revision.notes {
            let _ = writeln!(out, "  note: {}", clean(note));
        }
        let rows: Vec<_> = revision.files.iter().map(file).collect();
        out.push_str(&columns(&rows, "  "));
        out.push_str(&manifest(revision)?);
    }
    for problem in &details.problems {
        let _ = writeln!(out, "\nproblem: {}", clean(problem));
    }
    Ok(out)
}

fn facts(report: &CheckpointReport) -> Vec<Vec<String>> {
    let revision = |revision: Option<&crate::core::id::RevisionId>| {
        revision.map_or("none".to_owned(), ToString::to_string)
    };
    let parents: Vec<String> = report.parents.iter().map(ToString::to_string).collect();
    let mut rows = vec![
        ("state", report.state.word().to_owned()),
        ("reason", report.reason.clone()),
        ("engine", report.engine.map_or("-", engine_word).to_owned()),
        (
            "parents",
            if parents.is_empty() {
                "none seen".to_owned()
            } else {
                parents.join(", ")
            },
        ),
        ("parent state", report.parent_state.clone()),
        ("good revision", revision(report.good.as_ref())),
        ("candidate", revision(report.candidate.as_ref())),
    ];
    if report.handover_failures > 0 {
        rows.push(("failed hand-overs", report.handover_failures.to_string()));
    }
    if let Some(refusal) = &report.engine_refusal {
        rows.push(("containerd engine", format!("refuses: {refusal}")));
    }
    rows.into_iter()
        .map(|(name, value)| vec![format!("{name}:"), value])
        .collect()
}

/// One data file in a row: mode, owner, size, path.
pub(super) fn file(file: &wire::File) -> Vec<String> {
    vec![
        format!("{:04o}", file.mode & 0o7777),
        format!("{}:{}", file.uid, file.gid),
        format!("{} B", file.bytes),
        file.path.clone(),
    ]
}

/// The manifest as YAML, as it is in the answer: already without secrets.
pub(super) fn manifest(revision: &wire::Revision) -> Result<String, Failure> {
    yaml::text(&revision.manifest).map_err(|error| Failure::of(Exit::No, &error))
}
