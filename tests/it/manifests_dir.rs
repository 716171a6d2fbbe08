//! The static pod directory: ours, broken ones of ours, everybody else's.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use rekindle::core::manifest::{ANNOTATION_ID, ANNOTATION_REVISION};
use rekindle::core::reading::{Reading, UnseenKind};
use rekindle::manifests::dir::{LIMIT, ManifestDir, ManifestsError, file_name};
use tempfile::TempDir;

use crate::store_samples::{SECRET, id, names, overwrite, pod, revision, text};

fn directory() -> (TempDir, PathBuf, ManifestDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("manifests");
    std::fs::create_dir(&path).unwrap();
    let manifests = ManifestDir::new(&path, dir.path().join("staging"));
    manifests.prepare().unwrap();
    (dir, path, manifests)
}

#[test]
fn c16_nothing_but_whole_manifests_stands_there() {
    let (dir, path, manifests) = directory();
    manifests
        .write(&id("api"), &pod(&id("api"), &revision('a')))
        .unwrap();
    manifests
        .write(&id("api"), &pod(&id("api"), &revision('b')))
        .unwrap();
    assert_eq!(names(&path), ["rekindle-daemonset.kube-system.api.json"]);
    assert_eq!(names(&dir.path().join("staging")), Vec::<String>::new());
    let file = path.join(file_name(&id("api")));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let view = manifests.list().unwrap();
    assert_eq!(view.ours, [(id("api"), revision('b'))].into());
    assert!(view.damaged.is_empty() && view.foreign.is_empty());
    for _ in 0..2 {
        manifests.remove(&id("api")).unwrap();
        assert_eq!(names(&path), Vec::<String>::new());
    }
}

#[test]
fn c16_foreign_files_are_named_and_never_touched() {
    let (_dir, path, manifests) = directory();
    let foreign = [
        "etcd.yaml",
        "kube-apiserver.json.backup",
        "rekindle-notes.json",
        "rekindle-daemonset.kube-system.api.json.backup",
        "rekindle-daemonset.kube-system.api.yaml",
        "rekindle-DaemonSet.kube-system.api.json",
    ];
    for name in foreign {
        overwrite(&path.join(name), b"not to be read");
    }
    overwrite(&path.join(".hidden"), b"the kubelet leaves it out as well");
    std::fs::create_dir(path.join("rekindle-daemonset.kube-system.dir.json")).unwrap();
    // A pipe would block whoever opened it.
    rustix::fs::mkfifoat(rustix::fs::CWD, path.join("pipe"), rustix::fs::Mode::RWXU).unwrap();
    let view = manifests.list().unwrap();
    assert!(view.ours.is_empty() && view.damaged.is_empty());
    let all = ["pipe", "rekindle-daemonset.kube-system.dir.json"]
        .into_iter()
        .chain(foreign);
    assert_eq!(view.foreign, all.map(str::to_owned).collect());
    for name in foreign {
        let refused = manifests.remove_damaged(name);
        assert!(
            matches!(refused, Err(ManifestsError::NotOurs { .. })),
            "{name}"
        );
        assert_eq!(std::fs::read(path.join(name)).unwrap(), b"not to be read");
    }
}

#[test]
fn d04_broken_manifests_of_ours_are_damaged_and_can_be_removed() {
    let (_dir, path, manifests) = directory();
    let good = serde_json::to_vec(&pod(&id("x"), &revision('a'))).unwrap();
    let mut unnamed = pod(&id("x"), &revision('a'));
    unnamed
        .metadata
        .annotations
        .as_mut()
        .unwrap()
        .remove(ANNOTATION_ID);
    let mut odd = pod(&id("x"), &revision('a'));
    let annotations = odd.metadata.annotations.as_mut().unwrap();
    annotations.insert(ANNOTATION_REVISION.to_owned(), "../../x".to_owned());
    let nested = "{\"metadata\":".repeat(5000);
    let wrong: [(&str, Vec<u8>); 8] = [
        ("empty", Vec::new()),
        ("half", good[..good.len() / 2].to_vec()),
        ("of-another", good.clone()),
        ("unnamed", serde_json::to_vec(&unnamed).unwrap()),
        ("odd-revision", serde_json::to_vec(&odd).unwrap()),
        ("nested", nested.into_bytes()),
        ("no-utf8", vec![0xff; 100]),
        ("huge", vec![b' '; usize::try_from(LIMIT).unwrap() + 1]),
    ];
    for (name, content) in &wrong {
        overwrite(&path.join(file_name(&id(name))), content);
    }
    let view = manifests.list().unwrap();
    assert!(view.ours.is_empty() && view.foreign.is_empty());
    let expected = wrong.iter().map(|(name, _)| file_name(&id(name)));
    assert_eq!(view.damaged, expected.collect());
    for name in &view.damaged {
        manifests.remove_damaged(name).unwrap();
    }
    assert_eq!(names(&path), Vec::<String>::new());
}

#[test]
fn d05_links_named_like_ours_are_damaged_and_not_followed() {
    let (dir, path, manifests) = directory();
    let outside = dir.path().join("outside.json");
    let whole = serde_json::to_vec(&pod(&id("api"), &revision('a'))).unwrap();
    overwrite(&outside, &whole);
    let link = path.join(file_name(&id("api")));
    symlink(&outside, &link).unwrap();
    let view = manifests.list().unwrap();
    assert!(view.ours.is_empty());
    assert_eq!(view.damaged, [file_name(&id("api"))].into());
    // Writing replaces the link; the file behind it stays as it is.
    manifests
        .write(&id("api"), &pod(&id("api"), &revision('b')))
        .unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_file());
    assert_eq!(std::fs::read(&outside).unwrap(), whole);
    std::fs::remove_file(&link).unwrap();
    symlink(&outside, &link).unwrap();
    manifests.remove(&id("api")).unwrap();
    assert_eq!(std::fs::read(&outside).unwrap(), whole);
}

#[test]
fn a_directory_that_is_not_there_is_unknown_and_not_empty() {
    let (_dir, path, manifests) = directory();
    std::fs::remove_dir(&path).unwrap();
    assert!(matches!(manifests.list(), Err(ManifestsError::List(_))));
    let Reading::Unknown(unseen) = manifests.reading() else {
        panic!("a missing directory was read");
    };
    assert_eq!(unseen.kind, UnseenKind::Unreachable);
    assert!(unseen.detail.contains("manifests"), "{}", unseen.detail);
    let pod = pod(&id("api"), &revision('a'));
    assert!(manifests.write(&id("api"), &pod).is_err());
    assert!(manifests.remove(&id("api")).is_err());
    overwrite(&path, b"a file");
    let Reading::Unknown(unseen) = manifests.reading() else {
        panic!("a file was listed");
    };
    assert_eq!(unseen.kind, UnseenKind::Unreadable);
}

#[test]
fn a_directory_behind_a_link_is_served() {
    let (dir, path, manifests) = directory();
    std::fs::remove_dir(&path).unwrap();
    std::fs::create_dir(dir.path().join("real")).unwrap();
    symlink("real", &path).unwrap();
    manifests
        .write(&id("api"), &pod(&id("api"), &revision('a')))
        .unwrap();
    assert_eq!(
        manifests.list().unwrap().ours,
        [(id("api"), revision('a'))].into()
    );
    assert_eq!(names(&dir.path().join("real")).len(), 1);
}

#[test]
fn a_manifest_beyond_the_bound_is_not_written() {
    let (_dir, path, manifests) = directory();
    let mut huge = pod(&id("api"), &revision('a'));
    let spec = huge.spec.as_mut().unwrap();
    spec.containers[0].args = Some(vec!["x".repeat(1 << 20)]);
    let error = manifests.write(&id("api"), &huge).unwrap_err();
    assert!(matches!(error, ManifestsError::TooLarge { .. }));
    assert!(!text(&error).contains(SECRET));
    assert_eq!(names(&path), Vec::<String>::new());
}

#[test]
fn c15_manifests_cannot_collide() {
    let (_dir, _path, manifests) = directory();
    let new = rekindle::core::id::CheckpointId::new;
    let all = [
        new("pod", "a-b", "c").unwrap(),
        new("pod", "a", "b-c").unwrap(),
        new("pod", "a", "b.c").unwrap(),
        new("deployment", "a", "b.c").unwrap(),
    ];
    for (id, digit) in all.iter().zip(['a', 'b', 'c', 'd']) {
        manifests.write(id, &pod(id, &revision(digit))).unwrap();
    }
    let expected = all.into_iter().zip(['a', 'b', 'c', 'd'].map(revision));
    assert_eq!(manifests.list().unwrap().ours, expected.collect());
}
