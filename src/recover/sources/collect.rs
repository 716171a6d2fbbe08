//! Puts together what was found, value by value.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::unseal::Unseal;
use super::wanted::Resource;
use crate::core::manifest::gathered::Object;
use crate::core::recover::found::{Found, Stored};
use crate::recover::decode::{self, DecodeError, Decoded};

/// What was found until now.
#[derive(Debug)]
pub(super) struct Collector {
    found: Found,
    unseal: Unseal,
}

/// What runs pods of a control plane.
pub(super) trait Controller: decode::KnownKind {
    /// Puts it where it belongs.
    fn put(self, found: &mut Found);
}

impl Controller for DaemonSet {
    fn put(self, found: &mut Found) {
        found.daemon_sets.push(self);
    }
}

impl Controller for Deployment {
    fn put(self, found: &mut Found) {
        found.deployments.push(self);
    }
}

impl Collector {
    pub(super) fn new(namespace: &str, unseal: Unseal) -> Self {
        let found = Found {
            namespace: namespace.to_owned(),
            ..Found::default()
        };
        Self { found, unseal }
    }

    /// Takes a stored value.
    pub(super) fn take(&mut self, resource: Resource, name: &str, key: &[u8], value: &[u8]) {
        let plain = match self.unseal.open(resource, key, value) {
            Ok(plain) => plain,
            Err(why) => return self.unreadable(resource, name, why),
        };
        let plain = plain.expose_secret();
        match resource {
            Resource::Secret => self.data(resource, name, decode::secret(plain)),
            Resource::ConfigMap => self.data(resource, name, decode::config_map(plain)),
            Resource::DaemonSet => self.controller(resource, name, decode::daemon_set(plain)),
            Resource::Deployment => self.controller(resource, name, decode::deployment(plain)),
            Resource::EtcdCluster => match decode::json(plain) {
                Ok(cluster) => self.etcd_cluster(cluster),
                Err(error) => self.unreadable(resource, name, error.to_string()),
            },
        }
    }

    /// It is there, and cannot be read.
    pub(super) fn unreadable(&mut self, resource: Resource, name: &str, why: String) {
        let stored = Stored::Unreadable(why.clone());
        match resource {
            Resource::Secret => drop(self.found.secrets.insert(name.to_owned(), stored)),
            Resource::ConfigMap => drop(self.found.config_maps.insert(name.to_owned(), stored)),
            Resource::DaemonSet | Resource::Deployment | Resource::EtcdCluster => {
                let place = place(&self.found, resource, name);
                self.found.unreadable.push((place, why));
            }
        }
    }

    /// Something to know.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.found.notes.push(note.into());
    }

    /// The data of a Secret or `ConfigMap`.
    pub(super) fn plain(&mut self, resource: Resource, name: String, read: Object) {
        let found = match resource {
            Resource::Secret => &mut self.found.secrets,
            _ => &mut self.found.config_maps,
        };
        found.insert(name, Stored::Plain(read));
    }

    /// The `EtcdCluster`.
    pub(super) fn etcd_cluster(&mut self, mut cluster: Value) {
        decode::strip(&mut cluster);
        self.found.etcd_cluster = Some(cluster);
    }

    /// A controller as an API server lists it.
    pub(super) fn listed<K: Controller>(&mut self, resource: Resource, name: &str, object: Value) {
        self.controller(resource, name, decode::listed::<K>(object));
    }

    fn data(&mut self, resource: Resource, name: &str, read: Result<Object, DecodeError>) {
        match read {
            Ok(read) => self.plain(resource, name.to_owned(), read),
            Err(error) => self.unreadable(resource, name, error.to_string()),
        }
    }

    /// A decoded controller; notes what of it was left out.
    fn controller<K: Controller>(
        &mut self,
        resource: Resource,
        name: &str,
        read: Result<Decoded<K>, DecodeError>,
    ) {
        match read {
            Ok((read, left)) => {
                if !left.is_empty() {
                    let place = place(&self.found, resource, name);
                    let left = left.join(", ");
                    self.note(format!(
                        "{place} has what this version does not know, and it was left out: {left}."
                    ));
                }
                read.put(&mut self.found);
            }
            Err(error) => self.unreadable(resource, name, error.to_string()),
        }
    }

    /// Everything, in order.
    pub(super) fn finish(mut self) -> Found {
        let found = &mut self.found;
        found
            .daemon_sets
            .sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        found
            .deployments
            .sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        found.unreadable.sort();
        self.found
    }
}

fn place(found: &Found, resource: Resource, name: &str) -> String {
    format!("{} {}/{name}", resource.plural(), found.namespace)
}
