//! The pod template of a controller becomes a static pod of the temporary control plane.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Pod, PodSpec, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::addresses::{self, Moved};
use super::component::Component;
use super::found::{Found, Stored};
use super::plan::{Bytes, SECRETS_DIR, Wanted};
use super::select::Chosen;
use super::self_hosted_etcd::SelfHosted;
use super::whereabouts::{Whereabouts, follow};
use super::{command, kubeconfig, rooted, versions};
use crate::core::manifest::contained::contained;
use crate::core::manifest::gathered::Gathered;
use crate::core::manifest::needs::{ObjectKind, ObjectRef, needs};
use crate::core::manifest::rendered::{DATA_DIR_PLACEHOLDER, DataFile};

/// Prefix of the names of the temporary control plane's pods.
const PREFIX: &str = "bootstrap-";

/// A static pod with its files. `mistakes` is empty for a good one.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) from: String,
    pub(super) pod: Pod,
    pub(super) files: BTreeMap<String, Bytes>,
    pub(super) empty_dirs: BTreeSet<String>,
    pub(super) serving_certificate: Option<String>,
    /// Addresses that it names and this host does not have.
    pub(super) old: BTreeSet<String>,
    pub(super) changes: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) mistakes: Vec<String>,
}

/// What a reader must know, collected on the way.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) changes: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) mistakes: Vec<String>,
}

impl Notes {
    pub(super) fn change(&mut self, text: String) {
        self.changes.push(text);
    }

    pub(super) fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }

    pub(super) fn mistake(&mut self, text: String) {
        self.mistakes.push(text);
    }

    fn moved(&mut self, moved: Moved) {
        self.changes.extend(moved.changes);
        self.warnings.extend(moved.warnings);
    }
}

/// Makes the static pod of `chosen`.
pub(super) fn make(
    found: &Found,
    chosen: &Chosen<'_>,
    wanted: &Wanted<'_>,
    etcd: Option<&SelfHosted>,
) -> Made {
    let component = chosen.component;
    let mut notes = Notes::default();
    let mut original = template(found, chosen);
    let mut moved = Moved::default();
    if let Some(spec) = &mut original.spec {
        rooted::prepare(spec, component, &mut notes);
        addresses::host(spec, component, wanted, &mut moved);
        if let Some(container) = main_container(spec, component, &mut notes)
            .and_then(|index| spec.containers.get_mut(index))
            .filter(|_| component == Component::ApiServer)
        {
            addresses::etcd(container, wanted, &mut moved);
            if let Some(etcd) = etcd {
                etcd.tell(container, &mut notes);
            }
        }
    }
    let gathered = gather(found, &original, component, &mut notes);
    let contained = contained(&original, &gathered);
    for reason in contained.refused {
        notes.mistake(format!("{component}: {reason}"));
    }
    for note in contained.notes {
        notes.change(note);
    }
    let mut pod = contained.pod;
    let mut tree = Laid::default();
    if let Some(spec) = &mut pod.spec {
        let before = original
            .spec
            .as_ref()
            .and_then(|spec| spec.volumes.as_ref());
        tree.lay(component, spec, before, &contained.files, &mut notes);
        if let Some(index) = component.container(spec) {
            if component != Component::ApiServer {
                kubeconfig::provide(spec, index, component, &mut tree.files, wanted, &mut notes);
            }
            look(spec, index, component, &tree.files, &mut notes);
        }
    }
    let serving_certificate = serving_certificate(&pod, component);
    let old = std::mem::take(&mut moved.old);
    notes.moved(moved);
    Made {
        from: chosen.place(&found.namespace),
        pod,
        files: tree.files,
        empty_dirs: tree.empty_dirs,
        serving_certificate,
        old,
        changes: notes.changes,
        warnings: notes.warnings,
        mistakes: notes.mistakes,
    }
}

/// The template as a pod: named as the static pod will be, for the downward API too.
fn template(found: &Found, chosen: &Chosen<'_>) -> Pod {
    let meta = chosen.template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            name: Some(format!("{PREFIX}{}", chosen.component)),
            namespace: Some(found.namespace.clone()),
            labels: meta.labels,
            annotations: meta.annotations,
            ..ObjectMeta::default()
        },
        spec: chosen.template.spec.clone(),
        status: None,
    }
}

fn main_container(spec: &PodSpec, component: Component, notes: &mut Notes) -> Option<usize> {
    let index = component.container(spec);
    if index.is_none() && !spec.containers.is_empty() {
        notes.warn(format!(
            "{component}: which of its containers runs {component} cannot be told: its command \
             line is left as it is"
        ));
    }
    index
}

/// The data that the pod needs. Something unreadable that is needed is a mistake (R17), also where
/// it would be optional: it is there.
fn gather(found: &Found, pod: &Pod, component: Component, notes: &mut Notes) -> Gathered {
    let mut gathered = Gathered::default();
    for wanted in needs(pod).objects.into_keys() {
        let ObjectRef { kind, name, .. } = &wanted;
        let stored = match kind {
            ObjectKind::Secret => found.secrets.get(name),
            ObjectKind::ConfigMap => found.config_maps.get(name),
        };
        match stored {
            Some(Stored::Plain(object)) => {
                gathered.objects.insert(wanted, Some(object.clone()));
            }
            Some(Stored::Unreadable(why)) => {
                notes.mistake(format!(
                    "{component} needs {wanted}, which cannot be read: {why}"
                ));
            }
            None => {
                gathered.objects.insert(wanted, None);
            }
        }
    }
    gathered
}

/// Files of the volumes, at their places in the tree.
#[derive(Debug, Default)]
struct Laid {
    files: BTreeMap<String, Bytes>,
    empty_dirs: BTreeSet<String>,
}

impl Laid {
    /// Gives every data volume its place: a whole Secret or `ConfigMap` its own by name, as the
    /// predecessor did, so that two pods share it; anything else one for the pod and volume.
    fn lay(
        &mut self,
        component: Component,
        spec: &mut PodSpec,
        before: Option<&Vec<Volume>>,
        files: &[DataFile],
        notes: &mut Notes,
    ) {
        for volume in spec.volumes.iter_mut().flatten() {
            let Some(host) = &mut volume.host_path else {
                continue;
            };
            if host.path != format!("{DATA_DIR_PLACEHOLDER}/{}", volume.name) {
                continue;
            }
            let original = before.into_iter().flatten();
            let original = original.into_iter().find(|v| v.name == volume.name);
            let place = original
                .and_then(whole)
                .unwrap_or_else(|| format!("volumes/{component}/{}", volume.name));
            host.path = format!("{SECRETS_DIR}/{place}");
            let below = format!("{}/", volume.name);
            let mut empty = true;
            for file in files {
                let Some(path) = file.path.strip_prefix(&below) else {
                    continue;
                };
                empty = false;
                if file.mode & 0o111 != 0 {
                    notes.warn(format!(
                        "{component}: {path} of volume {} loses its permission to be executed",
                        volume.name
                    ));
                }
                let bytes = Bytes(file.content.clone());
                self.files.insert(format!("tls/{place}/{path}"), bytes);
            }
            if empty {
                // Nobody promises to copy a directory without a file.
                host.type_ = Some("DirectoryOrCreate".to_owned());
                self.empty_dirs.insert(format!("tls/{place}"));
            }
        }
    }
}

/// The place of a volume that is a Secret or `ConfigMap` with all its keys.
fn whole(volume: &Volume) -> Option<String> {
    let plain = |items: bool, dir: &str, name: &str| {
        let place = (!items).then(|| format!("{dir}/{name}"));
        // A name with a slash cannot come from an API server.
        place.filter(|_| !name.is_empty() && !name.contains('/') && !name.starts_with('.'))
    };
    let some = |items: Option<usize>| items.is_some_and(|count| count > 0);
    if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        return plain(some(secret.items.as_ref().map(Vec::len)), "secrets", name);
    }
    let map = volume.config_map.as_ref()?;
    plain(
        some(map.items.as_ref().map(Vec::len)),
        "config-maps",
        &map.name,
    )
}

/// Looks for what the installed version refuses (R18).
fn look(
    spec: &PodSpec,
    index: usize,
    component: Component,
    files: &BTreeMap<String, Bytes>,
    notes: &mut Notes,
) {
    let Some(container) = spec.containers.get(index) else {
        return;
    };
    if command::is_wrapped(container) {
        notes.warn(format!(
            "{component}: its command line is a script; look at it before `start`"
        ));
    }
    let texts: Vec<(&str, &str)> = files
        .iter()
        .filter(|(path, _)| {
            path.starts_with("tls/config-maps/") || path.starts_with("tls/volumes/")
        })
        .filter_map(|(path, bytes)| Some((path.as_str(), std::str::from_utf8(&bytes.0).ok()?)))
        .collect();
    for warning in versions::refused(component, container, &texts) {
        notes.warn(warning);
    }
}

fn serving_certificate(pod: &Pod, component: Component) -> Option<String> {
    let spec = pod
        .spec
        .as_ref()
        .filter(|_| component == Component::ApiServer)?;
    let container = spec.containers.get(component.container(spec)?)?;
    match follow(spec, container, &command::flag(container, "tls-cert-file")?) {
        Whereabouts::Tree(path) => Some(path),
        Whereabouts::Host(_) | Whereabouts::Image => None,
    }
}
