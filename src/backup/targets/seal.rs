//! Encryption to `age` recipients, such that an upload can be resumed after a kill.
//!
//! The header (with the file key wrapped for each recipient) is made by the `age` crate. The
//! payload is written here, because it must be possible to write the same bytes again in a later
//! life of this process, from any point: the key of one object is kept with the state of its
//! upload, beside the very files that it encrypts, and is forgotten when the copy is complete.
//!
//! Source: age-encryption.org/v1, "Payload": HKDF-SHA-256 of the file key with the nonce as salt
//! and `payload` as info; chunks of 64 KiB by ChaCha20-Poly1305; the nonce of a chunk is its number
//! in 11 bytes, big endian, and one byte that is 1 for the last.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use age::secrecy::ExposeSecret;
use age_core::format::{FileKey, Stanza};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use serde::{Deserialize, Serialize};

/// Bytes of a chunk before it is encrypted.
pub(super) const CHUNK: usize = 64 << 10;
/// Bytes that encryption adds to each chunk.
const TAG: u64 = 16;
/// Bytes of the payload's nonce, at the end of the header.
const NONCE: usize = 16;

/// Someone whom copies are encrypted to.
pub(super) type Recipient = age::x25519::Recipient;

/// Whether `text` is an `age` recipient that copies can be encrypted to; says why not.
///
/// # Errors
/// Where it is none.
pub fn check_recipient(text: &str) -> Result<(), &'static str> {
    text.parse::<Recipient>().map(drop)
}

/// Why something cannot be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// `age` refuses the recipients.
    #[error("age refuses the recipients")]
    Recipients,
    /// The kept key is none.
    #[error("the kept key of this upload is not usable")]
    Key,
    /// The cipher fails, which it cannot.
    #[error("encryption failed")]
    Cipher,
}

/// What is needed to encrypt one object again in the same way. It opens that one object.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SealKey {
    /// Header and nonce, base64.
    header: String,
    /// The payload's key, base64.
    key: String,
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealKey").finish_non_exhaustive()
    }
}

/// Passes a recipient on to `age` and keeps the file key that `age` made.
struct Overheard<'a> {
    recipient: &'a Recipient,
    key: RefCell<Option<[u8; 16]>>,
}

impl age::Recipient for Overheard<'_> {
    fn wrap_file_key(
        &self,
        file_key: &FileKey,
    ) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        *self.key.borrow_mut() = Some(*file_key.expose_secret());
        self.recipient.wrap_file_key(file_key)
    }
}

struct KeyLength;

impl ring::hkdf::KeyType for KeyLength {
    fn len(&self) -> usize {
        32
    }
}

impl SealKey {
    /// A new key for one object, to these recipients.
    pub(super) fn new(recipients: &[Recipient]) -> Result<Self, SealError> {
        let overheard: Vec<Overheard<'_>> = recipients
            .iter()
            .map(|recipient| Overheard {
                recipient,
                key: RefCell::new(None),
            })
            .collect();
        let all = overheard.iter().map(|one| one as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(all).map_err(|_| SealError::Recipients)?;
        let mut header = Vec::new();
        // Writes the header and the nonce; what would finish the stream is not wanted.
        drop(
            encryptor
                .wrap_output(&mut header)
                .map_err(|_| SealError::Recipients)?,
        );
        let file_key = overheard.first().and_then(|one| *one.key.borrow());
        let file_key = file_key.ok_or(SealError::Recipients)?;
        let nonce = header
            .len()
            .checked_sub(NONCE)
            .and_then(|start| header.get(start..))
            .ok_or(SealError::Recipients)?;
        let mut key = [0; 32];
        Salt::new(HKDF_SHA256, nonce)
            .extract(&file_key)
            .expand(&[b"payload"], KeyLength)
            .and_then(|okm| okm.fill(&mut key))
            .map_err(|_| SealError::Cipher)?;
        Ok(Self {
            header: STANDARD.encode(header),
            key: STANDARD.encode(key),
        })
    }

    /// Ready to encrypt.
    pub(super) fn sealer(&self) -> Result<Sealer, SealError> {
        let header = STANDARD.decode(&self.header).map_err(|_| SealError::Key)?;
        let key = STANDARD.decode(&self.key).map_err(|_| SealError::Key)?;
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).map_err(|_| SealError::Key)?;
        Ok(Sealer {
            header,
            key: LessSafeKey::new(key),
        })
    }
}

/// Encrypts the chunks of one object.
pub(super) struct Sealer {
    /// What the object begins with.
    pub(super) header: Vec<u8>,
    key: LessSafeKey,
}

impl Sealer {
    /// How long an object of so many bytes gets.
    pub(super) fn sealed_length(&self, plain: u64) -> u64 {
        let chunks = plain.div_ceil(CHUNK as u64).max(1);
        (self.header.len() as u64)
            .saturating_add(plain)
            .saturating_add(chunks.saturating_mul(TAG))
    }

    /// Encrypts the chunk with this number in place.
    pub(super) fn seal(
        &self,
        number: u64,
        last: bool,
        chunk: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        let mut nonce = [0; 12];
        let (_, counter) = nonce.split_at_mut(3);
        let (counter, flag) = counter.split_at_mut(8);
        counter.copy_from_slice(&number.to_be_bytes());
        flag.fill(u8::from(last));
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(nonce, Aad::empty(), chunk)
            .map_err(|_| SealError::Cipher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn sealed(plain: &[u8], key: &SealKey) -> Vec<u8> {
        let sealer = key.sealer().unwrap();
        let mut out = sealer.header.clone();
        let mut chunks: Vec<&[u8]> = plain.chunks(CHUNK).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        for (number, chunk) in chunks.iter().enumerate() {
            let mut chunk = chunk.to_vec();
            let last = number + 1 == chunks.len();
            sealer.seal(number as u64, last, &mut chunk).unwrap();
            out.extend(chunk);
        }
        assert_eq!(out.len() as u64, sealer.sealed_length(plain.len() as u64));
        out
    }

    #[test]
    fn age_itself_opens_what_is_sealed_here_at_every_length() {
        let people = [
            age::x25519::Identity::generate(),
            age::x25519::Identity::generate(),
        ];
        let recipients = [people[0].to_public(), people[1].to_public()];
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7] {
            let plain: Vec<u8> = (0..length)
                .map(|at| u8::try_from(at % 251).unwrap())
                .collect();
            let key = SealKey::new(&recipients).unwrap();
            let text = sealed(&plain, &key);
            assert_eq!(text, sealed(&plain, &key), "the same again");
            for person in &people {
                let opened = age::Decryptor::new(text.as_slice()).unwrap();
                let mut opened = opened
                    .decrypt(std::iter::once(person as &dyn age::Identity))
                    .unwrap();
                let mut back = Vec::new();
                opened.read_to_end(&mut back).unwrap();
                assert!(back == plain, "{length} bytes come back");
            }
        }
    }

    #[test]
    fn two_objects_never_share_a_key_and_none_is_shown() {
        let recipients = [age::x25519::Identity::generate().to_public()];
        let (one, two) = (
            SealKey::new(&recipients).unwrap(),
            SealKey::new(&recipients).unwrap(),
        );
        assert!(one.key != two.key && one.header != two.header);
        assert!(!format!("{one:?}").contains(&one.key));
    }
}
