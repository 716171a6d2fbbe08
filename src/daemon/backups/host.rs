//! What of this host goes into a backup, from the settings and from the static pods: which files,
//! which images, which versions. Blocking.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::backup::bundle::HostPath;
use crate::config::Settings;
use crate::store::revisions::Revisions;

/// Largest static pod that is read.
const LARGEST: u64 = 1 << 20;
/// Argument of the API server that names the `EncryptionConfiguration`.
const ENCRYPTION: &str = "--encryption-provider-config=";

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// Files and directories.
    pub(super) paths: Vec<HostPath>,
    /// References of the control plane's images.
    pub(super) images: BTreeSet<String>,
    /// Versions by program.
    pub(super) versions: BTreeMap<String, String>,
    /// What should be there and is not, one sentence each.
    pub(super) missing: Vec<String>,
}

/// Looks.
pub(super) fn host(settings: &Settings) -> Host {
    let backup = &settings.backup;
    let mut host = Host::default();
    let manifests = manifests(&settings.paths.manifest_dir);
    for text in &manifests {
        host.images.extend(images(text));
    }
    let revisions = Revisions::new(&settings.paths.state_dir);
    if let Ok(scan) = revisions.scan() {
        let facts = scan.by_checkpoint.into_values().flatten();
        host.images
            .extend(facts.flat_map(|(_, facts)| facts.images));
    }
    let apiserver = host.images.iter().find_map(|image| {
        let (name, tag) = image.rsplit_once(':')?;
        name.ends_with("kube-apiserver").then(|| tag.to_owned())
    });
    if let Some(tag) = apiserver {
        let version = tag.trim_start_matches('v').to_owned();
        host.versions.insert("kubernetes".to_owned(), version);
    }
    for path in [&backup.pki_dir, &settings.paths.manifest_dir] {
        if !path.exists() {
            let text = format!(
                "{} is not there, so it is not in the backup",
                path.display()
            );
            host.missing.push(text);
        }
        host.optional(path.clone());
    }
    host.optional(backup.kubelet_config_file.clone());
    host.optional(settings.paths.state_dir.join("checkpoints"));
    for path in &backup.extra_paths {
        host.optional(path.clone());
    }
    for path in encryption_files(settings) {
        let required = backup.encryption_config_file.as_ref() == Some(&path);
        if required {
            host.paths.push(HostPath { path, required });
            continue;
        }
        if !path.exists() {
            host.missing.push(format!(
                "{}, with which the API server encrypts, is not on this node: Secrets could not \
                 be read after a restore (backup.encryption_config_file)",
                path.display()
            ));
        }
        host.optional(path);
    }
    host
}

/// The `EncryptionConfiguration` of the settings, or those that static pods and the good revisions
/// of checkpoints name.
#[must_use]
pub fn encryption_files(settings: &Settings) -> Vec<PathBuf> {
    if let Some(path) = &settings.backup.encryption_config_file {
        return vec![path.clone()];
    }
    let mut texts = manifests(&settings.paths.manifest_dir);
    let revisions = Revisions::new(&settings.paths.state_dir);
    if let Ok(scan) = revisions.scan() {
        for (id, known) in scan.by_checkpoint {
            let pods = known
                .keys()
                .filter_map(|revision| revisions.verified_manifest(&id, revision).ok());
            texts.extend(pods.filter_map(|pod| serde_json::to_string(&pod).ok()));
        }
    }
    let found: BTreeSet<PathBuf> = texts.iter().flat_map(|text| encryption(text)).collect();
    found.into_iter().collect()
}

impl Host {
    fn optional(&mut self, path: PathBuf) {
        if !self.paths.iter().any(|known| path.starts_with(&known.path)) {
            self.paths.push(HostPath {
                path,
                required: false,
            });
        }
    }
}

/// The texts of the static pods; what cannot be read is left out, and packed all the same.
fn manifests(dir: &std::path::Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let files = entries.flatten().filter(|entry| {
        let meta = entry.metadata();
        meta.is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST)
    });
    files
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
        .collect()
}

/// References behind `image:`, in YAML or JSON.
fn images(text: &str) -> impl Iterator<Item = String> {
    let lines = text.split(['\n', ',', '{', '}']);
    lines.filter_map(|line| {
        let line = line.trim().trim_start_matches("- ").trim_start();
        let line = line.trim_start_matches('"');
        let value = line.strip_prefix("image")?;
        let value = value
            .trim_start_matches('"')
            .trim_start()
            .strip_prefix(':')?;
        let value = value.trim().trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    })
}

fn encryption(text: &str) -> impl Iterator<Item = PathBuf> {
    text.split(ENCRYPTION).skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ','));
        let path = PathBuf::from(rest.get(..end.unwrap_or(rest.len()))?);
        path.is_absolute().then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{encryption, images};

    const YAML: &str = "spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - \
                        --encryption-provider-config=/etc/kubernetes/enc.yaml\n    image: \
                        registry.example/kube-apiserver:v1.30.2\n    imagePullPolicy: \
                        IfNotPresent\n  - image: \"pause:3.9\"\n";
    const JSON: &str =
        r#"{"containers":[{"image":"a/b:1","args":["--encryption-provider-config=/x/y"]}]}"#;

    #[test]
    fn images_and_the_encryption_configuration_are_found_in_static_pods() {
        let found: Vec<String> = images(YAML).collect();
        assert_eq!(
            found,
            ["registry.example/kube-apiserver:v1.30.2", "pause:3.9"]
        );
        assert_eq!(images(JSON).collect::<Vec<_>>(), ["a/b:1"]);
        let found: Vec<PathBuf> = encryption(YAML).chain(encryption(JSON)).collect();
        assert_eq!(
            found,
            [PathBuf::from("/etc/kubernetes/enc.yaml"), "/x/y".into()]
        );
    }
}
