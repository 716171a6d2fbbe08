//! User, capabilities, devices and what of `/proc` and `/sys` a container sees.

use k8s_openapi::api::core::v1::{Container, PodSecurityContext, PodSpec};
use serde_json::{Value, json};

use super::spec::Refusal;
use crate::containerd::ImageProcess;

/// Every capability, by its number. Source: Linux 6.1 `include/uapi/linux/capability.h`.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];
/// Source: containerd 1.6 `oci/spec.go`, `defaultUnixCaps`.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// The container is privileged.
pub(super) fn privileged(container: &Container) -> bool {
    let context = container.security_context.as_ref();
    context.and_then(|context| context.privileged) == Some(true)
}

/// The process's user, from the pod, else the image. Only a number or `root`: other names are in
/// the image's own `/etc/passwd`, which is not read here.
pub(super) fn user(
    spec: &PodSpec,
    container: &Container,
    image: &ImageProcess,
) -> Result<Value, Refusal> {
    let pod = spec.security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let (name, group) = match image.user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (image.user.as_str(), None),
    };
    let number = |text: &str| match text {
        "" | "root" => Some(0),
        text => text.parse::<u32>().ok(),
    };
    let uid = match own.run_as_user.or(pod.run_as_user) {
        Some(uid) => id("runAsUser", uid)?,
        None => number(name).ok_or_else(|| {
            Refusal::new(format!(
                "container {} runs as {name:?} of its image, which only the image can resolve: \
                 set runAsUser",
                container.name
            ))
        })?,
    };
    let gid = match own.run_as_group.or(pod.run_as_group) {
        Some(gid) => id("runAsGroup", gid)?,
        None => group.and_then(number).unwrap_or(0),
    };
    if own.run_as_non_root.or(pod.run_as_non_root) == Some(true) && uid == 0 {
        let name = &container.name;
        return Err(Refusal::new(format!(
            "container {name} must not run as root, but would"
        )));
    }
    let groups = groups(&pod)?;
    Ok(json!({"uid": uid, "gid": gid, "additionalGids": groups}))
}

fn groups(pod: &PodSecurityContext) -> Result<Vec<u32>, Refusal> {
    let groups = pod.supplemental_groups.iter().flatten().copied();
    groups
        .chain(pod.fs_group)
        .map(|group| id("group", group))
        .collect()
}

/// A user or group id.
pub(super) fn id(what: &str, value: i64) -> Result<u32, Refusal> {
    u32::try_from(value).map_err(|_| Refusal::new(format!("{what} {value} is out of range")))
}

/// The capability sets. `bounding` is what the machine itself may have: asking for more fails.
pub(super) fn capabilities(container: &Container, bounding: u64) -> Value {
    let context = container.security_context.as_ref();
    let wishes = context.and_then(|context| context.capabilities.clone());
    let wishes = wishes.unwrap_or_default();
    let plain = |name: &str| {
        let name = name.to_ascii_uppercase();
        name.strip_prefix("CAP_")
            .map_or(name.clone(), str::to_owned)
    };
    let add: Vec<String> = wishes.add.iter().flatten().map(|c| plain(c)).collect();
    let drop: Vec<String> = wishes.drop.iter().flatten().map(|c| plain(c)).collect();
    let has = |list: &[String], name: &str| list.iter().any(|known| known == name);
    let all = privileged(container) || has(&add, "ALL");
    let names: Vec<String> = CAPABILITIES
        .iter()
        .enumerate()
        .filter(|(bit, _)| bounding >> bit & 1 == 1)
        .map(|(_, name)| *name)
        .filter(|name| {
            let dropped = has(&drop, "ALL") || has(&drop, name);
            let wanted = all || DEFAULT.contains(name) && !dropped || has(&add, name);
            wanted && (privileged(container) || !has(&drop, name))
        })
        .map(|name| format!("CAP_{name}"))
        .collect();
    json!({"bounding": names, "effective": names, "permitted": names})
}

/// The capabilities that the first process of the machine may have.
pub(super) fn machine_capabilities() -> u64 {
    let status = std::fs::read_to_string("/proc/1/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(u64::MAX)
}

/// Paths that are hidden or read-only. Source: containerd 1.6 `oci/spec.go`, `populateDefaultUnixSpec`.
pub(super) fn shield(container: &Container) -> (Value, Value) {
    if privileged(container) {
        return (json!([]), json!([]));
    }
    (
        json!([
            "/proc/acpi",
            "/proc/asound",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/proc/sched_debug",
            "/sys/firmware",
            "/proc/scsi"
        ]),
        json!([
            "/proc/bus",
            "/proc/fs",
            "/proc/irq",
            "/proc/sys",
            "/proc/sysrq-trigger"
        ]),
    )
}

/// Devices of a privileged container: the machine's.
/// Source: containerd 1.6 `oci/spec_opts_linux.go`, `WithHostDevices`.
pub(super) fn devices(container: &Container) -> Value {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    const SKIPPED: [&str; 8] = [
        "pts",
        "shm",
        "fd",
        "mqueue",
        ".lxc",
        ".lxd-mounts",
        ".udev",
        "console",
    ];
    if !privileged(container) {
        return json!([]);
    }
    let mut devices = Vec::new();
    let mut places = vec![std::path::PathBuf::from("/dev")];
    while let Some(place) = places.pop() {
        for entry in std::fs::read_dir(&place).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let Ok(meta) = std::fs::symlink_metadata(&path) else {
                continue;
            };
            let kind = meta.file_type();
            if SKIPPED.iter().any(|skipped| name == *skipped) {
                continue;
            }
            if kind.is_dir() {
                places.push(path);
                continue;
            }
            let letter = match (kind.is_char_device(), kind.is_block_device()) {
                (true, _) => "c",
                (_, true) => "b",
                _ => continue,
            };
            let rdev = meta.rdev();
            devices.push(json!({
                "path": path, "type": letter, "fileMode": meta.mode() & 0o777,
                "major": rustix::fs::major(rdev), "minor": rustix::fs::minor(rdev),
                "uid": meta.uid(), "gid": meta.gid(),
            }));
        }
    }
    Value::Array(devices)
}
