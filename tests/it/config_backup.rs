//! Keys of backups and of their targets.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rekindle::config::{self, Files, Loaded, Mistakes};
use rekindle::core::backup::schedule::Schedule;
use rekindle::objectstore::Place;

const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

fn load(text: &str) -> Result<Loaded, Mistakes> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    fs::write(&file, text).unwrap();
    config::load_files(&Files::one(file), "master-0")
}

#[track_caller]
fn mistakes(text: &str) -> Vec<String> {
    let Err(mistakes) = load(text) else {
        return Vec::new();
    };
    let told = mistakes.0.iter().map(|mistake| {
        let told = mistake.to_string();
        let first = told.lines().next().unwrap().to_owned();
        first
            .rsplit_once("c.toml:")
            .map_or(first.clone(), |(_, rest)| rest.to_owned())
    });
    told.collect()
}

#[test]
fn defaults_are_those_of_a_kubeadm_node() {
    let settings = load("").unwrap().settings;
    let backup = &settings.backup;
    assert!(backup.enabled && backup.targets.is_empty());
    assert_eq!(backup.dir, Path::new("/var/lib/rekindle/backups"));
    let schedule = backup.policy.schedule.as_ref().unwrap();
    assert_eq!(schedule.to_string(), "0 */6 * * *");
    assert!(backup.policy.rehearsal.is_some());
    assert_eq!(backup.policy.spread, Duration::from_secs(3600));
    assert_eq!(backup.policy.retention.last, 12);
    assert_eq!(backup.etcd_data_dir, Path::new("/var/lib/etcd"));
    assert_eq!(backup.extra_paths.len(), 6);
    assert_eq!(settings.etcd, rekindle::etcd::Settings::default());
}

#[test]
fn targets_have_names_and_are_read_back_as_printed() {
    let text = format!(
        "[backup]\ntime_zone = 'Europe/Berlin'\nschedule = 'every 4h'\nrehearsal_schedule = ''\n\
         [backup.targets.offsite]\nendpoint = 'https://s3.example.com:9000'\nbucket = 'etcd-backups'\n\
         prefix = 'prod/a/'\ncredentials_file = '/etc/rekindle/s3'\nrecipients = ['{RECIPIENT}']\n\
         bandwidth_bytes_per_second = 1000000\nprune = false\n\
         [backup.targets.nas]\nkind = 'file'\ndirectory = '/mnt/nas'\ncall_deadline_seconds = 2.5\n"
    );
    let loaded = load(&text).unwrap();
    let backup = &loaded.settings.backup;
    assert_eq!(
        backup.policy.schedule,
        Some(Schedule::Every(Duration::from_secs(4 * 3600)))
    );
    assert_eq!(backup.policy.rehearsal, None);
    let [nas, offsite] = backup.targets.as_slice() else {
        panic!("{:?}", backup.targets);
    };
    assert_eq!(
        (nas.name.as_str(), offsite.name.as_str()),
        ("nas", "offsite")
    );
    let Place::Directory(directory) = &nas.place else {
        panic!("{nas:?}");
    };
    assert_eq!(directory.directory, Path::new("/mnt/nas"));
    assert!(directory.must_be_mountpoint && !nas.prune && nas.recipients.is_empty());
    assert_eq!(directory.deadline, Duration::from_millis(2500));
    let Place::S3(s3) = &offsite.place else {
        panic!("{offsite:?}");
    };
    assert_eq!(s3.endpoint, "https://s3.example.com:9000");
    assert_eq!(
        (s3.bucket.as_str(), s3.prefix.as_str()),
        ("etcd-backups", "prod/a")
    );
    assert!(s3.path_style && !offsite.prune);
    assert_eq!(offsite.recipients, [RECIPIENT]);
    assert_eq!(offsite.bandwidth, 1_000_000);
    let printed = config::show::toml(&loaded.in_force);
    assert_eq!(
        load(&printed).unwrap().settings,
        loaded.settings,
        "{printed}"
    );
}

#[test]
fn each_mistake_is_told_at_its_place() {
    for (text, expected) in [
        (
            "[backup]\nschedule = '61 * * * *'",
            "2: backup.schedule: \"61 * * * *\" is no schedule: minute: 61 is not in 0 to 59",
        ),
        (
            "[backup]\ntime_zone = 'Mars/Olympus'",
            "2: backup.time_zone: \"Mars/Olympus\" is no time zone that this system knows (package tzdata)",
        ),
        (
            "[backup]\nkeep_last = 0",
            "2: backup.keep_last: 0 is out of range",
        ),
        (
            "[backup]\nkeep_latest = 3",
            "2: backup.keep_latest: unknown key",
        ),
        (
            "[backup]\ndirectory = '/etc/kubernetes/manifests/b'",
            "2: backup.directory: it is inside paths.manifest_dir",
        ),
        (
            "[backup]\ndirectory = '/var/lib/etcd/backups'",
            "2: backup.directory: it is inside etcd.data_dir",
        ),
        (
            "[backup]\ndirectory = '/var/lib'",
            "2: backup.directory: it holds paths.state_dir",
        ),
        (
            "[etcd]\nendpoints = ['http://127.0.0.1:2379']",
            "2: etcd.endpoints: the scheme is `http`",
        ),
        (
            "[backup]\nextra_paths = ['/a', 'b']",
            "2: backup.extra_paths: \"b\" is not absolute",
        ),
        (
            "[backup.targets]\nkind = 'file'",
            "2: backup.targets.kind: unknown key",
        ),
        ("[backup]\ntargets = 5", "2: backup.targets: unknown key"),
        (
            "[backup.targets.nas]\nkind = 'nfs'",
            "2: backup.targets.nas.kind: \"nfs\" is no kind of target",
        ),
        (
            "[backup.targets.nas]\nkind = 'file'",
            "1: backup.targets.nas.directory: it is missing",
        ),
        (
            "[backup.targets.nas]\nkind = 'file'\ndirectory = '/n'\nbucket = 'etcd'",
            "4: backup.targets.nas.bucket: a target of kind file has no such key",
        ),
        (
            "[backup.targets.nas]\nkind = 'file'\ndirectory = 'n'",
            "3: backup.targets.nas.directory: \"n\" is not absolute",
        ),
        (
            "[backup.targets.'a b']\nkind = 'file'\ndirectory = '/n'",
            "2: backup.targets.a b.kind: \"a b\" is no name of a target",
        ),
        (
            "[backup.targets.nas]\nkind = 'file'\ndirectory = '/n'\nmust_be_mounted = true",
            "4: backup.targets.nas.must_be_mounted: unknown key",
        ),
    ] {
        let told = mistakes(text);
        if text.contains("'nfs'") {
            assert!(told.iter().any(|line| line == expected), "{text}: {told:?}");
        } else {
            assert_eq!(told, [expected], "{text}");
        }
    }
    let missing = mistakes("[backup.targets.s]\n");
    assert_eq!(
        missing,
        ["endpoint", "bucket", "credentials_file"]
            .map(|key| format!("1: backup.targets.s.{key}: it is missing"))
    );
    let bad = mistakes(
        "[backup.targets.n]\nkind = 'file'\ndirectory = '/n'\nrecipients = ['AGE-SECRET-KEY-1X']",
    );
    assert_eq!(bad.len(), 1);
    assert!(
        bad[0].starts_with("4: backup.targets.n.recipients: "),
        "{bad:?}"
    );
}
