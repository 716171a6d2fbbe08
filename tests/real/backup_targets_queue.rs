//! The queue of copies with a real S3 server: results in the index, retries, giving up, deleting.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rekindle::backup::Progress;
use rekindle::backup::targets::{
    Queue, Remote, Target, TargetSettings, intend_to_forget, list, run,
};
use rekindle::core::backup::record::{Copy, Index};
use rustix::process::Signal;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::s3_server::{S3Server, Trap};
use crate::target_stage::{Stage, id, s3, take};

const PATIENCE: Duration = Duration::from_secs(60);

struct Running {
    wake: Arc<Notify>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn start(stage: &Stage, targets: &[TargetSettings]) -> Running {
    let queue = Queue {
        targets: targets.to_vec(),
        backups: stage.backups(),
        uploads: stage.uploads(),
        index: stage.index(),
        node: "master1".to_owned(),
        progress: Progress::default(),
    };
    let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let task = tokio::spawn(run(queue, Arc::clone(&wake), stop.clone()));
    Running { wake, stop, task }
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn reaches<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let mut every = tokio::time::interval(Duration::from_millis(50));
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            every.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    });
    found
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

fn index(stage: &Stage) -> Index {
    stage.index().read().unwrap().index
}

fn copy(stage: &Stage, second: u32) -> Copy {
    let index = index(stage);
    let record = index.records.get(&id(second));
    record
        .and_then(|record| record.copies.get("far").cloned())
        .unwrap_or_default()
}

async fn remote(settings: &TargetSettings) -> Vec<Remote> {
    list(&Target::open(settings).unwrap()).await.unwrap()
}

/// Files of unfinished uploads in the server's directory.
fn unfinished(data: &Path) -> usize {
    let names = std::fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names = names.filter(|name| name.to_str().unwrap().starts_with(".upload"));
    names.count()
}

#[tokio::test]
async fn b05_a_failing_target_is_an_entry_in_the_index_and_a_later_try() {
    let (stage, mut server) = (Stage::new(), S3Server::start());
    let before = stage.local();
    let settings = s3(server.settings());
    server.kill();
    let running = start(&stage, std::slice::from_ref(&settings));
    let failed = reaches("a failure in the index", async || {
        Some(copy(&stage, 0)).filter(|copy| copy.failures > 0)
    })
    .await;
    assert!(failed.last_failure.unwrap().contains("cannot be reached"));
    assert!(failed.not_before.is_some() && failed.complete_at.is_none());
    assert_eq!(stage.local(), before);

    // Its time has come.
    server.run();
    take(stage.dir.path(), &id(1), 7);
    let at_once = |index: &mut Index| {
        for record in index.records.values_mut() {
            for copy in record.copies.values_mut() {
                copy.not_before = None;
            }
        }
    };
    stage.index().with(at_once).unwrap();
    running.wake.notify_one();
    reaches("both copies in the index", async || {
        let complete = |second| copy(&stage, second).complete_at.is_some();
        (complete(0) && complete(1)).then_some(())
    })
    .await;
    assert_eq!(copy(&stage, 0).failures, 0);
    assert!(remote(&settings).await.iter().all(|copy| copy.complete));
    running.stop().await;
}

#[tokio::test]
async fn a_copy_goes_with_its_pruned_backup_only_where_that_is_configured() {
    let (stage, server) = (Stage::new(), S3Server::start());
    let kept = s3(server.settings());
    let mut pruned = s3(server.settings());
    (pruned.name, pruned.prune) = ("near".to_owned(), true);
    let mut far = server.settings();
    far.prefix = "clusters/near".to_owned();
    pruned.place = rekindle::objectstore::Place::S3(far);
    let targets = [kept.clone(), pruned.clone()];
    let running = start(&stage, &targets);
    reaches("both copies", async || {
        let index = index(&stage);
        let copies = &index.records.get(&stage.id)?.copies;
        let complete = copies.values().filter(|copy| copy.complete_at.is_some());
        (complete.count() == 2).then_some(())
    })
    .await;
    std::fs::remove_dir_all(&stage.bundle).unwrap();
    intend_to_forget(&stage.uploads(), &targets, &stage.id).unwrap();
    running.wake.notify_one();
    reaches("the copy is deleted", async || {
        remote(&pruned).await.is_empty().then_some(())
    })
    .await;
    reaches("the index says so", async || {
        let index = index(&stage);
        let copies = &index.records.get(&stage.id)?.copies;
        (copies.len() == 1 && copies.contains_key("far")).then_some(())
    })
    .await;
    assert_eq!(remote(&kept).await.len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn an_upload_whose_backup_is_gone_is_given_up_at_the_store() {
    let (stage, mut server) = (Stage::new(), S3Server::start());
    let mut hasty = server.settings();
    hasty.deadline = Duration::from_millis(300);
    // Killed and not only stopped: a part that is written after the upload was given up would stay.
    server.trap(Trap {
        part: 3,
        pid: server.pid(),
        signal: Signal::KILL,
    });
    stage.copy(&s3(hasty)).await.unwrap_err();
    server.kill();
    server.run();
    assert!(unfinished(&server.path("data")) > 0);
    std::fs::remove_dir_all(&stage.bundle).unwrap();
    let running = start(&stage, &[s3(server.settings())]);
    reaches("nothing of it is left", async || {
        let states = std::fs::read_dir(stage.uploads()).unwrap().count();
        (unfinished(&server.path("data")) == 0 && states == 0).then_some(())
    })
    .await;
    running.stop().await;
}
