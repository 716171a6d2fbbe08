//! The kubeconfig of the controller manager and the scheduler.
//!
//! In the cluster they may use a service account, whose tokens nobody can issue now. Then, or
//! where their kubeconfig was not recovered, they get the one that was given; the predecessor gave
//! every one of them the kubelet's, whose rights do not suffice (`predecessor.md` R2).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, HostPathVolumeSource, PodSpec, Volume, VolumeMount};

use super::command::{append, change, flag, is_wrapped};
use super::component::Component;
use super::plan::{Bytes, SECRETS_DIR, Wanted};
use super::pod::Notes;
use super::whereabouts::{Whereabouts, follow};

const FLAG: &str = "kubeconfig";
/// Where the given kubeconfig is mounted.
const MOUNT: &str = "/kubeconfig/kubeconfig";

/// Makes sure that container `index` of `spec` has a kubeconfig.
pub(super) fn provide(
    spec: &mut PodSpec,
    index: usize,
    component: Component,
    files: &mut BTreeMap<String, Bytes>,
    wanted: &Wanted<'_>,
    notes: &mut Notes,
) {
    let Some(container) = spec.containers.get(index) else {
        return;
    };
    // With a configuration file the scheduler does not look at the flag.
    // Source: Kubernetes 1.20 `cmd/kube-scheduler/app/options/options.go`, `ApplyTo`.
    let config = (component == Component::Scheduler)
        .then(|| flag(container, "config"))
        .flatten();
    let from_config = config.as_deref().and_then(|path| {
        let Whereabouts::Tree(path) = follow(spec, container, path) else {
            return None;
        };
        let text = std::str::from_utf8(&files.get(&path)?.0).ok()?;
        Some((path, text.to_owned()))
    });
    let named = match (&config, &from_config) {
        (Some(_), Some((_, text))) => value_in(text, "kubeconfig:"),
        (Some(_), None) => {
            notes.warn(format!(
                "{component}: its configuration file --config={} was not recovered: it must be on \
                 this host and name a kubeconfig",
                config.as_deref().unwrap_or_default()
            ));
            return;
        }
        (None, _) => flag(container, FLAG),
    };
    if let Some(named) = named.as_deref().filter(|named| !named.is_empty()) {
        match follow(spec, container, named) {
            Whereabouts::Tree(path) if files.contains_key(&path) => {
                notes.change(format!("it keeps its own kubeconfig, {path}"));
                return;
            }
            Whereabouts::Host(path) if !wanted.kubeconfig => {
                notes.warn(format!(
                    "{component}: its kubeconfig {path} is a file of the host that was not \
                     recovered: it must be there, or give --kubeconfig"
                ));
                return;
            }
            _ => {}
        }
    }
    if !wanted.kubeconfig {
        notes.mistake(format!(
            "{component}: there is no kubeconfig among what was recovered, and its service \
             account's token cannot be issued now: give --kubeconfig FILE with the rights of an \
             administrator"
        ));
        return;
    }
    let told = match from_config {
        Some((path, text)) => tell_config(&path, &text, named.as_deref(), files),
        None => tell_flags(spec, index),
    };
    if told {
        mount(spec, index);
        notes.change("it uses the given kubeconfig, auth/kubeconfig".to_owned());
    } else {
        notes.warn(format!(
            "{component}: it must use the kubeconfig {MOUNT}, and how to tell it is not known: \
             edit its manifest before `start`"
        ));
        mount(spec, index);
    }
}

/// Says it on the command line.
fn tell_flags(spec: &mut PodSpec, index: usize) -> bool {
    let Some(container) = spec.containers.get_mut(index) else {
        return false;
    };
    let known = !change(container, FLAG, |_| Some(MOUNT.to_owned())).is_empty();
    for other in ["authentication-kubeconfig", "authorization-kubeconfig"] {
        change(container, other, |_| Some(MOUNT.to_owned()));
    }
    known || !is_wrapped(container) && append(container, &format!("--{FLAG}={MOUNT}"))
}

/// Says it in the scheduler's configuration file.
fn tell_config(
    path: &str,
    text: &str,
    named: Option<&str>,
    files: &mut BTreeMap<String, Bytes>,
) -> bool {
    let block = text
        .lines()
        .any(|line| line.starts_with("clientConnection"));
    let new = match named.filter(|named| !named.is_empty()) {
        Some(old) => text.replace(old, MOUNT),
        None if block || text.trim_start().starts_with('{') => return false,
        None => format!(
            "{}\nclientConnection:\n  kubeconfig: {MOUNT}\n",
            text.trim_end()
        ),
    };
    files.insert(path.to_owned(), Bytes(new.into_bytes()));
    true
}

fn mount(spec: &mut PodSpec, index: usize) {
    let volumes = spec.volumes.get_or_insert_default();
    let taken = volumes.iter().any(|volume| volume.name == FLAG);
    let name = if taken { "bootstrap-kubeconfig" } else { FLAG };
    volumes.push(Volume {
        name: name.to_owned(),
        host_path: Some(HostPathVolumeSource {
            path: format!("{SECRETS_DIR}/kubeconfig"),
            type_: Some("File".to_owned()),
        }),
        ..Volume::default()
    });
    if let Some(container) = spec.containers.get_mut(index) {
        let mounts = container.volume_mounts.get_or_insert_default();
        mounts.push(VolumeMount {
            name: name.to_owned(),
            mount_path: MOUNT.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        });
    }
}

/// Files that only a token of a service account could fill are looked for by programs in the
/// container, whose container this is.
pub(super) fn uses_service_account(container: &Container) -> bool {
    flag(container, FLAG).is_none()
}

/// The value after the first `key` of YAML or JSON text, quotes left out.
pub(super) fn value_in(text: &str, key: &str) -> Option<String> {
    let (_, rest) = text.split_once(key)?;
    let rest = rest.trim_start_matches([' ', '\t']);
    let end = rest.find(['\n', '\r', ',', '}', '#']).unwrap_or(rest.len());
    let value = rest.get(..end)?.trim().trim_matches(['"', '\'']);
    Some(value.to_owned())
}
