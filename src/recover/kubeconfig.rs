//! The kubeconfig that the operator gives, made to work in a container: files that it names by
//! path are put into it.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::fetch::files::read;
use crate::yaml;

/// Fields that name a file, and those that hold the same themselves.
/// Source: Kubernetes 1.20 `client-go/tools/clientcmd/api/v1/types.go`.
const FILES: [(&str, &str, &str, &str); 4] = [
    (
        "clusters",
        "cluster",
        "certificate-authority",
        "certificate-authority-data",
    ),
    (
        "users",
        "user",
        "client-certificate",
        "client-certificate-data",
    ),
    ("users", "user", "client-key", "client-key-data"),
    ("users", "user", "tokenFile", "token"),
];

/// Why the kubeconfig cannot be used. Never holds content of it.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// It, or a file that it names, cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no kubeconfig.
    #[error("{} is no kubeconfig", path.display())]
    NotOne {
        /// The file.
        path: PathBuf,
    },
}

/// A kubeconfig that stands alone. `Debug` hides the content.
#[derive(Clone)]
pub struct Kubeconfig {
    /// Its bytes: those of the file, where that names no other.
    pub bytes: Vec<u8>,
    /// The server of its current context.
    pub server: Option<String>,
    /// What will not work, as sentences.
    pub warnings: Vec<String>,
}

impl std::fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubeconfig")
            .field("bytes", &self.bytes.len())
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// Reads the kubeconfig at `path`.
///
/// # Errors
/// Where it or a file that it names cannot be read.
pub fn load(path: &Path) -> Result<Kubeconfig, KubeconfigError> {
    let get = |path: &Path| {
        read(path).map_err(|source| KubeconfigError::Read {
            path: path.to_owned(),
            source,
        })
    };
    let not_one = || KubeconfigError::NotOne {
        path: path.to_owned(),
    };
    let bytes = get(path)?;
    let mut document = yaml::document(&bytes).ok_or_else(not_one)?;
    if !document.get("clusters").is_some_and(Value::is_array) {
        return Err(not_one());
    }
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut moved = false;
    for (list, inner, named, held) in FILES {
        for entry in entries(&mut document, list, inner) {
            let Some(Value::String(file)) = entry.remove(named) else {
                continue;
            };
            if file.is_empty() || entry.contains_key(held) {
                continue;
            }
            let content = get(&dir.join(file))?;
            let value = if held == "token" {
                String::from_utf8_lossy(&content).trim().to_owned()
            } else {
                STANDARD.encode(content)
            };
            entry.insert(held.to_owned(), Value::String(value));
            moved = true;
        }
    }
    let mut warnings = Vec::new();
    for entry in entries(&mut document, "users", "user") {
        for plugin in ["exec", "auth-provider"] {
            if entry.contains_key(plugin) {
                warnings.push(format!(
                    "{} takes its credentials from a program ({plugin}): it is of no use to the \
                     control plane's own components",
                    path.display()
                ));
            }
        }
    }
    let server = server(&document);
    let bytes = if moved {
        let text = yaml::text(&document).map_err(|_| not_one())?;
        text.into_bytes()
    } else {
        bytes
    };
    Ok(Kubeconfig {
        bytes,
        server,
        warnings,
    })
}

fn entries<'a>(
    document: &'a mut Value,
    list: &str,
    inner: &'a str,
) -> impl Iterator<Item = &'a mut serde_json::Map<String, Value>> {
    let list = document.get_mut(list).and_then(Value::as_array_mut);
    list.into_iter()
        .flatten()
        .filter_map(move |entry| entry.get_mut(inner)?.as_object_mut())
}

fn server(document: &Value) -> Option<String> {
    let named = |list: &str, name: &str| {
        let list = document.get(list)?.as_array()?;
        let found = list
            .iter()
            .find(|entry| entry.get("name").and_then(Value::as_str) == Some(name));
        found.cloned()
    };
    let context = named("contexts", document.get("current-context")?.as_str()?)?;
    let cluster = named("clusters", context.pointer("/context/cluster")?.as_str()?)?;
    Some(cluster.pointer("/cluster/server")?.as_str()?.to_owned())
}
