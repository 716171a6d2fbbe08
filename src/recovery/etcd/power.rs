//! This node's member stopped and started by whom it belongs to, and seen to be stopped. A
//! manifest is kept byte for byte, and put back as it was.

use std::path::Path;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::home::LIMIT;
use super::{Error, LOOK, PLACE, Say};
use crate::cleanup;
use crate::config::Settings;
use crate::containerd::{self, Containerd};
use crate::core::manifest::names::mirror_name;
use crate::core::observed::Sandbox;
use crate::core::recovery::etcd::home::host_port;
use crate::core::recovery::etcd::{Home, Runs};
use crate::daemon::sources::containerd_config;
use crate::failpoints::hit;
use crate::store::dir::{Dir, is_name};
use crate::store::durable::{self, Attributes};
use crate::systemd::units::{self, Job};

/// For the kubelet to stop a pod whose manifest is gone. It does not while it has never heard of
/// its API server (`peers.md`, finding 1).
const KUBELET: Duration = Duration::from_secs(5);
/// For etcd to end in order.
const GRACE: Duration = Duration::from_secs(10);
/// For the pod to be gone, whoever stops it.
const GONE: Duration = Duration::from_secs(90);
/// For the process to let go of its database and its port.
const LET_GO: Duration = Duration::from_secs(15);
/// A connection to a member.
pub(super) const CONNECT: Duration = Duration::from_secs(3);

/// Stops the member and sees that it is stopped. `id`: the recovery's, which keeps the manifest.
/// Where it is stopped already, that is seen.
///
/// # Errors
/// [`Error::NotAutomatic`] where it cannot be stopped from here, [`Error::Runs`] where it does not
/// stop.
pub async fn stop(settings: &Settings, home: &Home, id: &str, say: Say<'_>) -> Result<(), Error> {
    match &home.runs {
        Runs::StaticPod {
            file,
            namespace,
            pod,
        } => {
            let (owned, file, id) = (settings.clone(), file.clone(), id.to_owned());
            blocking(move || take_manifest(&owned, &file, &id)).await?;
            pod_gone(settings, namespace, pod, say).await?;
            forget_deaths(settings, namespace, pod, say).await;
        }
        Runs::Unit { unit } => units::run(unit, Job::Stop).await?,
        Runs::SelfHosted { .. } => {
            return Err(Error::NotAutomatic {
                home: home.runs.said(),
                why: "it is a pod of the cluster that it serves; `rekindle recover` and \
                      `rekindle start` bring such a one back"
                    .to_owned(),
            });
        }
    }
    let end = Instant::now() + LET_GO;
    loop {
        match stopped(home).await {
            Err(Error::Runs(_)) if Instant::now() < end => sleep(LOOK).await,
            seen => return seen,
        }
    }
}

/// Sees that nobody has the member's database open and nobody listens on its client port.
///
/// # Errors
/// [`Error::Runs`] where somebody does.
pub async fn stopped(home: &Home) -> Result<(), Error> {
    let data_dir = home.data_dir.clone();
    blocking(move || match cleanup::etcd::in_use(&data_dir) {
        Ok(false) => Ok(()),
        Ok(true) => {
            let open = format!("somebody has the database in {} open", data_dir.display());
            Err(Error::Runs(open))
        }
        Err(error) => Err(Error::InUse(Box::new(error))),
    })
    .await?;
    for url in &home.client_urls {
        if reachable(url).await != Reach::Refused {
            return Err(Error::Runs(format!("somebody listens on {url}")));
        }
    }
    Ok(())
}

/// What a connection comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Somebody accepts it.
    Open,
    /// Nobody listens, or it is no address of the network.
    Refused,
    /// No answer.
    Silent,
}

/// Tries to connect to the address of a URL.
pub(super) async fn reachable(url: &str) -> Reach {
    let Some((host, port)) = host_port(url) else {
        return Reach::Refused;
    };
    let host = match host {
        "0.0.0.0" => "127.0.0.1",
        "[::]" => "::1",
        host => host.trim_matches(['[', ']']),
    };
    match tokio::time::timeout(CONNECT, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Reach::Open,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => Reach::Refused,
        Ok(Err(_)) | Err(_) => Reach::Silent,
    }
}

/// Starts the member: what was taken away is put back. Does not wait until it serves.
///
/// # Errors
/// Where it cannot be put back, or systemd does not start it.
pub async fn start(settings: &Settings, home: &Home, id: &str) -> Result<(), Error> {
    match &home.runs {
        Runs::StaticPod { file, .. } => {
            let (owned, file, id) = (settings.clone(), file.clone(), id.to_owned());
            blocking(move || put_manifest(&owned, &file, &id, None)).await
        }
        Runs::Unit { unit } => Ok(units::run(unit, Job::Start).await?),
        // Nobody stopped it.
        Runs::SelfHosted { .. } => Ok(()),
    }
}

/// The directory of one recovery, made where it is missing.
///
/// # Errors
/// [`Error::BadId`] for an id that is no name.
pub(super) fn place(settings: &Settings, id: &str) -> Result<Dir, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !is_name(id) || id.len() > 100 || !id.chars().all(plain) {
        return Err(Error::BadId(id.to_owned()));
    }
    Ok(durable::ensure_root(
        &settings.paths.state_dir.join(PLACE).join(id),
    )?)
}

/// Keeps a copy of the manifest, then takes it out of the directory. Blocks.
pub(super) fn take_manifest(settings: &Settings, file: &str, id: &str) -> Result<(), Error> {
    let dir = Dir::open(&settings.paths.manifest_dir)?;
    let kept = place(settings, id)?;
    let (bytes, stat) = match dir.read(file, LIMIT) {
        Ok(found) => found,
        Err(error) if error.is_absent() && kept.stat(file)?.is_some() => return Ok(()),
        Err(error) if error.is_absent() => {
            return Err(Error::Homeless(format!(
                "{file} is neither in {} nor kept",
                settings.paths.manifest_dir.display()
            )));
        }
        Err(error) => return Err(error.into()),
    };
    let same = match kept.read(file, LIMIT) {
        Ok((before, _)) => before == bytes,
        Err(error) if error.is_absent() => false,
        Err(error) => return Err(error.into()),
    };
    if !same {
        if kept.stat(file)?.is_some() {
            // Somebody has put another one in its place meanwhile: theirs is the one to put back.
            durable::set_aside(&kept, file, &format!("{file}.older-"))?;
        }
        let attributes = Attributes {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
        };
        durable::write_in(&kept, file, &bytes, &attributes, &kept)?;
    }
    hit("recovery-etcd.manifest-kept");
    durable::remove_in(&dir, file)?;
    hit("recovery-etcd.manifest-taken");
    Ok(())
}

/// Puts the kept manifest back. `over`: content of ours that may stand there. Blocks.
pub(super) fn put_manifest(
    settings: &Settings,
    file: &str,
    id: &str,
    over: Option<&[u8]>,
) -> Result<(), Error> {
    let (bytes, stat) = match place(settings, id)?.read(file, LIMIT) {
        Ok(kept) => kept,
        // It was never taken away.
        Err(error) if error.is_absent() && stands(settings, file)? => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let attributes = Attributes {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
    };
    write_manifest(settings, file, &bytes, attributes, over)?;
    hit("recovery-etcd.manifest-back");
    Ok(())
}

fn stands(settings: &Settings, file: &str) -> Result<bool, Error> {
    Ok(Dir::open(&settings.paths.manifest_dir)?
        .stat(file)?
        .is_some())
}

/// Writes a manifest where none stands, or one that may be replaced. Blocks.
pub(super) fn write_manifest(
    settings: &Settings,
    file: &str,
    bytes: &[u8],
    attributes: Attributes,
    over: Option<&[u8]>,
) -> Result<(), Error> {
    let dir = Dir::open(&settings.paths.manifest_dir)?;
    match dir.read(file, LIMIT) {
        Ok((standing, _)) if standing == bytes => return Ok(()),
        Ok((standing, _)) if Some(standing.as_slice()) == over => {}
        Ok(_) => {
            return Err(Error::InTheWay {
                path: settings.paths.manifest_dir.join(file),
                why: "somebody has put another manifest there meanwhile".to_owned(),
            });
        }
        Err(error) if error.is_absent() => {}
        Err(error) => return Err(error.into()),
    }
    let staging = durable::ensure_root(&settings.paths.manifest_staging_dir)?;
    Ok(durable::write_in(&dir, file, bytes, &attributes, &staging)?)
}

/// Every sandbox that containerd lists of the static pod, running or not.
pub(super) async fn sandboxes_of(
    containerd: &Containerd,
    settings: &Settings,
    namespace: &str,
    pod: &str,
) -> Result<Vec<Sandbox>, containerd::Error> {
    let name = mirror_name(pod, &settings.node.name);
    let mut all = containerd.view().await?.sandboxes;
    all.retain(|it| it.pod.namespace == namespace && it.pod.name == name);
    Ok(all)
}

/// Waits until containerd lists nothing of the pod that runs; stops it itself where the kubelet
/// does not.
pub(super) async fn pod_gone(
    settings: &Settings,
    namespace: &str,
    pod: &str,
    say: Say<'_>,
) -> Result<(), Error> {
    let containerd = Containerd::new(containerd_config(settings));
    let begun = Instant::now();
    let mut told = false;
    loop {
        let seen = sandboxes_of(&containerd, settings, namespace, pod).await;
        let running = |mut all: Vec<Sandbox>| {
            all.retain(Sandbox::has_task);
            all
        };
        match seen.map(running) {
            Ok(left) if left.is_empty() => return Ok(()),
            Ok(left) if begun.elapsed() >= KUBELET => {
                if !told {
                    say("the kubelet does not stop etcd; it is stopped through containerd");
                    told = true;
                }
                for sandbox in left {
                    containerd
                        .kill_sandbox_tasks(&sandbox.id, false, GRACE)
                        .await?;
                    hit("recovery-etcd.pod-killed");
                }
            }
            Err(error) if begun.elapsed() >= GONE => return Err(error.into()),
            Ok(_) | Err(_) => {}
        }
        if begun.elapsed() >= GONE {
            return Err(Error::Runs(format!(
                "containerd still runs {namespace}/{}",
                mirror_name(pod, &settings.node.name)
            )));
        }
        sleep(LOOK).await;
    }
}

/// The kubelet counts the deaths of a pod's containers as long as containerd lists them, and a
/// static pod is the same pod whenever its manifest is the same: an etcd that had died again and
/// again would be started up to 300 s later than it is asked for. What cannot be forgotten is waited
/// for.
///
/// Source: kubelet `pkg/kubelet/kuberuntime/kuberuntime_manager.go`, `doBackOff`.
async fn forget_deaths(settings: &Settings, namespace: &str, pod: &str, say: Say<'_>) {
    let containerd = Containerd::new(containerd_config(settings));
    let Ok(sandboxes) = sandboxes_of(&containerd, settings, namespace, pod).await else {
        return;
    };
    let ended = sandboxes.iter().filter(|it| !it.has_task());
    for container in ended.flat_map(|it| &it.containers) {
        if let Err(error) = containerd.forget_ended(&container.id).await {
            let why = crate::store::chain(&error);
            say(&format!(
                "an ended container of etcd stays, so the kubelet may start it late: {why}"
            ));
            return;
        }
    }
}

/// Runs what blocks beside the runtime.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(Error::CutOff))
}

/// Bytes free on the file system of `dir`.
pub(super) fn free(dir: &Path) -> Result<u64, Error> {
    let stat = rustix::fs::statvfs(dir).map_err(|errno| {
        Error::Read(crate::store::dir::ReadError::OpenDirectory {
            path: dir.to_owned(),
            source: errno.into(),
        })
    })?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
