//! The recovered tree on the disk: whole or not at all, for root alone, nothing overwritten.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rekindle::core::recover::plan::Bytes;
use rekindle::recover::tree::{Asset, KUBECONFIG, Place, TreeError, assets};

use crate::backup_samples::put;
use crate::recover_samples::{SECRET, lab, simply};
use crate::store_samples::names;

fn lab_assets() -> Vec<Asset> {
    let mut plan = simply(&lab());
    plan.files
        .insert(KUBECONFIG.to_owned(), Bytes(b"admin".to_vec()));
    assets(&plan).unwrap()
}

fn empty() -> BTreeSet<String> {
    ["tls/secrets/missing".to_owned()].into()
}

/// Every path below `dir` with its mode.
fn listing(dir: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(at) = open.pop() {
        let mode = std::fs::metadata(&at).unwrap().permissions().mode() & 0o7777;
        let path = at.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
        if at.is_dir() {
            open.extend(
                std::fs::read_dir(&at)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        found.push((path, mode));
    }
    found.sort();
    found
}

#[test]
fn it_is_written_for_root_alone_in_the_order_of_the_seed() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("new/recovered");
    let all = lab_assets();
    let told: Vec<&str> = all.iter().map(|asset| asset.path.as_str()).collect();
    assert_eq!(
        told[..3],
        [
            "bootstrap-manifests/bootstrap-kube-apiserver.yaml",
            "bootstrap-manifests/bootstrap-kube-controller-manager.yaml",
            "bootstrap-manifests/bootstrap-kube-scheduler.yaml",
        ]
    );
    assert_eq!(told.last(), Some(&KUBECONFIG));
    Place::of(&target).unwrap().write(&all, &empty()).unwrap();
    let found = listing(&target);
    for (path, mode) in &found {
        let want = if target.join(path).is_dir() {
            0o700
        } else {
            0o600
        };
        assert_eq!(*mode, want, "{path}");
    }
    let files = found.iter().filter(|(path, _)| target.join(path).is_file());
    assert_eq!(files.count(), all.len());
    assert!(target.join("tls/secrets/missing").is_dir());
    assert_eq!(names(&dir.path().join("new")), ["recovered"]);
    let key =
        std::fs::read_to_string(target.join("tls/secrets/kube-apiserver/service-account.key"));
    assert_eq!(key.unwrap(), SECRET);
    assert!(!format!("{all:?}").contains(SECRET));
}

#[test]
fn manifests_are_yaml_that_says_the_same_as_the_plan() {
    let plan = simply(&lab());
    for (asset, planned) in assets(&plan).unwrap().iter().zip(&plan.pods) {
        let text = std::str::from_utf8(&asset.bytes).unwrap();
        assert!(
            text.starts_with("apiVersion: v1\nkind: Pod\n") && text.ends_with('\n'),
            "{text}"
        );
        let read: k8s_openapi::api::core::v1::Pod = serde_saphyr::from_str(text).unwrap();
        assert_eq!(read, planned.pod);
    }
}

#[test]
fn an_empty_directory_is_taken_and_any_other_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("recovered");
    let all = lab_assets();
    put(&dir.path().join("file"), b"");
    std::fs::create_dir(&target).unwrap();
    put(&target.join("mine"), b"kept");
    let Err(TreeError::NotEmpty { holds, .. }) = Place::of(&target) else {
        panic!("not refused")
    };
    assert_eq!(holds, "mine");
    assert!(matches!(
        Place::of(&dir.path().join("file")),
        Err(TreeError::Unfit { .. })
    ));
    assert!(matches!(
        Place::of(Path::new("/")),
        Err(TreeError::Unfit { .. })
    ));

    // Somebody puts something there meanwhile.
    let late = dir.path().join("late");
    let place = Place::of(&late).unwrap();
    std::fs::create_dir(&late).unwrap();
    put(&late.join("theirs"), b"kept");
    let error = place.write(&all, &empty()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(SECRET));
    assert_eq!(names(&late), ["theirs"]);
    assert_eq!(names(dir.path()), ["file", "late", "recovered"]);

    std::fs::create_dir(dir.path().join("empty")).unwrap();
    std::os::unix::fs::symlink("empty", dir.path().join("link")).unwrap();
    let place = Place::of(&dir.path().join("link")).unwrap();
    place.write(&all, &empty()).unwrap();
    assert!(dir.path().join("empty/auth/kubeconfig").is_file());
}

#[test]
fn what_a_killed_recovery_left_goes_with_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("recovered");
    let left = dir.path().join(".recovered.part/rekindle-tmp-1-1/tls");
    std::fs::create_dir_all(&left).unwrap();
    put(&left.join("key"), SECRET.as_bytes());
    Place::of(&target)
        .unwrap()
        .write(&lab_assets(), &empty())
        .unwrap();
    assert_eq!(names(dir.path()), ["recovered"]);
}
