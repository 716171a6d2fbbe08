//! What names may look like: of a node, a group, a containerd namespace, a cgroup.

use crate::config::kinds::quoted;

pub(super) fn dns(text: &str) -> Result<(), String> {
    let label = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    match text {
        text if text.len() <= 253 && text.split('.').all(label) => Ok(()),
        text => Err(format!("{} is no DNS name", quoted(text))),
    }
}

pub(super) fn group(text: &str) -> Result<(), String> {
    let right = (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !text.starts_with('-');
    right
        .then_some(())
        .ok_or_else(|| format!("{} is no group name", quoted(text)))
}

/// What a unit's name must be, in words.
pub(super) const UNIT: &str = "a name of a service unit: NAME.service";

/// A service of systemd.
///
/// Source: `systemd.unit(5)`.
pub(super) fn unit(text: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    let right = text.len() <= 255
        && text
            .strip_suffix(".service")
            .is_some_and(|stem| !stem.is_empty() && stem.bytes().all(allowed));
    right
        .then_some(())
        .ok_or_else(|| format!("{} is no service unit", quoted(text)))
}

/// A containerd namespace.
///
/// Source: containerd `pkg/identifiers/validate.go`.
pub(super) fn containerd(text: &str) -> Result<(), String> {
    let part = |part: &str| {
        part.split(['-', '_'])
            .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    let right = (1..=76).contains(&text.len()) && text.split('.').all(part);
    right
        .then_some(())
        .ok_or_else(|| format!("{} is no containerd namespace", quoted(text)))
}

pub(super) fn cgroup(text: &str) -> Result<(), String> {
    let right = text.len() <= 200
        && text.starts_with('/')
        && text.len() > 1
        && text
            .split('/')
            .skip(1)
            .all(|part| !matches!(part, "" | "." | "..") && !part.contains(char::is_whitespace));
    right
        .then_some(())
        .ok_or_else(|| format!("{} is no cgroup path", quoted(text)))
}

/// A prefix of names in etcd or in an object store; may be empty.
pub(super) fn key_prefix(text: &str) -> Result<(), String> {
    let right = text.len() <= 100
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'))
        && text.split('/').all(|part| !matches!(part, "." | ".."));
    right
        .then_some(())
        .ok_or_else(|| format!("{} is no prefix", quoted(text)))
}

/// A region of an object store.
pub(super) fn region(text: &str) -> Result<(), String> {
    let right = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    right
        .then_some(())
        .ok_or_else(|| format!("{} is no region", quoted(text)))
}

/// A bucket. Source: Amazon S3 user guide, "Bucket naming rules".
pub(super) fn bucket(text: &str) -> Result<(), String> {
    let right = (3..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
    right
        .then_some(())
        .ok_or_else(|| format!("{} is no bucket's name", quoted(text)))
}

/// A file's name: one component, no link upwards, nothing hidden.
pub(super) fn file(text: &str) -> Result<(), String> {
    let right = (1..=255).contains(&text.len())
        && !text.starts_with('.')
        && !text.bytes().any(|b| b == b'/' || b.is_ascii_control());
    right
        .then_some(())
        .ok_or_else(|| format!("{} is no file name", quoted(text)))
}
