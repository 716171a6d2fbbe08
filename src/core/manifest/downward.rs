//! The downward API: values of the pod itself, as text. Fields of the parent's metadata become
//! literal values, because the static pod has another name, uid and set of annotations.

use k8s_openapi::api::core::v1::{Pod, ResourceFieldSelector};

use super::needs::{all_containers, service_account};
use super::quantity::{in_divisors, nanos};
use super::render::Source;

/// Fields that the kubelet resolves for a static pod as for any other, from what it knows itself.
/// Source: kubelet 1.20 `pkg/kubelet/kubelet_pods.go`, `podFieldSelectorRuntimeValue`.
const STAYS: [&str; 5] = [
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
    "spec.nodeName",
];

/// The value of a `fieldRef` of an environment variable; `None`: the reference stays.
pub(super) fn env_field(source: &Source<'_>, path: &str) -> Result<Option<String>, String> {
    if STAYS.contains(&path) {
        return Ok(None);
    }
    if path == "spec.serviceAccountName" {
        return Ok(Some(service_account(source.pod).to_owned()));
    }
    metadata(source, path).map(Some)
}

/// The value of a `fieldRef` of a downward API volume or projection.
pub(super) fn volume_field(source: &Source<'_>, path: &str) -> Result<String, String> {
    let meta = &source.pod.metadata;
    let map = match path {
        "metadata.labels" => &meta.labels,
        "metadata.annotations" => &meta.annotations,
        _ => return metadata(source, path),
    };
    let lines = map
        .iter()
        .flatten()
        // The kubelet's own marks (when and from where it learnt of the pod) differ each time.
        .filter(|(key, _)| !key.starts_with("kubernetes.io/config."))
        .map(|(key, value)| format!("{key}={}", quoted(value)));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn metadata(source: &Source<'_>, path: &str) -> Result<String, String> {
    let meta = &source.pod.metadata;
    match path {
        "metadata.name" => return Ok(source.name.to_owned()),
        "metadata.namespace" => return Ok(source.namespace.to_owned()),
        "metadata.uid" => return Ok(source.uid.to_owned()),
        _ => {}
    }
    let keyed = |prefix: &str| {
        path.strip_prefix(prefix)?
            .strip_prefix("['")?
            .strip_suffix("']")
    };
    let (map, key) = if let Some(key) = keyed("metadata.labels") {
        (&meta.labels, key)
    } else if let Some(key) = keyed("metadata.annotations") {
        (&meta.annotations, key)
    } else {
        let path: String = path.chars().take(80).collect();
        return Err(format!("field {path:?} is not known"));
    };
    let value = map.as_ref().and_then(|map| map.get(key));
    Ok(value.cloned().unwrap_or_default())
}

/// The value of a `resourceFieldRef`, where the container sets it. Where it does not, the kubelet
/// would put in what the node can allocate, which is not known here.
pub(crate) fn resource(pod: &Pod, selector: &ResourceFieldSelector) -> Result<String, String> {
    let wanted = selector.container_name.as_deref().unwrap_or_default();
    let spec = pod.spec.as_ref();
    let container = spec.and_then(|spec| all_containers(spec).find(|c| c.name == wanted));
    let container = container.ok_or_else(|| format!("there is no container {wanted:?}"))?;
    let resource = selector.resource.as_str();
    let resources = container.resources.as_ref();
    let (list, name) = match resource.split_once('.') {
        Some(("limits", name)) => (resources.and_then(|r| r.limits.as_ref()), name),
        Some(("requests", name)) => (resources.and_then(|r| r.requests.as_ref()), name),
        _ => return Err(format!("resource {resource:?} is not known")),
    };
    let quantity = list.and_then(|list| list.get(name)).ok_or_else(|| {
        format!("container {wanted} sets no {resource}, and the node's own is not known here")
    })?;
    let divisor = selector.divisor.as_ref().map_or("0", |divisor| &divisor.0);
    let unit = if name == "cpu" {
        1_000_000
    } else {
        1_000_000_000
    };
    let value = nanos(&quantity.0).zip(nanos(divisor));
    let value = value.and_then(|(quantity, divisor)| in_divisors(quantity, divisor, unit));
    let value = value.ok_or_else(|| format!("{resource} of container {wanted} is no quantity"))?;
    Ok(value.to_string())
}

/// Go's `%q`, which is how the kubelet writes label and annotation values to files.
/// Source: kubelet 1.20 `pkg/fieldpath/fieldpath.go`, `FormatMap`.
fn quoted(text: &str) -> String {
    let mut output = String::with_capacity(text.len() + 2);
    output.push('"');
    for c in text.chars() {
        match c {
            '"' => output.push_str("\\\""),
            '\\' => output.push_str("\\\\"),
            '\n' => output.push_str("\\n"),
            '\t' => output.push_str("\\t"),
            '\r' => output.push_str("\\r"),
            '\u{7}' => output.push_str("\\a"),
            '\u{8}' => output.push_str("\\b"),
            '\u{b}' => output.push_str("\\v"),
            '\u{c}' => output.push_str("\\f"),
            c if c.is_ascii_control() => output.extend(format!("\\x{:02x}", c as u32).chars()),
            c if c.is_control() => output.extend(format!("\\u{:04x}", c as u32).chars()),
            c => output.push(c),
        }
    }
    output.push('"');
    output
}
