//! What a source of recovery holds of a control plane, whatever the source was.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use serde_json::Value;

use crate::core::manifest::gathered::Object;

/// Objects of one namespace. `Debug` shows no data: [`Object`] hides its own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// The namespace that was read.
    pub namespace: String,
    /// `DaemonSets`, ordered by name.
    pub daemon_sets: Vec<DaemonSet>,
    /// Deployments, ordered by name.
    pub deployments: Vec<Deployment>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Stored>,
    /// `ConfigMaps` by name.
    pub config_maps: BTreeMap<String, Stored>,
    /// The `EtcdCluster` of a self-hosted etcd, as JSON.
    pub etcd_cluster: Option<Value>,
    /// Controllers and the `EtcdCluster` that are there and cannot be read: the place of the
    /// object, and why. An error only where nothing else answers for the component.
    pub unreadable: Vec<(String, String)>,
    /// What is worth knowing about the source and could not be checked in it, and fields of
    /// controllers that this version does not know and left out. Whole sentences, no secret.
    pub notes: Vec<String>,
}

/// A Secret or `ConfigMap`. One that is not needed may be unreadable.
#[derive(Debug, Clone, PartialEq)]
pub enum Stored {
    /// Its data.
    Plain(Object),
    /// It is there, and cannot be read: why. Never holds any of it.
    Unreadable(String),
}
