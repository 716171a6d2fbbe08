//! What the command line does with backups while the daemon runs: the daemon notices at once.

use std::time::Duration;

use rekindle::api::{client, wire};
use rekindle::backup::index::IndexFile;
use rekindle::core::backup::outcome::Outcome;
use rekindle::core::backup::report::BackupsReport;
use tokio::time::Instant;

use crate::backup_samples::{Node, backup_id};
use crate::daemon::{Daemon, nothing_there};

/// Far less than the minute after which the daemon looks anyway.
const NOTICED: Duration = Duration::from_secs(20);

async fn backups(
    daemon: &Daemon,
    what: &str,
    wanted: impl Fn(&BackupsReport) -> bool,
) -> BackupsReport {
    let socket = daemon.dir.path().join("socket");
    let end = Instant::now() + NOTICED;
    loop {
        // Paced by its turns; and what it says must be heard, or it waits.
        daemon.told("WATCHDOG=1");
        let status = client::get::<wire::Status>(&socket, "/v1/status", Duration::ZERO).await;
        let found = status.map(|status| status.backups);
        match found {
            Ok(report) if wanted(&report) => return report,
            other => assert!(Instant::now() < end, "not noticed: {what}: {other:#?}"),
        }
    }
}

#[tokio::test]
async fn a_rehearsal_by_the_command_line_is_noticed_at_once() {
    let node = Node::new();
    let id = backup_id(1);
    node.take(&id, 0).unwrap();
    let index = IndexFile::new(&node.state(), &node.backups());
    let passed = |at: &str| Outcome {
        at: at.parse().unwrap(),
        took_ms: 1,
        checked: Vec::new(),
        failure: None,
        content: None,
    };
    let verified = passed("2026-11-24T00:31:00Z");
    let kept = index.with(|index| {
        index.records.entry(id.clone()).or_default().verified = Some(verified);
    });
    kept.unwrap();
    // Backups are on, and etcd does not answer.
    let lines = format!(
        "[etcd]\nendpoints = [\"https://127.0.0.1:1\"]\nca_file = {0:?}\ncertificate_file = \
         {0:?}\nkey_file = {0:?}\n[backup]\ndirectory = {1:?}\nhigh_water_seconds = 3600\nschedule = \
         \"\"\nrehearsal_schedule = \"\"\n{2}",
        node.path("etc/kubernetes/pki/ca.crt"),
        node.backups(),
        nothing_there()
    );
    let Node { dir } = node;
    let daemon = Daemon::start(dir, &lines);
    daemon.told("READY=1");
    // The high-water mark was asked for in vain: nothing more is to come by itself.
    let quiet =
        |report: &BackupsReport| report.newest_verified.is_some() && !report.problems.is_empty();
    let report = backups(&daemon, "there is one", quiet).await;
    assert_eq!(report.newest_proven, None);
    // As `backup rehearse` records it.
    let rehearsed = passed("2026-11-24T00:32:00Z");
    let kept = index.with(|index| {
        index.records.entry(id.clone()).or_default().rehearsed = Some(rehearsed);
    });
    kept.unwrap();
    let proven = |report: &BackupsReport| report.newest_proven.is_some();
    let report = backups(&daemon, "a rehearsal", proven).await;
    assert_eq!(report.newest_proven.unwrap().id, id);
}
