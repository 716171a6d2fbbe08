//! Revisions: stored whole, found whole, or not found at all.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use rekindle::store::inventory::Damage;
use rekindle::store::lock;
use rekindle::store::revisions::{Revisions, StoreError};

use crate::store_samples::{
    SECRET, file, files_below, id, names, overwrite, rendered, revision, store, text,
};

#[test]
fn a_stored_revision_is_found_whole() {
    let (dir, revisions) = store();
    let wanted = rendered("api", 'a');
    revisions.store(&wanted).unwrap();
    let scan = revisions.scan().unwrap();
    assert_eq!(scan.problems, Vec::<String>::new());
    let facts = &scan.by_checkpoint[&id("api")][&revision('a')];
    assert_eq!(facts.images, ["kube-apiserver:v1.20.2"]);
    let pod = revisions
        .verified_manifest(&id("api"), &revision('a'))
        .unwrap();
    assert_eq!(pod, wanted.pod);
    let whole = revisions.verified(&id("api"), &revision('a')).unwrap();
    assert_eq!(whole.inventory.notes, wanted.notes);

    let data = revisions.data_dir(&id("api"), &revision('a'));
    let key = std::fs::metadata(data.join("tls/tls.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o7777, 0o440);
    let volume = std::fs::metadata(data.join("tls")).unwrap();
    assert_eq!(volume.permissions().mode() & 0o7777, 0o2750);
    let closed = dir
        .path()
        .join("state/checkpoints")
        .join(id("api").as_str());
    assert_eq!(
        std::fs::metadata(closed).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert_eq!(
        names(&dir.path().join("state/staging")),
        Vec::<String>::new()
    );
}

#[test]
fn storing_again_writes_nothing() {
    let (_dir, revisions) = store();
    revisions.store(&rendered("api", 'a')).unwrap();
    let manifest = revisions
        .data_dir(&id("api"), &revision('a'))
        .with_file_name("manifest.json");
    let before = std::fs::metadata(&manifest).unwrap().ino();
    revisions.store(&rendered("api", 'a')).unwrap();
    assert_eq!(std::fs::metadata(&manifest).unwrap().ino(), before);
}

#[test]
fn c11_any_damaged_byte_takes_a_revision_off_the_list() {
    let (dir, revisions) = store();
    revisions.store(&rendered("api", 'a')).unwrap();
    let mut damages = 0;
    for path in files_below(&dir.path().join("state/checkpoints")) {
        let whole = std::fs::read(&path).unwrap();
        let mut variants: Vec<Vec<u8>> =
            (0..whole.len()).map(|cut| whole[..cut].to_vec()).collect();
        for position in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[position] ^= 1 << (position % 8);
            variants.push(flipped);
        }
        variants.push([whole.as_slice(), b"\n"].concat());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mode = if path.extension().is_some_and(|end| end == "json") {
            0o600
        } else {
            0o440
        };
        for variant in variants {
            overwrite(&path, &variant);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let scan = revisions.scan().unwrap();
            if path.ends_with("revision.json") && variant.ends_with(b"}\n") {
                // White space after the document is no damage to anything it says.
                assert!(scan.by_checkpoint.contains_key(&id("api")));
            } else {
                assert!(
                    scan.by_checkpoint.is_empty(),
                    "{}: {variant:?}",
                    path.display()
                );
                assert_eq!(scan.problems.len(), 1);
                assert!(scan.problems[0].contains("daemonset.kube-system.api"));
                assert!(!scan.problems[0].contains(SECRET), "{}", scan.problems[0]);
                let refused = revisions.verified_manifest(&id("api"), &revision('a'));
                assert!(matches!(refused, Err(StoreError::NotWhole { .. })));
                damages += 1;
            }
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        overwrite(&path, &whole);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    assert!(damages > 2000, "only {damages} damages tried");
    assert!(
        revisions
            .scan()
            .unwrap()
            .by_checkpoint
            .contains_key(&id("api"))
    );
}

#[test]
fn a_changed_mode_or_a_missing_file_takes_a_revision_off_the_list() {
    let (_dir, revisions) = store();
    revisions.store(&rendered("api", 'a')).unwrap();
    let key = revisions
        .data_dir(&id("api"), &revision('a'))
        .join("tls/tls.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o444)).unwrap();
    let scan = revisions.scan().unwrap();
    assert!(scan.by_checkpoint.is_empty());
    assert!(
        scan.problems[0].contains("mode of data/tls/tls.key"),
        "{:?}",
        scan.problems
    );
    std::fs::remove_file(&key).unwrap();
    let scan = revisions.scan().unwrap();
    assert!(scan.by_checkpoint.is_empty());
    assert!(
        scan.problems[0].contains("data/tls/tls.key"),
        "{:?}",
        scan.problems
    );
}

#[test]
fn a_stray_file_is_reported_and_costs_nothing() {
    let (_dir, revisions) = store();
    revisions.store(&rendered("api", 'a')).unwrap();
    let stray = revisions
        .data_dir(&id("api"), &revision('a'))
        .join("tls/tls.key~");
    overwrite(&stray, b"left by an editor");
    let scan = revisions.scan().unwrap();
    assert!(scan.by_checkpoint.contains_key(&id("api")));
    assert!(
        scan.problems[0].contains("data/tls/tls.key~"),
        "{:?}",
        scan.problems
    );
}

#[test]
fn a_damaged_revision_is_kept_aside_when_it_is_stored_again() {
    let (dir, revisions) = store();
    let wanted = rendered("api", 'a');
    for _ in 0..2 {
        revisions.store(&wanted).unwrap();
        let data = revisions.data_dir(&id("api"), &revision('a'));
        overwrite(&data.with_file_name("manifest.json"), b"{");
        revisions.store(&wanted).unwrap();
        assert_eq!(revisions.scan().unwrap().problems, Vec::<String>::new());
        let kept = dir
            .path()
            .join(format!("state/damaged/{}.{}", id("api"), revision('a')));
        assert_eq!(std::fs::read(kept.join("manifest.json")).unwrap(), b"{");
    }
}

#[test]
fn only_the_named_revision_is_dropped_and_never_the_good_one() {
    let (dir, revisions) = store();
    revisions.store(&rendered("api", 'a')).unwrap();
    revisions.store(&rendered("api", 'b')).unwrap();
    let state = rekindle::store::state::load(&dir.path().join("state")).unwrap();
    state
        .file
        .commit(&crate::store_samples::stored("api", Some('b'), 0))
        .unwrap();
    let refused = revisions.drop_revision(&id("api"), &revision('b'));
    assert!(matches!(refused, Err(StoreError::IsGood { .. })));
    for _ in 0..2 {
        revisions.drop_revision(&id("api"), &revision('a')).unwrap();
        let left = revisions
            .scan()
            .unwrap()
            .by_checkpoint
            .remove(&id("api"))
            .unwrap();
        assert_eq!(left.into_keys().collect::<Vec<_>>(), [revision('b')]);
    }
    revisions
        .drop_revision(&id("never-stored"), &revision('a'))
        .unwrap();
}

#[test]
fn a_removed_checkpoint_is_moved_aside_in_place_of_an_older_one() {
    let (dir, revisions) = store();
    for digit in ['a', 'b'] {
        revisions.store(&rendered("api", digit)).unwrap();
        revisions.store(&rendered("other", digit)).unwrap();
        for _ in 0..2 {
            revisions.remove_checkpoint(&id("api")).unwrap();
            let aside = dir.path().join("state/removed").join(id("api").as_str());
            assert_eq!(names(&aside), [revision(digit).to_string()]);
        }
    }
    let left: Vec<_> = revisions
        .scan()
        .unwrap()
        .by_checkpoint
        .into_keys()
        .collect();
    assert_eq!(left, [id("other")]);
    assert_eq!(
        names(&dir.path().join("state/staging")),
        Vec::<String>::new()
    );
}

#[test]
fn a_store_that_cannot_be_listed_is_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let revisions = Revisions::new(dir.path().join("state"));
    assert!(matches!(revisions.scan(), Err(StoreError::Read(_))));
    revisions.prepare().unwrap();
    assert!(revisions.scan().unwrap().by_checkpoint.is_empty());
    std::fs::remove_dir(dir.path().join("state/checkpoints")).unwrap();
    assert!(matches!(revisions.scan(), Err(StoreError::Read(_))));
}

#[test]
fn c15_names_cannot_collide() {
    let (_dir, revisions) = store();
    let one = rekindle::core::id::CheckpointId::new("pod", "a-b", "c").unwrap();
    let other = rekindle::core::id::CheckpointId::new("pod", "a", "b-c").unwrap();
    let dotted = rekindle::core::id::CheckpointId::new("pod", "a", "b.c").unwrap();
    for (checkpoint, content) in [(&one, "one"), (&other, "other"), (&dotted, "dotted")] {
        let mut wanted = rendered("api", 'a');
        wanted.checkpoint = checkpoint.clone();
        wanted.files[1] = file("tls/extra/ca.crt", content);
        revisions.store(&wanted).unwrap();
    }
    for (checkpoint, content) in [(&one, "one"), (&other, "other"), (&dotted, "dotted")] {
        revisions
            .verified_manifest(checkpoint, &revision('a'))
            .unwrap();
        let path = revisions
            .data_dir(checkpoint, &revision('a'))
            .join("tls/extra/ca.crt");
        assert_eq!(std::fs::read_to_string(path).unwrap(), content);
    }
}

#[test]
fn d05_no_path_leaves_the_data_directory() {
    let (dir, revisions) = store();
    let long = "x".repeat(256);
    let deep = "d/".repeat(20) + "f";
    for path in [
        "../escape",
        "tls/../../escape",
        "/etc/passwd",
        "tls//x",
        "tls/.",
        "..",
        "",
        "tls/\0x",
        long.as_str(),
        deep.as_str(),
    ] {
        let mut wanted = rendered("api", 'a');
        wanted.files.push(file(path, SECRET));
        let error = revisions.store(&wanted).unwrap_err();
        assert!(
            matches!(error, StoreError::Unfit { .. }),
            "{path:?}: {error}"
        );
        assert!(!text(&error).contains(SECRET));
        let mut wanted = rendered("api", 'a');
        wanted.dirs[0].path = path.to_owned();
        assert!(revisions.store(&wanted).is_err(), "{path:?}");
    }
    for path in ["tls", "tls/tls.key", "tls/tls.key/below"] {
        let mut wanted = rendered("api", 'a');
        wanted.files.push(file(path, SECRET));
        assert!(revisions.store(&wanted).is_err(), "{path:?}");
    }
    assert_eq!(files_below(dir.path()), Vec::<std::path::PathBuf>::new());
    assert_eq!(
        names(&dir.path().join("state/checkpoints")),
        Vec::<String>::new()
    );
}

#[test]
fn d05_links_in_the_store_are_never_followed() {
    let (dir, revisions) = store();
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let checkpoints = dir.path().join("state/checkpoints");
    symlink(&outside, checkpoints.join(id("api").as_str())).unwrap();
    assert!(revisions.store(&rendered("api", 'a')).is_err());
    assert_eq!(names(&outside), Vec::<String>::new());
    assert_eq!(revisions.scan().unwrap().problems.len(), 1);

    revisions.store(&rendered("other", 'a')).unwrap();
    let key = revisions
        .data_dir(&id("other"), &revision('a'))
        .join("tls/tls.key");
    overwrite(&outside.join("tls.key"), SECRET.as_bytes());
    std::fs::remove_file(&key).unwrap();
    symlink(outside.join("tls.key"), &key).unwrap();
    let error = revisions
        .verified(&id("other"), &revision('a'))
        .unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::NotWhole {
                source: Damage::Read(_),
                ..
            }
        ),
        "{error:?}"
    );
    revisions
        .drop_revision(&id("other"), &revision('a'))
        .unwrap();
    assert_eq!(names(&outside), ["tls.key"]);
}

#[test]
fn d04_a_manifest_beyond_the_bound_is_refused_before_a_disaster_needs_it() {
    let (_dir, revisions) = store();
    let mut wanted = rendered("api", 'a');
    let spec = wanted.pod.spec.as_mut().unwrap();
    spec.containers[0].args = Some(vec!["x".repeat(1 << 20)]);
    let error = revisions.store(&wanted).unwrap_err();
    assert!(
        text(&error).contains("more than 1048576 bytes"),
        "{}",
        text(&error)
    );
    assert!(revisions.scan().unwrap().by_checkpoint.is_empty());
}

#[test]
fn a_state_directory_has_one_holder_at_a_time() {
    let (dir, _revisions) = store();
    let state_dir = dir.path().join("state");
    let held = lock::hold(&state_dir).unwrap();
    let second = lock::hold(&state_dir).unwrap_err();
    assert!(matches!(second, lock::LockError::Held { .. }), "{second:?}");
    drop(held);
    lock::hold(&state_dir).unwrap();
}
