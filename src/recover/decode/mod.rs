//! Stored objects, decoded: what etcd or an API server gave, as data.
//!
//! Protobuf of controllers is read by a table of messages (`schema.txt`) into the JSON that an API
//! server would give, and only then into types. A crate of generated messages would drop what it
//! does not know without a word, and cannot tell a pointer to zero (`runAsUser: 0`) from nothing;
//! here a field that is not known is named. Nothing believes a length: hostile bytes give an error.

mod lost;
mod message;
mod schema;
mod secret;
mod wire;

use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use self::message::Reader;
pub use self::secret::{config_map, secret};
use crate::objects::{Body, Content, Malformed, Value};

/// Versions of `DaemonSet` and Deployment that have the same messages and, but for what was
/// dropped from them, the same JSON.
const VERSIONS: [&str; 4] = [
    "apps/v1",
    "apps/v1beta2",
    "apps/v1beta1",
    "extensions/v1beta1",
];

/// Why a stored object cannot be decoded. Never holds any of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is no object.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// It is another one than its key says, or of a version that is not known.
    #[error("it is a {kind:?} of {api_version:?}, which is not read as a {wanted}")]
    Kind {
        /// What it says it is.
        kind: String,
        /// Its version.
        api_version: String,
        /// What was looked for.
        wanted: &'static str,
    },
    /// Its fields have other types than those of its kind.
    #[error("its fields are not those of a {wanted}")]
    Fields {
        /// What was looked for.
        wanted: &'static str,
    },
}

/// A kind that is read into its type.
pub trait KnownKind: Resource + DeserializeOwned + serde::Serialize {}

impl<K: Resource + DeserializeOwned + serde::Serialize> KnownKind for K {}

/// A decoded controller, and what of it was left out because this version does not know it.
pub type Decoded<K> = (K, Vec<String>);

/// A `DaemonSet` without its status and the fields that only an API server sets.
///
/// # Errors
/// Where it is none.
pub fn daemon_set(value: &[u8]) -> Result<Decoded<DaemonSet>, DecodeError> {
    controller(value)
}

/// A Deployment, likewise.
///
/// # Errors
/// Where it is none.
pub fn deployment(value: &[u8]) -> Result<Decoded<Deployment>, DecodeError> {
    controller(value)
}

/// Any object that is stored as JSON, as custom resources are.
///
/// # Errors
/// Where it is none.
pub fn json(value: &[u8]) -> Result<Json, DecodeError> {
    match Value::of(value)?.body()?.content {
        Content::Json(bytes) => Ok(parse(&bytes)?),
        Content::Protobuf(_) => Err(Malformed::Json.into()),
    }
}

fn controller<K>(value: &[u8]) -> Result<Decoded<K>, DecodeError>
where
    K: KnownKind,
{
    let body = Value::of(value)?.body()?;
    let mut reader = Reader::default();
    let object = match &body.content {
        Content::Protobuf(bytes) => {
            check_kind::<K>(&body, &VERSIONS)?;
            reader.read(K::KIND, bytes)?
        }
        Content::Json(bytes) => parse(bytes)?,
    };
    typed(object, reader.lost)
}

/// Takes away what only an API server says of an object: nobody needs it for a recovery, and
/// sources differ in it.
pub fn strip(object: &mut Json) {
    if let Some(object) = object.as_object_mut() {
        lost::strip(object);
    }
}

/// An object as an API server gives it in a list, where it may not say its kind.
///
/// # Errors
/// Where it is of another kind.
pub fn listed<K>(object: Json) -> Result<Decoded<K>, DecodeError>
where
    K: KnownKind,
{
    typed(object, Vec::new())
}

fn typed<K>(mut object: Json, mut left: Vec<String>) -> Result<Decoded<K>, DecodeError>
where
    K: KnownKind,
{
    let wanted = K::KIND;
    let fields = || DecodeError::Fields { wanted };
    let map = object.as_object_mut().ok_or_else(fields)?;
    let said = |name: &str| {
        map.get(name)
            .map(|text| text.as_str().unwrap_or_default().to_owned())
    };
    let body = Body {
        api_version: said("apiVersion").unwrap_or_else(|| K::API_VERSION.to_owned()),
        kind: said("kind").unwrap_or_else(|| K::KIND.to_owned()),
        content: Content::Protobuf(Vec::new()),
    };
    check_kind::<K>(&body, &VERSIONS)?;
    map.insert("apiVersion".to_owned(), K::API_VERSION.into());
    map.insert("kind".to_owned(), K::KIND.into());
    lost::strip(map);
    let read: K = serde_json::from_value(object.clone()).map_err(|_| fields())?;
    let again = serde_json::to_value(&read).map_err(|_| fields())?;
    left.extend(lost::between(&object, &again));
    Ok((read, left))
}

fn check_kind<K: Resource>(body: &Body<'_>, versions: &[&str]) -> Result<(), DecodeError> {
    if body.kind == K::KIND && versions.contains(&body.api_version.as_str()) {
        return Ok(());
    }
    let shown = |text: &str| text.chars().take(100).collect();
    Err(DecodeError::Kind {
        kind: shown(&body.kind),
        api_version: shown(&body.api_version),
        wanted: K::KIND,
    })
}

/// Says where, not what: a parser's message may repeat what it could not parse.
fn parse(bytes: &[u8]) -> Result<Json, Malformed> {
    serde_json::from_slice(bytes).map_err(|_| Malformed::Json)
}
