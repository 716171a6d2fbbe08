//! The daemon's backups on a real etcd of three members with TLS: scheduled, asked for, failing,
//! hanging, killed. The daemon is the real binary.

use rekindle::api::{client, wire};
use rekindle::core::backup::report::Work;
use rustix::process::Signal;

use crate::backup_node::{Node, fill, metric, names};
use crate::etcd_cluster::{Cluster, PATIENCE, until};

#[tokio::test]
async fn a_backup_is_taken_by_the_daemon_proven_and_shown_everywhere() {
    let cluster = Cluster::start("3.5", 3).await;
    let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b","namespace":"a"}}"#;
    cluster.ctl(&["put", "/registry/pods/a/b", pod]);
    let tools = cluster.binaries().join("etcdutl");
    let keys = format!("etcdutl = {tools:?}\nschedule = \"\"\nrehearsal_schedule = \"every 6h\"");
    let mut node = Node::new(&cluster, &keys);
    // Nothing there yet, and no daemon: said, nothing made.
    let (code, out, err) = node.run(&["backup", "list"]).await;
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    assert!(!node.path("backups").exists(), "a look makes nothing");
    node.start();
    node.backups("on", |backups| {
        backups.on && backups.high_water_revision.is_some()
    })
    .await;
    let (code, out, err) = node.run(&["backup", "now"]).await;
    assert_eq!(code, 0, "{err}\n{}", node.log());
    let id = out.trim().to_owned();
    assert_eq!(names(&node.path("backups")), std::slice::from_ref(&id));
    // Nothing was ever rehearsed: that comes next by itself.
    let report = node
        .backups("proven", |backups| backups.newest_proven.is_some())
        .await;
    assert_eq!(report.newest_proven.unwrap().id.as_str(), id);
    let text = node.metrics().await;
    assert!(metric(&text, "rekindle_backup_last_proof_timestamp_seconds") > 1e9);
    assert!((metric(&text, "rekindle_backup_last_run_success") - 1.0).abs() < 0.1);
    let (code, out, err) = node.run(&["backup", "list"]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains(&id) && !out.contains("FAILED"), "{out}");
    let (code, out, err) = node.run(&["backup", "show", &id]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("pods") && out.contains("snapshot.db"), "{out}");
    let (code, out, _) = node.run(&["backup", "list", "-o", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    assert!(
        json["backups"][0]["rehearsed"]["failure"].is_null(),
        "{out}"
    );
    let (code, out, _) = node.run(&["status"]).await;
    assert_eq!(code, 0);
    assert!(out.contains("proven restorable  20"), "{out}");
    // The same without the daemon.
    node.signal(Signal::TERM);
    assert!(node.child.take().unwrap().wait().unwrap().success());
    let (code, out, err) = node.run(&["backup", "list"]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains(&id), "{out}");
    let (code, out, err) = node.run(&["backup", "now"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("taken by this command"), "{err}");
    assert_eq!(names(&node.path("backups")), [id, out.trim().to_owned()]);
}

#[tokio::test]
async fn b01_backups_that_fail_are_said_by_status_and_metrics_until_they_succeed() {
    let mut cluster = Cluster::start("3.5", 1).await;
    let keys = "schedule = \"every 60s\"\nrehearsal_schedule = \"\"";
    let mut node = Node::new(&cluster, keys);
    cluster.kill(0);
    node.start();
    let report = node
        .backups("failed", |backups| backups.failures_in_a_row > 0)
        .await;
    assert!(report.on, "{report:#?}");
    let failure = report.last_run.unwrap().failure.unwrap();
    assert!(failure.contains("etcd"), "{failure}");
    let text = node.metrics().await;
    assert!(metric(&text, "rekindle_backup_failures_in_a_row") >= 1.0);
    assert!(metric(&text, "rekindle_backup_last_proof_timestamp_seconds") < 1.0);
    assert!(metric(&text, "rekindle_backup_last_run_success") < 0.1);
    let failed = text
        .lines()
        .find(|line| line.starts_with("rekindle_backup_runs_total") && line.contains("failed"));
    assert!(failed.is_some(), "{text}");
    let (_, out, _) = node.run(&["status"]).await;
    assert!(
        out.contains("failed") && out.contains("newest verified    none"),
        "{out}"
    );
    // The failure outlives the daemon.
    node.kill();
    node.start();
    node.backups("remembered", |backups| backups.failures_in_a_row > 0)
        .await;
    cluster.restart_all().await;
    let (code, _, err) = node.run(&["backup", "now"]).await;
    assert_eq!(code, 0, "{err}");
    let report = node
        .backups("recovered", |backups| backups.failures_in_a_row == 0)
        .await;
    assert!(report.newest_verified.is_some());
}

#[tokio::test]
async fn d08_an_etcd_that_hangs_stops_neither_the_loop_nor_a_later_backup() {
    let cluster = Cluster::start("3.5", 1).await;
    let mut node = Node::new(&cluster, "schedule = \"\"\nrehearsal_schedule = \"\"");
    node.start();
    node.backups("on", |backups| backups.high_water_revision.is_some())
        .await;
    cluster.pause(0);
    let turns = async || metric(&node.metrics().await, "rekindle_turns_total");
    let before = turns().await;
    let (code, _, err) = node.run(&["backup", "now"]).await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("no backup was taken"), "{err}");
    let report = node
        .backups("high water fails", |backups| !backups.problems.is_empty())
        .await;
    assert!(report.running.is_none(), "{report:#?}");
    until("the loop goes on turning", async || turns().await > before).await;
    cluster.resume(0);
    cluster.healthy().await;
    let (code, _, err) = node.run(&["backup", "now"]).await;
    assert_eq!(code, 0, "{err}");
    node.backups("high water again", |backups| backups.problems.is_empty())
        .await;
}

#[tokio::test]
async fn two_at_once_are_one_and_the_other_is_told() {
    let cluster = Cluster::start("3.5", 3).await;
    fill(&cluster, 8);
    let mut node = Node::new(&cluster, "schedule = \"\"\nrehearsal_schedule = \"\"");
    node.start();
    node.backups("on", |backups| backups.on).await;
    let socket = node.path("socket");
    let ask = || client::post::<wire::Begun>(&socket, "/v1/backups");
    let (one, other) = tokio::join!(ask(), ask());
    let (won, lost) = match (one, other) {
        (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
        both => panic!("{both:?}"),
    };
    assert!(lost.to_string().contains("never two"), "{lost}");
    let report = node
        .backups("done", |backups| {
            backups
                .last_run
                .as_ref()
                .is_some_and(|run| run.run == won.run)
        })
        .await;
    assert_eq!(report.last_run.unwrap().failure, None);
    assert_eq!(names(&node.path("backups")).len(), 1);
}

#[tokio::test]
async fn d01_killed_while_a_backup_is_taken_the_index_is_true_and_the_others_are_whole() {
    let cluster = Cluster::start("3.5", 1).await;
    fill(&cluster, 8);
    let mut node = Node::new(
        &cluster,
        "schedule = \"every 6h\"\nrehearsal_schedule = \"\"",
    );
    node.start();
    // The first is taken by itself.
    let first = node
        .backups("the first", |backups| backups.newest_verified.is_some())
        .await;
    let first = first.newest_verified.unwrap().id.to_string();
    node.backups("at rest", |backups| backups.running.is_none())
        .await;
    let socket = node.path("socket");
    let _begun: wire::Begun = client::post(&socket, "/v1/backups").await.unwrap();
    let part = || {
        names(&node.path("backups"))
            .into_iter()
            .any(|n| n.contains(".part"))
    };
    let end = tokio::time::Instant::now() + PATIENCE;
    while !part() {
        assert!(tokio::time::Instant::now() < end, "never under way");
        tokio::task::yield_now().await;
    }
    node.kill();
    let (code, out, err) = node.run(&["backup", "list"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(
        err.contains("not finished") && !out.contains(".part"),
        "{out}{err}"
    );
    node.start();
    let report = node
        .backups("noted", |backups| backups.failures_in_a_row == 1)
        .await;
    let failure = report.last_run.unwrap().failure.unwrap();
    assert!(failure.contains("killed"), "{failure}");
    assert_eq!(
        names(&node.path("backups")),
        std::slice::from_ref(&first),
        "swept"
    );
    let (code, _, err) = node.run(&["backup", "verify", &first]).await;
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = node.run(&["backup", "now"]).await;
    assert_eq!(code, 0, "{err}");
    node.backups("good again", |backups| backups.failures_in_a_row == 0)
        .await;
}

#[tokio::test]
async fn b07_a_run_that_was_missed_is_caught_up_once() {
    let cluster = Cluster::start("3.5", 1).await;
    // Due hours ago for the first time: the memory of a daemon that was down since.
    let mut node = Node::new(
        &cluster,
        "schedule = \"every 1h\"\nrehearsal_schedule = \"\"",
    );
    node.start();
    node.backups("the first", |backups| {
        backups.newest_verified.is_some() && backups.running.is_none()
    })
    .await;
    node.kill();
    remember_due_hours_ago(&node, 5);
    node.start();
    let report = node
        .backups("caught up", |backups| {
            backups.kept == 2 && backups.running.is_none()
        })
        .await;
    assert!(report.next_backup.is_some(), "{report:#?}");
    let (_, out, _) = node.run(&["backup", "list", "-o", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let newest = json["backups"][1]["id"].as_str().unwrap();
    let (_, out, _) = node.run(&["backup", "show", newest]).await;
    assert!(out.contains("caught_up"), "{out}");
    // Once for all that were missed: a reload asks the schedule again.
    node.signal(Signal::HUP);
    let turned = metric(&node.metrics().await, "rekindle_turns_total");
    until("it was asked again", async || {
        metric(&node.metrics().await, "rekindle_turns_total") > turned
    })
    .await;
    let report = node
        .backups("at rest", |backups| backups.running.is_none())
        .await;
    assert_eq!(report.kept, 2, "{report:#?}");
}

fn remember_due_hours_ago(node: &Node, hours: i64) {
    use rekindle::backup::index::IndexFile;
    let file = IndexFile::new(&node.path("state"), &node.path("backups"));
    let span = jiff::SignedDuration::from_hours(hours);
    file.with(|index| {
        let due = index.runs.backup_due.unwrap();
        index.runs.backup_due = Some(due.checked_sub(span).unwrap());
    })
    .unwrap();
}

#[tokio::test]
async fn b03_no_room_is_said_before_anything_is_written() {
    let cluster = Cluster::start("3.5", 1).await;
    let keys = "schedule = \"\"\nrehearsal_schedule = \"\"";
    let mut node = Node::new(&cluster, keys);
    node.start();
    let (code, out, err) = node.run(&["backup", "now"]).await;
    assert_eq!(code, 0, "{err}");
    let text = std::fs::read_to_string(node.path("config.toml")).unwrap();
    let text = text.replace("min_free_bytes = 0", "min_free_bytes = 1000000000000000");
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(node.path("config.toml"), text).unwrap();
    node.signal(Signal::HUP);
    node.backups("reloaded", |backups| backups.min_free_bytes > 1 << 40)
        .await;
    let (code, _, err) = node.run(&["backup", "now"]).await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("free"), "{err}");
    assert_eq!(
        names(&node.path("backups")),
        [out.trim()],
        "the newest verified stays"
    );
    let report = node
        .backups("failed", |backups| backups.failures_in_a_row == 1)
        .await;
    assert!(
        report
            .running
            .is_none_or(|running| running.work == Work::Rehearsal)
    );
}

#[tokio::test]
async fn off_is_said_and_costs_nothing() {
    let cluster = Cluster::start("3.5", 1).await;
    let mut node = Node::new(&cluster, "enabled = false");
    node.start();
    let report = node
        .backups("off", |backups| !backups.reason.is_empty())
        .await;
    assert!(!report.on);
    assert_eq!(report.reason, "backup.enabled is false");
    let (code, _, err) = node.run(&["backup", "now"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("backups are off"), "{err}");
    assert!(!node.path("backups").exists() && !node.path("state/backup").exists());
    assert!(metric(&node.metrics().await, "rekindle_backup_enabled") < 0.1);
}
