//! Environments: every reference becomes a literal value, in the order and with the rules of the
//! kubelet's own resolution.
//! Source: kubelet 1.20 `pkg/kubelet/kubelet_pods.go`, `makeEnvironment`.

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource};

use super::downward::env_field;
use super::expand::literal;
use super::findings::Findings;
use super::gathered::Object;
use super::needs::ObjectKind;
use super::payload::shown;
use super::render::Source;

/// Replaces the environment of `container`. Returns the bytes of all literal values.
pub(super) fn convert(
    source: &Source<'_>,
    container: &mut Container,
    findings: &mut Findings,
) -> usize {
    let user = format!("container {}", container.name);
    let mut env = Vec::new();
    for from in container.env_from.take().iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let (wanted, optional) = if let Some(secret) = &from.secret_ref {
            ((ObjectKind::Secret, secret.name.as_str()), secret.optional)
        } else if let Some(map) = &from.config_map_ref {
            ((ObjectKind::ConfigMap, map.name.as_str()), map.optional)
        } else {
            findings.refuse(format!(
                "{user} takes its environment from a source that is not known"
            ));
            continue;
        };
        let Some(object) = findings.object(source, wanted, optional, &user) else {
            continue;
        };
        for (key, value) in &object.data {
            let name = format!("{prefix}{key}");
            if !valid_name(&name) {
                findings.note(format!(
                    "{user} gets no environment variable {}: kubelets do not agree on that name",
                    shown(&name)
                ));
            } else if let Some(value) = text(value, &name, &user, findings) {
                env.push(variable(&name, &value));
            }
        }
    }
    for variable in container.env.take().into_iter().flatten() {
        env.extend(one(source, variable, &user, findings));
    }
    let bytes = env
        .iter()
        .filter_map(|v| v.value.as_ref())
        .map(String::len)
        .sum();
    container.env = (!env.is_empty()).then_some(env);
    bytes
}

/// One entry of `env`; `None`: there is no such variable, which leaves an earlier one of the
/// same name in force.
fn one(source: &Source<'_>, entry: EnvVar, user: &str, findings: &mut Findings) -> Option<EnvVar> {
    let Some(from) = &entry.value_from else {
        return Some(entry);
    };
    if entry
        .value
        .as_deref()
        .is_some_and(|value| !value.is_empty())
    {
        // The kubelet looks at the value first.
        return Some(EnvVar {
            value_from: None,
            ..entry
        });
    }
    let name = entry.name.as_str();
    if let Some(field) = &from.field_ref {
        return match env_field(source, &field.field_path) {
            Ok(None) => Some(entry),
            Ok(Some(value)) => {
                let value = text(value.as_bytes(), name, user, findings)?;
                Some(variable(name, &value))
            }
            Err(cause) => {
                findings.refuse(format!(
                    "{user}, environment variable {}: {cause}",
                    shown(name)
                ));
                None
            }
        };
    }
    let (wanted, key, optional) = match from {
        EnvVarSource {
            secret_key_ref: Some(key),
            ..
        } => (
            (ObjectKind::Secret, key.name.as_str()),
            &key.key,
            key.optional,
        ),
        EnvVarSource {
            config_map_key_ref: Some(key),
            ..
        } => (
            (ObjectKind::ConfigMap, key.name.as_str()),
            &key.key,
            key.optional,
        ),
        // The kubelet resolves these from the pod and the node.
        EnvVarSource {
            resource_field_ref: Some(_),
            ..
        }
        | EnvVarSource {
            file_key_ref: Some(_),
            ..
        } => return Some(entry),
        _ => {
            findings.refuse(format!(
                "{user}, environment variable {}: its source is not known",
                shown(name)
            ));
            return None;
        }
    };
    let object: &Object = findings.object(source, wanted, optional, user)?;
    match object.data.get(key) {
        Some(value) => {
            let value = text(value, name, user, findings)?;
            Some(variable(name, &value))
        }
        None if optional == Some(true) => None,
        None => {
            let (kind, object) = wanted;
            let (kind, key) = (kind.word(), shown(key));
            findings.refuse(format!(
                "{user} needs key {key} of {kind} {object}, which has none"
            ));
            None
        }
    }
}

/// A literal variable: the kubelet expands `$(NAME)` in it, which it would not have done with a
/// value from a reference.
fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(literal(value)),
        value_from: None,
    }
}

fn text(value: &[u8], name: &str, user: &str, findings: &mut Findings) -> Option<String> {
    let text = std::str::from_utf8(value)
        .ok()
        .filter(|text| !text.contains('\0'));
    if text.is_none() {
        findings.refuse(format!(
            "{user}, environment variable {}: its value is no text that a process can be given",
            shown(name)
        ));
    }
    text.map(str::to_owned)
}

/// The names that every kubelet since 1.20 takes; newer ones take more.
/// Source: Kubernetes 1.20 `apimachinery/pkg/util/validation`, `IsEnvVarName`.
fn valid_name(name: &str) -> bool {
    let character = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    !name.is_empty()
        && name.bytes().all(character)
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name != "."
        && !name.starts_with("..")
}
