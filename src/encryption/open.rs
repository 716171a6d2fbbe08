//! Opens an encrypted value with the key that its prefix names.

use aes::cipher::KeyIvInit;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockCipherDecrypt, BlockModeDecrypt};
use aes::{Aes128, Aes192, Aes256};
use aes_gcm::aead::consts::U12;
use aes_gcm::{AeadInOut, AesGcm, KeyInit};
use crypto_secretbox::{AeadInPlace, XSalsa20Poly1305};
use secrecy::{ExposeSecret, SecretSlice};

use super::document::{Algorithm, EncryptionConfiguration, Entry, Key, Provider};
use super::scheme::{ENCRYPTED, Scheme};

/// Why a value cannot be opened. Never holds any of the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No item of the configuration is for this resource.
    #[error(
        "it is encrypted ({scheme}), and the encryption configuration says nothing of {resource}"
    )]
    NotConfigured {
        /// How it is encrypted.
        scheme: Scheme,
        /// The resource.
        resource: String,
    },
    /// The configuration has no such key.
    #[error("it is encrypted ({scheme}), and the encryption configuration has no such key")]
    NoKey {
        /// How it is encrypted.
        scheme: Scheme,
    },
    /// The key of that name does not open it.
    #[error(
        "it is encrypted ({scheme}), and the key of that name in the encryption configuration is another one, or the value is damaged"
    )]
    WrongKey {
        /// How it is encrypted.
        scheme: Scheme,
    },
    /// A KMS plug-in has the key.
    #[error(
        "it is encrypted by the KMS plug-in {name:?} ({version}), which alone has the key: it cannot be opened here"
    )]
    Kms {
        /// The plug-in's name.
        name: String,
        /// `v1` or `v2`.
        version: String,
    },
    /// A provider of a newer Kubernetes.
    #[error("it is encrypted by {provider:?}, which this program does not know")]
    UnknownProvider {
        /// The provider's name.
        provider: String,
    },
}

impl EncryptionConfiguration {
    /// The plain form of what is stored at `key` (the whole etcd key). `resource` is what stands
    /// between the API server's prefix and the object's name: `secrets`, `example.com/widgets`. A
    /// value that is not encrypted is returned as it is.
    ///
    /// Keys of built-in resources do not tell their API group, so every item that may mean the
    /// resource is tried where the API server takes the first one: it cannot matter but for two
    /// keys of the same name.
    ///
    /// AES-CBC is not authenticated: a wrong key of the right name gives noise in one of about 256
    /// cases instead of an error. The caller sees that when it decodes.
    ///
    /// # Errors
    /// As the variants say.
    pub fn open(
        &self,
        resource: &str,
        key: &[u8],
        value: &[u8],
    ) -> Result<SecretSlice<u8>, Refusal> {
        let Some(scheme) = Scheme::of(value) else {
            return Ok(SecretSlice::from(value.to_vec()));
        };
        match scheme.provider.as_str() {
            "aescbc" | "aesgcm" | "secretbox" => {}
            "kms" => {
                return Err(Refusal::Kms {
                    name: scheme.name,
                    version: scheme.version,
                });
            }
            _ => {
                return Err(Refusal::UnknownProvider {
                    provider: scheme.provider,
                });
            }
        }
        let entries = || self.entries.iter().filter(|entry| entry.may_mean(resource));
        if entries().next().is_none() {
            return Err(Refusal::NotConfigured {
                scheme,
                resource: resource.to_owned(),
            });
        }
        let mut named = false;
        for (algorithm, keys) in entries().flat_map(Entry::keys) {
            for it in keys {
                let Some(sealed) = sealed(algorithm, it, value) else {
                    continue;
                };
                named = true;
                if let Some(plain) = opened(algorithm, it.secret.expose_secret(), key, sealed) {
                    return Ok(SecretSlice::from(plain));
                }
            }
        }
        Err(if named {
            Refusal::WrongKey { scheme }
        } else {
            Refusal::NoKey { scheme }
        })
    }

    /// Names of the KMS plug-ins that it mentions.
    pub fn kms(&self) -> Vec<String> {
        let providers = self.entries.iter().flat_map(|entry| &entry.providers);
        let kms = providers.filter_map(|provider| match provider {
            Provider::Kms { name, version } => Some(format!("{name} ({version})")),
            _ => None,
        });
        kms.collect()
    }
}

impl Entry {
    /// The entry may be for `resource`, a name or `group/name`.
    ///
    /// Source: Kubernetes 1.27 `encryptionconfig/config.go`: `secrets`, `deployments.apps`,
    /// `*.apps`, `*.` (the core group), `*.*`.
    fn may_mean(&self, resource: &str) -> bool {
        let (group, name) = match resource.split_once('/') {
            Some((group, name)) => (Some(group), name),
            None => (None, resource),
        };
        self.resources.iter().any(|written| {
            let (wanted, in_group) = match written.split_once('.') {
                Some((wanted, in_group)) => (wanted, in_group),
                None => (written.as_str(), ""),
            };
            let named = wanted == "*" || wanted == name;
            let grouped = in_group == "*" || group.is_none_or(|group| group == in_group);
            named && grouped
        })
    }

    fn keys(&self) -> impl Iterator<Item = (Algorithm, &[Key])> {
        self.providers.iter().filter_map(|provider| match provider {
            Provider::Keys(algorithm, keys) => Some((*algorithm, keys.as_slice())),
            Provider::Identity | Provider::Kms { .. } => None,
        })
    }
}

/// What follows the prefix of this key; `None`: it is another key's.
fn sealed<'a>(algorithm: Algorithm, key: &Key, value: &'a [u8]) -> Option<&'a [u8]> {
    let rest = value.strip_prefix(ENCRYPTED)?;
    let rest = rest.strip_prefix(algorithm.word().as_bytes())?;
    let rest = rest.strip_prefix(b":v1:")?;
    rest.strip_prefix(key.name.as_bytes())?.strip_prefix(b":")
}

fn opened(algorithm: Algorithm, secret: &[u8], key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    match (algorithm, secret.len()) {
        (Algorithm::AesCbc, 16) => cbc::<Aes128>(secret, sealed),
        (Algorithm::AesCbc, 24) => cbc::<Aes192>(secret, sealed),
        (Algorithm::AesCbc, 32) => cbc::<Aes256>(secret, sealed),
        (Algorithm::AesGcm, 16) => gcm::<AesGcm<Aes128, U12>>(secret, key, sealed),
        (Algorithm::AesGcm, 24) => gcm::<AesGcm<Aes192, U12>>(secret, key, sealed),
        (Algorithm::AesGcm, 32) => gcm::<AesGcm<Aes256, U12>>(secret, key, sealed),
        (Algorithm::SecretBox, 32) => secretbox(secret, sealed),
        _ => None,
    }
}

fn cbc<C>(secret: &[u8], sealed: &[u8]) -> Option<Vec<u8>>
where
    C: BlockCipherDecrypt + aes::cipher::KeyInit,
    ::cbc::Decryptor<C>: KeyIvInit + BlockModeDecrypt,
{
    let (iv, body) = sealed.split_at_checked(16)?;
    let cipher = <::cbc::Decryptor<C> as KeyIvInit>::new_from_slices(secret, iv).ok()?;
    let mut plain = body.to_vec();
    let length = cipher.decrypt_padded::<Pkcs7>(&mut plain).ok()?.len();
    plain.truncate(length);
    Some(plain)
}

fn gcm<C: KeyInit + AeadInOut>(secret: &[u8], key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, body) = sealed.split_at_checked(12)?;
    let cipher = C::new_from_slice(secret).ok()?;
    let mut plain = body.to_vec();
    let nonce = nonce.try_into().ok()?;
    cipher.decrypt_in_place(nonce, key, &mut plain).ok()?;
    Some(plain)
}

fn secretbox(secret: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    use crypto_secretbox::KeyInit;
    let (nonce, body) = sealed.split_at_checked(24)?;
    let cipher = XSalsa20Poly1305::new_from_slice(secret).ok()?;
    let mut plain = body.to_vec();
    let nonce = crypto_secretbox::Nonce::from_slice(nonce);
    cipher.decrypt_in_place(nonce, b"", &mut plain).ok()?;
    Some(plain)
}
