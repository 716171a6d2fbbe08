//! Backups over the local socket: who may ask for one, and what is answered.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rekindle::api::client::{self, ClientError};
use rekindle::api::wire;
use rekindle::backup::Progress;
use rekindle::core::backup::manifest::Trigger;
use rekindle::core::backup::report::{BackupsReport, Running, Work};
use rekindle::daemon::backups::Refused;

use crate::api::{LONG, Served, own_ids};

const NOBODY: u32 = 65534;

/// Asks for a backup; the daemon's part answers `with`.
async fn ask(served: &mut Served, with: Result<u64, Refused>) -> Result<wire::Begun, ClientError> {
    let path = served.path.clone();
    let post = client::post(&path, "/v1/backups");
    let answer = async {
        let asked = served.asked.recv().await.unwrap();
        asked.send(with).unwrap();
    };
    tokio::join!(post, answer).0
}

fn refused(busy: bool) -> Result<u64, Refused> {
    let reason = "a backup is under way for 3 s (run 7): never two at one time".to_owned();
    Err(Refused { reason, busy })
}

#[tokio::test]
async fn a_backup_is_begun_by_a_post_and_watched_by_gets() {
    let mut served = Served::start(LONG);
    assert_eq!(ask(&mut served, Ok(7)).await.unwrap().run, 7);
    let progress = Progress::default();
    progress.begin("streaming", 100);
    progress.advance(40);
    served.sender.send_modify(|published| {
        published.progress = progress;
        published.backups = Arc::new(BackupsReport {
            on: true,
            running: Some(Running {
                run: 7,
                work: Work::Backup,
                trigger: Trigger::Asked,
                since: "2026-11-24T09:00:00Z".parse().unwrap(),
                phase: String::new(),
                done_bytes: 0,
                total_bytes: 0,
            }),
            ..BackupsReport::default()
        });
    });
    let report: BackupsReport = client::get(&served.path, "/v1/backups", Duration::ZERO)
        .await
        .unwrap();
    let running = report.running.clone().unwrap();
    assert_eq!(
        (running.phase.as_str(), running.done_bytes),
        ("streaming", 40)
    );
    let status: wire::Status = client::get(&served.path, "/v1/status", Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(status.backups, report, "status has the same section");
    served.stop().await;
}

#[tokio::test]
async fn who_asks_second_is_told_what_runs() {
    let mut served = Served::start(LONG);
    for (busy, expected) in [(true, 409), (false, 503)] {
        let error = ask(&mut served, refused(busy)).await.unwrap_err();
        let ClientError::Refused { status, answer } = error else {
            panic!("{error:?}");
        };
        assert_eq!(status.as_u16(), expected);
        assert!(answer.error.contains("never two"), "{answer:?}");
        assert!(answer.hint.contains("rekindle status"), "{answer:?}");
    }
    served.stop().await;
}

#[tokio::test]
async fn nobody_waits_where_too_many_ask() {
    let served = Served::start(Duration::from_secs(1));
    let asks: Vec<_> = (0..8)
        .map(|_| {
            let path = served.path.clone();
            tokio::spawn(async move { client::post::<wire::Begun>(&path, "/v1/backups").await })
        })
        .collect();
    let mut turned_away = 0;
    for ask in asks {
        let answer = tokio::time::timeout(LONG, ask).await.unwrap().unwrap();
        let error = answer.unwrap_err();
        turned_away += usize::from(error.to_string().contains("too many"));
    }
    assert!(turned_away >= 4, "{turned_away}");
    served.stop().await;
}

#[tokio::test]
async fn d06_a_reader_may_not_ask_for_a_backup() {
    if own_ids().0 != 0 {
        // Everyone but root is refused: this test's own user is one.
        let served = Served::start(LONG);
        let error = client::post::<wire::Begun>(&served.path, "/v1/backups").await;
        assert!(matches!(error, Err(ClientError::Refused { status, .. }) if status == 403));
        return served.stop().await;
    }
    let served = Served::start_for(LONG, NOBODY);
    let path = served.path.clone();
    let curl = move || {
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "curl"])
            .args(["--silent", "--include", "--request", "POST"])
            .arg("--unix-socket")
            .arg(path)
            .arg("http://rekindle/v1/backups")
            .output()
            .expect("curl and setpriv are installed")
    };
    let output = tokio::task::spawn_blocking(curl).await.unwrap();
    let answer = String::from_utf8(output.stdout).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("you may only read here"), "{answer}");
    served.stop().await;
}
