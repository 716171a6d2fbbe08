//! What `doctor` judges backups by, gathered from the disk.

use std::path::Path;

use jiff::Timestamp;

use crate::backup::STATE;
use crate::backup::restore::Tool as Program;
use crate::backup::signing::{PRIVATE, Trust};
use crate::config::Settings;
use crate::core::doctor::backup::{self, Encryption, Facts, Tool};
use crate::core::doctor::{Finding, Severity};
use crate::core::operation::OperationState;
use crate::core::reading::{Reading, chain};
use crate::daemon::backups::look::{Look, look, target_names};
use crate::daemon::backups::{host, off};
use crate::encryption::EncryptionConfiguration;
use crate::operation;
use crate::store::dir::Dir;

/// Where the program that restores is looked for when `PATH` is not set.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Largest configuration that is read.
const LIMIT: u64 = 1 << 20;

/// The findings on long operations: one that was cut off silences the daemon.
pub(super) fn operations(settings: &Settings) -> Vec<Finding> {
    let finding = |severity, what: String| Finding::new("operations", severity, what);
    match operation::look(&settings.paths.state_dir) {
        Reading::Known(view) => {
            let told = view.seen.iter().map(|seen| {
                let severity = match seen.state {
                    OperationState::Running { .. } | OperationState::Holding => Severity::Warn,
                    OperationState::Unfinished | OperationState::Damaged(_) => Severity::Fail,
                };
                finding(severity, seen.said()).since(seen.began)
            });
            told.collect()
        }
        Reading::Unknown(unseen) => vec![
            finding(Severity::Warn, unseen.detail)
                .hint("run it as root; meanwhile the daemon starts and removes nothing"),
        ],
    }
}

/// The finding on an operator's hold, where there is one: nothing is protected meanwhile.
pub(super) fn hold(settings: &Settings) -> Option<Finding> {
    match crate::daemon::hold::seen(settings) {
        Reading::Known(None) => None,
        Reading::Known(Some(hold)) => Some(
            Finding::new("hold", Severity::Warn, hold.said())
                .since(Some(hold.began))
                .hint("it ends by itself; `rekindle hold --release` ends it now"),
        ),
        Reading::Unknown(unseen) => Some(Finding::new("hold", Severity::Fail, unseen.detail).hint(
            "run it as root; meanwhile the daemon starts and removes nothing; `rekindle hold \
                 --release` moves a damaged hold aside",
        )),
    }
}

/// The findings on backups.
pub(super) fn backups(settings: &Settings, now: Timestamp) -> Vec<Finding> {
    let found = match look(settings) {
        Ok(found) => found,
        Err(error) => {
            let what = format!("what backups there are is not known: {error}");
            return vec![
                Finding::new("backups", Severity::Fail, what)
                    .hint("run it as root; look at backup.directory and the state directory"),
            ];
        }
    };
    let targets = target_names(settings);
    let kept = found.listing.kept();
    let facts = Facts {
        off: off::reason(settings),
        policy: &settings.backup.policy,
        kept: &kept,
        index: &found.index,
        problems: problems(settings, &found),
        free_bytes: found.free_bytes,
        targets: &targets,
        signing_key: signing_key(settings),
        tool: tool(settings),
        encryption: encryption(settings),
    };
    backup::backups(&facts, now)
}

fn problems(settings: &Settings, found: &Look) -> Vec<String> {
    let mut problems = found.problems.clone();
    problems.extend(found.damaged(&settings.backup.dir));
    problems
}

/// Whether the private key is there, and the public keys can be read.
fn signing_key(settings: &Settings) -> Result<bool, String> {
    let state_dir = &settings.paths.state_dir;
    Trust::of(state_dir, &settings.backup.trusted_key_files).map_err(|error| chain(&error))?;
    let dir = match Dir::open(&state_dir.join(STATE)) {
        Ok(dir) => dir,
        Err(error) if error.is_absent() => return Ok(false),
        Err(error) => return Err(chain(&error)),
    };
    match dir.stat(PRIVATE) {
        Ok(stat) => Ok(stat.is_some()),
        Err(error) => Err(chain(&error)),
    }
}

fn tool(settings: &Settings) -> Result<Tool, String> {
    let path = std::env::var_os("PATH").and_then(|path| path.into_string().ok());
    let path = path.unwrap_or_else(|| PATH.to_owned());
    let named = settings.backup.etcdutl.as_deref();
    let program = Program::find(named, &path).map_err(|error| chain(&error))?;
    let name = program.path.file_name().unwrap_or_default();
    Ok(Tool {
        name: format!("{} {}", name.display(), program.version),
        bumps: program.bumps,
    })
}

fn encryption(settings: &Settings) -> Encryption {
    let files = host::encryption_files(settings);
    let mut good = None;
    for path in files {
        match readable(&path) {
            Ok(()) => good = Some(path.display().to_string()),
            Err(why) => return Encryption::Unusable(format!("{}: {why}", path.display())),
        }
    }
    good.map_or(Encryption::None, Encryption::Found)
}

/// Whether what it encrypts can be opened with the file alone.
fn readable(path: &Path) -> Result<(), String> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
    else {
        return Err("it is no file".to_owned());
    };
    let read = Dir::open(parent).and_then(|dir| dir.read(name, LIMIT));
    let (text, _) = read.map_err(|error| chain(&error))?;
    let parsed = EncryptionConfiguration::parse(&text).map_err(|error| chain(&error))?;
    let kms = parsed.kms();
    if kms.is_empty() {
        return Ok(());
    }
    Err(format!(
        "its keys are with the KMS plug-in {}",
        kms.join(", ")
    ))
}
