//! etcd restored on a real node: from the data directory that survived and from a backup, and what
//! is refused.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use etcd_client::{CompactionOptions, WatchOptions};
use rekindle::backup::Progress;
use rekindle::backup::take::{Request, take};
use rekindle::core::backup::manifest::Trigger;
use rekindle::core::recovery::etcd::{Source, Stage};
use rekindle::etcd::{Allow, Etcd};
use rekindle::recovery::etcd::{Error, undo};

use crate::recovery_etcd_node::{Node, content};

fn manifest(node: &Node) -> Vec<u8> {
    std::fs::read(node.manifest()).unwrap()
}

async fn backup(node: &Node) -> String {
    let settings = node.settings();
    let request = Request {
        backups: settings.backup.dir.clone(),
        state_dir: settings.paths.state_dir.clone(),
        node: "master1".to_owned(),
        trigger: Trigger::Asked,
        allow: Allow::default(),
        prefix: "/registry/".to_owned(),
        compression_level: 1,
        min_free_bytes: 0,
        host_paths: Vec::new(),
        versions: BTreeMap::new(),
        images: BTreeMap::new(),
    };
    let etcd = Etcd::connect(&settings.etcd).await.unwrap();
    let taken = take(&etcd, &request, &Progress::default()).await.unwrap();
    taken.bundle.manifest().id.to_string()
}

#[tokio::test]
async fn r02_the_data_directory_that_survived_is_restored_whole_and_never_touched() {
    let node = Node::start(1, &[]).await;
    node.put(0, 0..200).await;
    let (cluster, seen) = node.stands(0).await;
    // The last of them are in the log only, and acknowledged.
    node.put(0, 200..230).await;
    node.crash();
    let (before, started) = (content(&node.path("m0")), manifest(&node));
    let mode = std::fs::metadata(node.path("m0")).unwrap().mode();

    let restored = node.restore("r02", Source::DataDirectory).await.unwrap();

    node.holds(0, 230).await;
    let aside = node.path("m0.before-r02");
    assert_eq!(restored.aside, Some(aside.clone()));
    assert_eq!(content(&aside), before, "the old data was written to");
    let (now, revision) = node.stands(0).await;
    assert_ne!(now, cluster, "the same cluster goes on: two histories");
    assert!(revision > seen + 30, "{revision} after {seen}");
    assert_eq!((restored.keys, manifest(&node)), (230, started));
    assert_eq!(std::fs::metadata(node.path("m0")).unwrap().mode(), mode);
    // Nothing of the quarantine is left.
    assert!(!node.path("m0.new-r02").exists());
    assert!(!node.path("state/recovery/r02/snapshot.db").exists());
    let quarantine = std::fs::read_dir(node.path("state/recovery/quarantine")).unwrap();
    assert_eq!(quarantine.count(), 0);
}

#[tokio::test]
async fn r06_whoever_watches_from_before_is_told_to_begin_afresh() {
    let node = Node::start(1, &[]).await;
    node.put(0, 0..20).await;
    let (_, seen) = node.stands(0).await;
    node.crash();
    let restored = node.restore("r06", Source::DataDirectory).await.unwrap();
    assert!(restored.revision >= seen + 1_000_000_000, "{restored:?}");
    let mut client = node.client(0).await;
    let options = WatchOptions::new().with_start_revision(seen).with_prefix();
    let mut watch = client.watch("/registry/", Some(options)).await.unwrap();
    let compacted = loop {
        let told = watch.message().await.unwrap().unwrap();
        if told.canceled() {
            break told.compact_revision();
        }
    };
    assert!(compacted > seen, "compacted at {compacted}, seen {seen}");
}

#[tokio::test]
async fn r15_the_old_data_is_not_started_again_and_who_would_is_named() {
    let node = Node::start(1, &[]).await;
    node.put(0, 0..5).await;
    node.crash();
    // Somebody's copy of the manifest, for the old data: of no program that is etcd.
    let mut old: serde_json::Value = serde_json::from_slice(&manifest(&node)).unwrap();
    old["spec"]["containers"][0]["command"] = serde_json::json!(["old"]);
    let data = node.path("m0").display().to_string();
    let old = old
        .to_string()
        .replace(&data, &format!("{data}.before-r15"));
    crate::containerd_process::write(&node.path("manifests/old.yaml"), &old);
    let restored = node.restore("r15", Source::DataDirectory).await.unwrap();
    let notices = restored.notices.join("\n");
    assert!(notices.contains("old.yaml names"), "{notices}");
    let started = String::from_utf8(manifest(&node)).unwrap();
    assert!(!started.contains("before-r15"));
}

#[tokio::test]
async fn r01_an_empty_cluster_is_never_made_whatever_is_missing() {
    let node = Node::start(1, &[]).await;
    node.crash();
    let started = manifest(&node);
    let refused = node
        .restore("r01", Source::DataDirectory)
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::Empty(_)), "{refused:?}");
    let mut say = |_: &str| {};
    let journal = node.journal();
    assert!(!journal.stage.committed());
    undo(&node.settings(), &journal, &mut say).await.unwrap();
    undo(&node.settings(), &journal, &mut say).await.unwrap();
    node.serves(0).await;
    node.finish();
    assert_eq!(manifest(&node), started);

    node.put(0, 0..3).await;
    node.crash();
    let away = node.path("away");
    #[expect(clippy::disallowed_methods, reason = "a test's own directory")]
    std::fs::rename(node.path("m0"), &away).unwrap();
    for source in [
        Source::DataDirectory,
        Source::Backup("20261124T003000Z-master1".to_owned()),
    ] {
        let refused = node.restore("r01b", source).await.unwrap_err();
        assert!(matches!(refused, Error::NoSource(_)), "{refused:?}");
        assert_eq!(node.journal().stage, Stage::Prepared);
        node.finish();
        assert!(!node.path("m0").exists());
        assert_eq!(manifest(&node), started);
    }
}

#[tokio::test]
async fn a_damaged_data_directory_fails_cleanly_and_the_backup_is_next() {
    let node = Node::start(1, &[]).await;
    node.put(0, 0..300).await;
    let id = backup(&node).await;
    let (_, seen) = node.stands(0).await;
    node.put(0, 300..310).await;
    node.crash();
    let database = std::fs::File::options()
        .write(true)
        .open(node.path("m0/member/snap/db"))
        .unwrap();
    for page in 2..database.metadata().unwrap().len() / 4096 {
        database.write_all_at(&[0xa5; 4096], page * 4096).unwrap();
    }
    let before = content(&node.path("m0"));

    let failed = node.restore("damaged", Source::DataDirectory).await;
    let failed = failed.unwrap_err();
    assert!(matches!(failed, Error::Damaged { .. }), "{failed:?}");
    assert!(failed.is_of_the_source());
    assert_eq!(content(&node.path("m0")), before);

    let journal = node.journal();
    let next = journal.instead(Source::Backup(id.clone())).unwrap();
    crate::containerd_process::write(
        &node.path("journal.json"),
        &serde_json::to_string(&next).unwrap(),
    );
    let restored = node.restore("damaged", Source::Backup(id)).await.unwrap();
    node.holds(0, 300).await;
    assert!(restored.revision >= seen + 1_000_000_000);
    assert_eq!(content(&node.path("m0.before-damaged")), before);
}

#[tokio::test]
async fn a_data_directory_that_is_gone_comes_back_from_the_backup() {
    let node = Node::start(1, &[]).await;
    node.put(0, 0..50).await;
    let id = backup(&node).await;
    node.crash();
    std::fs::remove_dir_all(node.path("m0")).unwrap();
    let restored = node.restore("gone", Source::Backup(id)).await.unwrap();
    node.holds(0, 50).await;
    assert_eq!((restored.aside, restored.keys), (None::<PathBuf>, 50));
}

/// A namespace as an API server stores it, in JSON.
async fn namespace(node: &Node, made: &str) {
    let object = serde_json::json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "kube-system", "creationTimestamp": made},
    });
    let mut client = node.client(0).await;
    let key = "/registry/namespaces/kube-system";
    client.put(key, object.to_string(), None).await.unwrap();
}

#[tokio::test]
async fn r01_an_etcd_that_was_started_empty_gives_way_to_the_backup() {
    let node = Node::start(1, &[]).await;
    namespace(&node, "2026-01-01T00:00:00Z").await;
    node.put(0, 0..50).await;
    let id = backup(&node).await;
    // The same cluster still: nothing of it is restored over it.
    let refused = node.restore("same", Source::Backup(id.clone())).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, Error::Answers(_)), "{refused:?}");
    node.finish();

    node.crash();
    std::fs::remove_dir_all(node.path("m0")).unwrap();
    node.begin_anew();
    node.serves(0).await;
    let now = jiff::Timestamp::now() + std::time::Duration::from_secs(2);
    namespace(&node, &now.to_string()).await;
    // Nor is what it has a source: this node has seen more.
    let refused = node.restore("emptied", Source::DataDirectory).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, Error::Behind { .. }), "{refused:?}");
    let mut say = |_: &str| {};
    undo(&node.settings(), &node.journal(), &mut say)
        .await
        .unwrap();
    node.serves(0).await;
    node.finish();
    let restored = node.restore("emptied", Source::Backup(id)).await.unwrap();
    node.holds(0, 50).await;
    assert_eq!(restored.keys, 51);
}

#[tokio::test]
async fn r12_a_database_over_its_quota_is_defragmented_and_takes_writes() {
    let node = Node::start(1, &["--quota-backend-bytes=16777216"]).await;
    node.put(0, 0..10).await;
    let mut client = node.client(0).await;
    let mut last = 0;
    let refused = loop {
        match client.put("/filler", vec![b'x'; 1 << 20], None).await {
            Ok(answer) => last = answer.header().unwrap().revision(),
            Err(error) => break error.to_string(),
        }
    };
    assert!(refused.contains("space exceeded"), "{refused}");
    let physical = CompactionOptions::new().with_physical();
    client.compact(last, Some(physical)).await.unwrap();
    node.crash();
    let restored = node.restore("r12", Source::DataDirectory).await.unwrap();
    let notices = restored.notices.join("\n");
    assert!(notices.contains("was defragmented"), "{notices}");
    assert!(notices.contains("NOSPACE was taken back"), "{notices}");
    node.put(0, 10..20).await;
    node.holds(0, 20).await;
}

#[tokio::test]
async fn one_source_for_each_restore_and_none_while_etcd_answers() {
    let node = Node::start(1, &[]).await;
    node.put(0, 0..5).await;
    let started = manifest(&node);
    let refused = node.restore("r03", Source::DataDirectory).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, Error::Answers(_)), "{refused:?}");
    assert_eq!(manifest(&node), started);
    // R03: what was begun from one source is not gone on with from another.
    let other = node.restore("r03", Source::Backup("x".to_owned())).await;
    let other = other.unwrap_err();
    assert!(matches!(other, Error::OtherSource { .. }), "{other:?}");
    node.holds(0, 5).await;
}
