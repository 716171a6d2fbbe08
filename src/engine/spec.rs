//! The OCI runtime specification of one container of a pod.
//!
//! Deliberately not done, and said in the log once for each container: seccomp profiles (runs
//! unconfined; `Localhost` is refused) and `AppArmor`. A control plane that runs unconfined for the
//! time of a disaster is better than none.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use serde_json::{Value, json};

use super::Config;
use super::env::command;
use super::mounts::mounts;
use super::places::make_dirs;
use super::record::{self, chain};
use super::resources::resources;
use super::security::{capabilities, devices, machine_capabilities, privileged, shield, user};
use crate::containerd::ImageProcess;
use crate::store::durable::{self, Attributes, DurableError};

/// Why a container cannot be run here. Final: trying again changes nothing, but for `io`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Refusal {
    cause: String,
    /// A matter of the node's files, which may pass.
    pub(super) passing: bool,
    /// The disk or the quota is full.
    full: bool,
}

impl Refusal {
    pub(super) fn new(cause: impl Into<String>) -> Self {
        Self {
            cause: cause.into(),
            passing: false,
            full: false,
        }
    }

    pub(super) fn io(path: &Path, error: impl std::fmt::Display) -> Self {
        Self {
            cause: format!("{}: {error}", path.display()),
            passing: true,
            full: false,
        }
    }

    pub(super) fn written(path: &Path, error: &DurableError) -> Self {
        Self {
            full: error.is_full(),
            ..Self::io(path, chain(error))
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
    pub(super) fn files(&self, container: &Container) -> Vec<(String, PathBuf)> {
        let path = container.termination_message_path.as_deref();
        let path = path.filter(|path| !path.is_empty());
        vec![
            ("/etc/hosts".to_owned(), self.dir.join("hosts")),
            ("/etc/hostname".to_owned(), self.dir.join("hostname")),
            ("/etc/resolv.conf".to_owned(), self.dir.join("resolv.conf")),
            (
                path.unwrap_or("/dev/termination-log").to_owned(),
                self.termination_log(),
            ),
        ]
    }

    fn termination_log(&self) -> PathBuf {
        self.dir.join("termination").join(&self.id)
    }

    /// Writes the files of [`Self::files`], each as a whole. One that is not as it should be (the
    /// node's own was changed, or something else wrote half of it) is written anew: a container
    /// that runs keeps the one that it has mounted.
    fn prepare(&self, config: &Config, spec: &PodSpec) -> Result<(), Refusal> {
        let mut hosts = of_the_node("/etc/hosts")?;
        for alias in spec.host_aliases.iter().flatten() {
            let names = alias.hostnames.iter().flatten().cloned();
            let names = names.collect::<Vec<_>>().join("\t");
            hosts.extend(format!("\n{}\t{names}\n", alias.ip).bytes());
        }
        let hostname = format!("{}\n", config.node_name).into_bytes();
        make_dirs(&self.dir, 0o700)?;
        let staging = make_dirs(&config.staging(), 0o700)?;
        let attributes = Attributes::ours(0o644);
        for (name, bytes) in [
            ("hosts", hosts),
            ("hostname", hostname),
            ("resolv.conf", of_the_node("/etc/resolv.conf")?),
        ] {
            let path = self.dir.join(name);
            if !fs::read(&path).is_ok_and(|there| there == bytes) {
                let written = durable::write(&path, &bytes, &attributes, staging.path());
                written.map_err(|error| Refusal::written(&path, &error))?;
            }
        }
        // The container's to write: what an earlier try of this attempt has left stays.
        let log = self.termination_log();
        let dir = make_dirs(&self.dir.join("termination"), 0o755)?;
        let made = durable::write_new_in(&dir, &self.id, b"", &attributes, &staging);
        made.map(|_| ())
            .map_err(|error| Refusal::written(&log, &error))
    }
}

/// A file of the node that containers get a copy of; empty where there is none.
fn of_the_node(path: &str) -> Result<Vec<u8>, Refusal> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|error| Refusal::io(Path::new(path), error)),
    }
}

/// The specification, without `oomScoreAdj` if `lower_oom` is false. Makes the files and
/// directories that its mounts need; on a full disk in the room of the reserve (D02).
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
    let is_full = |refusal: &Refusal| refusal.full;
    record::in_reserve(config, is_full, || places.prepare(config, spec))?;
    let command = command(config, pod, container, image)?;
    let mounts = || mounts(spec, container, places, &command.env);
    let (mounts, propagation) = record::in_reserve(config, is_full, mounts)?;
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

#[cfg(test)]
#[path = "../../tests/it/small_disk.rs"]
mod small_disk;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::small_disk::{fill, inside};
    use super::*;

    fn config(dir: &Path) -> Config {
        Config {
            node_name: "master-1".to_owned(),
            node_address: "127.0.0.1".to_owned(),
            boot_id: "boot-1".to_owned(),
            pod_log_dir: dir.join("logs"),
            state_dir: dir.join("engine"),
            memory_dir: dir.join("memory"),
            stop_grace_limit: Duration::from_secs(5),
            cgroup_parent: "/rekindle".to_owned(),
            logger: PathBuf::from("/bin/false"),
        }
    }

    fn places(config: &Config) -> Places {
        Places {
            dir: config.state_dir.join("pod"),
            memory: config.memory_dir.join("pod"),
            id: "pod-c0-0".to_owned(),
        }
    }

    fn built(config: &Config) -> Result<Value, Refusal> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "app"},
            "spec": {
                "hostNetwork": true,
                "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["one", "two"]}],
                "containers": [{"name": "main", "image": "app:1", "command": ["/app"],
                    "volumeMounts": [{"name": "own", "mountPath": "/own"}]}],
                "volumes": [{"name": "own", "emptyDir": {}}],
            },
        }))
        .unwrap();
        let container = pod.spec.clone().unwrap().containers[0].clone();
        let image = ImageProcess::default();
        build(config, &pod, &container, &image, &places(config), true)
    }

    fn hosts(config: &Config) -> PathBuf {
        places(config).dir.join("hosts")
    }

    #[test]
    fn a_file_that_was_left_half_written_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        built(&config).unwrap();
        let whole = fs::read(hosts(&config)).unwrap();
        assert!(whole.ends_with(b"\n192.0.2.1\tone\ttwo\n"), "{whole:?}");
        let mounted = fs::File::open(hosts(&config)).unwrap();
        for half in [0, whole.len() / 2] {
            let file = fs::OpenOptions::new().write(true).open(hosts(&config));
            file.unwrap().set_len(half as u64).unwrap();
            built(&config).unwrap();
            assert_eq!(fs::read(hosts(&config)).unwrap(), whole, "{half} bytes");
        }
        // What a container that runs has mounted is not written to again.
        assert_eq!(mounted.metadata().unwrap().len(), 0);
        // As it should be: the same file stays.
        let before = fs::File::open(hosts(&config)).unwrap();
        built(&config).unwrap();
        let inode = |file: &fs::File| {
            use std::os::unix::fs::MetadataExt;
            file.metadata().unwrap().ino()
        };
        let after = fs::File::open(hosts(&config)).unwrap();
        assert_eq!(inode(&after), inode(&before));
    }

    #[test]
    fn d02_on_a_full_disk_the_files_are_whole_in_the_room_of_the_reserve() {
        let name = "engine::spec::tests::d02_on_a_full_disk_the_files_are_whole_in_the_room_of_the_reserve";
        let Some(disk) = inside(name, "1m") else {
            return;
        };
        let config = config(&disk);
        record::keep_reserve(&config);
        fill(&disk);
        built(&config).unwrap();
        let whole = fs::read(hosts(&config)).unwrap();
        assert!(whole.ends_with(b"\n192.0.2.1\tone\ttwo\n"), "{whole:?}");
        // Without a reserve nothing is left half: it is said, and may pass.
        fill(&disk);
        durable::remove(&hosts(&config)).unwrap();
        fill(&disk);
        let refusal = built(&config).unwrap_err();
        assert!(refusal.passing && refusal.full, "{refusal}");
        assert!(!hosts(&config).exists());
    }
}
