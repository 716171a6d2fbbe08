//! `rekindle start`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::ask::wait_for;
use super::exit::{Exit, Failure};
use super::output::{Out, clean};
use super::{Format, Global, absolute};
use crate::config;
use crate::core::start::required::{DEFAULT, Required};
use crate::core::stored::Engine;
use crate::start::{self, Outcome, Report};

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Runs a temporary control plane from an asset tree, as `rekindle recover` writes it, until the
self-hosted one whose objects are in etcd is back; then removes it. Everything is written down
before it is done: after Ctrl-C, a kill or a reboot, the same command goes on.

Examples:
  rekindle start --asset-dir /root/recovered
  rekindle start --asset-dir /root/recovered --forget-node old-master
  rekindle start --abort";

/// Options of `start`.
#[derive(Debug, Args)]
pub struct Options {
    /// The tree that `rekindle recover` wrote
    #[arg(long, value_name = "DIR", required_unless_present = "abort")]
    asset_dir: Option<PathBuf>,
    /// The kubelet's static pod directory [default: as configured]
    #[arg(long, value_name = "DIR")]
    pod_manifest_path: Option<PathBuf>,
    /// Pods to wait for, NAMESPACE/NAME separated by commas
    #[arg(long, value_name = "PODS", value_delimiter = ',', value_parser = Required::parse,
          default_values = DEFAULT)]
    required_pods: Vec<Required>,
    /// Stop at the first object of DIR/manifests that cannot be created
    #[arg(long)]
    strict: bool,
    /// Who runs the temporary pods
    #[arg(long, value_name = "WHO", default_value = "auto")]
    engine: Who,
    /// End when nothing has gone forward for this many minutes; 0: never
    #[arg(long, value_name = "MINUTES", default_value = "20")]
    timeout: u32,
    /// A node that is gone for good: delete it and the pods bound to it
    #[arg(long, value_name = "NAME")]
    forget_node: Vec<String>,
    /// Take back what an unfinished start has placed, and put back what it moved
    #[arg(long)]
    abort: bool,
    /// How the final report is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Who runs the temporary pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Who {
    /// The kubelet, or containerd where there is none
    Auto,
    /// The kubelet
    Kubelet,
    /// containerd, without a kubelet
    Containerd,
}

/// Runs a start.
///
/// # Errors
/// Exit code 1 where it is refused or cannot go on, 2 for bad configuration.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let settings = config::load(global.config.as_deref())?.settings;
    let required = options.required_pods.iter();
    let (own, required): (Vec<_>, Vec<_>) = required.partition(|it| it.is_the_predecessor());
    for pod in own {
        out.note(&format!(
            "note: {pod} is what Rekindle replaces: it is not waited for"
        ));
    }
    let wanted = start::Options {
        asset_dir: options.asset_dir.as_deref().map(absolute).transpose()?,
        manifest_dir: options
            .pod_manifest_path
            .as_deref()
            .map(absolute)
            .transpose()?,
        required: required.into_iter().cloned().collect(),
        strict: options.strict,
        engine: match options.engine {
            Who::Auto => None,
            Who::Kubelet => Some(Engine::Kubelet),
            Who::Containerd => Some(Engine::Containerd),
        },
        timeout: (options.timeout > 0)
            .then(|| Duration::from_secs(60 * u64::from(options.timeout))),
        abort: options.abort,
        forget: options.forget_node.clone(),
    };
    let mut say = |line: &str| out.note(&clean(line));
    let report = wait_for(start::run(&settings, &wanted, &mut say))?
        .map_err(|error| Failure::of(Exit::No, &error).hint(error.hint()))?;
    tell(&report, options, out)
}

fn tell(report: &Report, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    if options.output == Format::Json {
        let text =
            serde_json::to_string_pretty(report).map_err(|error| Failure::of(Exit::No, &error))?;
        out.data(text + "\n")?;
    } else {
        out.data(text(report))?;
    }
    Ok(if report.is_success() {
        Exit::Done
    } else {
        Exit::No
    })
}

fn text(report: &Report) -> String {
    let head = match report.outcome {
        Outcome::Done => "All self-hosted control plane components successfully started",
        Outcome::Aborted => "Given up: what was placed is removed, what was moved is back",
        Outcome::Nothing => "No start is under way: there is nothing to give up",
        Outcome::Temporary => "The temporary control plane serves; this node has no kubelet",
        Outcome::Interrupted => "Interrupted; everything is left as it is",
        Outcome::Failed => "Not finished",
    };
    let mut lines = vec![head.to_owned()];
    lines.extend(report.why.iter().map(|why| format!("because: {why}")));
    if !matches!(report.outcome, Outcome::Done | Outcome::Aborted) {
        lines.extend(
            report
                .waits
                .iter()
                .map(|wait| format!("waited for: {wait}")),
        );
    }
    lines.extend(
        report
            .objects
            .failed
            .iter()
            .map(|it| format!("not created: {it}")),
    );
    lines.extend(report.kept.iter().map(|it| format!("left running: {it}")));
    lines.extend(
        report
            .forgotten
            .iter()
            .map(|it| format!("forgotten: node {it}")),
    );
    lines.extend(report.next.iter().map(|it| format!("next: {it}")));
    lines.iter().map(|line| clean(line) + "\n").collect()
}
