//! What of an object was lost on the way into its type.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Fields that are told.
const TOLD: usize = 20;

/// Takes away what only an API server says of an object, and what older versions had and no
/// version has now: nobody needs it for a recovery, and sources differ in it.
pub(super) fn strip(object: &mut Map<String, Value>) {
    object.remove("status");
    if let Some(Value::Object(meta)) = object.get_mut("metadata") {
        for gone in [
            "managedFields",
            "selfLink",
            "resourceVersion",
            "clusterName",
        ] {
            meta.remove(gone);
        }
    }
    if let Some(Value::Object(spec)) = object.get_mut("spec") {
        for gone in ["templateGeneration", "rollbackTo"] {
            spec.remove(gone);
        }
    }
}

/// Paths that `written` has and `read` has not, those without content left out.
pub(super) fn between(written: &Value, read: &Value) -> Vec<String> {
    let mut lost = Vec::new();
    walk(written, Some(read), &mut String::new(), &mut lost);
    lost
}

fn walk(written: &Value, read: Option<&Value>, path: &mut String, lost: &mut Vec<String>) {
    if is_empty(written) || lost.len() > TOLD {
        return;
    }
    match (written, read) {
        (_, None) if lost.len() == TOLD => lost.push("more".to_owned()),
        (_, None) => lost.push(path.trim_start_matches('.').to_owned()),
        (Value::Object(written), Some(read)) => {
            for (name, value) in written {
                let length = path.len();
                path.push('.');
                path.extend(name.chars().take(100));
                walk(value, read.get(name), path, lost);
                path.truncate(length);
            }
        }
        (Value::Array(written), Some(read)) => {
            for (index, value) in written.iter().enumerate() {
                let length = path.len();
                let _ = write!(path, "[{index}]");
                walk(value, read.get(index), path, lost);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.iter().all(is_empty),
        Value::Object(map) => map.values().all(is_empty),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::between;

    #[test]
    fn what_is_not_read_is_named() {
        let written = json!({"a": {"b": [{"c": 1, "new": {"x": "y"}}]}, "d": "", "e": {"f": null}});
        let read = json!({"a": {"b": [{"c": 1}]}});
        assert_eq!(between(&written, &read), ["a.b[0].new"]);
        assert_eq!(between(&read, &read), Vec::<String>::new());
    }
}
