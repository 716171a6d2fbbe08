//! Keys of `[etcd]`: where it is, and how backups ask it.

use std::path::PathBuf;

use super::key;
use crate::config::reader::Reader;
use crate::etcd::Settings;

pub(super) fn etcd(r: &mut Reader) -> (Settings, PathBuf) {
    r.section("etcd");
    let settings = Settings {
        endpoints: r.urls(
            key(
                "endpoints",
                "Members that a snapshot may be taken from; the others are found through them. Empty: no etcd here.",
            ),
            "https",
            &["https://127.0.0.1:2379"],
        ),
        ca_file: r.path(
            key("ca_file", "Authority of etcd's server certificates (PEM)."),
            "/etc/kubernetes/pki/etcd/ca.crt",
        ),
        cert_file: Some(r.path(
            key("certificate_file", "Client certificate for etcd (PEM)."),
            "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
        )),
        key_file: Some(r.path(
            key("key_file", "Key of that certificate (PEM)."),
            "/etc/kubernetes/pki/etcd/healthcheck-client.key",
        )),
        deadline: r.seconds(
            key("call_deadline_seconds", "Deadline of every call to etcd."),
            5,
            1..=60,
        ),
        chunk_deadline: r.seconds(
            key(
                "chunk_deadline_seconds",
                "Longest wait between two pieces of a snapshot; there is no limit for the whole.",
            ),
            30,
            1..=600,
        ),
    };
    let data_dir = r.path(
        key("data_dir", "etcd's data directory on this node."),
        "/var/lib/etcd",
    );
    (settings, data_dir)
}
