//! The file of `--encryption-provider-config`, checked as the API server checks it.

use std::fmt;

use k8s_openapi::ByteString;
use secrecy::SecretSlice;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::yaml;

/// Largest configuration that is read, in bytes.
const LIMIT: usize = 1 << 20;

/// An `EncryptionConfiguration`. Its keys never leave it: `Debug` shows their names.
#[derive(Debug)]
pub struct EncryptionConfiguration {
    pub(super) entries: Vec<Entry>,
}

/// One item of `resources`.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) resources: Vec<String>,
    pub(super) providers: Vec<Provider>,
}

/// One item of `providers`.
#[derive(Debug)]
pub(super) enum Provider {
    Identity,
    Keys(Algorithm, Vec<Key>),
    Kms { name: String, version: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    AesCbc,
    AesGcm,
    SecretBox,
}

pub(super) struct Key {
    pub(super) name: String,
    pub(super) secret: SecretSlice<u8>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Algorithm {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::AesCbc => "aescbc",
            Self::AesGcm => "aesgcm",
            Self::SecretBox => "secretbox",
        }
    }

    fn takes(self, bytes: usize) -> bool {
        match self {
            Self::AesCbc | Self::AesGcm => matches!(bytes, 16 | 24 | 32),
            Self::SecretBox => bytes == 32,
        }
    }
}

/// Why a text is no usable encryption configuration. Never holds any of the text: it is a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Larger than 1 MiB.
    #[error("it is larger than 1 MiB")]
    TooLarge,
    /// Neither YAML nor JSON of the right form.
    #[error("it is no EncryptionConfiguration in YAML or JSON")]
    Form,
    /// Another kind or version.
    #[error(
        "it is of another kind or version than EncryptionConfiguration of apiserver.config.k8s.io/v1"
    )]
    Kind,
    /// An item of `resources` without resources or providers.
    #[error("resources[{entry}] has no {missing}")]
    Empty {
        /// Its place, from 0.
        entry: usize,
        /// `resources` or `providers`.
        missing: &'static str,
    },
    /// A provider that is none, or several.
    #[error("resources[{entry}].providers[{provider}] is not exactly one known provider")]
    Provider {
        /// Its place, from 0.
        entry: usize,
        /// Its place, from 0.
        provider: usize,
    },
    /// A key of the wrong length.
    #[error("the {provider} key {name:?} has {bytes} bytes")]
    KeyLength {
        /// The provider.
        provider: &'static str,
        /// The key's name.
        name: String,
        /// The secret's length in bytes.
        bytes: usize,
    },
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    #[serde(default)]
    resources: Vec<WrittenEntry>,
}

#[derive(Deserialize)]
struct WrittenEntry {
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    providers: Vec<WrittenProvider>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenProvider {
    aescbc: Option<WrittenKeys>,
    aesgcm: Option<WrittenKeys>,
    secretbox: Option<WrittenKeys>,
    identity: Option<IgnoredAny>,
    kms: Option<WrittenKms>,
}

#[derive(Deserialize)]
struct WrittenKeys {
    keys: Vec<WrittenKey>,
}

#[derive(Deserialize)]
struct WrittenKey {
    name: String,
    secret: ByteString,
}

#[derive(Deserialize)]
struct WrittenKms {
    name: String,
    #[serde(rename = "apiVersion")]
    api_version: Option<String>,
}

impl EncryptionConfiguration {
    /// Reads YAML or JSON; also of kind `EncryptionConfig` and version `v1`, which Kubernetes 1.7
    /// to 1.12 had.
    ///
    /// # Errors
    /// Where the API server would not start with it, too.
    pub fn parse(text: &[u8]) -> Result<Self, Unreadable> {
        if text.len() > LIMIT {
            return Err(Unreadable::TooLarge);
        }
        let document = yaml::document(text).ok_or(Unreadable::Form)?;
        // The parser's message may repeat what it could not parse.
        let document: Document = serde_json::from_value(document).map_err(|_| Unreadable::Form)?;
        match (document.api_version.as_str(), document.kind.as_str()) {
            ("apiserver.config.k8s.io/v1", "EncryptionConfiguration")
            | ("v1", "EncryptionConfig") => {}
            _ => return Err(Unreadable::Kind),
        }
        let entries = document.resources.into_iter().enumerate();
        let entries = entries.map(|(place, written)| entry(place, written));
        Ok(Self {
            entries: entries.collect::<Result<_, _>>()?,
        })
    }
}

fn entry(place: usize, written: WrittenEntry) -> Result<Entry, Unreadable> {
    for (empty, missing) in [
        (written.resources.is_empty(), "resources"),
        (written.providers.is_empty(), "providers"),
    ] {
        if empty {
            return Err(Unreadable::Empty {
                entry: place,
                missing,
            });
        }
    }
    let providers = written.providers.into_iter().enumerate();
    let providers = providers.map(|(number, written)| {
        provider(written)?.ok_or(Unreadable::Provider {
            entry: place,
            provider: number,
        })
    });
    Ok(Entry {
        providers: providers.collect::<Result<_, _>>()?,
        resources: written.resources,
    })
}

fn provider(written: WrittenProvider) -> Result<Option<Provider>, Unreadable> {
    let keyed = [
        (Algorithm::AesCbc, written.aescbc),
        (Algorithm::AesGcm, written.aesgcm),
        (Algorithm::SecretBox, written.secretbox),
    ];
    let mut found = Vec::new();
    for (algorithm, written) in keyed {
        let Some(written) = written else { continue };
        let keys = written.keys.into_iter().map(|it| key(algorithm, it));
        found.push(Provider::Keys(algorithm, keys.collect::<Result<_, _>>()?));
    }
    found.extend(written.identity.map(|_| Provider::Identity));
    found.extend(written.kms.map(|kms| Provider::Kms {
        name: kms.name,
        version: kms.api_version.unwrap_or_else(|| "v1".to_owned()),
    }));
    let one = found.pop();
    Ok(if found.is_empty() { one } else { None })
}

fn key(algorithm: Algorithm, written: WrittenKey) -> Result<Key, Unreadable> {
    let bytes = written.secret.0.len();
    let secret = SecretSlice::from(written.secret.0);
    if algorithm.takes(bytes) {
        let name = written.name;
        return Ok(Key { name, secret });
    }
    Err(Unreadable::KeyLength {
        provider: algorithm.word(),
        name: written.name,
        bytes,
    })
}
