//! Fields of a pod that are newer than this build: found by comparing the JSON with what the
//! typed pod writes again. A best effort for a note; nothing depends on it.

use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// No more than this many names are listed.
const LIMIT: usize = 16;

/// Paths below `spec` that are set in `raw` and lost in `pod`, which was parsed from it.
#[must_use]
pub fn unknown_fields(raw: &str, pod: &Pod) -> Vec<String> {
    let mut lost = Vec::new();
    let document: Result<Document<'_>, _> = serde_json::from_str(raw);
    let (Ok(Document { spec: Some(raw) }), Some(typed)) = (document, &pod.spec) else {
        return lost;
    };
    if let (Ok(raw), Ok(typed)) = (serde_json::from_str(raw.get()), serde_json::to_value(typed)) {
        compare("spec", &raw, &typed, &mut lost);
    }
    lost
}

/// Status and metadata are not looked at.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
}

fn compare(path: &str, raw: &Value, typed: &Value, lost: &mut Vec<String>) {
    match (raw, typed) {
        (Value::Object(raw), Value::Object(typed)) => {
            for (key, value) in raw {
                if lost.len() >= LIMIT {
                    return;
                }
                let path = format!("{path}.{key}");
                match typed.get(key) {
                    Some(kept) => compare(&path, value, kept, lost),
                    None if says_nothing(value) => {}
                    None => lost.push(path),
                }
            }
        }
        (Value::Array(raw), Value::Array(typed)) => {
            for (index, (raw, typed)) in raw.iter().zip(typed).enumerate() {
                compare(&format!("{path}[{index}]"), raw, typed, lost);
            }
        }
        _ => {}
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
