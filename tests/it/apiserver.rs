//! The API server as a source, against peers that misbehave. What a healthy one grants and
//! delivers is shown on a real one, in `tests/real`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use rekindle::apiserver::{ApiSnapshot, ApiSource, Config, Wanted, spawn};
use rekindle::core::manifest::needs::{ObjectKind, ObjectRef};
use rekindle::core::reading::{Reading, UnseenKind};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::peer::{Asked, PATIENCE, Peer, Reply, reaches};

pub struct Started {
    pub source: ApiSource,
    dir: TempDir,
    _guard: DropGuard,
}

impl Started {
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    pub async fn unseen(&mut self, kind: UnseenKind) -> String {
        let reading = reaches(&mut self.source.pods, "an unknown reading", |reading| {
            reading.unseen().is_some_and(|unseen| unseen.kind == kind)
        })
        .await;
        reading.unseen().unwrap().detail.clone()
    }

    pub async fn known(&mut self, what: &str, when: impl Fn(&ApiSnapshot) -> bool) -> ApiSnapshot {
        let reading = reaches(&mut self.source.pods, what, |reading| {
            reading.known().is_some_and(&when)
        })
        .await;
        reading.known().unwrap().clone()
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a test's own files need no durable writer"
)]
pub fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

pub fn kubeconfig(server: &str, user: &Value) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "k", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    })
    .to_string()
}

pub fn start_with(text: &str, deadline: Duration, relist: Duration) -> Started {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("kubeconfig"), text);
    let shutdown = CancellationToken::new();
    let config = Config {
        kubeconfig: dir.path().join("kubeconfig"),
        server_override: None,
        node_name: "n1".to_owned(),
        deadline,
        relist,
        retry: Duration::from_millis(100),
    };
    Started {
        source: spawn(&config, shutdown.clone()),
        dir,
        _guard: shutdown.drop_guard(),
    }
}

fn start(server: &str) -> Started {
    start_with(
        &kubeconfig(server, &json!({})),
        PATIENCE,
        Duration::from_secs(3600),
    )
}

fn pod(name: &str, ready: bool) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "kube-system", "uid": name, "resourceVersion": "7"},
        "spec": {"containers": []},
        "status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": if ready { "True" } else { "False" }}
        ]},
    })
}

pub fn list(pods: &[Value]) -> Reply {
    let list = json!({"kind": "PodList", "metadata": {"resourceVersion": "5"}, "items": pods});
    Reply::Whole(200, list.to_string().into())
}

pub fn is_watch(asked: &Asked) -> bool {
    asked.query.contains("watch=true")
}

fn event(of: &str, object: &Value) -> Bytes {
    format!("{}\n", json!({"type": of, "object": object})).into()
}

/// A watch whose sender is kept, so that it stays open and silent.
pub fn silent() -> Reply {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::mem::forget(sender);
    Reply::Stream(receiver)
}

#[tokio::test]
async fn c05_blackholed_api_counts_unreachable_within_one_period() {
    let deadline = Duration::from_millis(300);
    // Accepts and never says a word, below TLS and above it.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Does not even accept: its queue is full, and the kernel drops what comes more.
    let full = tokio::net::TcpSocket::new_v4().unwrap();
    full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = full.listen(1).unwrap();
    let mut queue = Vec::new();
    while let Ok(connection) = tokio::time::timeout(
        Duration::from_millis(200),
        tokio::net::TcpStream::connect(full.local_addr().unwrap()),
    )
    .await
    {
        queue.push(connection.unwrap());
    }
    for (address, scheme) in [(&mute, "https"), (&mute, "http"), (&full, "https")] {
        let server = format!("{scheme}://{}", address.local_addr().unwrap());
        let text = kubeconfig(&server, &json!({}));
        let begun = Instant::now();
        let mut started = start_with(&text, deadline, Duration::from_secs(3600));
        let detail = started.unseen(UnseenKind::TimedOut).await;
        assert!(begun.elapsed() < deadline * 5, "{:?}", begun.elapsed());
        assert!(detail.contains(&server), "{detail}");
    }
}

#[tokio::test]
async fn c05_an_address_that_goes_silent_later_is_noticed_by_the_next_list() {
    let times = AtomicUsize::new(0);
    let peer = Peer::start(move |asked| match is_watch(asked) {
        true => silent(),
        false if times.fetch_add(1, Ordering::SeqCst) == 0 => list(&[pod("a", true)]),
        false => Reply::Never,
    })
    .await;
    let text = kubeconfig(&peer.url().to_string(), &json!({}));
    let mut started = start_with(
        &text,
        Duration::from_millis(300),
        Duration::from_millis(300),
    );
    started
        .known("the first list", |snapshot| snapshot.view.lists == 1)
        .await;
    started.unseen(UnseenKind::TimedOut).await;
}

#[tokio::test]
async fn a_closed_port_is_unreachable_and_a_refusal_denied() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    start(&format!("https://{address}"))
        .unseen(UnseenKind::Unreachable)
        .await;
    let refusal = json!({"kind": "Status", "message": "pods is forbidden", "code": 403});
    let peer = Peer::start(move |_| Reply::Whole(403, refusal.to_string().into())).await;
    let detail = start(&peer.url().to_string())
        .unseen(UnseenKind::Denied)
        .await;
    assert!(
        detail.ends_with("answers 403: pods is forbidden"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_watch_adds_changes_and_removes_and_an_old_version_asks_for_a_list() {
    let (sender, receiver) = mpsc::unbounded_channel();
    let first = std::sync::Mutex::new(Some(receiver));
    let peer = Peer::start(move |asked| {
        if is_watch(asked) {
            first
                .lock()
                .unwrap()
                .take()
                .map_or_else(silent, Reply::Stream)
        } else {
            list(&[pod("a", true)])
        }
    })
    .await;
    let mut started = start(&peer.url().to_string());
    let names = |snapshot: &ApiSnapshot| -> Vec<(String, bool)> {
        let pods = snapshot.view.pods.iter();
        pods.map(|pod| (pod.pod.name.clone(), pod.ready)).collect()
    };
    started
        .known("the list", |snapshot| snapshot.view.pods.len() == 1)
        .await;
    let (head, tail) = {
        let whole = event("ADDED", &pod("b", false));
        (whole.slice(..20), whole.slice(20..))
    };
    sender.send(head).unwrap();
    sender.send(tail).unwrap();
    started
        .known("b", |snapshot| snapshot.view.pods.len() == 2)
        .await;
    sender.send(event("MODIFIED", &pod("b", true))).unwrap();
    sender.send(event("DELETED", &pod("a", true))).unwrap();
    let both = |snapshot: &ApiSnapshot| names(snapshot) == [("b".to_owned(), true)];
    let snapshot = started.known("b is ready, a is gone", both).await;
    assert_eq!(snapshot.view.lists, 1);
    let gone = json!({"kind": "Status", "code": 410, "message": "too old resource version"});
    sender.send(event("ERROR", &gone)).unwrap();
    let snapshot = started
        .known("a list", |snapshot| snapshot.view.lists == 2)
        .await;
    assert_eq!(names(&snapshot), [("a".to_owned(), true)]);
    let watches: Vec<Asked> = peer.asked().into_iter().filter(is_watch).collect();
    assert!(
        watches[0].query.contains("resourceVersion=5"),
        "{}",
        watches[0].query
    );
    assert!(
        watches[0]
            .query
            .contains("fieldSelector=spec.nodeName%3Dn1")
    );
}

#[tokio::test]
async fn d04_broken_lists_and_events_are_never_taken_for_fewer_pods() {
    let whole = json!({
        "kind": "PodList", "metadata": {"resourceVersion": "5"}, "items": [pod("a", true)],
    })
    .to_string();
    let cut = whole.clone();
    let peer = Peer::start(move |_| Reply::Truncated(cut[..60].to_owned().into())).await;
    start(&peer.url().to_string())
        .unseen(UnseenKind::Unreadable)
        .await;
    let peer = Peer::start(|_| Reply::Junk(100 << 20)).await;
    start(&peer.url().to_string())
        .unseen(UnseenKind::TooLarge)
        .await;
    // An event without an end: the watch is given up, and a list answers again.
    let peer = Peer::start(move |asked| {
        if is_watch(asked) {
            Reply::Junk(20 << 20)
        } else {
            Reply::Whole(200, whole.clone().into())
        }
    })
    .await;
    let mut started = start(&peer.url().to_string());
    let snapshot = started
        .known("a second list", |snapshot| snapshot.view.lists >= 2)
        .await;
    assert_eq!(snapshot.view.pods.len(), 1);
}

#[tokio::test]
async fn an_object_that_cannot_be_read_any_more_keeps_its_last_value() {
    let denied = Arc::new(AtomicUsize::new(0));
    let gate = Arc::clone(&denied);
    let (sender, receiver) = mpsc::unbounded_channel::<Bytes>();
    let first = std::sync::Mutex::new(Some(receiver));
    let peer = Peer::start(move |asked| match (asked.path.as_str(), is_watch(asked)) {
        ("/api/v1/pods", true) => silent(),
        ("/api/v1/pods", false) => list(&[]),
        (_, true) => first
            .lock()
            .unwrap()
            .take()
            .map_or_else(silent, Reply::Stream),
        (_, false) if gate.load(Ordering::SeqCst) > 0 => {
            Reply::Whole(403, Bytes::from_static(b"no"))
        }
        (_, false) => {
            let secret = json!({"metadata": {"name": "keys"}, "data": {"k": "aHVzaA=="}});
            let list = json!({"metadata": {"resourceVersion": "5"}, "items": [secret]});
            Reply::Whole(200, list.to_string().into())
        }
    })
    .await;
    let mut started = start(&peer.url().to_string());
    let keys = ObjectRef {
        kind: ObjectKind::Secret,
        namespace: "kube-system".to_owned(),
        name: "keys".to_owned(),
    };
    started.source.want.send_replace(Wanted {
        objects: [keys.clone()].into(),
        ..Wanted::default()
    });
    let source = &mut started.source;
    reaches(&mut source.gathered, "the object", |all| {
        all.objects.contains_key(&keys)
    })
    .await;
    denied.store(1, Ordering::SeqCst);
    drop(sender);
    reaches(&mut source.problems, "a problem", |problems| {
        problems.contains_key(&keys)
    })
    .await;
    let kept = source.gathered.borrow().objects[&keys]
        .clone()
        .expect("still there");
    assert_eq!(kept.data["k"], b"hush");
    assert!(!format!("{:?}", source.problems.borrow()).contains("hush"));
}

#[tokio::test]
async fn nothing_is_said_before_anything_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let config = Config {
        kubeconfig: dir.path().join("missing"),
        server_override: None,
        node_name: "n1".to_owned(),
        deadline: PATIENCE,
        relist: PATIENCE,
        retry: PATIENCE,
    };
    let source = spawn(&config, shutdown);
    assert_eq!(*source.pods.borrow(), Reading::not_asked());
}
