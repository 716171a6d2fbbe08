//! `rekindle doctor`: what would go wrong, and what to do about it.

mod facts;
mod recovery;

use std::fmt::Write;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::ask::{Places, wait_for};
use super::exit::{Exit, Failure, chain};
use super::output::{Out, clean};
use super::{Format, Global};
use crate::api::wire;
use crate::config;
use crate::core::doctor::{Finding, Severity, worst};
use crate::daemon::clock;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Looks at the disk of this node and asks the daemon, if there is one; changes nothing. Needs no etcd
and no API server. Exit code 1 where something does not work, 0 with warnings only.

Examples:
  rekindle doctor
  rekindle doctor -o json | jq -r '.findings[] | select(.severity == \"fail\") | .what'";

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct Options {
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

#[derive(Debug, Serialize)]
struct Told<'a> {
    worst: Severity,
    findings: &'a [Finding],
}

/// Looks and tells.
///
/// # Errors
/// Bad configuration, or output that cannot be written; what is found is told and is no error.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let settings = config::load(global.config.as_deref())?.settings;
    let now = clock::wall();
    let places = Places::of(global)?;
    let mut findings = daemon(&places)?;
    findings.extend(recovery::findings(&places, out)?);
    findings.extend(facts::hold(&settings));
    findings.extend(facts::operations(&settings));
    findings.extend(facts::backups(&settings, now));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let worst = worst(&findings);
    match options.output {
        Format::Json => {
            let told = Told {
                worst,
                findings: &findings,
            };
            let text = serde_json::to_string_pretty(&told);
            let text = text.map_err(|error| Failure::of(Exit::No, &error))?;
            out.data(text + "\n")?;
        }
        Format::Table => out.data(table(&findings))?,
    }
    Ok(match worst {
        Severity::Fail => Exit::No,
        Severity::Ok | Severity::Warn => Exit::Done,
    })
}

/// Whether the daemon answers, and what it wants an operator to know.
fn daemon(places: &Places) -> Result<Vec<Finding>, Failure> {
    let finding = |severity, what: String| Finding::new("daemon", severity, what);
    let asked = wait_for(places.get::<wire::Status>("/v1/status", Duration::ZERO))?;
    Ok(match asked {
        Ok(status) => {
            let mut found = vec![finding(Severity::Ok, status.report.summary)];
            // They are told from the disk.
            let operations = status.report.operations;
            let problems = status
                .report
                .problems
                .into_iter()
                .filter(|problem| !operations.iter().any(|seen| seen.said() == *problem));
            found.extend(problems.map(|problem| {
                finding(Severity::Warn, problem).hint("`rekindle status` shows it")
            }));
            found
        }
        Err(error) => vec![
            finding(
                Severity::Warn,
                format!("it does not answer: {}", chain(&error)),
            )
            .hint("`systemctl status rekindle` shows why"),
        ],
    })
}

fn table(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let since = finding.since.map_or(String::new(), since);
        let what = clean(&finding.what);
        let word = finding.severity.word();
        let _ = writeln!(text, "{word:<5} {}: {what}{since}", finding.section);
        if let Some(hint) = &finding.hint {
            let _ = writeln!(text, "      hint: {}", clean(hint));
        }
    }
    text
}

fn since(at: Timestamp) -> String {
    format!(" (since {})", at.strftime("%Y-%m-%d %H:%M UTC"))
}
