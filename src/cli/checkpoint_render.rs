//! `rekindle checkpoint render`: what would be stored for the parents of a pod list. Needs no
//! daemon and no cluster, so values of Secrets and `ConfigMap`s are shown by name only.

use k8s_openapi::api::core::v1::Pod;
use serde::Serialize;

use crate::core::id::PodRef;
use crate::core::manifest::ANNOTATION_REVISION;
use crate::core::manifest::gathered::{Gathered, Object};
use crate::core::manifest::list::{ListError, ListedPod, pod_list};
use crate::core::manifest::needs::{Keys, Need, Needs, ObjectKind, ObjectRef, TokenRef, needs};
use crate::core::manifest::needs::{all_containers, references};
use crate::core::manifest::parent::checkpoint_id;
use crate::core::manifest::render::{Outcome, render};
use crate::yaml;

/// How the result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Indented JSON.
    Json,
    /// YAML that a YAML 1.1 reader, such as the kubelet's, reads the same way.
    Yaml,
}

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The input is no pod list.
    #[error("the input is no list of pods")]
    List(#[from] ListError),
    /// The result could not be written as JSON.
    #[error("the result cannot be written as JSON")]
    Json(#[source] serde_json::Error),
    /// The result could not be written as YAML.
    #[error("the result cannot be written as YAML")]
    Yaml(#[source] serde_saphyr::ser::Error),
}

/// Shows, for each parent in a `PodList`, its static pod and what it needs.
///
/// Host paths are below the placeholder of [`crate::core::manifest::rendered`]. There is no
/// revision, because that depends on the data.
///
/// # Errors
/// See [`RenderError`].
pub fn render_pod_list(
    bytes: &[u8],
    node_name: &str,
    node_address: Option<&str>,
    format: Format,
) -> Result<String, RenderError> {
    let pods = pod_list(bytes)?;
    let shown = Shown {
        checkpoints: pods
            .iter()
            .filter_map(|pod| checkpoint(pod, node_name, node_address))
            .collect(),
    };
    match format {
        Format::Json => serde_json::to_string_pretty(&shown)
            .map(|text| text + "\n")
            .map_err(RenderError::Json),
        Format::Yaml => yaml::text(&shown).map_err(RenderError::Yaml),
    }
}

#[derive(Serialize)]
struct Shown {
    checkpoints: Vec<ShownCheckpoint>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownCheckpoint {
    id: Option<String>,
    /// Namespace and name.
    parent: String,
    static_pod: Option<Pod>,
    needs: Vec<ShownNeed>,
    notes: Vec<String>,
    refused: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownNeed {
    kind: &'static str,
    namespace: String,
    name: String,
    /// `*` stands for all keys; a token has none.
    keys: Vec<String>,
    optional: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_seconds: Option<i64>,
}

fn checkpoint(
    listed: &ListedPod,
    node_name: &str,
    node_address: Option<&str>,
) -> Option<ShownCheckpoint> {
    if let Some(bad) = &listed.bad_id {
        return Some(refused(&listed.seen.pod, bad.to_string()));
    }
    let parent = listed.spec.as_deref()?;
    let id = checkpoint_id(parent)?.ok()?;
    let needs = needs(parent);
    let gathered = stand_ins(parent, &needs);
    let mut shown = ShownCheckpoint {
        id: Some(id.to_string()),
        parent: listed.seen.pod.to_string(),
        static_pod: None,
        needs: shown_needs(needs),
        notes: Vec::new(),
        refused: Vec::new(),
    };
    match render(parent, &id, node_name, node_address, &gathered) {
        Outcome::Whole(rendered) => {
            let mut pod = rendered.pod;
            if let Some(annotations) = &mut pod.metadata.annotations {
                annotations.remove(ANNOTATION_REVISION);
            }
            shown.static_pod = Some(pod);
            shown.notes = rendered.notes;
            shown.notes.extend(environments(parent));
        }
        Outcome::Refused(reasons) => shown.refused = reasons,
        // Everything that is needed has a stand-in.
        Outcome::Waiting(missing) => shown.refused = vec![missing],
    }
    if !listed.unknown_fields.is_empty() {
        shown.notes.push(format!(
            "fields that this version does not know are left out: {}",
            listed.unknown_fields.join(", ")
        ));
    }
    Some(shown)
}

fn refused(pod: &PodRef, reason: String) -> ShownCheckpoint {
    ShownCheckpoint {
        id: None,
        parent: pod.to_string(),
        static_pod: None,
        needs: Vec::new(),
        notes: Vec::new(),
        refused: vec![reason],
    }
}

/// Stands in for the data: each value says where the real one comes from.
fn stand_ins(parent: &Pod, needs: &Needs) -> Gathered {
    let mut gathered = Gathered::default();
    for object in needs.objects.keys() {
        gathered
            .objects
            .insert(object.clone(), Some(Object::default()));
    }
    for reference in references(parent) {
        let value = reference
            .key
            .as_deref()
            .map(|key| value(&reference.object, key));
        if let (Some(key), Some(value)) = (reference.key, value)
            && let Some(Some(object)) = gathered.objects.get_mut(&reference.object)
        {
            object.data.insert(key, value.into_bytes());
        }
    }
    for token in &needs.tokens {
        gathered
            .tokens
            .insert(token.clone(), format!("<{token}>").into_bytes());
    }
    gathered
}

fn value(object: &ObjectRef, key: &str) -> String {
    format!("<key {key} of {object}>")
}

/// Says which containers take whole objects into their environment: the names of those variables
/// are not known here.
fn environments(parent: &Pod) -> Vec<String> {
    let mut notes = Vec::new();
    for container in parent.spec.iter().flat_map(all_containers) {
        for from in container.env_from.iter().flatten() {
            let (kind, name) = match (&from.secret_ref, &from.config_map_ref) {
                (Some(secret), _) => (ObjectKind::Secret, &secret.name),
                (None, Some(map)) => (ObjectKind::ConfigMap, &map.name),
                (None, None) => continue,
            };
            let container = &container.name;
            let kind = kind.word();
            notes.push(format!(
                "every key of {kind} {name} becomes an environment variable of container \
                 {container}; they are not known here"
            ));
        }
    }
    notes
}

fn shown_needs(needs: Needs) -> Vec<ShownNeed> {
    let objects = needs.objects.into_iter().map(object_need);
    let tokens = needs.tokens.into_iter().map(token_need);
    objects.chain(tokens).collect()
}

fn object_need((object, need): (ObjectRef, Need)) -> ShownNeed {
    ShownNeed {
        kind: object.kind.word(),
        namespace: object.namespace,
        name: object.name,
        keys: match need.keys {
            Keys::All => vec!["*".to_owned()],
            Keys::Named(keys) => keys.into_iter().collect(),
        },
        optional: need.optional,
        audience: None,
        expiration_seconds: None,
    }
}

fn token_need(token: TokenRef) -> ShownNeed {
    ShownNeed {
        kind: "ServiceAccountToken",
        namespace: token.namespace,
        name: token.service_account,
        keys: Vec::new(),
        optional: false,
        audience: token.audience,
        expiration_seconds: token.expiration_seconds,
    }
}
