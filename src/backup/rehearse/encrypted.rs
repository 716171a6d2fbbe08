//! Encryption at rest: the configuration that lies in the backup, and whether it opens what the
//! backup holds (scenario B09).

use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretSlice};

use crate::backup::bundle::{Bundle, BundleError, search_host};
use crate::encryption::{EncryptionConfiguration, Refusal, Scheme};
use crate::objects::{Place, Value};

/// Larger files are no configuration.
const LARGEST: u64 = 1 << 20;

/// What the backup holds to open encrypted values with.
#[derive(Debug, Default)]
pub(super) struct Keys {
    configurations: Vec<(PathBuf, EncryptionConfiguration)>,
    /// Files that look like one and cannot be used, each with the reason.
    unusable: Vec<String>,
    opened: BTreeMap<Scheme, u64>,
}

impl Keys {
    /// Looks through the host's files in the bundle: by content, since the path is an argument of
    /// an API server that may be described anywhere. Blocks.
    pub(super) fn in_bundle(bundle: &Bundle) -> Result<Self, BundleError> {
        let mut keys = Self::default();
        search_host(bundle, LARGEST, |path, content| {
            if !mentions_kind(content) {
                return;
            }
            match EncryptionConfiguration::parse(content) {
                Ok(configuration) => keys.configurations.push((path.to_owned(), configuration)),
                Err(error) => keys.unusable.push(format!("{}: {error}", path.display())),
            }
        })?;
        Ok(keys)
    }

    /// Opens an encrypted value, and proves by its form that it is open.
    pub(super) fn open(
        &mut self,
        place: &Place<'_>,
        key: &[u8],
        value: &[u8],
    ) -> Result<SecretSlice<u8>, String> {
        let mut refused: Option<Refusal> = None;
        for (_, configuration) in &self.configurations {
            match configuration.open(&place.full_resource(), key, value) {
                Ok(plain) => {
                    let form = Value::of(plain.expose_secret());
                    let scheme = Scheme::of(value);
                    match (form, scheme) {
                        (Ok(Value::Encrypted(_)) | Err(_), Some(scheme)) => {
                            refused = Some(Refusal::WrongKey { scheme });
                        }
                        (_, scheme) => {
                            if let Some(scheme) = scheme {
                                *self.opened.entry(scheme).or_default() += 1;
                            }
                            return Ok(plain);
                        }
                    }
                }
                Err(error) => refused = Some(refused.unwrap_or(error)),
            }
        }
        Err(match refused {
            Some(refusal) => format!("{place} cannot be opened: {refusal}"),
            None => self.missing(place, value),
        })
    }

    fn missing(&self, place: &Place<'_>, value: &[u8]) -> String {
        let how = Scheme::of(value).map_or(String::new(), |scheme| format!(" ({scheme})"));
        let unusable = match self.unusable.as_slice() {
            [] => String::new(),
            some => format!("; unusable: {}", some.join(", ")),
        };
        format!(
            "{place} is encrypted at rest{how}, and the backup holds no encryption configuration: \
             after a restore nobody could read it{unusable}"
        )
    }

    /// What was opened, in words.
    pub(super) fn told(&self) -> String {
        if self.opened.is_empty() {
            return "no value is encrypted at rest".to_owned();
        }
        let opened = self.opened.iter();
        let opened = opened.map(|(scheme, count)| format!("{count} by {scheme}"));
        format!(
            "encrypted values opened with the configuration in the backup: {}",
            opened.collect::<Vec<_>>().join(", ")
        )
    }
}

fn mentions_kind(content: &[u8]) -> bool {
    let words: [&[u8]; 2] = [b"EncryptionConfiguration", b"EncryptionConfig\n"];
    words
        .iter()
        .any(|word| content.windows(word.len()).any(|window| window == *word))
}
