//! `rekindle backup restore`.

mod steps;

use std::path::{Path, PathBuf};

use clap::Args;

use crate::backup::restore::{self, Members, Plan, Raise, RestoreError, Source, Wanted};
use crate::backup::signing::Trust;
use crate::backup::{Progress, high_water};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Out;
use crate::cli::{Format, Global, absolute, progress};
use crate::config;
use crate::core::reading::chain;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Makes a new data directory; needs no daemon, etcd or API server, and starts none. A backup is
restored only when its signature is of this node or of a --trusted-key and all of it is whole.
The revision is raised above everything that clients can have seen, where etcd's program can.

Several members: restore the same backup once for each, every one with the same --initial-cluster,
and from the second on with the --initial-cluster-token and --bump-revision that the first printed.

Examples:
  rekindle backup restore 20261124T003000Z-master1 --data-dir /var/lib/etcd --dry-run
  rekindle backup restore /mnt/usb/20261124T003000Z-master1 --trusted-key old-master.pub \\
    --data-dir /var/lib/etcd
  rekindle backup restore snapshot.db --allow-unsigned --data-dir /var/lib/etcd
  rekindle backup restore 20261124T003000Z-master1 --data-dir /var/lib/etcd --name master1 \\
    --initial-cluster master1=https://10.0.0.1:2380,master2=https://10.0.0.2:2380";

/// Options of `backup restore`.
#[derive(Debug, Args)]
pub struct Options {
    /// A backup of this node, a bundle's directory, or a bare snapshot or database
    #[arg(value_name = "ID|PATH")]
    backup: String,
    /// The data directory to be: absent or empty
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The member's name [default: of the member that the backup was taken from]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Every member with its peer URL: NAME=URL,NAME=URL [default: this member alone]
    #[arg(long, value_name = "MEMBERS")]
    initial_cluster: Option<String>,
    /// The member's peer URLs [default: as --initial-cluster says, or of the backup]
    #[arg(long, value_name = "URLS")]
    initial_advertise_peer_urls: Option<String>,
    /// The token that another member of the set was restored with [default: a fresh one]
    #[arg(long, value_name = "TOKEN")]
    initial_cluster_token: Option<String>,
    /// Raise the revision by exactly this: as another member of the set was restored
    #[arg(long, value_name = "N", conflicts_with = "no_revision_bump",
          value_parser = clap::value_parser!(u64).range(1..))]
    bump_revision: Option<u64>,
    /// Highest revision of the cluster that anybody has seen, where it is above the backup's record
    #[arg(long, value_name = "REVISION", conflicts_with_all = ["bump_revision", "no_revision_bump"],
          value_parser = clap::value_parser!(i64).range(1..))]
    high_water_revision: Option<i64>,
    /// Do not raise the revision: clients may take old answers for new ones
    #[arg(long)]
    no_revision_bump: bool,
    /// Trust the signatures of this public key as well
    #[arg(long, value_name = "FILE")]
    trusted_key: Vec<PathBuf>,
    /// Restore even what nobody vouches for
    #[arg(long)]
    allow_unsigned: bool,
    /// etcdutl or etcdctl [default: as configured, else the first of them in PATH]
    #[arg(long, value_name = "FILE")]
    tool: Option<PathBuf>,
    /// Where backups are kept [default: as configured]
    #[arg(long, value_name = "DIR")]
    backups_dir: Option<PathBuf>,
    /// Check everything, say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Restores.
///
/// # Errors
/// Exit code 1 where it is refused or fails, 2 for wrong usage or bad configuration.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let settings = config::load(global.config.as_deref())?.settings;
    let state_dir = &settings.paths.state_dir;
    let backups = options.backups_dir.as_ref().unwrap_or(&settings.backup.dir);
    if options.initial_cluster_token.is_some()
        && options.bump_revision.is_none()
        && !options.no_revision_bump
    {
        // Members whose databases differ would be a cluster that disagrees with itself for ever.
        return Err(Failure::Told {
            exit: Exit::Usage,
            message: "with --initial-cluster-token, the revision must be raised as at the other \
                      members"
                .to_owned(),
            hint: Some(
                "give --bump-revision (or --no-revision-bump) as the first restore printed it"
                    .to_owned(),
            ),
        });
    }
    let data_dir = absolute(&options.data_dir)?;
    let keys = [
        settings.backup.trusted_key_files.as_slice(),
        options.trusted_key.as_slice(),
    ]
    .concat();
    let trust = Trust::of(state_dir, &keys)
        .map_err(|error| Failure::of(Exit::No, &error).maybe_hint(error.hint()))?;
    let source = Source::find(&options.backup, backups).map_err(refused)?;
    let raise = match (options.bump_revision, options.no_revision_bump) {
        (Some(by), _) => Raise::By(by),
        (None, true) => Raise::No,
        (None, false) => {
            let recorded = recorded(state_dir, out);
            Raise::Above(options.high_water_revision.max(recorded))
        }
    };
    let path = search_path();
    let wanted = Wanted {
        source,
        data_dir: &data_dir,
        trust: (!options.allow_unsigned).then_some(&trust),
        members: Members {
            name: options.name.clone(),
            initial_cluster: options.initial_cluster.clone(),
            peer_urls: options.initial_advertise_peer_urls.clone(),
            token: options.initial_cluster_token.clone(),
        },
        raise,
        tool: options
            .tool
            .as_deref()
            .or(settings.backup.etcdutl.as_deref()),
        path: &path,
    };
    let work = Progress::default();
    let plan = progress::watch(&work, out, |work| restore::plan(wanted, work));
    let plan = plan.map_err(refused)?;
    if !options.dry_run {
        let done = progress::watch(&work, out, |work| restore::carry_out(&plan, work));
        done.map_err(refused)?;
    }
    tell(&plan, options, out)
}

/// The highest revision of any cluster that this node has recorded: what was restored before is
/// another cluster, and its clients are the same.
fn recorded(state_dir: &Path, out: &mut Out) -> Option<i64> {
    match high_water::read(state_dir) {
        Ok(marks) => marks.highest(),
        Err(error) => {
            let why = chain(&error);
            out.note(&format!(
                "this node's record of revisions is not used: {why}"
            ));
            None
        }
    }
}

fn tell(plan: &Plan, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let report = steps::Report::of(plan, &options.backup, options.dry_run);
    match options.output {
        Format::Json => {
            let text = serde_json::to_string_pretty(&report)
                .map_err(|error| Failure::of(Exit::No, &error))?;
            out.data(text + "\n")?;
        }
        Format::Table => out.data(report.text())?,
    }
    Ok(Exit::Done)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: RestoreError) -> Failure {
    Failure::of(Exit::No, &error).maybe_hint(error.hint())
}

/// `$PATH`, or what root has where that is not set.
fn search_path() -> String {
    std::env::var_os("PATH")
        .and_then(|path| path.into_string().ok())
        .unwrap_or_else(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into())
}
