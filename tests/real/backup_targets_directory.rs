//! Copies in a directory, as an NFS mount is one: B05 for a file system that is not there, or full.

use std::path::{Path, PathBuf};
use std::process::Command;

use rekindle::backup::Progress;
use rekindle::backup::targets::{CopyError, Target, fetch, list};
use rekindle::objectstore::{MARKER, StoreError};

use crate::target_stage::{Stage, directory, put, take};

/// A file system in memory, unmounted when it goes out of scope.
struct Mounted(PathBuf);

impl Mounted {
    fn at(path: &Path, size: &str) -> Self {
        run(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size}"),
                "rekindle-test",
            ],
            path,
        );
        Self(path.to_owned())
    }

    fn resize(&self, size: &str) {
        run("mount", &["-o", &format!("remount,size={size}")], &self.0);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) {
    let output = Command::new(program)
        .args(arguments)
        .arg(path)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn refused(error: &CopyError, words: &str) {
    let CopyError::Store(StoreError::NotTheTarget { .. }) = error else {
        panic!("{error:?}");
    };
    let text = format!("{error} {}", error.hint().unwrap());
    assert!(text.contains(words), "{text}");
}

#[tokio::test]
async fn a_copy_in_a_directory_is_whole_and_comes_back() {
    let stage = Stage::new();
    let place = stage.path("nfs");
    std::fs::create_dir(&place).unwrap();
    put(&place.join(MARKER), b"");
    let settings = directory(&place, false);
    stage.copy(&settings).await.unwrap();
    assert_eq!(stage.copy(&settings).await.unwrap().sent, 0);
    let target = Target::open(&settings).unwrap();
    let copies = list(&target).await.unwrap();
    assert!(copies.len() == 1 && copies[0].complete);
    let into = stage.path("elsewhere");
    fetch(&target, &stage.id, &into, None, &Progress::default())
        .await
        .unwrap();
    for (path, digest) in stage.local() {
        let there = into.join(stage.id.as_str()).join(path.file_name().unwrap());
        let there = std::fs::read(there).unwrap();
        assert_eq!(rekindle::store::sealed::hex_digest(&there), digest);
    }
    let other = Stage::new();
    std::fs::remove_dir_all(&other.bundle).unwrap();
    take(other.dir.path(), &other.id, 2);
    let error = other.copy(&settings).await.unwrap_err();
    assert!(matches!(error, CopyError::Different { .. }), "{error:?}");
}

#[tokio::test]
async fn b05_a_directory_that_is_not_mounted_gets_nothing() {
    let stage = Stage::new();
    let place = stage.path("nfs");
    let settings = directory(&place, true);
    refused(
        &stage.copy(&settings).await.unwrap_err(),
        "no such directory",
    );
    std::fs::create_dir(&place).unwrap();
    refused(
        &stage.copy(&settings).await.unwrap_err(),
        "nothing is mounted there",
    );
    let mounted = Mounted::at(&place, "64m");
    stage.copy(&settings).await.unwrap();
    drop(mounted);
    refused(&stage.copy(&settings).await.unwrap_err(), "mount ");
    let unmarked = directory(&place, false);
    refused(&stage.copy(&unmarked).await.unwrap_err(), "touch ");
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
}

#[tokio::test]
async fn b05_a_full_directory_is_said_and_the_copy_goes_on_when_there_is_room() {
    let stage = Stage::new();
    let before = stage.local();
    let place = stage.path("nfs");
    std::fs::create_dir(&place).unwrap();
    let mounted = Mounted::at(&place, "12m");
    let settings = directory(&place, true);
    let error = stage.copy(&settings).await.unwrap_err();
    assert!(
        matches!(&error, CopyError::Store(StoreError::Write(why)) if why.is_full()),
        "{error:?}"
    );
    assert!(error.hint().unwrap().contains("make room at the target"));
    mounted.resize("64m");
    let copied = stage.copy(&settings).await.unwrap();
    // Two parts were on its disk already.
    let all = stage
        .local()
        .into_iter()
        .map(|(path, _)| std::fs::metadata(path).unwrap().len());
    assert!(copied.sent <= all.sum::<u64>() - 2 * crate::target_stage::PART);
    assert_eq!(stage.local(), before);
    let target = Target::open(&settings).unwrap();
    let into = stage.path("elsewhere");
    fetch(&target, &stage.id, &into, None, &Progress::default())
        .await
        .unwrap();
}
