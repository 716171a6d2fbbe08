//! Where etcd's member of this node runs, found out. Changes nothing.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use super::Error;
use crate::config::Settings;
use crate::core::recovery::etcd::home::{Flags, of_pod};
use crate::core::recovery::etcd::{Home, Runs};
use crate::store::chain;
use crate::store::dir::{Dir, ReadError};
use crate::systemd::units::{self, Service, UnitError};
use crate::yaml;

/// Largest manifest, bytes.
pub(super) const LIMIT: u64 = 1 << 20;
/// Largest file of environment variables, bytes.
const ENVIRONMENT: u64 = 64 << 10;
/// Our own manifests' names. Source: [`crate::manifests::dir`].
const OURS: &str = "rekindle-";

/// Names and values.
type Pairs = Vec<(String, String)>;

/// Finds out where it runs. A static pod comes before a unit that does not run: the package that
/// brings etcd's tools may bring a unit as well.
///
/// # Errors
/// [`Error::Homeless`] where it is not known; what cannot be handled from here is said by
/// [`super::stop`].
pub async fn find(settings: &Settings) -> Result<Home, Error> {
    let dir = settings.paths.manifest_dir.clone();
    let pods = tokio::task::spawn_blocking(move || in_manifests(&dir));
    let pod = pods.await.map_err(|_| Error::CutOff)??;
    let unit = match units::service(&settings.etcd_unit).await {
        Ok(unit) => unit,
        Err(UnitError::NotBooted) => None,
        // Only where nothing else says it.
        Err(_) if pod.is_some() => None,
        Err(error) => return Err(Error::Homeless(chain(&error))),
    };
    match (pod, unit) {
        (Some(pod), Some(unit)) if unit.runs() => Err(Error::Homeless(format!(
            "{} and {} both run it",
            pod.runs.said(),
            settings.etcd_unit
        ))),
        (Some(pod), _) => Ok(pod),
        (None, Some(unit)) if unit.runs() || unit.enabled => of_unit(settings, unit).await,
        (None, _) => Err(Error::Homeless(format!(
            "no manifest in {} runs it, and {} is no unit that is enabled",
            settings.paths.manifest_dir.display(),
            settings.etcd_unit
        ))),
    }
}

/// The member of the static pod in `dir`. Blocks.
fn in_manifests(dir: &Path) -> Result<Option<Home>, Error> {
    let opened = Dir::open(dir).map_err(|error| Error::Homeless(chain(&error)))?;
    let names = opened.names();
    let names = names.map_err(|error| Error::Homeless(chain(&error)))?;
    let mut found: Option<Home> = None;
    for name in names.into_iter().filter(|name| !name.starts_with('.')) {
        let bytes = match opened.read(&name, LIMIT) {
            Ok((bytes, _)) => bytes,
            // No pod of etcd's: a directory, or what is not there any more.
            Err(ReadError::NotAFile { .. } | ReadError::TooLarge { .. }) => continue,
            Err(error) if error.is_absent() => continue,
            Err(error) => return Err(Error::Homeless(chain(&error))),
        };
        let Some(home) = pod(&bytes).and_then(|pod| of_pod(&name, name.starts_with(OURS), &pod))
        else {
            continue;
        };
        let home = home.map_err(|why| Error::NotAutomatic {
            home: format!("the static pod {name}"),
            why,
        })?;
        if let Some(other) = found {
            let both = format!("{} and {} both run it", other.runs.said(), home.runs.said());
            return Err(Error::Homeless(both));
        }
        found = Some(home);
    }
    Ok(found)
}

/// The pod of a manifest.
pub(super) fn pod(bytes: &[u8]) -> Option<Pod> {
    serde_json::from_value(yaml::document(bytes)?).ok()
}

/// The member of a unit: by the process while it runs, else by what systemd would start.
async fn of_unit(settings: &Settings, service: Service) -> Result<Home, Error> {
    let unit = settings.etcd_unit.clone();
    let fallback = settings.etcd_data_dir.clone();
    let found = tokio::task::spawn_blocking(move || {
        let (words, environment) = running(service.pid).unwrap_or_else(|| {
            let mut environment: Vec<_> = pairs(&service.environment.join("\n"));
            for file in &service.environment_files {
                environment.extend(file_pairs(file));
            }
            (service.command.clone(), environment)
        });
        let flags = Flags::of_words(&words, environment);
        let data_dir = flags.get("data-dir").map_or(fallback, PathBuf::from);
        flags.home(Runs::Unit { unit }, Some(data_dir), None)
    });
    let found = found.await.map_err(|_| Error::CutOff)?;
    found.map_err(|why| Error::NotAutomatic {
        home: format!("the unit {}", settings.etcd_unit),
        why,
    })
}

/// Words and environment of a process.
fn running(pid: u32) -> Option<(Vec<String>, Pairs)> {
    if pid == 0 {
        return None;
    }
    let read = |what: &str| std::fs::read(format!("/proc/{pid}/{what}")).ok();
    let split = |bytes: Vec<u8>| -> Vec<String> {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let words = text.split('\0').filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    };
    let words = split(read("cmdline")?);
    let environment = split(read("environ")?).join("\n");
    Some((words, pairs(&environment))).filter(|(words, _)| !words.is_empty())
}

/// `NAME=value` lines; quotes around a value go. Only etcd's own are kept.
fn pairs(text: &str) -> Pairs {
    let pairs = text.lines().filter_map(|line| line.trim().split_once('='));
    pairs
        .filter(|(name, _)| name.starts_with("ETCD_"))
        .map(|(name, value)| (name.to_owned(), value.trim_matches(['"', '\'']).to_owned()))
        .collect()
}

fn file_pairs(path: &Path) -> Pairs {
    let read = path.parent().zip(path.file_name()).and_then(|(dir, name)| {
        let dir = Dir::open(dir).ok()?;
        dir.read(name.to_str()?, ENVIRONMENT).ok()
    });
    read.map_or_else(Vec::new, |(bytes, _)| {
        pairs(&String::from_utf8_lossy(&bytes))
    })
}
