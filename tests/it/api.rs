//! The local socket with real sockets: what it answers, what it bounds, whom it refuses.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rekindle::api::client::{self, ClientError};
use rekindle::api::listen::listen;
use rekindle::api::server::{Limits, serve, serve_metrics};
use rekindle::api::{Handle, wire};
use rekindle::core::id::CheckpointId;
use rekindle::core::report::{CheckpointReport, Report, SourceReport, State};
use rekindle::daemon::backups::{Asked, Door};
use rekindle::daemon::publish::{Counters, Published};
use rekindle::store::revisions::Revisions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Generous: only a hang reaches it.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) fn report() -> Report {
    Report {
        node: "master-0".to_owned(),
        summary: "1 checkpoint, inactive".to_owned(),
        sources: vec![SourceReport {
            name: "containerd".to_owned(),
            unknown: None,
            detail: "5 sandboxes".to_owned(),
            since_seconds: 61,
        }],
        checkpoints: vec![CheckpointReport {
            id: CheckpointId::parse("daemonset.kube-system.kube-apiserver").unwrap(),
            state: State::Inactive,
            reason: "the parent serves".to_owned(),
            engine: None,
            good: None,
            candidate: None,
            parents: Vec::new(),
            parent_state: "serving".to_owned(),
            handover_failures: 0,
            engine_refusal: None,
        }],
        ..Report::default()
    }
}

/// User and group of this test.
pub(crate) fn own_ids() -> (u32, u32) {
    use std::os::unix::fs::MetadataExt;
    let own = std::fs::metadata("/proc/self").unwrap();
    (own.uid(), own.gid())
}

/// A running server on a socket of its own.
pub(crate) struct Served {
    pub(crate) path: PathBuf,
    pub(crate) sender: watch::Sender<Published>,
    /// Where backups are asked for; nobody answers by itself.
    pub(crate) asked: mpsc::Receiver<Asked>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Served {
    /// A server that this test's own group may read.
    pub(crate) fn start(deadline: Duration) -> Self {
        Self::start_for(deadline, own_ids().1)
    }

    /// A server that the group `readers` may read. The socket file itself is open to all here,
    /// so that the gate behind it is what is tested.
    pub(crate) fn start_for(deadline: Duration, readers: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let path = dir.path().join("run/s.sock");
        let listener = listen(&path, "no-such-group").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
        let published = Published {
            generation: 1,
            report: Arc::new(report()),
            counters: Arc::new(Counters::default()),
            ..Published::default()
        };
        let (sender, receiver) = watch::channel(published);
        let (door, asked) = Door::new();
        let handle = Handle {
            published: receiver,
            revisions: Arc::new(Revisions::new(dir.path().join("state"))),
            backups: door,
            recovery: rekindle::daemon::recovery::Door::new().0,
        };
        let limits = Limits {
            request_limit_bytes: 64 * 1024,
            request_deadline: deadline,
            readers: Some(readers),
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, handle, limits, stop.clone()));
        Self {
            path,
            sender,
            asked,
            stop,
            task,
            _dir: dir,
        }
    }

    pub(crate) fn publish(&self, change: impl FnOnce(&mut Report)) {
        self.sender.send_modify(|published| {
            let mut report = (*published.report).clone();
            change(&mut report);
            published.report = Arc::new(report);
            published.generation += 1;
        });
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(LONG, self.task)
            .await
            .expect("the server stops")
            .unwrap();
    }

    /// Sends bytes as they are and reads until the server closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.path).await.unwrap();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(bytes).await;
        read_to_end(stream).await
    }
}

pub(crate) async fn read_to_end(mut stream: UnixStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(LONG, stream.read_to_end(&mut answer)).await;
    // A reset after the answer is an end, too.
    let _ = read.expect("the server closes by itself");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn answers_what_is_published() {
    let served = Served::start(LONG);
    let status: wire::Status = client::get(&served.path, "/v1/status", Duration::ZERO)
        .await
        .unwrap();
    assert_eq!((status.generation, status.report), (1, report()));
    let all: wire::Checkpoints = client::get(&served.path, "/v1/checkpoints", Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(all.checkpoints, report().checkpoints);
    let target = "/v1/checkpoints/daemonset.kube-system.kube-apiserver";
    let one: wire::Checkpoint = client::get(&served.path, target, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(one.report.as_ref(), report().checkpoints.first());
    served.stop().await;
}

#[tokio::test]
async fn every_refusal_has_a_status_an_error_and_a_hint() {
    let served = Served::start(LONG);
    for (request, status) in [
        ("GET /nothing", 404),
        ("GET /v1/checkpoints/pod.a.b", 404),
        ("GET /v1/checkpoints/../../etc/shadow", 400),
        ("GET /v1/checkpoints/%2e%2e%2f", 400),
        ("GET /v1/status?after=x", 400),
        ("GET /v1/status?after=1&wait_seconds=-1", 400),
        ("GET /v1/status?what=1", 400),
        ("POST /v1/status", 405),
        ("DELETE /v1/checkpoints/pod.a.b", 405),
        ("PUT /metrics", 405),
        ("OPTIONS /v1/status", 405),
        ("DELETE /v1/backups", 405),
        ("POST /v1/backups?force=1", 400),
        ("GET /v1/backups/x", 404),
    ] {
        let answer = served
            .raw(format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
            .await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let error: wire::Error = serde_json::from_str(body).unwrap();
        assert!(
            !error.error.is_empty() && !error.hint.is_empty(),
            "{request}: {body}"
        );
        assert_eq!(status == 405, answer.contains("allow: GET"), "{answer}");
    }
    served.stop().await;
}

#[tokio::test]
async fn a_waiting_status_is_answered_by_a_change_and_by_the_stop() {
    let served = Served::start(Duration::from_millis(500));
    let ask = |after: u64| {
        let path = served.path.clone();
        tokio::spawn(async move {
            let target = format!("/v1/status?after={after}&wait_seconds=300");
            client::get::<wire::Status>(&path, &target, LONG).await
        })
    };
    // Another generation than the present one: at once.
    assert_eq!(ask(0).await.unwrap().unwrap().generation, 1);
    // The wait outlives the request deadline, which bounds clients, not the daemon.
    let mut waiting = ask(1);
    let early = tokio::time::timeout(Duration::from_millis(900), &mut waiting).await;
    assert!(
        early.is_err(),
        "nothing changed, and it was answered: {early:?}"
    );
    served.publish(|report| report.summary = "changed".to_owned());
    let status = tokio::time::timeout(LONG, waiting)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(
        (status.generation, status.report.summary.as_str()),
        (2, "changed")
    );
    // No change: the answer comes when the wait is over.
    let target = "/v1/status?after=2&wait_seconds=0";
    let status: wire::Status = client::get(&served.path, target, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(status.generation, 2);
    let waiting = ask(2);
    // A waiting request holds a receiver of its own beside the server's.
    while served.sender.receiver_count() < 2 {
        tokio::task::yield_now().await;
    }
    served.stop().await;
    let last = tokio::time::timeout(LONG, waiting).await.unwrap().unwrap();
    assert_eq!(last.unwrap().generation, 2, "answered, not cut off");
}

#[tokio::test]
async fn metrics_over_tcp_serve_nothing_else() {
    let served = Served::start(LONG);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handle = Handle {
        published: served.sender.subscribe(),
        revisions: Arc::new(Revisions::new("/nonexistent")),
        backups: Door::new().0,
        recovery: rekindle::daemon::recovery::Door::new().0,
    };
    let limits = Limits {
        request_limit_bytes: 1024,
        request_deadline: LONG,
        readers: None,
    };
    let stop = CancellationToken::new();
    let task = tokio::spawn(serve_metrics(listener, handle, limits, stop.clone()));
    for (target, status) in [("/metrics", 200), ("/v1/status", 404), ("/", 404)] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(LONG, stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{target}: {answer}"
        );
    }
    stop.cancel();
    tokio::time::timeout(LONG, task).await.unwrap().unwrap();
    served.stop().await;
}

#[tokio::test]
async fn the_client_says_what_to_do_when_nobody_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.sock");
    let error = client::get::<wire::Status>(&path, "/v1/status", Duration::ZERO)
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }));
    assert!(error.hint().contains("systemctl status rekindle"));
}
