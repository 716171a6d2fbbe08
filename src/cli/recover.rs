//! `rekindle recover`.

mod asked;
mod report;

use std::net::IpAddr;
use std::path::PathBuf;

use self::asked::Asked;
use self::report::Report;
use super::exit::{Exit, Failure};
use super::output::Out;
use super::{Format, Global};
use crate::config;
use crate::core::recover::plan::{Mistakes, Plan};
use crate::recover::prepare::{Order, PrepareError, Prepared, prepare};
use crate::recover::tree::{Asset, KUBECONFIG, Place, TreeError};
use clap::Args;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Reads the control plane's objects from what is left of a cluster and writes a directory from which
`rekindle start` runs a temporary control plane. Changes nothing else: not the source, not the node.
The source is a backup file if one is given, else etcd if its servers are, else the API server of
the kubeconfig. What is written holds the cluster's keys: 0600, in directories of 0700.

Examples:
  rekindle recover --recovery-dir recovered --kubeconfig /etc/kubernetes/kubeconfig
  rekindle recover --recovery-dir recovered --etcd-servers https://10.0.0.1:2379 \\
    --etcd-ca-path ca.crt --etcd-certificate-path client.crt --etcd-private-key-path client.key \\
    --kubeconfig /etc/kubernetes/kubeconfig
  rekindle recover --recovery-dir recovered --etcd-backup-file backup.db --dry-run
  rekindle recover --recovery-dir recovered --etcd-backup-file /var/lib/etcd/member/snap/db \\
    --encryption-config encryption.yaml --node-address 10.0.0.9 --reissue-certificates";

/// Options of `recover`.
#[derive(Debug, Args)]
pub struct Options {
    /// The directory to be: absent or empty
    #[arg(long, value_name = "DIR")]
    recovery_dir: PathBuf,
    /// A kubeconfig of the cluster with the rights of an administrator; copied to auth/kubeconfig
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Read a running etcd: its client URLs, separated by commas
    #[arg(long, value_name = "URL,URL", value_delimiter = ',')]
    etcd_servers: Vec<String>,
    /// Authority of etcd's certificates (PEM)
    #[arg(long, value_name = "FILE")]
    etcd_ca_path: Option<PathBuf>,
    /// Client certificate for etcd (PEM)
    #[arg(long, value_name = "FILE")]
    etcd_certificate_path: Option<PathBuf>,
    /// Key of that certificate (PEM)
    #[arg(long, value_name = "FILE")]
    etcd_private_key_path: Option<PathBuf>,
    /// The API server's prefix of keys in etcd
    #[arg(long, value_name = "PREFIX", default_value = "/registry")]
    etcd_prefix: String,
    /// Read a backup of ours (its directory), a snapshot, or a member's member/snap/db
    #[arg(long, value_name = "PATH")]
    etcd_backup_file: Option<PathBuf>,
    /// The API server's encryption configuration, where Secrets are encrypted at rest
    #[arg(long, value_name = "FILE")]
    encryption_config: Option<PathBuf>,
    /// The namespace of the control plane
    #[arg(long, value_name = "NAME", default_value = "kube-system")]
    namespace: String,
    /// Where the API server shall find etcd, in place of what is recorded (may be given again)
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    etcd_endpoint: Vec<String>,
    /// Issue certificates anew that expired or do not name this host, where the authority's key is
    /// among what is found
    #[arg(long)]
    reissue_certificates: bool,
    /// This host's address, in place of recorded ones that it does not have
    #[arg(long, value_name = "ADDRESS")]
    node_address: Option<IpAddr>,
    /// Trust the signatures of this public key on backups of ours as well
    #[arg(long, value_name = "FILE")]
    trusted_key: Vec<PathBuf>,
    /// Read even a backup of ours that nobody vouches for
    #[arg(long)]
    allow_unsigned: bool,
    /// Read everything, print what would be written and changed, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Recovers.
///
/// # Errors
/// Exit code 1 where something stands in the way, 2 for wrong usage or bad configuration.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let settings = config::load(global.config.as_deref())?.settings;
    let asked = Asked::of(options, &settings)?;
    let place = Place::of(&options.recovery_dir).map_err(unwritable)?;
    out.note(&format!("Attempting recovery using {}...", asked.words));
    let Prepared { mut plan, assets } = prepared(&Order {
        source: asked.source,
        want: asked.want,
        words: asked.words.clone(),
        kubeconfig: options.kubeconfig.clone(),
        etcd_endpoints: options.etcd_endpoint.clone(),
        node_address: options.node_address,
        reissue: options.reissue_certificates,
    })?;
    if !plan.files.contains_key(KUBECONFIG) {
        plan.warnings.push(format!(
            "no --kubeconfig is given: there is no {KUBECONFIG} for `rekindle start`"
        ));
    }
    let report = Report::of(
        &asked.words,
        place.target(),
        &plan,
        &assets,
        options.dry_run,
    );
    if !options.dry_run {
        write(&place, &assets, &plan, out)?;
    }
    tell(&report, options, out)
}

/// Prepares, in a runtime for that alone.
fn prepared(order: &Order) -> Result<Prepared, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of(Exit::No, &error))?;
    runtime
        .block_on(prepare(order))
        .map_err(|error| match error {
            PrepareError::Kubeconfig(error) => Failure::of(Exit::No, &error)
                .hint("give a file that kubectl works with as --kubeconfig"),
            PrepareError::Source(error) => Failure::of(Exit::No, &error).maybe_hint(error.hint()),
            PrepareError::Mistakes(mistakes) => refused(mistakes),
            PrepareError::Tree(error) => unwritable(error),
            PrepareError::NoRandom => Failure::of(Exit::No, &error),
        })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(mistakes: Mistakes) -> Failure {
    let count = mistakes.0.len();
    let things = if count == 1 {
        "thing stands"
    } else {
        "things stand"
    };
    let lines: Vec<String> = mistakes
        .0
        .iter()
        .map(|line| format!("\n  {line}"))
        .collect();
    Failure::Told {
        exit: Exit::No,
        message: format!(
            "{count} {things} in the way of a recovery; nothing was written{}",
            lines.concat()
        ),
        hint: Some(
            "another source may have what is missing here: see `rekindle recover --help`"
                .to_owned(),
        ),
    }
}

fn write(place: &Place, assets: &[Asset], plan: &Plan, out: &mut Out) -> Result<(), Failure> {
    for asset in assets {
        let path = place.target().join(&asset.path);
        out.note(&format!("Writing asset: {}", path.display()));
    }
    place.write(assets, &plan.empty_dirs).map_err(|error| {
        let left = match place.is_there() {
            Ok(true) => "the directory is as it was",
            Ok(false) => "nothing was written",
            Err(_) => "whether anything was written cannot be seen",
        };
        match unwritable(error) {
            Failure::Told {
                exit,
                message,
                hint,
            } => Failure::Told {
                exit,
                message: format!("{message}; {left}"),
                hint,
            },
            other @ Failure::BrokenPipe => other,
        }
    })
}

fn tell(report: &Report<'_>, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    for warning in report.warnings {
        out.note(&format!("warning: {}", super::output::clean(warning)));
    }
    match options.output {
        Format::Json => {
            let text = serde_json::to_string_pretty(report)
                .map_err(|error| Failure::of(Exit::No, &error))?;
            out.data(text + "\n")?;
        }
        Format::Table => out.data(report.text())?,
    }
    if report.written {
        out.note(&format!(
            "\nLook at the warnings and the manifests, then: rekindle start --asset-dir {}",
            report.recovery_dir.display()
        ));
    }
    Ok(Exit::Done)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unwritable(error: TreeError) -> Failure {
    let hint = match &error {
        TreeError::NotEmpty { .. } | TreeError::Unfit { .. } => {
            Some("give a directory that does not exist or is empty as --recovery-dir")
        }
        TreeError::Busy(_) => Some("wait for it, or give another --recovery-dir"),
        TreeError::Read(_) | TreeError::Write(_) => {
            Some("see that there is room, and that the place may be written")
        }
        TreeError::Yaml { .. } | TreeError::Json { .. } => None,
    };
    Failure::of(Exit::No, &error).maybe_hint(hint)
}
