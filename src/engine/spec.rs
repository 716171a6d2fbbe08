//! The OCI runtime specification of one container of a pod.
//!
//! Deliberately not done, and said in the log once for each container: seccomp profiles (runs
//! unconfined; `Localhost` is refused) and `AppArmor`. A control plane that runs unconfined for the
//! time of a disaster is better than none.

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use serde_json::{Value, json};

use super::Config;
use super::env::command;
use super::mounts::mounts;
use super::resources::resources;
use super::security::{capabilities, devices, machine_capabilities, privileged, shield, user};
use crate::containerd::ImageProcess;

/// Why a container cannot be run here. Final: trying again changes nothing, but for `io`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Refusal {
    cause: String,
    /// A matter of the node's files, which may pass.
    pub(super) passing: bool,
}

impl Refusal {
    pub(super) fn new(cause: impl Into<String>) -> Self {
        Self {
            cause: cause.into(),
            passing: false,
        }
    }

    pub(super) fn io(path: &Path, error: impl std::fmt::Display) -> Self {
        Self {
            cause: format!("{}: {error}", path.display()),
            passing: true,
        }
    }
}

/// Where one container's own files are.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The pod's own directory on disk.
    pub(super) dir: PathBuf,
    /// The pod's own directory in memory.
    pub(super) memory: PathBuf,
    /// containerd's id of this attempt.
    pub(super) id: String,
}

impl Places {
    /// Destination and source of the files that every container gets.
    pub(super) fn files(&self, container: &Container) -> Result<Vec<(String, PathBuf)>, Refusal> {
        let log = self.dir.join("termination").join(&self.id);
        touch(&log)?;
        let path = container.termination_message_path.as_deref();
        let path = path.filter(|path| !path.is_empty());
        Ok(vec![
            ("/etc/hosts".to_owned(), self.dir.join("hosts")),
            ("/etc/hostname".to_owned(), self.dir.join("hostname")),
            ("/etc/resolv.conf".to_owned(), self.dir.join("resolv.conf")),
            (path.unwrap_or("/dev/termination-log").to_owned(), log),
        ])
    }

    /// Writes the files that all containers of the pod share.
    fn prepare(&self, config: &Config, spec: &PodSpec) -> Result<(), Refusal> {
        let read = |path: &str| fs::read(path).unwrap_or_default();
        let mut hosts = read("/etc/hosts");
        for alias in spec.host_aliases.iter().flatten() {
            let names = alias.hostnames.iter().flatten().cloned();
            let names = names.collect::<Vec<_>>().join("\t");
            hosts.extend(format!("\n{}\t{names}\n", alias.ip).bytes());
        }
        let hostname = format!("{}\n", config.node_name).into_bytes();
        for (name, bytes) in [
            ("hosts", hosts),
            ("hostname", hostname),
            ("resolv.conf", read("/etc/resolv.conf")),
        ] {
            let path = self.dir.join(name);
            // A container that runs has the file mounted: it is not replaced under its feet.
            if !path.exists() {
                touch(&path)?;
                let file = fs::OpenOptions::new().write(true).open(&path);
                let written =
                    file.and_then(|mut file| std::io::Write::write_all(&mut file, &bytes));
                written.map_err(|e| Refusal::io(&path, e))?;
            }
        }
        Ok(())
    }
}

/// Makes an empty file with its directories.
fn touch(path: &Path) -> Result<(), Refusal> {
    use std::os::unix::fs::OpenOptionsExt;
    let dir = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir).map_err(|e| Refusal::io(dir, e))?;
    let mut options = fs::OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .open(path);
    file.map(|_| ()).map_err(|e| Refusal::io(path, e))
}

/// The specification, without `oomScoreAdj` if `lower_oom` is false. Makes the files and
/// directories that its mounts need.
pub(super) fn build(
    config: &Config,
    pod: &Pod,
    container: &Container,
    image: &ImageProcess,
    places: &Places,
    lower_oom: bool,
) -> Result<Value, Refusal> {
    let spec = pod
        .spec
        .as_ref()
        .ok_or_else(|| Refusal::new("the pod has no spec"))?;
    check_profiles(spec, container)?;
    places.prepare(config, spec)?;
    let command = command(config, pod, container, image)?;
    let (mounts, propagation) = mounts(spec, container, places, &command.env)?;
    let context = container.security_context.clone().unwrap_or_default();
    let escalation = context.allow_privilege_escalation != Some(false) || privileged(container);
    let cwd = container
        .working_dir
        .as_deref()
        .filter(|dir| !dir.is_empty());
    let cwd = cwd.unwrap_or(match image.working_dir.as_str() {
        "" => "/",
        dir => dir,
    });
    let mut process = json!({
        "user": user(spec, container, image)?,
        "args": command.args,
        "env": command.env,
        "cwd": cwd,
        "capabilities": capabilities(container, machine_capabilities()),
        "noNewPrivileges": !escalation,
    });
    if lower_oom {
        // Source: kubelet 1.20 `pkg/kubelet/qos/policy.go`, for critical pods.
        process["oomScoreAdj"] = json!(-997);
    }
    let mut namespaces = vec![json!({"type": "mount"})];
    if spec.host_pid != Some(true) {
        namespaces.push(json!({"type": "pid"}));
    }
    if spec.host_ipc != Some(true) {
        namespaces.push(json!({"type": "ipc"}));
    }
    let (masked, read_only) = shield(container);
    let mut linux = json!({
        "namespaces": namespaces,
        "cgroupsPath": format!("{}/{}", config.cgroup_parent.trim_end_matches('/'), places.id),
        "resources": resources(container)?,
        "devices": devices(container),
        "maskedPaths": masked,
        "readonlyPaths": read_only,
    });
    if let Some(propagation) = propagation {
        linux["rootfsPropagation"] = json!(propagation);
    }
    Ok(json!({
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": "rootfs", "readonly": context.read_only_root_filesystem == Some(true)},
        "mounts": mounts,
        "linux": linux,
    }))
}

fn check_profiles(spec: &PodSpec, container: &Container) -> Result<(), Refusal> {
    let pod = spec
        .security_context
        .as_ref()
        .and_then(|c| c.seccomp_profile.as_ref());
    let own = container
        .security_context
        .as_ref()
        .and_then(|c| c.seccomp_profile.as_ref());
    match own.or(pod).map(|profile| profile.type_.as_str()) {
        Some("Localhost") => Err(Refusal::new(format!(
            "container {} needs a seccomp profile of the node",
            container.name
        ))),
        Some("RuntimeDefault") => {
            let container = &container.name;
            tracing::info!(container, "runs without its seccomp profile");
            Ok(())
        }
        _ => Ok(()),
    }
}
