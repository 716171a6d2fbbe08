//! Disks that are full or read-only, real ones.

use std::process::Command;

use rekindle::manifests::dir::ManifestDir;
use rekindle::store::revisions::{Revisions, StoreError};
use rekindle::store::state::{StateError, load};

use crate::small_disk::{fill, inside};
use crate::store_samples::{file, id, names, pod, rendered, revision, stored, text};

#[test]
fn d02_a_full_disk_costs_nothing_that_was_stored() {
    let Some(disk) = inside(
        "store_disk::d02_a_full_disk_costs_nothing_that_was_stored",
        "2m",
    ) else {
        return;
    };
    let state_dir = disk.join("state");
    let revisions = Revisions::new(&state_dir);
    revisions.prepare().unwrap();
    let state = load(&state_dir).unwrap().file;
    revisions.store(&rendered("api", 'a')).unwrap();
    let mut last = stored("api", Some('a'), 1);
    state.commit(&last).unwrap();
    fill(&disk);

    // A revision finds no room, and leaves nothing behind.
    let mut wanted = rendered("api", 'b');
    wanted
        .files
        .push(file("tls/bundle", &"x".repeat(100 << 10)));
    let mut new = rendered("new", 'a');
    new.files.clone_from(&wanted.files);
    for wanted in [&wanted, &new] {
        let error = revisions.store(wanted).unwrap_err();
        assert!(error.is_disk(), "{}", text(&error));
    }
    assert_eq!(names(&state_dir.join("staging")), Vec::<String>::new());
    assert_eq!(
        names(&state_dir.join("checkpoints")),
        [id("api").to_string()]
    );

    // The state is still committed, out of the reserve.
    assert!(state_dir.join("reserve").exists());
    for count in 2..10 {
        last = stored("api", Some('a'), count);
        state.commit(&last).unwrap();
    }
    assert!(!state_dir.join("reserve").exists());
    assert_eq!(load(&state_dir).unwrap().stored, last);

    // With the reserve gone as well, the commit fails and the last state stays.
    std::fs::remove_file(disk.join("filler")).unwrap();
    let filler = fill(&disk);
    let mut huge = stored("api", Some('a'), 11);
    huge.boot_id = "x".repeat(64 << 10);
    let error = state.commit(&huge).unwrap_err();
    assert!(error.is_disk(), "{}", text(&error));
    let loaded = load(&state_dir).unwrap();
    assert_eq!((loaded.stored, loaded.problems), (last, Vec::new()));
    let scan = revisions.scan().unwrap();
    assert_eq!(scan.problems, Vec::<String>::new());
    assert_eq!(scan.by_checkpoint[&id("api")].len(), 1);

    // Room again: everything goes on, and the reserve is taken again.
    std::fs::remove_file(filler).unwrap();
    state.commit(&huge).unwrap();
    revisions.store(&wanted).unwrap();
    assert_eq!(load(&state_dir).unwrap().stored, huge);
    assert!(state_dir.join("reserve").exists());
}

#[test]
fn d02_a_full_disk_under_the_manifests_leaves_the_old_manifest() {
    let name = "store_disk::d02_a_full_disk_under_the_manifests_leaves_the_old_manifest";
    let Some(disk) = inside(name, "1m") else {
        return;
    };
    std::fs::create_dir(disk.join("manifests")).unwrap();
    let manifests = ManifestDir::new(disk.join("manifests"), disk.join("staging"));
    manifests.prepare().unwrap();
    manifests
        .write(&id("api"), &pod(&id("api"), &revision('a')))
        .unwrap();
    let filler = fill(&disk);
    let error = manifests
        .write(&id("api"), &pod(&id("api"), &revision('b')))
        .unwrap_err();
    assert!(text(&error).contains("No space left"), "{}", text(&error));
    assert_eq!(
        manifests.list().unwrap().ours,
        [(id("api"), revision('a'))].into()
    );
    assert_eq!(names(&disk.join("staging")), Vec::<String>::new());
    std::fs::remove_file(filler).unwrap();
    manifests
        .write(&id("api"), &pod(&id("api"), &revision('b')))
        .unwrap();
    assert_eq!(
        manifests.list().unwrap().ours,
        [(id("api"), revision('b'))].into()
    );
}

#[test]
fn d02_a_read_only_disk_is_read_and_said() {
    let Some(disk) = inside("store_disk::d02_a_read_only_disk_is_read_and_said", "2m") else {
        return;
    };
    let state_dir = disk.join("state");
    let revisions = Revisions::new(&state_dir);
    revisions.prepare().unwrap();
    let state = load(&state_dir).unwrap().file;
    revisions.store(&rendered("api", 'a')).unwrap();
    let last = stored("api", Some('a'), 1);
    state.commit(&last).unwrap();
    let remount = |how: &str| {
        let mounted = Command::new("mount").args(["-o", how]).arg(&disk).status();
        assert!(mounted.unwrap().success());
    };
    remount("remount,ro");
    let loaded = load(&state_dir).unwrap();
    assert_eq!((loaded.stored, loaded.problems), (last, Vec::new()));
    let next = stored("api", Some('a'), 2);
    let refused = loaded.file.commit(&next);
    assert!(
        matches!(&refused, Err(error @ StateError::Write(_)) if error.is_disk()),
        "{refused:?}"
    );
    let refused = revisions.store(&rendered("api", 'b'));
    assert!(
        matches!(&refused, Err(error @ StoreError::Write(_)) if error.is_disk()),
        "{refused:?}"
    );
    assert!(
        revisions
            .verified_manifest(&id("api"), &revision('a'))
            .is_ok()
    );
    remount("remount,rw");
    loaded.file.commit(&next).unwrap();
    assert_eq!(load(&state_dir).unwrap().stored, next);
}

#[test]
fn d02_staging_on_another_file_system_is_told_with_a_hint() {
    let name = "store_disk::d02_staging_on_another_file_system_is_told_with_a_hint";
    let Some(disk) = inside(name, "1m") else {
        return;
    };
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::create_dir(disk.join("manifests")).unwrap();
    let manifests = ManifestDir::new(disk.join("manifests"), elsewhere.path());
    let error = manifests
        .write(&id("api"), &pod(&id("api"), &revision('a')))
        .unwrap_err();
    assert!(
        text(&error).contains("hint: configure a staging directory"),
        "{}",
        text(&error)
    );
    assert_eq!(names(elsewhere.path()), Vec::<String>::new());
    assert_eq!(names(&disk.join("manifests")), Vec::<String>::new());
}
