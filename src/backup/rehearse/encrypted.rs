//! Encryption at rest: the configuration that lies in the backup, and whether it opens what the
//! backup holds (scenario B09).

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretSlice};

use crate::backup::bundle::{Bundle, BundleError, Configurations, configurations};
use crate::encryption::{Refusal, Scheme};
use crate::objects::{Place, Value};

/// What the backup holds to open encrypted values with.
#[derive(Debug, Default)]
pub(super) struct Keys {
    found: Configurations,
    opened: BTreeMap<Scheme, u64>,
}

impl Keys {
    /// Looks for them in the bundle. Blocks.
    pub(super) fn in_bundle(bundle: &Bundle) -> Result<Self, BundleError> {
        Ok(Self {
            found: configurations(bundle)?,
            opened: BTreeMap::new(),
        })
    }

    /// Opens an encrypted value, and proves by its form that it is open.
    pub(super) fn open(
        &mut self,
        place: &Place<'_>,
        key: &[u8],
        value: &[u8],
    ) -> Result<SecretSlice<u8>, String> {
        let mut refused: Option<Refusal> = None;
        for (_, configuration) in &self.found.usable {
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
        let unusable = match self.found.unusable.as_slice() {
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
