//! `rekindle checkpoint diff`: what the candidate changes. Never shows a secret.

use std::collections::BTreeMap;
use std::fmt::Write;

use clap::Args;

use super::show;
use crate::api::wire;
use crate::cli::Global;
use crate::cli::ask::Places;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Out, clean};
use crate::cli::unified;
use crate::core::id::CheckpointId;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Of hidden values and of files it is only said that they differ.

Examples:
  rekindle checkpoint diff daemonset.kube-system.kube-apiserver";

/// Options of `checkpoint diff`.
#[derive(Debug, Args)]
pub struct Options {
    /// The checkpoint, `kind.namespace.name`
    #[arg(value_parser = super::id)]
    id: CheckpointId,
}

/// Shows the differences; nothing, with a note, where there is no candidate.
///
/// # Errors
/// Exit code 1 where there is no such checkpoint or a revision cannot be read, 3 where nobody
/// can say.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let checkpoint = Places::of(global)?.checkpoint(&options.id, out)?;
    let details = checkpoint.details;
    if !details.problems.is_empty() {
        return Err(Failure::Told {
            exit: Exit::No,
            message: details.problems.join("\n"),
            hint: None,
        });
    }
    match (&details.good, &details.candidate) {
        (_, None) => out.note("no candidate: nothing differs"),
        (None, Some(_)) => out.note("no good revision yet: see `rekindle checkpoint show`"),
        (Some(good), Some(candidate)) => out.data(text(good, candidate)?)?,
    }
    Ok(Exit::Done)
}

fn text(good: &wire::Revision, candidate: &wire::Revision) -> Result<String, Failure> {
    let name = |word: &str, revision: &wire::Revision| format!("{word} {}", revision.revision);
    let mut out = unified::diff(
        &name("good", good),
        &show::manifest(good)?,
        &name("candidate", candidate),
        &show::manifest(candidate)?,
    );
    let by_path = |revision: &wire::Revision| -> BTreeMap<String, wire::File> {
        revision
            .files
            .iter()
            .map(|file| (file.path.clone(), file.clone()))
            .collect()
    };
    let (old, new) = (by_path(good), by_path(candidate));
    for (path, file) in &new {
        let told = match old.get(path) {
            None => "added",
            Some(_) if file.differs => "content differs",
            Some(before) if show::file(before) != show::file(file) => "mode or owner differs",
            Some(_) => continue,
        };
        let _ = writeln!(out, "file {}: {told}", clean(path));
    }
    for path in old.keys().filter(|path| !new.contains_key(*path)) {
        let _ = writeln!(out, "file {}: removed", clean(path));
    }
    Ok(out)
}
