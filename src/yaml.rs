//! YAML, of which JSON is a part: one way to read it and one to write it.

use serde::Serialize;
use serde_json::Value;

/// Every document of `text`; `None`: it is no YAML. The parser's own words may repeat a secret
/// and are left out.
#[must_use]
pub fn documents(text: &[u8]) -> Option<Vec<Value>> {
    // Of YAML 1.1's words for a truth value, `n` and `on` are names in most manifests.
    let options = serde_saphyr::options! { strict_booleans: true };
    let text = std::str::from_utf8(text).ok()?;
    serde_saphyr::from_multiple_with_options(text, options).ok()
}

/// The only document of `text`.
#[must_use]
pub fn document(text: &[u8]) -> Option<Value> {
    let mut documents = documents(text)?;
    let only = documents.pop();
    only.filter(|_| documents.is_empty())
}

/// `value` in a form that a YAML 1.1 reader, such as the kubelet's, reads the same way; ends with
/// one end of line.
///
/// # Errors
/// Where it has no text form.
pub fn text<T: Serialize>(value: &T) -> Result<String, serde_saphyr::ser::Error> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let text = serde_saphyr::to_string_with_options(value, options)?;
    Ok(text.trim_end().to_owned() + "\n")
}
