//! What a container sees of the node's files: volumes, the files that every pod gets, and the
//! kernel's own file systems. Missing places are made, as the kubelet and the CRI plugin do.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume, VolumeMount};
use serde_json::{Value, json};

use super::places::make_dirs;
use super::security::{id, privileged};
use super::spec::{Places, Refusal};
use crate::core::manifest::expand::expand;

/// The mounts of a container, and the propagation that its root needs for them.
pub(super) fn mounts(
    spec: &PodSpec,
    container: &Container,
    places: &Places,
    env: &[String],
) -> Result<(Vec<Value>, Option<&'static str>), Refusal> {
    let mut list = kernel_mounts(spec, container);
    let mut volumes = Vec::new();
    let mut propagation = None;
    let known: BTreeMap<&str, &Volume> = spec
        .volumes
        .iter()
        .flatten()
        .map(|volume| (volume.name.as_str(), volume))
        .collect();
    for mount in container.volume_mounts.iter().flatten() {
        let volume = known
            .get(mount.name.as_str())
            .ok_or_else(|| Refusal::new(format!("there is no volume {}", mount.name)))?;
        let source = volume_path(spec, volume, places)?;
        let source = sub_path(&source, mount, env)?;
        let spread = match mount.mount_propagation.as_deref() {
            Some("Bidirectional") => "rshared",
            Some("HostToContainer") => "rslave",
            _ => "rprivate",
        };
        if spread == "rshared" || spread == "rslave" && propagation.is_none() {
            propagation = Some(spread);
        }
        let write = if mount.read_only == Some(true) {
            "ro"
        } else {
            "rw"
        };
        volumes.push(bind(&mount.mount_path, &source, &[spread, write]));
    }
    for (destination, source) in places.files(container) {
        let taken = container.volume_mounts.iter().flatten();
        if !taken
            .into_iter()
            .any(|mount| mount.mount_path == destination)
        {
            volumes.push(bind(&destination, &source, &["rprivate", "rw"]));
        }
    }
    volumes.sort_by_key(|mount| {
        let path = mount["destination"].as_str().unwrap_or_default();
        path.split('/').filter(|part| !part.is_empty()).count()
    });
    let hidden: Vec<String> = volumes
        .iter()
        .filter_map(|mount| mount["destination"].as_str().map(str::to_owned))
        .collect();
    list.retain(|mount| {
        !hidden
            .iter()
            .any(|path| mount["destination"] == path.as_str())
    });
    list.extend(volumes);
    Ok((list, propagation))
}

fn bind(destination: &str, source: &Path, options: &[&str]) -> Value {
    let options: Vec<&str> = ["rbind"].iter().chain(options).copied().collect();
    json!({"destination": destination, "type": "bind", "source": source, "options": options})
}

/// Source: containerd 1.6 `oci/mounts.go`, `defaultMounts`, and `pkg/cri/server/container_create_linux.go`.
fn kernel_mounts(spec: &PodSpec, container: &Container) -> Vec<Value> {
    let write = if privileged(container) { "rw" } else { "ro" };
    let kernel = |destination: &str, kind: &str, source: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": source, "options": options});
    let shm = if spec.host_ipc == Some(true) {
        bind("/dev/shm", Path::new("/dev/shm"), &["rw"])
    } else {
        let options = ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"];
        kernel("/dev/shm", "tmpfs", "shm", &options)
    };
    vec![
        kernel("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        kernel(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        kernel(
            "/dev/pts",
            "devpts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        kernel(
            "/dev/mqueue",
            "mqueue",
            "mqueue",
            &["nosuid", "noexec", "nodev"],
        ),
        kernel(
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "noexec", "nodev", write],
        ),
        kernel(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", write],
        ),
        shm,
    ]
}

/// Where a volume is on the node.
fn volume_path(spec: &PodSpec, volume: &Volume, places: &Places) -> Result<PathBuf, Refusal> {
    let name = &volume.name;
    if let Some(host) = &volume.host_path {
        let path = PathBuf::from(&host.path);
        check_host_path(&path, host.type_.as_deref().unwrap_or_default())
            .map_err(|cause| Refusal::new(format!("volume {name}: {cause}")))?;
        return Ok(path);
    }
    if let Some(empty) = &volume.empty_dir {
        let dir = match empty.medium.as_deref() {
            None | Some("") => places.dir.join("volumes").join(name),
            Some("Memory") => places.memory.join(name),
            Some(other) => {
                return Err(Refusal::new(format!("volume {name} is of medium {other}")));
            }
        };
        let group = spec.security_context.as_ref().and_then(|c| c.fs_group);
        let group = group.map(|group| id("fsGroup", group)).transpose()?;
        make_dirs(&dir, 0o755)?;
        open_to_all(&dir, group).map_err(|e| Refusal::io(&dir, e))?;
        return Ok(dir);
    }
    Err(Refusal::new(format!(
        "volume {name} is of a kind that our own engine has not"
    )))
}

/// Source: kubelet 1.20 `pkg/volume/emptydir/empty_dir.go` (mode) and `pkg/volume/volume_linux.go`
/// (group).
fn open_to_all(dir: &Path, group: Option<u32>) -> io::Result<()> {
    let mode = if group.is_some() { 0o2777 } else { 0o777 };
    chown(dir, None, group)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(mode))
}

/// Source: kubelet 1.20 `pkg/volume/hostpath/host_path.go`, `checkTypeInternal`.
fn check_host_path(path: &Path, kind: &str) -> Result<(), String> {
    if !path.is_absolute() || path.components().any(|c| c == Component::ParentDir) {
        return Err(format!("{} is no path of the node", path.display()));
    }
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let meta = match fs::metadata(path) {
        Ok(meta) => Some(meta),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    let is = |right: bool, what: &str| {
        if right {
            Ok(())
        } else {
            Err(format!("{} is {what}", path.display()))
        }
    };
    match (kind, meta) {
        // The CRI plugin makes what no type asks for.
        ("" | "DirectoryOrCreate", None) => {
            let made = make_dirs(path, 0o755).map_err(|refusal| refusal.to_string());
            made.map(|_| ())
        }
        ("FileOrCreate", None) => {
            let file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(path);
            file.map(|_| ()).map_err(failed)
        }
        (_, None) => Err(format!("{} is not there", path.display())),
        ("", Some(_)) => Ok(()),
        ("Directory" | "DirectoryOrCreate", Some(meta)) => is(meta.is_dir(), "no directory"),
        ("File" | "FileOrCreate", Some(meta)) => is(meta.is_file(), "no file"),
        ("Socket", Some(meta)) => is(meta.file_type().is_socket(), "no socket"),
        ("CharDevice", Some(meta)) => is(meta.file_type().is_char_device(), "no such device"),
        ("BlockDevice", Some(meta)) => is(meta.file_type().is_block_device(), "no such device"),
        (other, Some(_)) => Err(format!("host path type {other:?} is not known")),
    }
}

/// A place inside a volume. No link is followed on the way, so it cannot leave the volume.
fn sub_path(volume: &Path, mount: &VolumeMount, env: &[String]) -> Result<PathBuf, Refusal> {
    let expanded = mount.sub_path_expr.as_ref().map(|text| {
        expand(text, |name| {
            let mut entries = env.iter().filter_map(|entry| entry.split_once('='));
            entries
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value)
        })
    });
    let sub = expanded
        .as_deref()
        .or(mount.sub_path.as_deref())
        .unwrap_or_default();
    let mut path = volume.to_owned();
    for part in Path::new(sub).components() {
        let refuse =
            |cause: &str| Refusal::new(format!("volume {}: subPath {sub:?} {cause}", mount.name));
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => continue,
            _ => return Err(refuse("leaves the volume")),
        }
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.file_type().is_symlink() => return Err(refuse("goes by a link")),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_dirs(&path, 0o755)?;
            }
            Err(error) => return Err(Refusal::io(&path, error)),
        }
    }
    Ok(path)
}
