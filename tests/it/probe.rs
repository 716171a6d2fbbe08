//! The pods' own probes, asked of real servers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use hyper::body::Bytes;
use k8s_openapi::api::core::v1::{Container, Pod};
use rekindle::core::id::PodRef;
use rekindle::core::observed::Probe;
use rekindle::probe::{Door, ExecRequest, Target, ask, spawn};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::peer::{Keys, Manner, Peer, Reply, reaches};

fn container(name: &str, probe: &Value) -> Container {
    serde_json::from_value(json!({
        "name": name,
        "ports": [{"name": "web", "containerPort": 1}],
        "readinessProbe": probe,
    }))
    .unwrap()
}

/// Asks the readiness probe once; commands are answered with `exit`.
async fn once(probe: Value, exit: Result<u32, String>) -> Result<(), String> {
    let container = container("c", &probe);
    let (exec, mut requests) = mpsc::channel::<ExecRequest>(1);
    let answers = tokio::spawn(async move {
        let request = requests.recv().await?;
        let command = (request.container_id, request.command);
        request.reply.send(exit).ok()?;
        Some(command)
    });
    let probe = container.readiness_probe.as_ref().unwrap();
    let said = ask(&container, probe, "127.0.0.1", &exec, "id-1", false).await;
    drop(exec);
    if probe.exec.is_some() {
        let asked = answers.await.unwrap().unwrap();
        assert_eq!(asked, ("id-1".to_owned(), vec!["true".to_owned()]));
    }
    said
}

async fn get(reply: impl Fn() -> Reply + Send + Sync + 'static) -> (Peer, Value) {
    let peer = Peer::start(move |_| reply()).await;
    let probe = json!({"httpGet": {"port": peer.address.port(), "path": "/healthz?verbose"}});
    (peer, probe)
}

fn status(status: u16) -> Reply {
    Reply::Whole(status, Bytes::from_static(b"ok"))
}

#[tokio::test]
async fn http_passes_from_200_to_399_as_the_kubelet_counts() {
    for (code, passes) in [
        (200, true),
        (204, true),
        (304, true),
        (399, true),
        (400, false),
        (500, false),
    ] {
        let (peer, probe) = get(move || status(code)).await;
        assert_eq!(once(probe, Ok(0)).await.is_ok(), passes, "{code}");
        let asked = &peer.asked()[0];
        assert_eq!(
            (asked.path.as_str(), asked.query.as_str()),
            ("/healthz", "verbose")
        );
        assert!(
            asked.headers["user-agent"]
                .to_str()
                .unwrap()
                .starts_with("kube-probe/")
        );
    }
    let (_peer, probe) = get(|| Reply::Junk(1 << 20)).await;
    assert_eq!(
        once(probe, Ok(0)).await,
        Ok(()),
        "only 10 KiB of an answer are read"
    );
}

#[tokio::test]
async fn http_headers_host_and_https_are_as_the_probe_says() {
    let peer = Peer::start_tls(Keys::new().server(false), |asked| {
        match asked.headers.get("host").map(HeaderValue::as_bytes) {
            Some(b"example.org") => status(200),
            _ => status(404),
        }
    })
    .await;
    let port = peer.address.port();
    let headers = json!([{"name": "Host", "value": "example.org"}, {"name": "X-A", "value": "b"}]);
    let probe = json!({"httpGet": {
        "port": port, "path": "healthz", "scheme": "HTTPS", "host": "localhost", "httpHeaders": headers,
    }});
    assert_eq!(once(probe, Ok(0)).await, Ok(()));
    assert_eq!(peer.asked()[0].headers["x-a"], "b");
    assert_eq!(peer.asked()[0].path, "/healthz");
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_host_only() {
    let (_peer, probe) = get(|| Reply::Redirect("http://192.0.2.1/".to_owned())).await;
    assert_eq!(
        once(probe, Ok(0)).await,
        Ok(()),
        "another host is not asked"
    );
    let peer = Peer::start(|asked| match asked.path.as_str() {
        "/" => Reply::Redirect("/there".to_owned()),
        _ => status(503),
    })
    .await;
    let probe = json!({"httpGet": {"port": peer.address.port(), "path": "/"}});
    assert!(
        once(probe, Ok(0))
            .await
            .unwrap_err()
            .ends_with("/there answers 503")
    );
    let (_peer, probe) = get(|| Reply::Redirect("/again".to_owned())).await;
    assert!(once(probe, Ok(0)).await.unwrap_err().contains("redirects"));
}

#[tokio::test]
async fn silence_fails_within_the_probes_own_time() {
    let (_peer, probe) = get(|| Reply::Never).await;
    assert!(once(probe, Ok(0)).await.is_err());
}

#[tokio::test]
async fn tcp_passes_where_the_port_accepts() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let probe = json!({"tcpSocket": {"port": listener.local_addr().unwrap().port()}});
    assert_eq!(once(probe.clone(), Ok(0)).await, Ok(()));
    drop(listener);
    assert!(once(probe, Ok(0)).await.unwrap_err().contains("refused"));
    let named = json!({"tcpSocket": {"port": "web"}});
    assert!(
        once(named, Ok(0)).await.unwrap_err().contains(":1:"),
        "the port by its name"
    );
    let none = json!({"tcpSocket": {"port": "none"}});
    assert!(once(none, Ok(0)).await.unwrap_err().contains("no port"));
}

#[tokio::test]
async fn a_command_passes_with_code_0_only() {
    let probe = json!({"exec": {"command": ["true"]}});
    assert_eq!(once(probe.clone(), Ok(0)).await, Ok(()));
    assert!(once(probe.clone(), Ok(3)).await.unwrap_err().contains('3'));
    let gone = Err("no such container".to_owned());
    assert!(
        once(probe, gone)
            .await
            .unwrap_err()
            .contains("no such container")
    );
}

#[tokio::test]
async fn grpc_passes_where_it_is_serving() {
    for (state, passes) in [(1u8, true), (2, false)] {
        let peer = Peer::start_on(
            "127.0.0.1:0".parse().unwrap(),
            Manner::Http2,
            move |asked| {
                assert_eq!(asked.path, "/grpc.health.v1.Health/Check");
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                Reply::Trailed(Bytes::from(vec![0, 0, 0, 0, 2, 8, state]), trailers)
            },
        )
        .await;
        let probe = json!({"grpc": {"port": peer.address.port(), "service": "etcd"}});
        assert_eq!(once(probe, Ok(0)).await.is_ok(), passes);
    }
}

#[test]
fn a_probe_that_names_nothing_fails() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    assert!(runtime.block_on(once(json!({}), Ok(0))).is_err());
}

struct Asking {
    targets: watch::Sender<Arc<Vec<Target>>>,
    probes: watch::Receiver<Arc<BTreeMap<PodRef, Probe>>>,
    _exec: mpsc::Receiver<ExecRequest>,
    _guard: DropGuard,
}

fn asking(settle: Duration) -> Asking {
    let (targets, receiver) = watch::channel(Arc::default());
    let (exec, requests) = mpsc::channel(1);
    let shutdown = CancellationToken::new();
    let period = Duration::from_millis(20);
    let probes = spawn(period, settle, receiver, exec, shutdown.clone());
    Asking {
        targets,
        probes,
        _exec: requests,
        _guard: shutdown.drop_guard(),
    }
}

fn target(spec: &Value, running: &[(&str, &str)]) -> Target {
    let pod: Pod =
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
    let running = running
        .iter()
        .map(|(name, id)| ((*name).to_owned(), (*id).to_owned()));
    Target {
        pod: reference(),
        spec: Arc::new(pod),
        host: "127.0.0.1".to_owned(),
        ours: false,
        shared: None,
        running: running.collect(),
        eager: true,
        door: None,
    }
}

fn reference() -> PodRef {
    PodRef {
        namespace: "kube-system".to_owned(),
        name: "p".to_owned(),
        uid: "u".to_owned(),
    }
}

impl Asking {
    fn target(&self, target: Target) {
        self.targets.send_replace(Arc::new(vec![target]));
    }

    async fn passes(&mut self) {
        reaches(&mut self.probes, "passing", |probes| {
            probes.get(&reference()) == Some(&Probe::Passing)
        })
        .await;
    }

    async fn fails(&mut self, why: &str) {
        reaches(&mut self.probes, why, |probes| {
            match probes.get(&reference()) {
                Some(Probe::Failing(text)) => text.contains(why),
                _ => false,
            }
        })
        .await;
    }
}

#[tokio::test]
async fn every_container_must_run_and_pass_and_a_new_one_starts_again() {
    let code = Arc::new(AtomicUsize::new(503));
    let told = Arc::clone(&code);
    let peer =
        Peer::start(move |_| status(u16::try_from(told.load(Ordering::SeqCst)).unwrap())).await;
    let probe = json!({
        "httpGet": {"port": peer.address.port(), "path": "/"}, "failureThreshold": 2,
    });
    let spec = json!({"containers": [
        {"name": "a", "livenessProbe": {"exec": {"command": []}}, "readinessProbe": probe},
        {"name": "b"},
    ]});
    let mut asking = asking(Duration::from_secs(3600));
    asking.target(target(&spec, &[("a", "a1")]));
    asking.fails("answers 503").await;
    code.store(200, Ordering::SeqCst);
    asking.fails("container b does not run").await;
    asking.target(target(&spec, &[("a", "a1"), ("b", "b1")]));
    asking.passes().await;
    code.store(500, Ordering::SeqCst);
    asking.fails("answers 500").await;
    code.store(200, Ordering::SeqCst);
    asking.passes().await;
    // The container is started anew and hangs: what the old one said does not count.
    let before = peer.asked().len();
    code.store(500, Ordering::SeqCst);
    asking.target(target(&spec, &[("a", "a2"), ("b", "b1")]));
    asking.fails("container a").await;
    peer.asked_times(before + 1).await;
    asking.targets.send_replace(Arc::default());
    reaches(&mut asking.probes, "nothing", |probes| probes.is_empty()).await;
}

#[tokio::test]
async fn a_single_failure_below_the_threshold_changes_nothing() {
    let codes = Mutex::new(vec![200u16, 200, 500, 200].into_iter());
    let peer = Peer::start(move |_| status(codes.lock().unwrap().next().unwrap_or(200))).await;
    let spec = json!({"containers": [{"name": "a", "readinessProbe": {
        "httpGet": {"port": peer.address.port()}, "failureThreshold": 2,
    }}]});
    let mut asking = asking(Duration::ZERO);
    asking.target(target(&spec, &[("a", "a1")]));
    asking.passes().await;
    asking.probes.mark_unchanged();
    peer.asked_times(6).await;
    assert!(!asking.probes.has_changed().unwrap());
}

#[tokio::test]
async fn without_probes_it_must_have_settled_and_a_declared_port_accept() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let spec = json!({"hostNetwork": true, "containers": [
        {"name": "a", "ports": [{"containerPort": port}, {"containerPort": 53, "protocol": "UDP"}]},
    ]});
    let mut asking = asking(Duration::from_millis(50));
    asking.target(target(&spec, &[("a", "a1")]));
    asking.fails("not up for").await;
    asking.fails("refused").await;
    let _listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .unwrap();
    asking.passes().await;
    // On a pod network of its own only time counts.
    let spec = json!({"containers": [{"name": "a", "ports": [{"containerPort": 1}]}]});
    asking.target(target(&spec, &[("a", "a2")]));
    asking.fails("not up for").await;
    asking.passes().await;
}

/// Told to end, an API server closes its port and lives on; no probe need tell.
#[tokio::test]
async fn a_door_that_was_open_and_is_not_any_more_is_closed_for_good() {
    let bind = |port| tokio::net::TcpListener::bind(("127.0.0.1", port));
    let first = bind(0).await.unwrap();
    let port = first.local_addr().unwrap().port();
    let spec = json!({"hostNetwork": true, "containers": [{"name": "a"}]});
    let door = Door {
        container: "a".to_owned(),
        port,
    };
    let with = |door: Option<&Door>, id| Target {
        door: door.cloned(),
        ..target(&spec, &[("a", id)])
    };
    let mut asking = asking(Duration::ZERO);
    // Who listens beside a copy may be the copy.
    asking.target(with(None, "a1"));
    asking.passes().await;
    drop(first);
    asking.target(with(Some(&door), "a1"));
    // Time for looks: what was never seen open is not closed.
    let answered = tokio::time::timeout(Duration::from_millis(200), asking.probes.changed()).await;
    assert!(answered.is_err(), "{:?}", asking.probes.borrow());
    let again = bind(port).await.unwrap();
    asking.target(Target {
        eager: false,
        ..with(Some(&door), "a1")
    });
    asking.passes().await;
    asking.target(with(Some(&door), "a1"));
    // It is looked at within some periods of 20 ms.
    let answered = tokio::time::timeout(Duration::from_millis(200), asking.probes.changed()).await;
    assert!(answered.is_err(), "{:?}", asking.probes.borrow());
    drop(again);
    reaches(&mut asking.probes, "closed", |probes| {
        probes.get(&reference()) == Some(&Probe::Closed("a1".to_owned()))
    })
    .await;
    // Another container of it starts: nothing is known of that one.
    asking.target(with(Some(&door), "a2"));
    asking.passes().await;
}
