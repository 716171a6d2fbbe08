//! What only shows when keys are seen together.

use super::reader::Reader;
use super::settings::Settings;

/// Notes every combination that cannot work or would be unsafe.
pub fn combinations(reader: &mut Reader, settings: &Settings) {
    if settings.node.name.is_empty() {
        reader.combination(
            "node.name",
            "it is empty, and so is the host name".to_owned(),
            "set the name under which the kubelet registers",
        );
    }
    credentials(reader, settings);
    paths(reader, settings);
    let policy = &settings.policy;
    if policy.handover_backoff > policy.handover_backoff_limit {
        reader.combination(
            "checkpoint.handover_backoff_seconds",
            "it is larger than checkpoint.handover_backoff_limit_seconds".to_owned(),
            "lower it, or raise the limit",
        );
    }
    if settings.containerd.kubelet_namespace == settings.containerd.engine_namespace {
        reader.combination(
            "containerd.engine_namespace",
            "it is the kubelet's namespace: the kubelet would remove our containers".to_owned(),
            "give our own engine a namespace of its own",
        );
    }
}

fn credentials(reader: &mut Reader, settings: &Settings) {
    let kubelet = &settings.kubelet;
    if kubelet.token_file.is_some() && kubelet.ca_file.is_none() {
        reader.combination(
            "kubelet.token_file",
            "the token would be sent to a server whose certificate is not verified".to_owned(),
            "set kubelet.ca_file, or use a client certificate",
        );
    }
    if kubelet.client_certificate_file.is_some() && kubelet.client_key_file.is_none() {
        reader.combination(
            "kubelet.client_certificate_file",
            "there is a certificate and no key".to_owned(),
            "set kubelet.client_key_file; both may name the same file",
        );
    }
    if kubelet.client_key_file.is_some() && kubelet.client_certificate_file.is_none() {
        reader.combination(
            "kubelet.client_key_file",
            "there is a key and no certificate".to_owned(),
            "set kubelet.client_certificate_file; both may name the same file",
        );
    }
}

fn paths(reader: &mut Reader, settings: &Settings) {
    let paths = &settings.paths;
    for (key, path) in [
        ("paths.state_dir", &paths.state_dir),
        ("paths.manifest_staging_dir", &paths.manifest_staging_dir),
        ("paths.bootstrap_secrets_dir", &paths.bootstrap_secrets_dir),
        ("paths.pod_log_dir", &paths.pod_log_dir),
    ] {
        // The kubelet runs every file that stands there (scenario C16).
        if path.starts_with(&paths.manifest_dir) {
            reader.combination(
                key,
                "it is inside paths.manifest_dir, where the kubelet runs what it finds".to_owned(),
                "choose a directory outside of it",
            );
        }
    }
    if paths.manifest_staging_dir.starts_with(&paths.state_dir)
        || paths.state_dir.starts_with(&paths.manifest_staging_dir)
    {
        reader.combination(
            "paths.manifest_staging_dir",
            "it overlaps paths.state_dir".to_owned(),
            "choose a directory beside paths.manifest_dir",
        );
    }
    let backups = &settings.backup.dir;
    let etcd = &settings.backup.etcd_data_dir;
    for (other, path) in [
        ("paths.manifest_dir", &paths.manifest_dir),
        ("etcd.data_dir", etcd),
        ("backup.pki_dir", &settings.backup.pki_dir),
    ] {
        if backups.starts_with(path) {
            reader.combination(
                "backup.directory",
                format!("it is inside {other}"),
                "choose a directory of its own",
            );
        }
    }
    if paths.state_dir.starts_with(backups) {
        reader.combination(
            "backup.directory",
            "it holds paths.state_dir".to_owned(),
            "choose a directory of its own, as `backups` in the state directory",
        );
    }
    // `sun_path` has 108 bytes with its NUL: unix(7).
    for (key, path) in [
        ("socket.path", &settings.socket.path),
        ("containerd.socket", &settings.containerd.socket),
    ] {
        let length = path.as_os_str().len();
        if length > 107 {
            reader.combination(
                key,
                format!("a socket's path has at most 107 bytes, this one has {length}"),
                "choose a shorter path",
            );
        }
    }
}
