//! `rekindle backup fetch`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::backup::Progress;
use crate::backup::targets::{self, CopyError, Fetched, Target, TargetSettings};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Out;
use crate::cli::{Format, Global, progress};
use crate::config;
use crate::core::backup::id::BackupId;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Needs the configuration of the target and nothing else: no daemon, etcd or API server, and no
earlier life of this machine. Every object is compared with its digest while it comes. Whose
signature the backup has is checked when it is restored.

Examples:
  rekindle backup list --target offsite
  rekindle backup fetch offsite 20261124T003000Z-master1 --into /var/lib/rekindle/backups
  rekindle backup fetch offsite 20261124T003000Z-master1 --into /tmp/back --identity age.txt";

/// Options of `backup fetch`.
#[derive(Debug, Args)]
pub struct Options {
    /// The target, as the configuration names it
    target: String,
    /// The backup
    #[arg(value_parser = super::id)]
    id: BackupId,
    /// The directory that gets it, as DIR/ID
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// The age identity (AGE-SECRET-KEY-...) to decrypt it with, where it is encrypted
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

#[derive(Serialize)]
struct Told<'a> {
    id: &'a str,
    path: &'a std::path::Path,
    bytes: u64,
}

/// Fetches.
///
/// # Errors
/// Exit code 1 where it is not there or fails, 2 for wrong usage or bad configuration.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let settings = config::load(global.config.as_deref())?.settings;
    let target = named(&settings.backup.targets, &options.target)?;
    let (into, identity) = (&options.into, options.identity.as_deref());
    let fetched = progress::watch(&Progress::default(), out, |work| {
        ask(target, async |target| {
            targets::fetch(target, &options.id, into, identity, work).await
        })
    })?;
    let Fetched { path, bytes } = &fetched;
    match options.output {
        Format::Json => {
            let id = options.id.as_str();
            super::json(
                &Told {
                    id,
                    path,
                    bytes: *bytes,
                },
                out,
            )?;
        }
        Format::Table => out.data(format!("{}\n", path.display()))?,
    }
    Ok(Exit::Done)
}

/// The target that the configuration has under this name.
pub(super) fn named<'a>(
    targets: &'a [TargetSettings],
    name: &str,
) -> Result<&'a TargetSettings, Failure> {
    let found = targets.iter().find(|target| target.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        Failure::Told {
            exit: Exit::Usage,
            message: format!("no target is named {name:?}"),
            hint: Some(if names.is_empty() {
                "configure one: [backup.targets.NAME]".to_owned()
            } else {
                format!("the configuration has: {}", names.join(", "))
            }),
        }
    })
}

/// Opens the target and asks it something, in a runtime for that alone.
pub(super) fn ask<T>(
    settings: &TargetSettings,
    what: impl AsyncFnOnce(&Target) -> Result<T, CopyError>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of(Exit::No, &error))?;
    runtime.block_on(async {
        let target = Target::open(settings).map_err(|error| failed(&error))?;
        what(&target).await.map_err(|error| failed(&error))
    })
}

fn failed(error: &CopyError) -> Failure {
    Failure::of(Exit::No, error).maybe_hint(error.hint())
}
