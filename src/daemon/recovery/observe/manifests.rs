//! The control plane's static manifests, as kubeadm names them, watched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::core::reading::{Reading, Unseen, UnseenKind};
use crate::core::recovery::evidence::Manifest;
use crate::core::recovery::part::Part;
use crate::store::dir::{Dir, ReadError};
use crate::yaml;

/// Largest manifest that is read.
const LIMIT: u64 = 1 << 20; // 1 MiB

/// Watches the files that are guarded and named for a part.
pub(super) fn spawn(
    settings: &Settings,
    stop: &CancellationToken,
) -> watch::Receiver<Reading<BTreeMap<Part, Manifest>>> {
    let dir = settings.paths.manifest_dir.clone();
    let named = settings.recovery.guarded.iter().filter_map(|file| {
        let stem = file.file_stem()?.to_str()?;
        Some((Part::of_name(stem)?, file.clone()))
    });
    let files: Vec<(Part, PathBuf)> = named.collect();
    let listed = dir.clone();
    let list = move || read(&listed, &files);
    let resync = settings.containerd.resync_interval;
    let (manifests, _) = crate::store::watch::spawn(&dir, list, stop.clone(), resync);
    manifests
}

fn read(dir: &Path, files: &[(Part, PathBuf)]) -> Reading<BTreeMap<Part, Manifest>> {
    let unseen =
        |error: &ReadError| Reading::Unknown(Unseen::because(UnseenKind::Unreadable, error));
    let opened = match Dir::open(dir) {
        Ok(opened) => opened,
        Err(error) => return unseen(&error),
    };
    let mut all = BTreeMap::new();
    for (part, file) in files {
        let name = file.to_string_lossy();
        let manifest = match opened.read(&name, LIMIT) {
            Ok((bytes, _)) => judge(*part, &bytes),
            Err(error) if error.is_absent() => Manifest::Absent,
            // Something stands there, and it is not known what.
            Err(error) => return unseen(&error),
        };
        all.insert(*part, manifest);
    }
    Reading::Known(all)
}

fn judge(part: Part, bytes: &[u8]) -> Manifest {
    let broken = |why: &str| Manifest::Broken(why.to_owned());
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return broken("it is empty");
    }
    let Some(documents) = yaml::documents(bytes) else {
        return broken("it is no YAML");
    };
    let Some(pod) = documents.first() else {
        return broken("it is empty");
    };
    let text = |value: &Value, pointer: &str| {
        let found = value.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    if text(pod, "/kind") != "Pod" || text(pod, "/metadata/name").is_empty() {
        return broken("it is no Pod");
    }
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    let containers = containers.map(Vec::as_slice).unwrap_or_default();
    let own = containers
        .iter()
        .find(|container| Part::of_name(&text(container, "/name")) == Some(part));
    match own {
        None => Manifest::Broken(format!("it has no container {part}")),
        Some(own) if text(own, "/image").is_empty() => broken("its container has no image"),
        Some(_) => Manifest::Present,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_there_or_broken() {
        let good = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-scheduler}\n\
                    spec: {containers: [{name: kube-scheduler, image: a}]}\n";
        let judged = |text: &str| judge(Part::Scheduler, text.as_bytes());
        assert_eq!(judged(good), Manifest::Present);
        for (text, why) in [
            ("", "it is empty"),
            (" \n", "it is empty"),
            ("a: [", "it is no YAML"),
            ("kind: ConfigMap", "it is no Pod"),
            (
                &good.replace("name: kube-scheduler, ", "name: x, "),
                "it has no container kube-scheduler",
            ),
            (
                &good.replace(", image: a", ""),
                "its container has no image",
            ),
        ] {
            assert_eq!(judged(text), Manifest::Broken(why.to_owned()), "{text}");
        }
    }
}
