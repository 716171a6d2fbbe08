//! The data of Secrets and `ConfigMaps`.
//!
//! Source of the field numbers: Kubernetes `api/core/v1/generated.proto`. What else they hold
//! (`type`, `immutable`) no static pod needs.

use std::collections::BTreeMap;

use k8s_openapi::Resource;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use prost::Message;
use serde::de::DeserializeOwned;

use super::{DecodeError, check_kind};
use crate::core::manifest::gathered::Object;
use crate::objects::{Body, Content, Malformed, Value};

#[derive(Clone, PartialEq, Message)]
struct SecretData {
    #[prost(btree_map = "string, bytes", tag = "2")]
    data: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct ConfigMapData {
    #[prost(btree_map = "string, string", tag = "2")]
    data: BTreeMap<String, String>,
    #[prost(btree_map = "string, bytes", tag = "3")]
    binary_data: BTreeMap<String, Vec<u8>>,
}

/// The data of a Secret.
///
/// # Errors
/// Where it is none.
pub fn secret(value: &[u8]) -> Result<Object, DecodeError> {
    let body = Value::of(value)?.body()?;
    match &body.content {
        Content::Json(bytes) => Ok(Object::secret(json(bytes)?)),
        Content::Protobuf(bytes) => {
            let SecretData { data } = message::<Secret, _>(&body, bytes)?;
            Ok(Object {
                data,
                binary_data: BTreeMap::new(),
            })
        }
    }
}

/// The data of a `ConfigMap`.
///
/// # Errors
/// Where it is none.
pub fn config_map(value: &[u8]) -> Result<Object, DecodeError> {
    let body = Value::of(value)?.body()?;
    match &body.content {
        Content::Json(bytes) => Ok(Object::config_map(json(bytes)?)),
        Content::Protobuf(bytes) => {
            let ConfigMapData { data, binary_data } = message::<ConfigMap, _>(&body, bytes)?;
            let data = data
                .into_iter()
                .map(|(key, value)| (key, value.into_bytes()));
            Ok(Object {
                data: data.collect(),
                binary_data,
            })
        }
    }
}

fn message<K: Resource, M: Message + Default>(
    body: &Body<'_>,
    bytes: &[u8],
) -> Result<M, DecodeError> {
    check_kind::<K>(body, &["v1"])?;
    M::decode(bytes).map_err(|_| Malformed::Protobuf.into())
}

fn json<K: Resource + DeserializeOwned>(bytes: &[u8]) -> Result<K, DecodeError> {
    // The library compares kind and version.
    serde_json::from_slice(bytes).map_err(|_| DecodeError::Fields { wanted: K::KIND })
}
