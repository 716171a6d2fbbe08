//! `rekindle backup verify`.

mod report;

use std::path::{Path, PathBuf};

use clap::Args;

use self::report::Report;
use crate::backup::Progress;
use crate::backup::bundle::{BundleError, Checks, Depth, check};
use crate::backup::restore::Source;
use crate::backup::signing::Trust;
use crate::backup::verify::{self, VerifyError};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Out;
use crate::cli::{Format, Global, progress};
use crate::config;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Reads all of it and changes nothing; needs no daemon, etcd or API server. Of a backup the signature
and the digest of every part are checked as well. A bare `member/snap/db` must be that of a stopped
etcd; it has no hash of its own, so damage inside a value cannot be seen in it.
Exit code 1 where it is damaged, unfinished or cannot be read.

Examples:
  rekindle backup verify 20261124T003000Z-master1
  rekindle backup verify /mnt/usb/20261124T003000Z-master1 --trusted-key old-master.pub
  rekindle backup verify snapshot.db -o json
  rekindle backup verify /var/lib/etcd.old/member/snap/db";

/// Options of `backup verify`.
#[derive(Debug, Args)]
pub struct Options {
    /// A backup of this node, a bundle's directory, or a bare snapshot or database
    #[arg(value_name = "ID|PATH")]
    backup: String,
    /// Keys below this are counted by Kubernetes resource; for a bare file
    #[arg(long, value_name = "PREFIX", default_value = "/registry")]
    etcd_prefix: String,
    /// It is the `member/snap/db` of a stopped etcd under another name, not a snapshot
    #[arg(long)]
    raw: bool,
    /// Trust the signatures of this public key as well
    #[arg(long, value_name = "FILE")]
    trusted_key: Vec<PathBuf>,
    /// Do not look at the signature: it may be anybody's backup
    #[arg(long)]
    allow_unsigned: bool,
    /// Where a compressed snapshot is unpacked [default: beside the backup]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Where backups are kept [default: as configured]
    #[arg(long, value_name = "DIR")]
    backups_dir: Option<PathBuf>,
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Verifies.
///
/// # Errors
/// Exit code 1 where it is not whole, 2 for a bad configuration.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let path = Path::new(&options.backup);
    let bare = std::fs::metadata(path).is_ok_and(|found| !found.is_dir());
    let report = if bare {
        file(path, options, out)
    } else {
        bundle(global, options, out)?
    };
    match options.output {
        Format::Json => {
            let text = serde_json::to_string_pretty(&report)
                .map_err(|error| Failure::of(Exit::No, &error))?;
            out.data(text + "\n")?;
        }
        Format::Table if report.whole => out.data(report.text())?,
        Format::Table => {}
    }
    match report.failure {
        None => Ok(Exit::Done),
        Some(message) => Err(Failure::Told {
            exit: Exit::No,
            message,
            hint: report.hint,
        }),
    }
}

fn file(path: &Path, options: &Options, out: &mut Out) -> Report {
    let prefix = format!("{}/", options.etcd_prefix.trim_end_matches('/'));
    let work = Progress::default();
    let found = progress::watch(&work, out, |work| {
        let options = verify::Options {
            prefix: &prefix,
            raw: options.raw,
            ..verify::Options::default()
        };
        verify::verify_with(path, &options, work)
    });
    match found {
        Ok(found) => Report::of_file(path, found),
        Err(error) => {
            let hint = Some(VerifyError::hint(&error).to_owned());
            Report::failed(path, &error, hint)
        }
    }
}

fn bundle(global: &Global, options: &Options, out: &mut Out) -> Result<Report, Failure> {
    let settings = config::load(global.config.as_deref())?.settings;
    let state_dir = &settings.paths.state_dir;
    let own = || settings.backup.dir.clone();
    let backups = options.backups_dir.clone().unwrap_or_else(own);
    let source = match Source::find(&options.backup, &backups) {
        Ok(source) => source,
        Err(error) => {
            let hint = error.hint();
            return Ok(Report::failed(Path::new(&options.backup), &error, hint));
        }
    };
    let bundle = match source {
        Source::Bundle(bundle) => bundle,
        Source::Bare(path) => return Ok(file(&path, options, out)),
    };
    let trust = Trust::of(state_dir, &options.trusted_key);
    let trust = (!options.allow_unsigned).then_some(trust).transpose();
    let trust = trust.map_err(|error| Failure::of(Exit::No, &error).maybe_hint(error.hint()))?;
    let checks = Checks {
        depth: Depth::Content,
        trust: trust.as_ref(),
        scratch: options.scratch.as_deref(),
    };
    let work = Progress::default();
    let found = progress::watch(&work, out, |work| check(&bundle, &checks, work));
    Ok(match found {
        Ok(found) => Report::of_bundle(&bundle, found),
        Err(error) => {
            let hint = BundleError::hint(&error);
            Report::failed(bundle.path(), &error, hint)
        }
    })
}
