//! Two fields of stored objects by which recovery mode tells who leads and whose data it is.
//!
//! Source: `apimachinery/pkg/apis/meta/v1/generated.proto` (`ObjectMeta.uid`, 5) and
//! `api/coordination/v1/generated.proto` (`LeaseSpec.holderIdentity`, 1).

use prost::Message;
use serde::Deserialize;

use super::body::Content;
use super::head::{Malformed, Value};

#[derive(Clone, PartialEq, Message)]
struct Object {
    #[prost(message, optional, tag = "1")]
    metadata: Option<Meta>,
}

#[derive(Clone, PartialEq, Message)]
struct Meta {
    #[prost(string, tag = "5")]
    uid: String,
}

#[derive(Clone, PartialEq, Message)]
struct Lease {
    #[prost(message, optional, tag = "2")]
    spec: Option<LeaseSpec>,
}

#[derive(Clone, PartialEq, Message)]
struct LeaseSpec {
    #[prost(string, tag = "1")]
    holder: String,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    metadata: WrittenMeta,
    #[serde(default)]
    spec: WrittenSpec,
}

#[derive(Deserialize, Default)]
struct WrittenMeta {
    #[serde(default)]
    uid: String,
}

#[derive(Deserialize, Default)]
struct WrittenSpec {
    #[serde(default, rename = "holderIdentity")]
    holder: String,
}

/// The uid of a stored object.
///
/// # Errors
/// Where it is none, or not plain.
pub fn uid(stored: &[u8]) -> Result<String, Malformed> {
    match Value::of(stored)?.body()?.content {
        Content::Protobuf(bytes) => {
            let object = Object::decode(bytes.as_slice()).map_err(|_| Malformed::Protobuf)?;
            Ok(object.metadata.unwrap_or_default().uid)
        }
        Content::Json(bytes) => Ok(json(&bytes)?.metadata.uid),
    }
}

/// Who holds a stored Lease; empty: nobody.
///
/// # Errors
/// Where it is none, or not plain.
pub fn holder(stored: &[u8]) -> Result<String, Malformed> {
    match Value::of(stored)?.body()?.content {
        Content::Protobuf(bytes) => {
            let lease = Lease::decode(bytes.as_slice()).map_err(|_| Malformed::Protobuf)?;
            Ok(lease.spec.unwrap_or_default().holder)
        }
        Content::Json(bytes) => Ok(json(&bytes)?.spec.holder),
    }
}

fn json(bytes: &[u8]) -> Result<Written, Malformed> {
    serde_json::from_slice(bytes).map_err(|_| Malformed::Json)
}
