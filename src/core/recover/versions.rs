//! What a component of a later version refuses (R18): a flag that is gone ends it at its start.
//!
//! A small table, of what a stored control plane is likely to have. Each row is right from its
//! version on; some flags went a version or two earlier. What the cluster ran before it was lost
//! it will run again, so these are warnings, for the reader who has put in another image.

use k8s_openapi::api::core::v1::Container;

use super::command::flags;
use super::component::Component;

use Component::{ApiServer, ControllerManager, Scheduler};

/// Flags, the components that had them, and the minor version of Kubernetes 1 that refuses them.
/// Source: the programs themselves for 20 (Kubernetes 1.20.2); the CHANGELOG of each other.
const GONE: [(u32, &[Component], &[&str]); 9] = [
    (
        20,
        &[ApiServer],
        &[
            "basic-auth-file",
            "etcd-quorum-read",
            "experimental-bootstrap-token-auth",
            "insecure-allow-any-token",
            "public-address-override",
            "repair-malformed-updates",
            "storage-versions",
            "tls-ca-file",
        ],
    ),
    (
        20,
        &[ControllerManager],
        &[
            "insecure-experimental-approve-all-kubelet-csrs-for-group",
            "replication-controller-lookup-cache-size",
            "service-sync-period",
        ],
    ),
    (20, &[Scheduler], &["failure-domains"]),
    (
        23,
        &[Scheduler],
        &[
            "algorithm-provider",
            "policy-config-file",
            "policy-configmap",
            "policy-configmap-namespace",
            "use-legacy-policy-config",
        ],
    ),
    (
        24,
        &[ApiServer],
        &["insecure-bind-address", "insecure-port"],
    ),
    (
        24,
        &[ApiServer, ControllerManager, Scheduler],
        &["address", "port"],
    ),
    (
        25,
        &[ControllerManager],
        &["experimental-cluster-signing-duration"],
    ),
    (
        26,
        &[ApiServer, ControllerManager, Scheduler],
        &[
            "add-dir-header",
            "alsologtostderr",
            "log-dir",
            "log-file",
            "log-file-max-size",
            "logtostderr",
            "one-output",
            "skip-headers",
            "skip-log-headers",
            "stderrthreshold",
        ],
    ),
    (
        27,
        &[ControllerManager],
        &["enable-taint-manager", "pod-eviction-timeout"],
    ),
];

/// Versions of the files that components are configured by, and who refuses them.
const GONE_VERSIONS: [(u32, Component, &str); 7] = [
    (24, ApiServer, "audit.k8s.io/v1alpha1"),
    (24, ApiServer, "audit.k8s.io/v1beta1"),
    (22, Scheduler, "kubescheduler.config.k8s.io/v1alpha1"),
    (22, Scheduler, "kubescheduler.config.k8s.io/v1alpha2"),
    (25, Scheduler, "kubescheduler.config.k8s.io/v1beta1"),
    (29, Scheduler, "kubescheduler.config.k8s.io/v1beta2"),
    (30, Scheduler, "kubescheduler.config.k8s.io/v1beta3"),
];

/// In-tree cloud providers. Source: Kubernetes CHANGELOG 1.31.
const CLOUDS_GONE: u32 = 31;
/// These have to be given. Source: Kubernetes CHANGELOG 1.20, `TokenRequest`.
const NEEDED: [&str; 2] = ["service-account-issuer", "service-account-signing-key-file"];
const NEEDED_SINCE: u32 = 20;

/// What `component` will refuse of `container`'s command line, one sentence each; nothing where
/// the image's tag tells no version. `files` are the texts of the files that it is given.
pub(super) fn refused(
    component: Component,
    container: &Container,
    files: &[(&str, &str)],
) -> Vec<String> {
    let image = container.image.as_deref().unwrap_or_default();
    let Some(minor) = minor(image) else {
        return Vec::new();
    };
    let given = flags(container);
    let has = |name: &str| given.iter().any(|(flag, _)| flag == name);
    let mut found = Vec::new();
    for (since, of, names) in GONE {
        if minor < since || !of.contains(&component) {
            continue;
        }
        for name in names.iter().filter(|name| has(name)) {
            found.push(format!(
                "{component}: version 1.{minor} ({image}) refuses --{name}: take it out of the \
                 manifest before `start`"
            ));
        }
    }
    let clouds = ["", "external"];
    for (_, cloud) in given.iter().filter(|(flag, _)| flag == "cloud-provider") {
        if minor >= CLOUDS_GONE && !clouds.contains(&cloud.as_str()) {
            found.push(format!(
                "{component}: version 1.{minor} ({image}) refuses --cloud-provider={cloud}: it \
                 knows `external` only"
            ));
        }
    }
    if component == ApiServer && minor >= NEEDED_SINCE && !given.is_empty() {
        for name in NEEDED.iter().filter(|name| !has(name)) {
            found.push(format!(
                "{component}: version 1.{minor} ({image}) does not start without --{name}"
            ));
        }
    }
    for (since, of, version) in GONE_VERSIONS {
        if minor < since || of != component {
            continue;
        }
        let flagged = given.iter().any(|(_, value)| value == version);
        let mut places: Vec<&str> = files
            .iter()
            .filter(|(_, text)| has_version(text, version))
            .map(|(path, _)| *path)
            .collect();
        if flagged {
            places.push("its command line");
        }
        for place in places {
            found.push(format!(
                "{component}: version 1.{minor} ({image}) refuses the API version {version}, which \
                 is in {place}"
            ));
        }
    }
    found
}

fn has_version(text: &str, version: &str) -> bool {
    text.lines().any(|line| {
        let value = line.trim().strip_prefix("apiVersion:");
        value.is_some_and(|value| value.trim().trim_matches(['"', '\'']) == version)
    })
}

/// The minor version that the tag of an image tells.
pub(super) fn minor(image: &str) -> Option<u32> {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let (_, tag) = name.rsplit_once(':')?;
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    let mut numbers = tag.split(['.', '-', '_', '+']);
    (numbers.next()? == "1").then_some(())?;
    numbers.next()?.parse().ok()
}
