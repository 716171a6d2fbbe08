//! Whether a kubelet runs on this node, and having it stopped.

use std::path::Path;
use std::time::Duration;

use http::Uri;
use tokio::net::TcpStream;

use super::error::CleanupError;
use crate::config::Settings;
use crate::core::cleanup::facts::{self, Unit};
use crate::core::reading::chain;
use crate::systemd::units::{self, Job, UnitError};

/// A connection to our own node is there or refused at once.
const CONNECT: Duration = Duration::from_secs(2);
/// Name of the process.
const COMM: &str = "kubelet";

/// The kubelet as it is configured.
#[derive(Debug)]
pub struct Kubelet<'a> {
    settings: &'a Settings,
}

impl<'a> Kubelet<'a> {
    /// The kubelet of these settings.
    #[must_use]
    pub fn new(settings: &'a Settings) -> Self {
        Self { settings }
    }

    /// How it is.
    pub async fn facts(&self) -> facts::Kubelet {
        let unit_name = self.settings.kubelet.unit.clone();
        let unit = unit(&unit_name).await;
        facts::Kubelet {
            unit,
            unit_name,
            processes: processes(Path::new("/proc")),
            ports: self.ports().await,
        }
    }

    /// Stops it and sees that nobody answers any more.
    ///
    /// # Errors
    /// Where systemd does not stop it, or somebody still listens.
    pub async fn stop(&self) -> Result<(), CleanupError> {
        units::run(&self.settings.kubelet.unit, Job::Stop).await?;
        match self.ports().await.into_iter().next() {
            None => Ok(()),
            Some(port) => Err(CleanupError::KubeletAnswers(port)),
        }
    }

    /// Starts it.
    ///
    /// # Errors
    /// Where systemd does not.
    pub async fn start(&self) -> Result<(), CleanupError> {
        Ok(units::run(&self.settings.kubelet.unit, Job::Start).await?)
    }

    async fn ports(&self) -> Vec<String> {
        let kubelet = &self.settings.kubelet;
        let urls = [&kubelet.read_only_url, &kubelet.secure_url];
        let mut open = Vec::new();
        for url in urls.into_iter().flatten() {
            if listens(url).await {
                open.push(url.to_string().trim_end_matches('/').to_owned());
            }
        }
        open
    }
}

/// A unit as the plan wants to know it.
pub(super) async fn unit(name: &str) -> Unit {
    match units::state(name).await {
        Ok(Some(state)) => Unit::Known(state),
        Ok(None) => Unit::Missing,
        Err(UnitError::NotBooted) => Unit::NoSystemd,
        Err(error) => Unit::Unknown(chain(&error)),
    }
}

/// Somebody accepts connections there, or does not refuse them in time.
async fn listens(url: &Uri) -> bool {
    let (Some(host), Some(port)) = (url.host(), url.port_u16()) else {
        return false;
    };
    let host = host.trim_matches(['[', ']']);
    match tokio::time::timeout(CONNECT, TcpStream::connect((host, port))).await {
        Ok(connected) => connected.is_ok(),
        Err(_) => true,
    }
}

/// Processes named so in our own network namespace: a kubelet of a container has another.
fn processes(proc: &Path) -> Vec<u32> {
    let namespace = |pid: &str| std::fs::read_link(proc.join(pid).join("ns/net")).ok();
    let own = namespace("self");
    let Ok(entries) = std::fs::read_dir(proc) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut found: Vec<u32> = names
        .filter(|pid| {
            let comm = std::fs::read_to_string(proc.join(pid).join("comm"));
            comm.is_ok_and(|comm| comm.trim_end() == COMM) && namespace(pid) == own
        })
        .filter_map(|pid| pid.parse().ok())
        .collect();
    found.sort_unstable();
    found
}
