//! Keys of `[backup]`: when backups are taken and rehearsed, what is in them, which are kept.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::{MIB, key, names, targets};
use crate::config::reader::Reader;
use crate::config::settings::Backup;
use crate::core::backup::policy::{BackupPolicy, Retention};
use crate::core::backup::schedule::Schedule;

const GIB: u64 = 1024 * MIB;
/// 1 EiB: beyond every disk.
const MOST_BYTES: u64 = 1 << 60;

pub(super) fn backup(r: &mut Reader, etcd_data_dir: PathBuf) -> Backup {
    r.section("backup");
    Backup {
        enabled: r.truth(
            key(
                "enabled",
                "Take backups by schedule, where etcd's client certificate is on this node.",
            ),
            true,
        ),
        dir: r.path(
            key("directory", "Where backups are kept on this node."),
            "/var/lib/rekindle/backups",
        ),
        policy: policy(r),
        compression_level: i32::try_from(r.number(
            key("compression_level", "zstd level of backups; 0: not compressed."),
            "levels",
            3,
            0..=19,
        ))
        .unwrap_or(0),
        key_prefix: r.text(
            key(
                "key_prefix",
                "The API server's prefix of keys in etcd (--etcd-prefix).",
            ),
            "letters, digits, `-`, `_`, `.` and `/`, at most 100 characters",
            "/registry",
            names::key_prefix,
        ),
        pki_dir: r.path(
            key("pki_dir", "The cluster's certificates and keys: in each backup."),
            "/etc/kubernetes/pki",
        ),
        kubelet_config_file: r.path(
            key("kubelet_config_file", "The kubelet's configuration: in each backup."),
            "/var/lib/kubelet/config.yaml",
        ),
        encryption_config_file: r.optional_path(key(
            "encryption_config_file",
            "EncryptionConfiguration: in each backup; empty: the file that the API server's manifest names.",
        )),
        extra_paths: r.paths(
            key("extra_paths", "Further files and directories of the host: in each backup, where they are there."),
            &[
                "/etc/kubernetes/admin.conf",
                "/etc/kubernetes/controller-manager.conf",
                "/etc/kubernetes/kubelet.conf",
                "/etc/kubernetes/scheduler.conf",
                "/var/lib/kubelet/kubeadm-flags.env",
                "/var/lib/kubelet/pki",
            ],
        ),
        etcd_data_dir,
        etcdutl: r.optional_path(key(
            "etcdutl",
            "The program that restores snapshots; empty: etcdutl or etcdctl of the usual places.",
        )),
        trusted_key_files: r.paths(
            key(
                "trusted_key_files",
                "Public keys of other nodes whose backups are trusted here.",
            ),
            &[],
        ),
        rehearsal_memory_bytes: r.bytes(
            key("rehearsal_memory_bytes", "Largest memory of the etcd that a rehearsal starts."),
            4 * GIB,
            64 * MIB..=1024 * GIB,
        ),
        high_water_interval: r.seconds(
            key("high_water_seconds", "Between two records of the cluster's revision."),
            10,
            1..=3600,
        ),
        targets: targets::targets(r),
    }
}

fn policy(r: &mut Reader) -> BackupPolicy {
    let zone = r.text(
        key("time_zone", "Time zone in which schedules are read."),
        "an IANA time zone, as `Europe/Berlin`",
        "UTC",
        |text| zone(text).map(drop),
    );
    let zone = zone_or_utc(&zone);
    let mut schedule = |name, meaning, default| {
        let text = r.text(
            key(name, meaning),
            "five cron fields, `@daily` and the like, `every 6h`, or \"\" for none",
            default,
            |text| match text {
                "" => Ok(()),
                text => Schedule::parse(text, TimeZone::UTC)
                    .map(drop)
                    .map_err(|error| error.to_string()),
            },
        );
        Schedule::parse(&text, zone.clone()).ok()
    };
    BackupPolicy {
        schedule: schedule(
            "schedule",
            "When a backup is taken; empty: only when asked.",
            "0 */6 * * *",
        ),
        rehearsal: schedule(
            "rehearsal_schedule",
            "When the newest backup is restored for trial; empty: only when asked.",
            "0 3 * * *",
        ),
        spread: Duration::from_secs(
            60 * u64::from(r.number(
                key(
                    "spread_minutes",
                    "Each node runs a fixed time below this later than the schedule says, so that masters do not run together.",
                ),
                "minutes",
                60,
                0..=1440,
            )),
        ),
        retention: retention(r),
    }
}

fn retention(r: &mut Reader) -> Retention {
    let mut keep = |name, meaning, default, least| {
        r.number(key(name, meaning), "backups", default, least..=10_000)
    };
    Retention {
        last: keep("keep_last", "The newest so many are kept.", 12, 1),
        hourly: keep("keep_hourly", "And the newest of each of so many hours that have one.", 0, 0),
        daily: keep("keep_daily", "The same for days, in UTC.", 7, 0),
        weekly: keep("keep_weekly", "The same for ISO weeks.", 4, 0),
        monthly: keep("keep_monthly", "The same for months.", 3, 0),
        max_bytes: r.bytes(
            key("max_bytes", "All backups together at most so much, but for the newest verified and rehearsed ones; 0: no limit."),
            20 * GIB,
            0..=MOST_BYTES,
        ),
        min_free_bytes: r.bytes(
            key("min_free_bytes", "So much of the file system stays free: older backups go, else no new one is taken."),
            4 * GIB,
            0..=MOST_BYTES,
        ),
    }
}

fn zone(text: &str) -> Result<TimeZone, String> {
    if text == "UTC" {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(text).map_err(|_| {
        format!(
            "{} is no time zone that this system knows (package tzdata)",
            crate::config::kinds::quoted(text)
        )
    })
}

/// A wrong one is noted already.
fn zone_or_utc(text: &str) -> TimeZone {
    zone(text).unwrap_or(TimeZone::UTC)
}
