//! Opens values that are encrypted at rest: with the configuration that was given, or with those
//! that lie in the backup, which are looked for when the first such value is met.

use std::fmt::Write as _;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretSlice};

use super::wanted::Resource;
use crate::backup::bundle::{Bundle, Configurations, configurations};
use crate::core::reading::chain;
use crate::encryption::{EncryptionConfiguration, Refusal, Scheme};
use crate::objects::Value;

/// What there is to open values with.
#[derive(Debug)]
pub(super) struct Unseal {
    given: Option<Arc<EncryptionConfiguration>>,
    bundle: Option<Bundle>,
    /// What was found in the bundle, or why nothing was.
    found: Option<Result<Configurations, String>>,
}

impl Unseal {
    pub(super) fn new(given: Option<Arc<EncryptionConfiguration>>, bundle: Option<Bundle>) -> Self {
        Self {
            given,
            bundle,
            found: None,
        }
    }

    /// The plain form of the value under `key`, or why there is none.
    pub(super) fn open(
        &mut self,
        resource: Resource,
        key: &[u8],
        value: &[u8],
    ) -> Result<SecretSlice<u8>, String> {
        let Some(scheme) = Scheme::of(value) else {
            return Ok(SecretSlice::from(value.to_vec()));
        };
        if let Some(given) = &self.given {
            return open(given, &scheme, resource, key, value).map_err(|error| error.to_string());
        }
        let missing = || format!("it is encrypted at rest ({scheme})");
        let Some(bundle) = &self.bundle else {
            let mut why = missing();
            why.push_str(", and no encryption configuration is given (--encryption-config FILE)");
            return Err(why);
        };
        let search = || configurations(bundle).map_err(|error| chain(&error));
        let found = match self.found.get_or_insert_with(search) {
            Ok(found) => found,
            Err(error) => {
                let mut why = missing();
                let _ = write!(why, ", and the backup's own files cannot be read: {error}");
                return Err(why);
            }
        };
        let mut refused = None;
        for (_, configuration) in &found.usable {
            match open(configuration, &scheme, resource, key, value) {
                Ok(plain) => return Ok(plain),
                Err(refusal) => refused = Some(refused.unwrap_or(refusal)),
            }
        }
        Err(refused.map_or_else(
            || {
                let mut why = missing();
                why.push_str(
                    ", and no encryption configuration is given (--encryption-config FILE) or lies \
                     in the backup",
                );
                for unusable in &found.unusable {
                    let _ = write!(why, "; unusable: {unusable}");
                }
                why
            },
            |refusal| refusal.to_string(),
        ))
    }
}

/// Opens the value, and proves by its form that it is open: AES-CBC is not authenticated.
fn open(
    configuration: &EncryptionConfiguration,
    scheme: &Scheme,
    resource: Resource,
    key: &[u8],
    value: &[u8],
) -> Result<SecretSlice<u8>, Refusal> {
    let plain = configuration.open(resource.plural(), key, value)?;
    match Value::of(plain.expose_secret()) {
        Ok(Value::Encrypted(_)) | Err(_) => Err(Refusal::WrongKey {
            scheme: scheme.clone(),
        }),
        Ok(_) => Ok(plain),
    }
}
