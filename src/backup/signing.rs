//! Who made a backup: Ed25519 signatures over manifests, with a key pair of this node that is made
//! once and stays in the state directory (scenario B10).
//!
//! The private key is `backup/signing-key` of the state directory (PKCS#8, 0600), the public one
//! `backup/signing-key.pub` beside it, one line of text. A damaged private key is never replaced
//! by a new one on its own: then nothing of before would be trusted any more without a word.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::STATE;
use crate::store::dir::{Dir, ReadError};
use crate::store::durable::{self, Attributes, DurableError};
use crate::store::lock::{self, LockError};

/// The private key's file in `backup/` of the state directory.
pub const PRIVATE: &str = "signing-key";
/// The public key's file.
pub const PUBLIC: &str = "signing-key.pub";

const PREFIX: &str = "rekindle-ed25519:";
/// What is signed before the manifest's bytes, so that no other text of this key's passes for one.
const CONTEXT: &[u8] = b"rekindle backup manifest 1\n";
const LIMIT: u64 = 4096;

/// A key that signatures are checked with: `rekindle-ed25519:` and 32 bytes in base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads it back from text; white space around it does not count.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.trim().strip_prefix(PREFIX)?).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a key cannot be had. Never holds a byte of it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key's directory is in use or cannot be made.
    #[error("the directory of the signing key cannot be used")]
    Place(#[from] LockError),
    /// A key cannot be read.
    #[error("the key cannot be read")]
    Read(#[from] ReadError),
    /// It is no key.
    #[error("{} holds no {what}", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// `private Ed25519 key`, `public key of the form rekindle-ed25519:BASE64`.
        what: &'static str,
    },
    /// A new one cannot be made.
    #[error("the kernel gives no random bytes")]
    Random,
    /// A new one cannot be stored.
    #[error("the signing key cannot be stored")]
    Write(#[from] DurableError),
}

impl KeyError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotAKey { path, .. } if path.ends_with(PRIVATE) => Some(format!(
                "move {} aside and a new key is made; backups of the old key then need \
                 `--trusted-key` with the old {PUBLIC}",
                path.display()
            )),
            _ => None,
        }
    }
}

/// The key pair of this node. Nothing of it in `Debug` but the public key.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// The key pair below `state_dir`, made where there is none yet. Blocks.
    ///
    /// # Errors
    /// Where it cannot be read or made; what is there is then untouched.
    pub fn open_or_create(state_dir: &Path) -> Result<Self, KeyError> {
        let place = state_dir.join(STATE);
        let _lock = lock::wait(&place.join(super::LOCK))?;
        let dir = durable::ensure_root(&place)?;
        let signer = match dir.read(PRIVATE, LIMIT) {
            Ok((bytes, _)) => Self::of(&bytes, &place)?,
            Err(error) if error.is_absent() => {
                let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
                    .map_err(|_| KeyError::Random)?;
                let ours = Attributes::ours(0o600);
                durable::write_in(&dir, PRIVATE, made.as_ref(), &ours, &dir)?;
                Self::of(made.as_ref(), &place)?
            }
            Err(error) => return Err(error.into()),
        };
        let line = format!("{}\n", signer.public);
        if !matches!(dir.read(PUBLIC, LIMIT), Ok((bytes, _)) if bytes == line.as_bytes()) {
            let readable = Attributes::ours(0o644);
            durable::write_in(&dir, PUBLIC, line.as_bytes(), &readable, &dir)?;
        }
        Ok(signer)
    }

    fn of(pkcs8: &[u8], place: &Path) -> Result<Self, KeyError> {
        let not_a_key = || KeyError::NotAKey {
            path: place.join(PRIVATE),
            what: "private Ed25519 key",
        };
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| not_a_key())?;
        let bytes = pair.public_key().as_ref();
        let public = PublicKey(bytes.try_into().map_err(|_| not_a_key())?);
        Ok(Self { pair, public })
    }

    /// What its signatures are checked with.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The text of `manifest.sig` for these bytes: the public key, and the signature in base64.
    pub fn sign(&self, manifest: &[u8]) -> String {
        let signature = self.pair.sign(&[CONTEXT, manifest].concat());
        format!("{}\n{}\n", self.public, STANDARD.encode(signature))
    }
}

/// The keys whose signatures count.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    keys: Vec<PublicKey>,
}

/// Why a manifest's signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Nothing is signed.
    #[error("it has no signature (manifest.sig is missing)")]
    Missing,
    /// The file is no signature.
    #[error("manifest.sig is no signature")]
    Garbled,
    /// Made by a key that nobody here vouches for.
    #[error("it is signed by a key that this node does not know, {0}")]
    UnknownKey(PublicKey),
    /// The manifest is not what was signed, or the signature is not the key's.
    #[error("the signature does not fit the manifest: one of them was altered")]
    Wrong,
}

impl SignatureError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownKey(_) => format!(
                "where it was taken on another machine, bring that machine's public key \
                 (/var/lib/rekindle/{STATE}/{PUBLIC}) and give it with `--trusted-key FILE`; \
                 `--allow-unsigned` goes on without, and then nobody knows who made this backup: \
                 it may hold an attacker's Secrets and roles"
            ),
            Self::Missing | Self::Garbled | Self::Wrong => {
                "take another backup or another copy of this one; `--allow-unsigned` goes on \
                 without a signature, and then nobody knows who made this backup: it may hold an \
                 attacker's Secrets and roles"
                    .to_owned()
            }
        }
    }
}

impl Trust {
    /// This node's own key, where it has one, and those of the files `extra`, a key a line.
    ///
    /// # Errors
    /// Where a file of `extra` is no key, or the own key is there and cannot be read.
    pub fn of(state_dir: &Path, extra: &[PathBuf]) -> Result<Self, KeyError> {
        let mut keys = own(&state_dir.join(STATE))?;
        for path in extra {
            let bytes = read(path)?;
            keys.extend(parse_all(&bytes, path)?);
        }
        Ok(Self { keys })
    }

    /// Exactly these keys.
    pub fn in_keys(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self {
            keys: keys.into_iter().collect(),
        }
    }

    /// Whether `signature`, the text of `manifest.sig`, is a trusted key's over `manifest`.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, manifest: &[u8], signature: &str) -> Result<PublicKey, SignatureError> {
        let mut lines = signature.lines();
        let (Some(key), Some(text), None) = (lines.next(), lines.next(), lines.next()) else {
            return Err(SignatureError::Garbled);
        };
        let key = PublicKey::parse(key).ok_or(SignatureError::Garbled)?;
        let bytes = STANDARD.decode(text).map_err(|_| SignatureError::Garbled)?;
        if !self.keys.contains(&key) {
            return Err(SignatureError::UnknownKey(key));
        }
        UnparsedPublicKey::new(&ED25519, key.0)
            .verify(&[CONTEXT, manifest].concat(), &bytes)
            .map_err(|_| SignatureError::Wrong)?;
        Ok(key)
    }
}

/// The public key of this node, of the private one where only that is there.
fn own(place: &Path) -> Result<Vec<PublicKey>, KeyError> {
    let read = |name| Dir::open(place).and_then(|dir| dir.read(name, LIMIT));
    match read(PUBLIC) {
        Ok((bytes, _)) => return parse_all(&bytes, &place.join(PUBLIC)),
        Err(error) if error.is_absent() => {}
        Err(error) => return Err(error.into()),
    }
    match read(PRIVATE) {
        Ok((bytes, _)) => Ok(vec![Signer::of(&bytes, place)?.public]),
        Err(error) if error.is_absent() => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let dir = Dir::open(parent.unwrap_or(Path::new(".")))?;
    Ok(dir.read(name.unwrap_or_default(), LIMIT)?.0)
}

fn parse_all(bytes: &[u8], path: &Path) -> Result<Vec<PublicKey>, KeyError> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let keys: Option<Vec<PublicKey>> = lines.map(PublicKey::parse).collect();
    keys.filter(|keys| !keys.is_empty())
        .ok_or_else(|| KeyError::NotAKey {
            path: path.to_owned(),
            what: "public key of the form rekindle-ed25519:BASE64",
        })
}
