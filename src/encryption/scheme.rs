//! The prefix of an encrypted value: who encrypted it, with which key.

use std::fmt;

/// What every encrypted value begins with.
pub const ENCRYPTED: &[u8] = b"k8s:enc:";

/// Longest word of a prefix that is shown.
const LONGEST: usize = 100;

/// A value's prefix, for people. Which key opens the value is found by comparing whole prefixes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scheme {
    /// `aescbc`, `aesgcm`, `secretbox`, `kms`.
    pub provider: String,
    /// `v1`, `v2`.
    pub version: String,
    /// Name of the key or of the KMS plug-in.
    pub name: String,
}

impl Scheme {
    /// The scheme of a stored value; `None` where it is not encrypted. Parts that are missing are
    /// empty.
    pub fn of(value: &[u8]) -> Option<Self> {
        let rest = value.strip_prefix(ENCRYPTED)?;
        let mut words = rest
            .split(|byte| *byte == b':')
            .map(|word| String::from_utf8_lossy(word.get(..LONGEST).unwrap_or(word)).into_owned());
        let mut word = || words.next().unwrap_or_default();
        Some(Self {
            provider: word(),
            version: word(),
            name: word(),
        })
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, key {:?}", self.provider, self.version, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::Scheme;

    #[test]
    fn prefixes() {
        let scheme = Scheme::of(b"k8s:enc:aescbc:v1:key1:\xff\x00").unwrap();
        assert_eq!(scheme.to_string(), "aescbc v1, key \"key1\"");
        assert_eq!(Scheme::of(b"k8s\0"), None);
        assert_eq!(Scheme::of(b"k8s:enc:").unwrap().provider, "");
    }
}
