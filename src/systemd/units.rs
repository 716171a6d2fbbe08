//! Units of systemd, asked and told over D-Bus.
//!
//! Source: `org.freedesktop.systemd1(5)`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use zbus::proxy::CacheProperties;
use zbus::zvariant::OwnedObjectPath;
use zbus::{Connection, Proxy};

const BUS: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "/org/freedesktop/systemd1";
/// There where systemd is the init system; `sd_booted(3)`.
const BOOTED: &str = "/run/systemd/system";
/// Of every question.
const DEADLINE: Duration = Duration::from_secs(10);
/// A job's time: a kubelet that shuts down gracefully takes its own.
const JOB: Duration = Duration::from_secs(120);

/// Why systemd was not asked or did not do it.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// It is not the init system here.
    #[error("systemd does not run here")]
    NotBooted,
    /// It did not answer, or said no.
    #[error("systemd: {doing} {unit}")]
    Bus {
        /// What was asked.
        doing: &'static str,
        /// Which unit.
        unit: String,
        /// Why not.
        #[source]
        source: Box<zbus::Error>,
    },
    /// No answer in time.
    #[error("systemd: {doing} {unit}: no answer within {} s", after.as_secs())]
    TimedOut {
        /// What was asked.
        doing: &'static str,
        /// Which unit.
        unit: String,
        /// The deadline.
        after: Duration,
    },
    /// The job ended otherwise.
    #[error("systemd could not {doing} {unit}: {result}")]
    Job {
        /// `stop` or `start`.
        doing: &'static str,
        /// Which unit.
        unit: String,
        /// The job's result, or the unit's state after it.
        result: String,
    },
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Stop it, and let nothing start it again by itself.
    Stop,
    /// Start it.
    Start,
}

impl Job {
    /// In words, and the manager's method.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Stop => ("stop", "StopUnit"),
            Self::Start => ("start", "StartUnit"),
        }
    }
}

/// The `ActiveState` of a unit; `None`: systemd knows no such unit.
///
/// # Errors
/// [`UnitError::NotBooted`] where there is no systemd; everything else is not known.
pub async fn state(unit: &str) -> Result<Option<String>, UnitError> {
    booted()?;
    within(DEADLINE, "look at", unit, async {
        let (bus, manager) = manager().await?;
        active_state(&bus, &manager, unit).await
    })
    .await
}

/// Has systemd stop or start `unit`, and waits until it is done and seen to be.
///
/// # Errors
/// Where the job fails, or the unit is not so after it.
pub async fn run(unit: &str, job: Job) -> Result<(), UnitError> {
    booted()?;
    let (doing, method) = job.words();
    let (result, state) = within(JOB, doing, unit, async {
        let (bus, manager) = manager().await?;
        // Before the job, so that its end cannot be missed.
        manager.call_method("Subscribe", &()).await?;
        let mut removed = manager.receive_signal("JobRemoved").await?;
        if job == Job::Start {
            forget_failures(&manager, unit).await;
        }
        let job: OwnedObjectPath = manager.call(method, &(unit, "replace")).await?;
        let mut result = String::new();
        while let Some(signal) = removed.next().await {
            let body = signal.body();
            let (_, path, _, said): (u32, OwnedObjectPath, String, String) = body.deserialize()?;
            if path == job {
                result = said;
                break;
            }
        }
        Ok((result, active_state(&bus, &manager, unit).await?))
    })
    .await?;
    let state = state.unwrap_or_else(|| "not found".to_owned());
    let so = match job {
        Job::Stop => state == "inactive" || state == "failed",
        Job::Start => state == "active" || state == "activating" || state == "reloading",
    };
    if result == "done" && so {
        return Ok(());
    }
    Err(UnitError::Job {
        doing,
        unit: unit.to_owned(),
        result: format!("{result}, it is {state}"),
    })
}

/// Gives systemd the job to start or stop `unit`, and waits for nothing of it: a service that says
/// when it is ready may take long. A failure before a start does not count against it. `false`: it
/// knows no such unit.
///
/// # Errors
/// Where systemd does not take the job.
pub async fn enqueue(unit: &str, job: Job) -> Result<bool, UnitError> {
    booted()?;
    let (doing, method) = job.words();
    within(DEADLINE, doing, unit, async {
        let (bus, manager) = manager().await?;
        if active_state(&bus, &manager, unit).await?.is_none() {
            return Ok(false);
        }
        if job == Job::Start {
            forget_failures(&manager, unit).await;
        }
        manager.call_method(method, &(unit, "replace")).await?;
        Ok(true)
    })
    .await
}

/// Has systemd read its units again.
///
/// # Errors
/// As [`state`].
pub async fn reload() -> Result<(), UnitError> {
    booted()?;
    within(JOB, "reload", "the manager", async {
        let (_bus, manager) = manager().await?;
        manager.call_method("Reload", &()).await.map(drop)
    })
    .await
}

/// Starts that failed too fast are forgotten, or systemd would refuse the next one
/// (`StartLimitBurst=`). That it is not loaded is fine.
async fn forget_failures(manager: &Proxy<'_>, unit: &str) {
    manager.call_method("ResetFailedUnit", &unit).await.ok();
}

/// What systemd says of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// `ActiveState`.
    pub state: String,
    /// It is started at boot.
    pub enabled: bool,
    /// Its main process; 0: none.
    pub pid: u32,
    /// Program and arguments of its first `ExecStart`.
    pub command: Vec<String>,
    /// `NAME=value` of its `Environment`.
    pub environment: Vec<String>,
    /// Its `EnvironmentFile`s.
    pub environment_files: Vec<PathBuf>,
}

impl Service {
    /// It runs, or is on its way.
    #[must_use]
    pub fn runs(&self) -> bool {
        !matches!(self.state.as_str(), "inactive" | "failed")
    }
}

/// The program by its path, and its arguments.
fn words(exec: Exec) -> Vec<String> {
    let (path, words, ..) = exec;
    std::iter::once(path)
        .chain(words.into_iter().skip(1))
        .collect()
}

/// One `ExecStart`: path, words, whether failing is fine, and when it ran last.
type Exec = (String, Vec<String>, bool, u64, u64, u64, u64, u32, i32, i32);

/// The service `unit`; `None`: systemd knows none.
///
/// # Errors
/// As [`state`].
pub async fn service(unit: &str) -> Result<Option<Service>, UnitError> {
    booted()?;
    within(DEADLINE, "look at", unit, async {
        let (bus, manager) = manager().await?;
        let path: OwnedObjectPath = manager.call("LoadUnit", &unit).await?;
        let known = proxy(&bus, path.clone(), "Unit").await?;
        let load: String = known.get_property("LoadState").await?;
        if load == "not-found" {
            return Ok(None);
        }
        let file: String = known.get_property("UnitFileState").await?;
        let service = proxy(&bus, path, "Service").await?;
        let exec: Vec<Exec> = service.get_property("ExecStart").await?;
        let files: Vec<(String, bool)> = service.get_property("EnvironmentFiles").await?;
        Ok(Some(Service {
            state: known.get_property("ActiveState").await?,
            enabled: matches!(file.as_str(), "enabled" | "enabled-runtime"),
            pid: service.get_property("MainPID").await?,
            command: exec.into_iter().next().map_or_else(Vec::new, words),
            environment: service.get_property("Environment").await?,
            environment_files: files.into_iter().map(|(path, _)| path.into()).collect(),
        }))
    })
    .await
}

/// The system is going down: the manager's `SystemState` is `stopping`.
///
/// # Errors
/// As [`state`].
pub async fn stopping() -> Result<bool, UnitError> {
    booted()?;
    within(DEADLINE, "look at", "the manager", async {
        let (_bus, manager) = manager().await?;
        let state: String = manager.get_property("SystemState").await?;
        Ok(state == "stopping")
    })
    .await
}

pub(super) fn booted() -> Result<(), UnitError> {
    if Path::new(BOOTED).is_dir() {
        return Ok(());
    }
    Err(UnitError::NotBooted)
}

pub(super) async fn within<T>(
    deadline: Duration,
    doing: &'static str,
    unit: &str,
    work: impl Future<Output = zbus::Result<T>>,
) -> Result<T, UnitError> {
    let unit = unit.to_owned();
    match tokio::time::timeout(deadline, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(source)) => Err(UnitError::Bus {
            doing,
            unit,
            source: Box::new(source),
        }),
        Err(_) => Err(UnitError::TimedOut {
            doing,
            unit,
            after: deadline,
        }),
    }
}

/// The bus, and systemd on it.
async fn manager() -> zbus::Result<(Connection, Proxy<'static>)> {
    let bus = Connection::system().await?;
    let manager = proxy(&bus, MANAGER.try_into()?, "Manager").await?;
    Ok((bus, manager))
}

async fn active_state(
    bus: &Connection,
    manager: &Proxy<'_>,
    unit: &str,
) -> zbus::Result<Option<String>> {
    let path: OwnedObjectPath = manager.call("LoadUnit", &unit).await?;
    let unit = proxy(bus, path, "Unit").await?;
    let load: String = unit.get_property("LoadState").await?;
    if load == "not-found" {
        return Ok(None);
    }
    unit.get_property("ActiveState").await.map(Some)
}

async fn proxy<'a>(
    bus: &Connection,
    path: OwnedObjectPath,
    interface: &str,
) -> zbus::Result<Proxy<'a>> {
    proxy_to(bus, BUS, path, interface).await
}

/// An object of the service `name`, by one of its own interfaces.
pub(super) async fn proxy_to<'a>(
    bus: &Connection,
    name: &'static str,
    path: OwnedObjectPath,
    interface: &str,
) -> zbus::Result<Proxy<'a>> {
    zbus::proxy::Builder::new(bus)
        .destination(name)?
        .path(path)?
        .interface(format!("{name}.{interface}"))?
        .cache_properties(CacheProperties::No)
        .build()
        .await
}
