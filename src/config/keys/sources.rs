//! Keys of the sources: containerd, the kubelet, the API server.

use super::{MIB, key, names};
use crate::config::reader::Reader;
use crate::config::settings::{Apiserver, Containerd, Kubelet};

pub(super) fn containerd(r: &mut Reader) -> Containerd {
    r.section("containerd");
    let namespace =
        "a containerd namespace: letters, digits, `-`, `_` and `.`, at most 76 characters";
    Containerd {
        socket: r.path(
            key("socket", "containerd's socket."),
            "/run/containerd/containerd.sock",
        ),
        kubelet_namespace: r.text(
            key(
                "kubelet_namespace",
                "containerd namespace of the kubelet's containers.",
            ),
            namespace,
            "k8s.io",
            names::containerd,
        ),
        engine_namespace: r.text(
            key(
                "engine_namespace",
                "containerd namespace of our own engine.",
            ),
            namespace,
            "rekindle",
            names::containerd,
        ),
        call_deadline: r.seconds(
            key(
                "call_deadline_seconds",
                "Deadline of every call to containerd.",
            ),
            5,
            1..=60,
        ),
        resync_interval: r.seconds(
            key(
                "resync_interval_seconds",
                "A complete listing at least this often.",
            ),
            30,
            1..=3600,
        ),
    }
}

pub(super) fn kubelet(r: &mut Reader) -> Kubelet {
    r.section("kubelet");
    Kubelet {
        read_only_url: r.url(
            key(
                "read_only_url",
                "The kubelet's read-only port, asked first; empty: off.",
            ),
            &["http"],
            "http://127.0.0.1:10255",
        ),
        secure_url: r.url(
            key(
                "secure_url",
                "The kubelet's authenticated port; empty: off.",
            ),
            &["https"],
            "https://127.0.0.1:10250",
        ),
        client_certificate_file: r.optional_path(key(
            "client_certificate_file",
            "Client certificate for the authenticated port (PEM); needs client_key_file.",
        )),
        client_key_file: r.optional_path(key("client_key_file", "Key of that certificate (PEM).")),
        token_file: r.optional_path(key(
            "token_file",
            "Bearer token for the authenticated port; needs ca_file.",
        )),
        ca_file: r.optional_path(key(
            "ca_file",
            "Authority of the kubelet's certificate (PEM); empty: the certificate is not verified.",
        )),
        unit: r.text(
            key(
                "unit",
                "The kubelet's unit in systemd, which `cleanup` stops.",
            ),
            names::UNIT,
            "kubelet.service",
            names::unit,
        ),
        pods_dir: r.path(
            key("pods_dir", "The kubelet's directories of pods."),
            "/var/lib/kubelet/pods",
        ),
        poll_interval: r.seconds(
            key(
                "poll_interval_seconds",
                "Between two questions to the kubelet.",
            ),
            10,
            1..=300,
        ),
        call_deadline: r.seconds(
            key(
                "call_deadline_seconds",
                "Deadline of every call to the kubelet.",
            ),
            5,
            1..=60,
        ),
        answer_limit_bytes: r.bytes(
            key("answer_limit_bytes", "Largest answer of the kubelet."),
            64 * MIB,
            MIB..=1024 * MIB,
        ),
    }
}

pub(super) fn apiserver(r: &mut Reader) -> Apiserver {
    r.section("apiserver");
    Apiserver {
        kubeconfig: r.path(
            key(
                "kubeconfig",
                "Kubeconfig with the API server's address and credentials.",
            ),
            "/etc/kubernetes/kubelet.conf",
        ),
        server_override: r.url(
            key(
                "server_override",
                "Asked instead of the kubeconfig's server; empty: off.",
            ),
            &["https", "http"],
            "",
        ),
        call_deadline: r.seconds(
            key(
                "call_deadline_seconds",
                "Deadline of every call to the API server.",
            ),
            5,
            1..=60,
        ),
        relist_interval: r.seconds(
            key(
                "relist_interval_seconds",
                "A complete list at least this often.",
            ),
            300,
            10..=86400,
        ),
        retry_interval: r.seconds(
            key(
                "retry_interval_seconds",
                "Between a failed attempt and the next.",
            ),
            2,
            1..=300,
        ),
    }
}
