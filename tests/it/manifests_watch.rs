//! The watcher: every change is seen through inotify alone, the resync being an hour away.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rekindle::core::observed::ManifestsView;
use rekindle::core::reading::{Reading, UnseenKind};
use rekindle::manifests::dir::{ManifestDir, file_name};
use rekindle::manifests::watch::{Refresh, spawn};
use tempfile::TempDir;
use tokio::sync::watch::Receiver;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::store_samples::{id, overwrite, pod, revision};

struct Watched {
    dir: TempDir,
    path: PathBuf,
    manifests: ManifestDir,
    views: Receiver<Reading<ManifestsView>>,
    refresh: Refresh,
    running: DropGuard,
}

const NEVER: Duration = Duration::from_secs(3600);

impl Watched {
    fn start(resync: Duration, prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifests");
        prepare(&path);
        let manifests = ManifestDir::new(&path, dir.path().join("staging"));
        manifests.prepare().unwrap();
        let shutdown = CancellationToken::new();
        let (views, refresh) = spawn(manifests.clone(), shutdown.clone(), resync);
        let running = shutdown.drop_guard();
        Self {
            dir,
            path,
            manifests,
            views,
            refresh,
            running,
        }
    }

    fn put(&self, name: &str, digit: char) {
        self.manifests
            .write(&id(name), &pod(&id(name), &revision(digit)))
            .unwrap();
    }

    /// Waits until the published view is as wanted.
    async fn until(
        &mut self,
        what: &'static str,
        wanted: impl Fn(&Reading<ManifestsView>) -> bool,
    ) {
        let waited = self.views.wait_for(wanted);
        let in_time = tokio::time::timeout(Duration::from_secs(20), waited).await;
        let seen = in_time.is_ok_and(|seen| seen.is_ok());
        assert!(
            seen,
            "never seen: {what}; last seen: {:?}",
            self.views.borrow()
        );
    }

    async fn until_ours(&mut self, what: &'static str, wanted: &[(&str, char)]) {
        let wanted = wanted
            .iter()
            .map(|(name, digit)| (id(name), revision(*digit)));
        let ours = wanted.collect();
        self.until(what, |view| {
            view.known().is_some_and(|view| view.ours == ours)
        })
        .await;
    }
}

fn made(path: &Path) {
    std::fs::create_dir(path).unwrap();
}

#[tokio::test]
async fn files_that_come_change_and_go_are_seen() {
    let mut watched = Watched::start(NEVER, made);
    watched.until_ours("an empty directory", &[]).await;
    watched.put("api", 'a');
    watched.until_ours("a new manifest", &[("api", 'a')]).await;
    watched.put("api", 'b');
    watched
        .until_ours("a replaced manifest", &[("api", 'b')])
        .await;
    overwrite(&watched.path.join(file_name(&id("api"))), b"{");
    let damaged = [file_name(&id("api"))].into();
    watched
        .until("a damaged one", |view| {
            view.known().is_some_and(|view| view.damaged == damaged)
        })
        .await;
    watched.manifests.remove(&id("api")).unwrap();
    watched
        .until("a removed one", |view| {
            *view == Reading::Known(ManifestsView::default())
        })
        .await;
    overwrite(&watched.path.join("etcd.yaml"), b"");
    watched
        .until("a foreign one", |view| {
            view.known().is_some_and(|view| !view.foreign.is_empty())
        })
        .await;
}

#[tokio::test]
async fn a_directory_that_is_removed_and_made_again_is_followed() {
    let mut watched = Watched::start(NEVER, made);
    watched.put("api", 'a');
    watched.until_ours("a manifest", &[("api", 'a')]).await;
    for _ in 0..3 {
        std::fs::remove_dir_all(&watched.path).unwrap();
        watched
            .until("no directory", |view| view.unseen().is_some())
            .await;
        made(&watched.path);
        watched.until_ours("an empty directory", &[]).await;
        watched.put("api", 'b');
        watched
            .until_ours("a manifest in the new directory", &[("api", 'b')])
            .await;
    }
}

#[tokio::test]
async fn a_directory_that_is_not_there_at_the_start_is_found_when_it_comes() {
    let mut watched = Watched::start(NEVER, |_| {});
    watched
        .until("no directory", |view| {
            view.unseen()
                .is_some_and(|unseen| unseen.kind == UnseenKind::Unreachable)
        })
        .await;
    made(&watched.path);
    watched.put("api", 'a');
    watched.until_ours("a manifest", &[("api", 'a')]).await;
}

#[tokio::test]
async fn a_directory_replaced_by_rename_is_followed() {
    let mut watched = Watched::start(NEVER, made);
    watched.put("api", 'a');
    watched.until_ours("a manifest", &[("api", 'a')]).await;
    let next = watched.dir.path().join("next");
    made(&next);
    let file = pod(&id("api"), &revision('b'));
    let staging = watched.dir.path().join("staging");
    ManifestDir::new(&next, &staging)
        .write(&id("api"), &file)
        .unwrap();
    let exchange = rustix::fs::RenameFlags::EXCHANGE;
    let cwd = rustix::fs::CWD;
    rustix::fs::renameat_with(cwd, &next, cwd, &watched.path, exchange).unwrap();
    watched
        .until_ours("the other directory's manifest", &[("api", 'b')])
        .await;
    watched.put("api", 'c');
    watched
        .until_ours("a change in the other directory", &[("api", 'c')])
        .await;
}

#[tokio::test]
async fn a_link_that_is_swapped_is_followed() {
    let mut watched = Watched::start(NEVER, |path| {
        made(&path.with_file_name("one"));
        made(&path.with_file_name("two"));
        symlink("one", path).unwrap();
    });
    watched.put("api", 'a');
    watched
        .until_ours("a manifest behind the link", &[("api", 'a')])
        .await;
    symlink("two", watched.dir.path().join("swap")).unwrap();
    let cwd = rustix::fs::CWD;
    rustix::fs::renameat(cwd, watched.dir.path().join("swap"), cwd, &watched.path).unwrap();
    watched.until_ours("nothing behind the new link", &[]).await;
    watched.put("api", 'b');
    watched
        .until_ours("a change behind the new link", &[("api", 'b')])
        .await;
}

#[tokio::test]
async fn an_unreadable_directory_is_unknown_until_it_can_be_read() {
    let mut watched = Watched::start(NEVER, made);
    watched.until_ours("an empty directory", &[]).await;
    std::fs::remove_dir(&watched.path).unwrap();
    overwrite(&watched.path, b"a file where the directory was");
    watched
        .until("something unreadable", |view| {
            view.unseen()
                .is_some_and(|unseen| unseen.kind == UnseenKind::Unreadable)
        })
        .await;
    std::fs::remove_file(&watched.path).unwrap();
    made(&watched.path);
    watched.until_ours("an empty directory", &[]).await;
}

#[tokio::test]
async fn what_inotify_cannot_see_is_found_by_the_resync() {
    let mut watched = Watched::start(Duration::from_millis(50), |path| {
        made(&path.with_file_name("one"));
        made(&path.with_file_name("two"));
        symlink("one", path.with_file_name("current")).unwrap();
        symlink("current", path).unwrap();
    });
    watched.put("api", 'a');
    watched
        .until_ours("a manifest behind two links", &[("api", 'a')])
        .await;
    symlink("two", watched.dir.path().join("swap")).unwrap();
    let cwd = rustix::fs::CWD;
    let current = watched.dir.path().join("current");
    rustix::fs::renameat(cwd, watched.dir.path().join("swap"), cwd, current).unwrap();
    watched
        .until_ours("nothing behind the new links", &[])
        .await;
}

#[tokio::test]
async fn a_refresh_returns_after_the_list() {
    let watched = Watched::start(NEVER, made);
    for digit in ['a', 'b', 'c'] {
        watched.put("api", digit);
        watched.refresh.now().await;
        let view = watched.views.borrow().known().unwrap().clone();
        assert_eq!(view.ours, [(id("api"), revision(digit))].into());
    }
}

#[tokio::test]
async fn the_watcher_ends_at_shutdown_and_publishes_no_repetitions() {
    let mut watched = Watched::start(NEVER, made);
    watched.until_ours("an empty directory", &[]).await;
    watched.views.mark_unchanged();
    watched.refresh.now().await;
    assert!(
        !watched.views.has_changed().unwrap(),
        "an equal list was published"
    );
    let Watched {
        mut views,
        refresh,
        running,
        ..
    } = watched;
    drop(running);
    let ended = tokio::time::timeout(Duration::from_secs(20), views.changed()).await;
    assert!(ended.unwrap().is_err(), "the watcher goes on");
    refresh.now().await;
}
