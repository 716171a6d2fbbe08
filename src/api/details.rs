//! What is stored of one checkpoint, with every secret hidden.
//!
//! Values of environment variables and contents of files never leave here, nor do digests of
//! them: a short secret could be guessed from its digest. Of two revisions it is only said that a
//! hidden value or a file differs (invariant 13).

use std::collections::BTreeMap;

use serde_json::Value;

use super::wire::{Details, File, Revision};
use crate::core::id::{CheckpointId, RevisionId};
use crate::store;
use crate::store::inventory::{FileEntry, Whole};
use crate::store::revisions::Revisions;

/// Shown in place of a value.
const HIDDEN: &str = "<hidden>";
/// Shown in place of a value that differs from the good revision's.
const HIDDEN_DIFFERS: &str = "<hidden, differs from the good revision>";
/// Annotations that may repeat the whole spec, values included.
const SPEC_COPIES: [&str; 1] = ["kubectl.kubernetes.io/last-applied-configuration"];

/// Reads and checks both revisions. Blocking. What cannot be read is told in `problems`.
#[must_use]
pub fn read(
    revisions: &Revisions,
    id: &CheckpointId,
    good: Option<&RevisionId>,
    candidate: Option<&RevisionId>,
) -> Details {
    let mut problems = Vec::new();
    let mut whole = |revision: Option<&RevisionId>| {
        let revision = revision?;
        match revisions.verified(id, revision) {
            Ok(whole) => Some((revision.to_string(), whole)),
            Err(error) => {
                problems.push(store::chain(&error));
                None
            }
        }
    };
    let good = whole(good);
    let candidate = whole(candidate);
    let reference = good.as_ref().map(|(_, whole)| whole);
    Details {
        good: good.as_ref().map(|(name, whole)| shown(name, whole, None)),
        candidate: candidate
            .as_ref()
            .map(|(name, whole)| shown(name, whole, reference)),
        problems,
    }
}

/// `reference` is the good revision, to tell differences from; `None` tells none.
fn shown(name: &str, whole: &Whole, reference: Option<&Whole>) -> Revision {
    let manifest = |whole: &Whole| serde_json::to_value(&whole.pod).unwrap_or(Value::Null);
    let good = reference.map(manifest);
    let mut shown = manifest(whole);
    hide(&mut shown, good.as_ref());
    let known: BTreeMap<&str, &FileEntry> = reference
        .map(|good| by_path(good).collect())
        .unwrap_or_default();
    let files = by_path(whole).map(|(path, file)| File {
        path: path.to_owned(),
        mode: file.mode,
        uid: file.uid,
        gid: file.gid,
        bytes: file.bytes,
        differs: reference.is_some()
            && known
                .get(path)
                .is_none_or(|good| good.sha256 != file.sha256),
    });
    Revision {
        revision: name.to_owned(),
        manifest: shown,
        files: files.collect(),
        notes: whole.inventory.notes.clone(),
    }
}

/// The data files of a revision, without its manifest.
fn by_path(whole: &Whole) -> impl Iterator<Item = (&str, &FileEntry)> {
    let prefix = concat!("data", "/");
    whole
        .inventory
        .files
        .iter()
        .filter_map(move |file| Some((file.path.strip_prefix(prefix)?, file)))
}

/// Hides every environment value and every copy of the spec in annotations.
pub fn hide(pod: &mut Value, good: Option<&Value>) {
    let annotations = pod.pointer_mut("/metadata/annotations");
    if let Some(Value::Object(annotations)) = annotations {
        for (name, value) in annotations {
            if SPEC_COPIES.contains(&name.as_str()) {
                *value = Value::from(HIDDEN);
            }
        }
    }
    for kind in ["containers", "initContainers", "ephemeralContainers"] {
        let pointer = format!("/spec/{kind}");
        let Some(Value::Array(containers)) = pod.pointer_mut(&pointer) else {
            continue;
        };
        for container in containers {
            let name = container.get("name").cloned();
            let twin = good
                .and_then(|good| good.pointer(&pointer)?.as_array())
                .and_then(|all| all.iter().find(|other| other.get("name") == name.as_ref()));
            hide_env(container, good.map(|_| twin.unwrap_or(&Value::Null)));
        }
    }
}

fn hide_env(container: &mut Value, twin: Option<&Value>) {
    let Some(Value::Array(variables)) = container.get_mut("env") else {
        return;
    };
    for variable in variables {
        let name = variable.get("name").cloned();
        let before = twin.and_then(|twin| {
            let all = twin.get("env")?.as_array()?;
            all.iter()
                .find(|other| other.get("name") == name.as_ref())?
                .get("value")
        });
        if let Some(value) = variable.get_mut("value") {
            let differs = twin.is_some() && before != Some(&*value);
            *value = Value::from(if differs { HIDDEN_DIFFERS } else { HIDDEN });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::hide;

    fn pod(token: &str) -> Value {
        json!({
            "metadata": {"annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": format!("{{\"x\":\"{token}\"}}"),
                "other": "kept"
            }},
            "spec": {
                "initContainers": [{"name": "i", "env": [{"name": "T", "value": token}]}],
                "containers": [
                    {"name": "a", "env": [{"name": "T", "value": token}, {"name": "U", "value": "same-value"}]},
                    {"name": "b", "args": ["--x"]}
                ]
            }
        })
    }

    #[test]
    fn no_value_is_shown_and_a_difference_is() {
        let good = pod("old-secret");
        let mut new = pod("new-secret");
        hide(&mut new, Some(&good));
        let text = new.to_string();
        for secret in ["old-secret", "new-secret", "same-value"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert_eq!(text.matches("<hidden, differs").count(), 2, "{text}");
        assert_eq!(
            new.pointer("/spec/containers/0/env/1/value"),
            Some(&json!("<hidden>"))
        );
        assert_eq!(
            new.pointer("/metadata/annotations/other"),
            Some(&json!("kept"))
        );
        assert_eq!(
            new.pointer("/spec/containers/1"),
            good.pointer("/spec/containers/1")
        );

        let mut alone = good;
        hide(&mut alone, None);
        assert!(
            !alone.to_string().contains("differs"),
            "nothing to differ from"
        );
    }
}
