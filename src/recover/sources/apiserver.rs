//! A running API server as the source.

use std::path::Path;

use k8s_openapi::Resource as _;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde_json::Value;

use super::Want;
use super::collect::Collector;
use super::error::SourceError;
use super::unseal::Unseal;
use super::wanted::Resource;
use crate::apiserver::ask::Asker;
use crate::core::manifest::gathered::Object;
use crate::core::reading::Unseen;
use crate::core::recover::found::Found;

/// Versions of the `EtcdCluster`, the newest first. Source: etcd-operator 0.3 to 0.9.
const ETCD_CLUSTERS: [&str; 2] = [
    "/apis/etcd.database.coreos.com/v1beta2/namespaces/kube-system/etcdclusters/kube-etcd",
    "/apis/etcd.database.coreos.com/v1beta1/namespaces/kube-system/etcdclusters/kube-etcd",
];

/// Reads it.
pub(super) async fn read(
    kubeconfig: &Path,
    server: Option<&str>,
    want: &Want,
) -> Result<Found, SourceError> {
    let asker = Asker::at(kubeconfig.into(), server.map(str::to_owned), want.deadline);
    let unseal = Unseal::new(None, None);
    let mut collector = Collector::new(&want.namespace, unseal);
    all(&asker, &want.namespace, &mut collector)
        .await
        .map_err(SourceError::ApiServer)?;
    Ok(collector.finish())
}

async fn all(asker: &Asker, namespace: &str, collector: &mut Collector) -> Result<(), Unseen> {
    for resource in Resource::ALL {
        let api = match resource {
            Resource::DaemonSet | Resource::Deployment => "/apis/apps/v1",
            _ => "/api/v1",
        };
        let path = format!("{api}/namespaces/{namespace}/{}", resource.plural());
        asker
            .each(&path, |object| take(collector, resource, object))
            .await?;
    }
    for path in ETCD_CLUSTERS {
        if let Some(cluster) = asker.find(path).await? {
            collector.etcd_cluster(cluster);
            break;
        }
    }
    Ok(())
}

fn take(collector: &mut Collector, resource: Resource, object: Value) {
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    let name = name.unwrap_or_default().to_owned();
    match resource {
        Resource::DaemonSet => collector.listed::<DaemonSet>(resource, &name, object),
        Resource::Deployment => collector.listed::<Deployment>(resource, &name, object),
        Resource::Secret => match serde_json::from_value::<Secret>(object) {
            Ok(secret) => collector.plain(resource, name, Object::secret(secret)),
            Err(_) => collector.unreadable(resource, &name, fields(Secret::KIND)),
        },
        Resource::ConfigMap => match serde_json::from_value::<ConfigMap>(object) {
            Ok(map) => collector.plain(resource, name, Object::config_map(map)),
            Err(_) => collector.unreadable(resource, &name, fields(ConfigMap::KIND)),
        },
        Resource::EtcdCluster => collector.etcd_cluster(object),
    }
}

fn fields(kind: &str) -> String {
    format!("its fields are not those of a {kind}")
}
