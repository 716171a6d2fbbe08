//! Volumes: those with data from the API server become host paths with files, the node's own
//! stay, all others are refused by name.

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, HostPathVolumeSource, ProjectedVolumeSource, Volume, VolumeProjection,
};
use serde_json::Value;

use super::access::Users;
use super::downward::{resource, volume_field};
use super::findings::Findings;
use super::needs::{ObjectKind, token_ref};
use super::payload::{Declared, Entry, Payload, permission_bits, shown};
use super::render::Source;
use super::rendered::DATA_DIR_PLACEHOLDER;
use super::tree::Tree;

/// Converts every volume. The result has those that could be converted.
pub(super) fn convert(
    source: &Source<'_>,
    volumes: &[Volume],
    users: &Users,
    tree: &mut Tree,
    findings: &mut Findings,
) -> Vec<Volume> {
    let mut converted: Vec<Volume> = Vec::with_capacity(volumes.len());
    for volume in volumes {
        if !valid_name(&volume.name) {
            findings.refuse(format!(
                "volume name {} is no DNS label",
                shown(&volume.name)
            ));
        } else if converted.iter().any(|other| other.name == volume.name) {
            findings.refuse(format!("two volumes are named {}", volume.name));
        } else if let Some(volume) = one(source, volume, users, tree, findings) {
            converted.push(volume);
        }
    }
    converted
}

fn one(
    source: &Source<'_>,
    volume: &Volume,
    users: &Users,
    tree: &mut Tree,
    findings: &mut Findings,
) -> Option<Volume> {
    let kinds = kinds(volume);
    let [kind] = kinds.as_slice() else {
        let kinds = if kinds.is_empty() {
            "none that is known".to_owned()
        } else {
            kinds.join(", ")
        };
        findings.refuse(format!(
            "volume {} must have one kind, not {kinds}",
            volume.name
        ));
        return None;
    };
    let user = format!("volume {}", volume.name);
    let mut payload = Payload::default();
    let secret = match kind.as_str() {
        "emptyDir" => return Some(volume.clone()),
        "hostPath" => {
            let path = volume
                .host_path
                .as_ref()
                .map_or("", |host| host.path.as_str());
            if path.starts_with(DATA_DIR_PLACEHOLDER) {
                findings.refuse(format!(
                    "{user} uses the reserved host path {DATA_DIR_PLACEHOLDER}"
                ));
                return None;
            }
            return Some(volume.clone());
        }
        "secret" => {
            let from = volume.secret.as_ref()?;
            let name = from.secret_name.as_deref().unwrap_or_default();
            let declared = Declared {
                items: from.items.as_ref(),
                optional: from.optional,
                mode: from.default_mode,
                user: from.default_user,
            };
            let wanted = (ObjectKind::Secret, name);
            if let Some(object) = findings.object(source, wanted, from.optional, &user) {
                payload.object(object, declared, &user, findings);
            }
            true
        }
        "configMap" => {
            let from = volume.config_map.as_ref()?;
            let declared = Declared {
                items: from.items.as_ref(),
                optional: from.optional,
                mode: from.default_mode,
                user: from.default_user,
            };
            let wanted = (ObjectKind::ConfigMap, from.name.as_str());
            if let Some(object) = findings.object(source, wanted, from.optional, &user) {
                payload.object(object, declared, &user, findings);
            }
            false
        }
        "downwardAPI" => {
            let from = volume.downward_api.as_ref()?;
            let items = from.items.iter().flatten();
            for item in items {
                downward(
                    source,
                    item,
                    (from.default_mode, from.default_user),
                    &user,
                    &mut payload,
                    findings,
                );
            }
            false
        }
        "projected" => projected(
            source,
            volume.projected.as_ref()?,
            &user,
            &mut payload,
            findings,
        ),
        other => {
            findings.refuse(format!(
                "{user} is of kind {other}, which needs more than this node"
            ));
            return None;
        }
    };
    let access = users.access(secret, findings);
    tree.volume(&volume.name, payload, access, findings);
    Some(Volume {
        name: volume.name.clone(),
        host_path: Some(HostPathVolumeSource {
            path: format!("{DATA_DIR_PLACEHOLDER}/{}", volume.name),
            // With this type the kubelet does not start the pod on missing data; without, it
            // would make an empty directory. Source: kubelet 1.20 `pkg/volume/hostpath`.
            type_: Some("Directory".to_owned()),
        }),
        ..Volume::default()
    })
}

/// Returns whether data of Secrets or tokens is among it.
fn projected(
    source: &Source<'_>,
    volume: &ProjectedVolumeSource,
    user: &str,
    payload: &mut Payload,
    findings: &mut Findings,
) -> bool {
    let mut secret = false;
    for part in volume.sources.iter().flatten() {
        let declared = |items, optional| Declared {
            items,
            optional,
            mode: volume.default_mode,
            user: volume.default_user,
        };
        let mut known = false;
        if let Some(from) = &part.secret {
            (known, secret) = (true, true);
            let wanted = (ObjectKind::Secret, from.name.as_str());
            if let Some(object) = findings.object(source, wanted, from.optional, user) {
                payload.object(
                    object,
                    declared(from.items.as_ref(), from.optional),
                    user,
                    findings,
                );
            }
        }
        if let Some(from) = &part.config_map {
            known = true;
            let wanted = (ObjectKind::ConfigMap, from.name.as_str());
            if let Some(object) = findings.object(source, wanted, from.optional, user) {
                payload.object(
                    object,
                    declared(from.items.as_ref(), from.optional),
                    user,
                    findings,
                );
            }
        }
        if let Some(from) = &part.downward_api {
            known = true;
            for item in from.items.iter().flatten() {
                let default = (volume.default_mode, volume.default_user);
                downward(source, item, default, user, payload, findings);
            }
        }
        if let Some(from) = &part.service_account_token {
            (known, secret) = (true, true);
            let token = token_ref(source.pod, from);
            if let Some(bytes) = source.gathered.tokens.get(&token) {
                let entry = Entry {
                    content: bytes.clone(),
                    mode: permission_bits(volume.default_mode),
                    user: from.user.or(volume.default_user),
                };
                payload.add(&from.path, entry, user, findings);
                findings.note(format!(
                    "the {token} is bound to the parent pod: it ends with its lifetime, or with \
                     the parent's object in the API server"
                ));
            } else {
                findings.wait(format!("the {token} has not been read yet"));
            }
        }
        refuse_projection(part, known, user, findings);
    }
    secret
}

fn refuse_projection(part: &VolumeProjection, known: bool, user: &str, findings: &mut Findings) {
    if part.cluster_trust_bundle.is_some() {
        findings.refuse(format!(
            "{user} projects a ClusterTrustBundle, which only an API server has"
        ));
    } else if part.pod_certificate.is_some() {
        findings.refuse(format!(
            "{user} projects a pod certificate, which only an API server issues"
        ));
    } else if !known {
        findings.refuse(format!("{user} projects a source that is not known"));
    }
}

fn downward(
    source: &Source<'_>,
    item: &DownwardAPIVolumeFile,
    (mode, owner): (Option<i32>, Option<i64>),
    user: &str,
    payload: &mut Payload,
    findings: &mut Findings,
) {
    let value = match (&item.field_ref, &item.resource_field_ref) {
        (Some(field), _) => volume_field(source, &field.field_path),
        (None, Some(selector)) => resource(source.pod, selector),
        (None, None) => Err("a file has no source".to_owned()),
    };
    match value {
        Ok(value) => {
            let entry = Entry {
                content: value.into_bytes(),
                mode: permission_bits(item.mode.or(mode)),
                user: item.user.or(owner),
            };
            payload.add(&item.path, entry, user, findings);
        }
        Err(cause) => findings.refuse(format!("{user} cannot be filled: {cause}")),
    }
}

/// The kinds that a volume sets, by their JSON names: one, in a pod that the API server let in.
pub(super) fn kinds(volume: &Volume) -> Vec<String> {
    match serde_json::to_value(volume) {
        Ok(Value::Object(fields)) => fields
            .into_iter()
            .map(|(key, _)| key)
            .filter(|k| k != "name")
            .collect(),
        _ => Vec::new(),
    }
}

fn valid_name(name: &str) -> bool {
    let character = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(character)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
