//! The kubelet as a source, against a real HTTP server with captured answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::body::Bytes;
use rekindle::core::reading::{Reading, Unseen, UnseenKind};
use rekindle::kubelet::{Config, KubeletSnapshot, spawn};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::peer::{Keys, PATIENCE, Peer, Reply, reaches};

const SELFHOSTED: &[u8] = include_bytes!("../fixtures/kubelet/pods-20-selfhosted-10255.json");
const AFTER_RESTART: &[u8] =
    include_bytes!("../fixtures/kubelet/pods-26-apiserver-dead-kubelet-restarted.json");
const STALE: &[u8] =
    include_bytes!("../fixtures/kubelet/pods-25-apiserver-dead-kubelet-alive.json");
const WEBHOOK: &[u8] = include_bytes!("../fixtures/kubelet/pods-10250-apiserver-dead.txt");

fn config() -> Config {
    Config {
        read_only_url: None,
        secure_url: None,
        client_certificate_file: None,
        client_key_file: None,
        token_file: None,
        ca_file: None,
        poll: Duration::from_millis(50),
        deadline: PATIENCE,
        limit: 64 << 20,
    }
}

type Readings = watch::Receiver<Reading<KubeletSnapshot>>;

fn start(config: Config) -> (Readings, Arc<Notify>, tokio_util::sync::DropGuard) {
    let nudge = Arc::new(Notify::new());
    let shutdown = CancellationToken::new();
    let readings = spawn(config, Arc::clone(&nudge), shutdown.clone());
    (readings, nudge, shutdown.drop_guard())
}

async fn first(config: Config) -> Reading<KubeletSnapshot> {
    let (mut readings, _nudge, _guard) = start(config);
    reaches(&mut readings, "a reading", |reading| {
        *reading != Reading::not_asked()
    })
    .await
}

async fn unseen(config: Config) -> Unseen {
    match first(config).await {
        Reading::Unknown(unseen) => unseen,
        Reading::Known(snapshot) => panic!("known: {snapshot:?}"),
    }
}

async fn plain(answer: impl Fn() -> Reply + Send + Sync + 'static) -> (Peer, Config) {
    let peer = Peer::start(move |_| answer()).await;
    let config = Config {
        read_only_url: Some(peer.url()),
        ..config()
    };
    (peer, config)
}

fn pods(bytes: &'static [u8]) -> Reply {
    Reply::Whole(200, Bytes::from_static(bytes))
}

#[tokio::test]
async fn the_read_only_port_gives_the_captured_pods() {
    let (peer, config) = plain(|| pods(SELFHOSTED)).await;
    let snapshot = first(config).await.known().cloned().expect("known");
    assert_eq!(snapshot.via, "read-only");
    assert!(snapshot.view.pods.iter().any(|pod| pod.parent_of.is_some()));
    assert_eq!(
        snapshot.parents.len(),
        snapshot
            .view
            .pods
            .iter()
            .filter(|pod| pod.parent_of.is_some())
            .count()
    );
    assert!(
        snapshot.host_ip.is_some(),
        "the parents' status tells the node's address"
    );
    assert!(snapshot.view.pods.is_sorted_by(|a, b| a.pod <= b.pod));
    for parent in &snapshot.parents {
        assert_eq!(parent.metadata.managed_fields, None);
    }
    assert_eq!(peer.asked()[0].path, "/pods");
}

#[tokio::test]
async fn items_null_is_an_answer_with_no_pods() {
    let (_peer, config) = plain(|| pods(AFTER_RESTART)).await;
    let snapshot = first(config).await.known().cloned().expect("known");
    assert_eq!(snapshot.view.pods, []);
}

#[tokio::test]
async fn c02_authenticated_port_without_api_server_is_unreadable_and_says_why() {
    let keys = Keys::new();
    let peer = Peer::start_tls(keys.server(false), |_| {
        Reply::Typed(500, "text/plain", Bytes::from_static(WEBHOOK))
    })
    .await;
    let closed = closed_port().await;
    let unseen = unseen(Config {
        read_only_url: Some(closed.parse().unwrap()),
        secure_url: Some(peer.url()),
        ..config()
    })
    .await;
    assert_eq!(unseen.kind, UnseenKind::Unreadable);
    let sentence = std::str::from_utf8(WEBHOOK).unwrap().trim();
    assert!(unseen.detail.contains(sentence), "{}", unseen.detail);
    assert!(unseen.detail.contains(&closed), "{}", unseen.detail);
    assert!(
        unseen.detail.contains("onnection refused"),
        "{}",
        unseen.detail
    );
}

#[tokio::test]
async fn c03_a_stale_list_is_passed_on_as_the_kubelets_memory_only() {
    let (_peer, config) = plain(|| pods(STALE)).await;
    let snapshot = first(config).await.known().cloned().expect("known");
    // The API server is dead in this capture, and still listed as Ready: a fact about the list.
    assert!(
        snapshot
            .view
            .pods
            .iter()
            .any(|pod| pod.ready && pod.parent_of.is_some())
    );
}

#[tokio::test]
async fn refusals_are_denied_and_silence_is_a_time_out() {
    for status in [401, 403] {
        let (_peer, config) = plain(move || Reply::Whole(status, Bytes::from_static(b"no"))).await;
        assert_eq!(unseen(config).await.kind, UnseenKind::Denied);
    }
    let (_peer, config) = plain(|| Reply::Never).await;
    let config = Config {
        deadline: Duration::from_millis(100),
        ..config
    };
    assert_eq!(unseen(config).await.kind, UnseenKind::TimedOut);
    let closed = closed_port().await;
    let nobody = Config {
        read_only_url: Some(closed.parse().unwrap()),
        ..self::config()
    };
    assert_eq!(unseen(nobody).await.kind, UnseenKind::Unreachable);
    assert_eq!(unseen(self::config()).await.kind, UnseenKind::NotAsked);
}

#[tokio::test]
async fn d04_broken_answers_are_unreadable() {
    let (_peer, config) = plain(|| Reply::Truncated(Bytes::from_static(&SELFHOSTED[..900]))).await;
    assert_eq!(unseen(config).await.kind, UnseenKind::Unreadable);
    let html = b"<html><body>Login</body></html>";
    let (_peer, config) = plain(|| Reply::Typed(200, "text/html", Bytes::from_static(html))).await;
    assert_eq!(unseen(config).await.kind, UnseenKind::Unreadable);
    let secrets = br#"{"kind":"SecretList","items":[]}"#;
    let (_peer, config) = plain(|| pods(secrets)).await;
    assert_eq!(unseen(config).await.kind, UnseenKind::Unreadable);
}

#[tokio::test]
async fn d04_a_hundred_megabytes_of_junk_are_cut_off_in_bounded_memory() {
    let (_peer, config) = plain(|| Reply::Junk(100 << 20)).await;
    let before = peak_memory();
    let unseen = unseen(Config {
        limit: 4 << 20,
        ..config
    })
    .await;
    assert_eq!(unseen.kind, UnseenKind::TooLarge);
    let grown = peak_memory().saturating_sub(before);
    assert!(grown < 40 << 20, "peak memory grew by {grown} bytes");
}

/// Peak resident memory of this process, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

#[tokio::test]
async fn the_port_that_answers_is_remembered_and_the_other_one_tried_when_it_fails() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let read_only = Peer::start(move |_| {
        if gate.load(Ordering::SeqCst) {
            pods(SELFHOSTED)
        } else {
            Reply::Whole(404, Bytes::new())
        }
    })
    .await;
    let keys = Keys::new();
    let refuses = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&refuses);
    let secure = Peer::start_tls(keys.server(false), move |_| {
        if gate.load(Ordering::SeqCst) {
            Reply::Whole(403, Bytes::new())
        } else {
            pods(SELFHOSTED)
        }
    })
    .await;
    let (mut readings, _nudge, _guard) = start(Config {
        read_only_url: Some(read_only.url()),
        secure_url: Some(secure.url()),
        ..config()
    });
    let via = |name: &'static str| {
        move |reading: &Reading<KubeletSnapshot>| {
            reading.known().is_some_and(|snapshot| snapshot.via == name)
        }
    };
    reaches(
        &mut readings,
        "the authenticated port",
        via("authenticated"),
    )
    .await;
    secure.asked_times(6).await;
    assert_eq!(
        read_only.asked().len(),
        1,
        "the working port is asked first"
    );
    // The client may open a second one while the first is still being put back.
    let connections = *secure.connections.lock().unwrap();
    assert!(connections <= 2, "{connections} connections");
    open.store(true, Ordering::SeqCst);
    refuses.store(true, Ordering::SeqCst);
    reaches(&mut readings, "the read-only port", via("read-only")).await;
}

#[tokio::test]
async fn the_same_answer_is_not_published_again_whatever_its_order() {
    let turn = AtomicUsize::new(0);
    let peer = Peer::start(move |_| {
        let mut list: serde_json::Value = serde_json::from_slice(SELFHOSTED).unwrap();
        let items = list["items"].as_array_mut().unwrap();
        let by = turn.fetch_add(1, Ordering::SeqCst) % items.len();
        items.rotate_left(by);
        Reply::Whole(200, serde_json::to_vec(&list).unwrap().into())
    })
    .await;
    let (mut readings, nudge, _guard) = start(Config {
        read_only_url: Some(peer.url()),
        poll: Duration::from_secs(3600),
        ..config()
    });
    reaches(&mut readings, "a reading", |reading| {
        reading.known().is_some()
    })
    .await;
    readings.mark_unchanged();
    for times in 2..5 {
        nudge.notify_one();
        peer.asked_times(times).await;
    }
    assert!(!readings.has_changed().unwrap());
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_read_again_when_its_file_changes() {
    let keys = Keys::new();
    let strangers = Keys::new();
    let peer = Peer::start_tls(keys.server(true), |_| pods(SELFHOSTED)).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("client.pem");
    let put = |keys: &Keys| {
        let (certificate, key) = keys.issue("rekindle");
        let next = dir.path().join("next.pem");
        write(&next, &format!("{certificate}{key}"));
        rename(&next, &path);
    };
    put(&strangers);
    let (mut readings, _nudge, _guard) = start(Config {
        secure_url: Some(peer.url()),
        client_certificate_file: Some(path.clone()),
        ..config()
    });
    reaches(&mut readings, "a refused certificate", |reading| {
        reading
            .unseen()
            .is_some_and(|unseen| unseen.kind != UnseenKind::NotAsked)
    })
    .await;
    put(&keys);
    reaches(&mut readings, "the new certificate", |reading| {
        reading.known().is_some()
    })
    .await;
}

#[tokio::test]
async fn a_token_is_sent_to_a_verified_kubelet_only() {
    let keys = Keys::new();
    let peer = Peer::start_tls(keys.server(false), |asked| {
        match asked
            .headers
            .get("authorization")
            .map(http::HeaderValue::as_bytes)
        {
            Some(b"Bearer hush") => pods(SELFHOSTED),
            _ => Reply::Whole(401, Bytes::from_static(b"Unauthorized")),
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let (token, ca) = (dir.path().join("token"), dir.path().join("ca.pem"));
    write(&token, "hush\n");
    let base = Config {
        secure_url: Some(peer.url()),
        token_file: Some(token),
        ..config()
    };
    let without = unseen(base.clone()).await;
    assert_eq!(without.kind, UnseenKind::Unreadable);
    assert!(without.detail.contains("ca_file"), "{}", without.detail);
    assert!(!without.detail.contains("hush"));
    assert_eq!(peer.asked().len(), 0, "nothing was sent");

    write(&ca, &Keys::new().authority);
    let impostor = Config {
        ca_file: Some(ca.clone()),
        ..base.clone()
    };
    assert_eq!(unseen(impostor).await.kind, UnseenKind::Unreadable);
    assert_eq!(peer.asked().len(), 0, "nothing was sent");

    write(&ca, &keys.authority);
    let verified = Config {
        ca_file: Some(ca),
        ..base
    };
    let snapshot = first(verified).await.known().cloned().expect("known");
    assert_eq!(snapshot.via, "authenticated");
}

/// An address where nobody listens.
async fn closed_port() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[allow(
    clippy::disallowed_methods,
    reason = "a test's own files need no durable writer"
)]
fn write(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[allow(
    clippy::disallowed_methods,
    reason = "a test's own files need no durable writer"
)]
fn rename(from: &std::path::Path, to: &std::path::Path) {
    std::fs::rename(from, to).unwrap();
}
