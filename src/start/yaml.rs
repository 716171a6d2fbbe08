//! YAML, of which JSON is a part, as plain values.

use serde_json::Value;

/// Every document of `text`; `None`: it is no YAML. The parser's own words may repeat a secret
/// and are left out.
pub(crate) fn documents(text: &[u8]) -> Option<Vec<Value>> {
    // Of YAML 1.1's words for a truth value, `n` and `on` are names in most manifests.
    let options = serde_saphyr::options! { strict_booleans: true };
    let text = std::str::from_utf8(text).ok()?;
    serde_saphyr::from_multiple_with_options(text, options).ok()
}

/// The only document of `text`.
pub(crate) fn document(text: &[u8]) -> Option<Value> {
    let mut documents = documents(text)?;
    let only = documents.pop();
    only.filter(|_| documents.is_empty())
}
