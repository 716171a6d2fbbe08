//! The files of one volume: keys become paths, as the kubelet's atomic writer would lay them out.
//! Paths that could leave the volume are refused here, whatever the API server let through (D05).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::KeyToPath;

use super::findings::Findings;
use super::gathered::Object;

/// One file of a volume before it has an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) content: Vec<u8>,
    /// Declared permission bits.
    pub(super) mode: u32,
    /// Declared owner, where the volume names one.
    pub(super) user: Option<i64>,
}

/// How a volume or projection declares its files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Declared<'a> {
    pub(super) items: Option<&'a Vec<KeyToPath>>,
    pub(super) optional: Option<bool>,
    pub(super) mode: Option<i32>,
    pub(super) user: Option<i64>,
}

/// Files by clean path. Of two files with one path the later wins, as with the kubelet.
/// Source: kubelet 1.20 `pkg/volume/projected/projected.go`, `collectData`.
#[derive(Debug, Default)]
pub(super) struct Payload {
    pub(super) entries: BTreeMap<String, Entry>,
}

impl Payload {
    /// Adds one file.
    pub(super) fn add(&mut self, path: &str, entry: Entry, user: &str, findings: &mut Findings) {
        match clean_path(path) {
            Ok(path) => {
                self.entries.insert(path, entry);
            }
            Err(cause) => findings.refuse(format!(
                "{user} has a file path that {cause}: {}",
                shown(path)
            )),
        }
    }

    /// Adds the keys of an object: all of them, or those that `items` names.
    /// Source: kubelet 1.20 `pkg/volume/secret/secret.go`, `MakePayload`.
    pub(super) fn object(
        &mut self,
        object: &Object,
        declared: Declared<'_>,
        user: &str,
        findings: &mut Findings,
    ) {
        let entry = |content: &[u8], mode: Option<i32>, owner: Option<i64>| Entry {
            content: content.to_vec(),
            mode: permission_bits(mode.or(declared.mode)),
            user: owner.or(declared.user),
        };
        let Some(items) = declared.items.filter(|items| !items.is_empty()) else {
            for (key, value) in object.binary_data.iter().chain(&object.data) {
                if valid_key(key) {
                    self.add(key, entry(value, None, None), user, findings);
                } else {
                    findings.refuse(format!(
                        "{user} has a key that is no file name: {}",
                        shown(key)
                    ));
                }
            }
            return;
        };
        for item in items {
            match object.value(&item.key) {
                Some(value) => {
                    self.add(
                        &item.path,
                        entry(value, item.mode, item.user),
                        user,
                        findings,
                    );
                }
                None if declared.optional == Some(true) => {}
                None => {
                    findings.refuse(format!("{user} needs the missing key {}", shown(&item.key)));
                }
            }
        }
    }
}

/// Kubernetes' rule for keys of Secrets and `ConfigMap`s.
/// Source: Kubernetes 1.20 `apimachinery/pkg/util/validation`, `IsConfigMapKey`.
fn valid_key(key: &str) -> bool {
    let character = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    (1..=253).contains(&key.len())
        && key.bytes().all(character)
        && key != "."
        && !key.starts_with("..")
}

/// Declared modes are three octal digits, 0644 where there are none.
pub(super) fn permission_bits(mode: Option<i32>) -> u32 {
    u32::try_from(mode.unwrap_or(0o644)).unwrap_or(0o644) & 0o777
}

/// A relative path without empty, `.` or `..` parts.
/// Source: kubelet 1.20 `pkg/volume/util/atomic_writer.go`, `validatePath`.
pub(super) fn clean_path(path: &str) -> Result<String, &'static str> {
    if path.starts_with('/') {
        return Err("is absolute");
    }
    if path.len() > 3500 {
        return Err("is longer than 3500 bytes");
    }
    if path.chars().any(char::is_control) {
        return Err("has control characters");
    }
    let parts: Vec<&str> = path
        .split('/')
        .filter(|p| !p.is_empty() && *p != ".")
        .collect();
    match parts.first() {
        None => return Err("is empty"),
        Some(first) if first.starts_with("..") => return Err("starts with '..'"),
        Some(_) => {}
    }
    if parts.contains(&"..") {
        return Err("has a '..' part");
    }
    if parts.iter().any(|part| part.len() > 255) {
        return Err("has a part longer than 255 bytes");
    }
    Ok(parts.join("/"))
}

/// A name from outside, shortened and with odd characters escaped, for a sentence.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    format!("{short:?}")
}
