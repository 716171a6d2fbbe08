//! What was read from the API server for a parent: input of rendering, never shown.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};

use super::needs::{ObjectRef, TokenRef};

/// The data of one Secret or `ConfigMap`. `Debug` hides it (invariant 13).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Object {
    /// Values by key: `data` of either kind.
    pub data: BTreeMap<String, Vec<u8>>,
    /// `binaryData` of a `ConfigMap`: found in volumes, never in environments.
    /// Source: kubelet 1.20 `pkg/kubelet/kubelet_pods.go`, `makeEnvironment` reads `Data` only.
    pub binary_data: BTreeMap<String, Vec<u8>>,
}

impl Object {
    /// The data of a Secret.
    #[must_use]
    pub fn secret(secret: Secret) -> Self {
        let data = secret.data.unwrap_or_default().into_iter();
        Self {
            data: data.map(|(key, value)| (key, value.0)).collect(),
            binary_data: BTreeMap::new(),
        }
    }

    /// The data of a `ConfigMap`.
    #[must_use]
    pub fn config_map(map: ConfigMap) -> Self {
        let data = map.data.unwrap_or_default().into_iter();
        let binary = map.binary_data.unwrap_or_default().into_iter();
        Self {
            data: data.map(|(key, value)| (key, value.into_bytes())).collect(),
            binary_data: binary.map(|(key, value)| (key, value.0)).collect(),
        }
    }

    /// The value of `key`, wherever it is.
    pub(super) fn value(&self, key: &str) -> Option<&[u8]> {
        let value = self.data.get(key).or_else(|| self.binary_data.get(key))?;
        Some(value)
    }
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Object")
            .field("keys", &self.data.keys().collect::<Vec<_>>())
            .field("binary_keys", &self.binary_data.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Everything read so far. What is missing here has not been read yet, which is not the same as
/// `None`: that says the API server has no such object.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Gathered {
    /// Objects by name; `None`: the API server says that it does not exist.
    pub objects: BTreeMap<ObjectRef, Option<Object>>,
    /// Tokens.
    pub tokens: BTreeMap<TokenRef, Vec<u8>>,
}

impl std::fmt::Debug for Gathered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gathered")
            .field("objects", &self.objects)
            .field("tokens", &self.tokens.keys().collect::<Vec<_>>())
            .finish()
    }
}
