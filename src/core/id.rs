//! Names of pods, checkpoints and revisions, as types: no string surgery elsewhere.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A pod as its source names it. `uid` of a static pod is the kubelet's hash of its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodRef {
    /// Namespace, a DNS label.
    pub namespace: String,
    /// Pod name; of a static pod with the kubelet's `-<node>` suffix.
    pub name: String,
    /// Pod uid.
    pub uid: String,
}

impl fmt::Display for PodRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The key of a checkpoint: `<kind>.<namespace>.<name>` of the parent's controller, or
/// `pod.<namespace>.<name>` where it has none. Kind and namespace contain no dot, so two
/// different controllers never share a key (scenario C15). Safe as a file name by construction:
/// only [`CheckpointId::new`] and [`CheckpointId::parse`] make one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct CheckpointId(String);

/// Why some text is no checkpoint id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no checkpoint id: {cause}")]
pub struct BadId {
    /// The offending text, at most 80 characters of it.
    pub text: String,
    /// What is wrong with it.
    pub cause: &'static str,
}

impl CheckpointId {
    /// The key for a controller of `kind` (any case) named `namespace`/`name`.
    ///
    /// # Errors
    /// Where a part is empty, too long for a file name, or not of Kubernetes' name characters
    /// (lower-case letters, digits, `-` and, in the last part, `.`).
    pub fn new(kind: &str, namespace: &str, name: &str) -> Result<Self, BadId> {
        Self::parse(&format!("{}.{namespace}.{name}", kind.to_ascii_lowercase()))
    }

    /// Reads a key back from text: a file name, an argument, stored state.
    ///
    /// # Errors
    /// As [`CheckpointId::new`].
    pub fn parse(text: &str) -> Result<Self, BadId> {
        let bad = |cause| {
            Err(BadId {
                text: text.chars().take(80).collect(),
                cause,
            })
        };
        let mut parts = text.splitn(3, '.');
        let (Some(kind), Some(namespace), Some(name)) = (parts.next(), parts.next(), parts.next())
        else {
            return bad("it is not of the form kind.namespace.name");
        };
        if text.len() > 200 {
            return bad("it is longer than 200 characters");
        }
        let label = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if !label(kind) || !label(namespace) {
            return bad("kind and namespace take lower-case letters, digits and '-'");
        }
        if !name.split('.').all(label) {
            return bad("the name takes lower-case letters, digits, '-' and single dots");
        }
        Ok(Self(text.to_owned()))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Kind, namespace and name of the controller.
    #[must_use]
    pub fn parts(&self) -> (&str, &str, &str) {
        let mut parts = self.0.splitn(3, '.');
        (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        )
    }
}

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for CheckpointId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// One revision of a checkpoint: 16 hex digits of the SHA-256 over the parent's rendered
/// manifest and data. The same content has the same revision.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RevisionId(String);

impl RevisionId {
    /// Reads a revision from text.
    ///
    /// # Errors
    /// Where it is not 16 lower-case hex digits.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        if text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(Self(text.to_owned()));
        }
        Err(BadId {
            text: text.chars().take(80).collect(),
            cause: "a revision is 16 lower-case hex digits",
        })
    }

    /// The revision as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RevisionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
