//! The content of a stored object, whatever its kind.

use std::borrow::Cow;

use prost::Message;

use super::head::{Malformed, Unknown, Value};

/// A stored object: of which kind and version, and its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Body<'a> {
    /// `v1`, `apps/v1`; empty where JSON has yet to say it.
    pub api_version: String,
    /// `Secret`; empty where JSON has yet to say it.
    pub kind: String,
    /// The object.
    pub content: Content<'a>,
}

/// How the object is written.
#[derive(Clone, PartialEq, Eq)]
pub enum Content<'a> {
    /// As the protobuf message of its kind.
    Protobuf(Vec<u8>),
    /// As JSON, its kind and version within.
    Json(Cow<'a, [u8]>),
}

impl std::fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body")
            .field("api_version", &self.api_version)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Protobuf(_) => "Protobuf",
            Self::Json(_) => "Json",
        })
    }
}

impl<'a> Value<'a> {
    /// The object's content.
    ///
    /// # Errors
    /// Where it is none, or not plain.
    pub fn body(&self) -> Result<Body<'a>, Malformed> {
        let json = |content| Body {
            api_version: String::new(),
            kind: String::new(),
            content: Content::Json(content),
        };
        let bytes = match self {
            Self::Protobuf(bytes) => bytes,
            Self::Json(bytes) => return Ok(json(Cow::Borrowed(bytes))),
            Self::Cbor(_) | Self::Encrypted(_) => return Err(Malformed::NotPlain),
        };
        let unknown = Unknown::decode(*bytes).map_err(|_| Malformed::Protobuf)?;
        if !unknown.content_encoding.is_empty() {
            return Err(Malformed::Encoding);
        }
        let kind = unknown.type_meta.unwrap_or_default();
        match unknown.content_type.as_str() {
            "" | "application/vnd.kubernetes.protobuf" => Ok(Body {
                api_version: kind.api_version,
                kind: kind.kind,
                content: Content::Protobuf(unknown.raw),
            }),
            "application/json" => Ok(json(Cow::Owned(unknown.raw))),
            _ => Err(Malformed::Encoding),
        }
    }
}
