//! The form of a stored value, and the head of the object in it.
//!
//! Source: Kubernetes `apimachinery/pkg/runtime/serializer/protobuf/protobuf.go` (magic `k8s\0`,
//! then `runtime.Unknown`), `apimachinery/pkg/runtime/generated.proto` and
//! `apimachinery/pkg/apis/meta/v1/generated.proto`; every stored message has `metadata` as its
//! field 1. Custom resources are JSON. CBOR (a feature of Kubernetes 1.32 that is off) is
//! recognised and not read.

use prost::Message;
use serde::Deserialize;

use crate::encryption::ENCRYPTED;

const MAGIC: &[u8] = b"k8s\0";
/// RFC 8949, 3.4.6: self-described CBOR.
const CBOR: &[u8] = &[0xd9, 0xd9, 0xf7];

/// A stored value by its form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Protobuf: the bytes of `runtime.Unknown`.
    Protobuf(&'a [u8]),
    /// JSON, whole.
    Json(&'a [u8]),
    /// CBOR, whole.
    Cbor(&'a [u8]),
    /// Encrypted at rest, whole: see [`crate::encryption`].
    Encrypted(&'a [u8]),
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (form, bytes) = match self {
            Self::Protobuf(bytes) => ("protobuf", bytes),
            Self::Json(bytes) => ("JSON", bytes),
            Self::Cbor(bytes) => ("CBOR", bytes),
            Self::Encrypted(bytes) => ("encrypted", bytes),
        };
        write!(f, "{} bytes of {form}", bytes.len())
    }
}

/// What an object says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// `v1`, `apps/v1`.
    pub api_version: String,
    /// `Secret`.
    pub kind: String,
    /// Name; empty where it has none.
    pub name: String,
    /// Namespace; empty where it has none.
    pub namespace: String,
}

/// Why a value is no object. Never holds any of the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Neither protobuf nor JSON, CBOR or encrypted.
    #[error("it is neither protobuf nor JSON of an object")]
    Form,
    /// It begins as protobuf and is none.
    #[error("its protobuf cannot be decoded")]
    Protobuf,
    /// It begins as JSON and is none.
    #[error("its JSON cannot be decoded")]
    Json,
    /// Its content is in an encoding that the API server never stores.
    #[error("its content is encoded in an unknown way")]
    Encoding,
    /// It does not say its kind or version.
    #[error("it does not say of which kind and version it is")]
    Nameless,
    /// Encrypted or CBOR: it has to be made plain first.
    #[error("it cannot be read in this form")]
    NotPlain,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Unknown {
    #[prost(message, optional, tag = "1")]
    pub(super) type_meta: Option<TypeMeta>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) raw: Vec<u8>,
    #[prost(string, tag = "3")]
    pub(super) content_encoding: String,
    #[prost(string, tag = "4")]
    pub(super) content_type: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TypeMeta {
    #[prost(string, tag = "1")]
    pub(super) api_version: String,
    #[prost(string, tag = "2")]
    pub(super) kind: String,
}

#[derive(Clone, PartialEq, Message)]
struct Object {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
}

#[derive(Clone, PartialEq, Message)]
struct ObjectMeta {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default, rename = "apiVersion")]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: WrittenMeta,
}

#[derive(Deserialize, Default)]
struct WrittenMeta {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
}

impl<'a> Value<'a> {
    /// The form of a stored value.
    ///
    /// # Errors
    /// [`Malformed::Form`].
    pub fn of(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if let Some(unknown) = bytes.strip_prefix(MAGIC) {
            return Ok(Self::Protobuf(unknown));
        }
        if bytes.starts_with(ENCRYPTED) {
            return Ok(Self::Encrypted(bytes));
        }
        if bytes.starts_with(CBOR) {
            return Ok(Self::Cbor(bytes));
        }
        match bytes.trim_ascii_start().first() {
            Some(b'{') => Ok(Self::Json(bytes)),
            _ => Err(Malformed::Form),
        }
    }

    /// The head of the object.
    ///
    /// # Errors
    /// Where it is none, or not plain.
    pub fn head(&self) -> Result<Head, Malformed> {
        let head = match self {
            Self::Protobuf(bytes) => protobuf(bytes)?,
            Self::Json(bytes) => json(bytes)?,
            Self::Cbor(_) | Self::Encrypted(_) => return Err(Malformed::NotPlain),
        };
        if head.api_version.is_empty() || head.kind.is_empty() {
            return Err(Malformed::Nameless);
        }
        Ok(head)
    }
}

fn protobuf(bytes: &[u8]) -> Result<Head, Malformed> {
    let unknown = Unknown::decode(bytes).map_err(|_| Malformed::Protobuf)?;
    // Empty: protobuf of the object itself.
    if !unknown.content_encoding.is_empty() {
        return Err(Malformed::Encoding);
    }
    let kind = unknown.type_meta.unwrap_or_default();
    let (name, namespace) = match unknown.content_type.as_str() {
        "" | "application/vnd.kubernetes.protobuf" => {
            let object = Object::decode(unknown.raw.as_slice()).map_err(|_| Malformed::Protobuf)?;
            let meta = object.metadata.unwrap_or_default();
            (meta.name, meta.namespace)
        }
        "application/json" => {
            let object = json(&unknown.raw)?;
            (object.name, object.namespace)
        }
        _ => return Err(Malformed::Encoding),
    };
    Ok(Head {
        api_version: kind.api_version,
        kind: kind.kind,
        name,
        namespace,
    })
}

fn json(bytes: &[u8]) -> Result<Head, Malformed> {
    // Nesting is bounded by serde_json itself.
    let written: Written = serde_json::from_slice(bytes).map_err(|_| Malformed::Json)?;
    Ok(Head {
        api_version: written.api_version,
        kind: written.kind,
        name: written.metadata.name,
        namespace: written.metadata.namespace,
    })
}
