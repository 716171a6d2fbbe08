//! Command, environment and user of a container's process: the pod's wishes over the image's.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};

use super::Config;
use super::spec::Refusal;
use crate::containerd::ImageProcess;
use crate::core::manifest::downward::resource;
use crate::core::manifest::expand::expand;
use crate::core::manifest::names::mirror_name;

/// Source: containerd 1.6 `oci/spec.go`, `defaultUnixEnv`.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a process is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) args: Vec<String>,
    pub(super) env: Vec<String>,
}

/// The process's arguments and environment.
///
/// Source: kubelet 1.20 `pkg/kubelet/kubelet_pods.go`, `makeEnvironment`;
/// `pkg/kubelet/container/helpers.go`, `ExpandContainerCommandAndArgs`.
pub(super) fn command(
    config: &Config,
    pod: &Pod,
    container: &Container,
    image: &ImageProcess,
) -> Result<Command, Refusal> {
    let mut own: BTreeMap<String, String> = BTreeMap::new();
    let mut order = Vec::new();
    for variable in container.env.iter().flatten() {
        let value = value(config, pod, container, variable, &own)?;
        order.push(variable.name.clone());
        own.insert(variable.name.clone(), value);
    }
    let words = |list: &Option<Vec<String>>| -> Vec<String> {
        let list = list.iter().flatten();
        list.map(|word| expand(word, |name| own.get(name).map(String::as_str)))
            .collect()
    };
    let (mut args, mut rest) = (words(&container.command), words(&container.args));
    if args.is_empty() {
        args.clone_from(&image.entrypoint);
        if rest.is_empty() {
            rest.clone_from(&image.cmd);
        }
    }
    args.append(&mut rest);
    if args.is_empty() {
        return Err(Refusal::new(
            "neither the pod nor the image names a command",
        ));
    }
    let mut env: Vec<String> = Vec::new();
    let mut set = |entry: String| {
        let name = entry.split('=').next().unwrap_or_default().to_owned();
        let is_same = |known: &&mut String| known.split('=').next() == Some(name.as_str());
        match env.iter_mut().find(is_same) {
            Some(known) => *known = entry,
            None => env.push(entry),
        }
    };
    set(DEFAULT_PATH.to_owned());
    set(format!("HOSTNAME={}", config.node_name));
    image.env.iter().cloned().for_each(&mut set);
    for name in order {
        let value = own.get(&name).map_or("", String::as_str);
        set(format!("{name}={value}"));
    }
    Ok(Command { args, env })
}

fn value(
    config: &Config,
    pod: &Pod,
    container: &Container,
    variable: &EnvVar,
    before: &BTreeMap<String, String>,
) -> Result<String, Refusal> {
    let refuse = |cause: String| {
        Refusal::new(format!(
            "environment variable {} of container {}: {cause}",
            variable.name, container.name
        ))
    };
    let Some(from) = &variable.value_from else {
        let text = variable.value.as_deref().unwrap_or_default();
        return Ok(expand(text, |name| before.get(name).map(String::as_str)));
    };
    if let Some(field) = &from.field_ref {
        let path = &field.field_path;
        return field_value(config, pod, path).ok_or_else(|| refuse(format!("field {path:?}")));
    }
    if let Some(selector) = &from.resource_field_ref {
        let mut selector = selector.clone();
        if selector
            .container_name
            .as_deref()
            .unwrap_or_default()
            .is_empty()
        {
            selector.container_name = Some(container.name.clone());
        }
        return resource(pod, &selector).map_err(refuse);
    }
    Err(refuse("its source is in the API server".to_owned()))
}

/// A field of the pod, `None` where it is not known.
fn field_value(config: &Config, pod: &Pod, path: &str) -> Option<String> {
    let meta = &pod.metadata;
    let map = |prefix: &str, map: &Option<BTreeMap<String, String>>| {
        let key = path.strip_prefix(prefix)?;
        let key = key.strip_prefix("['")?.strip_suffix("']")?;
        Some(
            map.as_ref()
                .and_then(|map| map.get(key))
                .cloned()
                .unwrap_or_default(),
        )
    };
    Some(match path {
        "status.hostIP" | "status.hostIPs" | "status.podIP" | "status.podIPs" => {
            config.node_address.clone()
        }
        "spec.nodeName" => config.node_name.clone(),
        "spec.serviceAccountName" => String::new(),
        "metadata.name" => mirror_name(meta.name.as_deref()?, &config.node_name),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        _ => map("metadata.labels", &meta.labels)
            .or_else(|| map("metadata.annotations", &meta.annotations))?,
    })
}
