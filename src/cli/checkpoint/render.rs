//! `rekindle checkpoint render`: reads the pod list; the work is in
//! [`crate::cli::checkpoint_render`].

use std::fs::File;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::cli::Global;
use crate::cli::checkpoint_render::{self, render_pod_list};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Out;
use crate::config;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Prints for each parent in a PodList the static pod that would be stored and the Secret and
ConfigMap keys it needs. Needs no daemon and no cluster.

Examples:
  curl -s http://127.0.0.1:10255/pods | rekindle checkpoint render --pods -
  rekindle checkpoint render --pods pods.json -o json";

/// Largest pod list that is read.
const LIMIT: u64 = 64 * 1024 * 1024;

/// Options of `checkpoint render`.
#[derive(Debug, Args)]
pub struct Options {
    /// A PodList as the kubelet's `/pods` gives it; `-` for stdin
    #[arg(long, value_name = "FILE")]
    pods: PathBuf,
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    output: Format,
    /// The node that the pods are bound to [default: node.name of the configuration]
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
}

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// Renders.
///
/// # Errors
/// Exit code 1 where the list cannot be read, 2 for bad configuration.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let (node_name, address) = if let Some(name) = &options.node_name {
        (name.clone(), None)
    } else {
        let node = config::load(global.config.as_deref())?.settings.node;
        (node.name, node.address.map(|address| address.to_string()))
    };
    let bytes = read(&options.pods).map_err(|error| {
        let place = options.pods.display();
        Failure::Told {
            exit: Exit::No,
            message: format!("cannot read {place}: {error}"),
            hint: None,
        }
    })?;
    let format = match options.output {
        Format::Json => checkpoint_render::Format::Json,
        Format::Yaml => checkpoint_render::Format::Yaml,
    };
    let text = render_pod_list(&bytes, &node_name, address.as_deref(), format)
        .map_err(|error| Failure::of(Exit::No, &error))?;
    out.data(text)?;
    Ok(Exit::Done)
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(stdin())
    } else {
        Box::new(File::open(path)?)
    };
    let mut bytes = Vec::new();
    source.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        let kind = std::io::ErrorKind::InvalidData;
        return Err(std::io::Error::new(kind, "it is larger than 64 MiB"));
    }
    Ok(bytes)
}
