//! Puts together what was found, value by value.

use secrecy::ExposeSecret;

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
            Resource::DaemonSet => {
                if let Some(read) = self.left_out(resource, name, decode::daemon_set(plain)) {
                    self.found.daemon_sets.push(read);
                }
            }
            Resource::Deployment => {
                if let Some(read) = self.left_out(resource, name, decode::deployment(plain)) {
                    self.found.deployments.push(read);
                }
            }
            Resource::EtcdCluster => match decode::json(plain) {
                Ok(cluster) => self.found.etcd_cluster = Some(cluster),
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

    fn data(&mut self, resource: Resource, name: &str, read: Result<Object, DecodeError>) {
        let name = name.to_owned();
        match (resource, read) {
            (Resource::Secret, Ok(read)) => {
                self.found.secrets.insert(name, Stored::Plain(read));
            }
            (_, Ok(read)) => drop(self.found.config_maps.insert(name, Stored::Plain(read))),
            (_, Err(error)) => self.unreadable(resource, &name, error.to_string()),
        }
    }

    /// A decoded controller; notes what of it was left out.
    pub(super) fn left_out<K>(
        &mut self,
        resource: Resource,
        name: &str,
        read: Result<Decoded<K>, DecodeError>,
    ) -> Option<K> {
        match read {
            Ok((read, left)) => {
                if !left.is_empty() {
                    let place = place(&self.found, resource, name);
                    let left = left.join(", ");
                    self.note(format!(
                        "{place} has what this version does not know, and it was left out: {left}"
                    ));
                }
                Some(read)
            }
            Err(error) => {
                self.unreadable(resource, name, error.to_string());
                None
            }
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
