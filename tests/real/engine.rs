//! Our own engine, on a real containerd.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use rekindle::core::id::{CheckpointId, RevisionId};
use rekindle::core::observed::{EngineState, EngineView};
use rekindle::core::reading::{Reading, UnseenKind};
use rekindle::engine::{Config, EngineHandle, Error};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::containerd_process::{BUSYBOX, PATIENCE, Process, until};

struct Lab {
    process: Process,
    id: CheckpointId,
    revision: RevisionId,
}

/// One daemon's life.
struct Life {
    engine: EngineHandle,
    view: watch::Receiver<Reading<EngineView>>,
    shutdown: CancellationToken,
}

impl Lab {
    async fn start(name: &str) -> Self {
        Self {
            process: Process::start().await,
            id: CheckpointId::new("daemonset", "kube-system", name).unwrap(),
            revision: RevisionId::parse("0123456789abcdef").unwrap(),
        }
    }

    fn config(&self, boot: &str) -> Config {
        Config {
            node_name: "master-1".to_owned(),
            node_address: "127.0.0.1".to_owned(),
            boot_id: boot.to_owned(),
            pod_log_dir: self.process.path("logs"),
            state_dir: self.process.path("engine"),
            memory_dir: self.process.path("memory"),
            stop_grace_limit: Duration::from_secs(5),
            cgroup_parent: format!("/{}", self.process.ours),
            logger: env!("CARGO_BIN_EXE_rekindle").into(),
        }
    }

    fn live(&self) -> Life {
        self.live_in("boot-1")
    }

    fn live_in(&self, boot: &str) -> Life {
        let shutdown = CancellationToken::new();
        let ask: rekindle::engine::Ask = Arc::new(|asked| {
            Box::pin(async move {
                let port = asked.probe.tcp_socket.ok_or("no tcp probe")?.port;
                let k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::Int(port) = port
                else {
                    return Err("a named port".to_owned());
                };
                let to = format!("{}:{port}", asked.host);
                let connected = tokio::net::TcpStream::connect(to).await;
                connected.map(|_| ()).map_err(|error| error.to_string())
            })
        });
        let client = self.process.client();
        let engine = EngineHandle::spawn(self.config(boot), client, ask, shutdown.clone());
        Life {
            view: engine.view(),
            engine,
            shutdown,
        }
    }

    fn pod(&self, spec: Value) -> Pod {
        let mut spec = spec;
        spec["hostNetwork"] = json!(true);
        serde_json::from_value(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "app", "namespace": "kube-system", "uid": "1-2-3",
                         "labels": {"k8s-app": "x"}},
            "spec": spec,
        }))
        .unwrap()
    }

    async fn run(&self, life: &mut Life, spec: Value) {
        life.known().await;
        let started = life.engine.start(&self.id, &self.revision, self.pod(spec));
        started.await.unwrap();
    }

    fn log(&self, container: &str, attempt: u32) -> PathBuf {
        let dir = self.process.path("logs/kube-system_app-master-1_1-2-3");
        dir.join(container).join(format!("{attempt}.log"))
    }

    /// Waits for a line of a container's log.
    async fn logged(&self, container: &str, line: &str) -> String {
        let path = self.log(container, 0);
        let read = || std::fs::read_to_string(&path).unwrap_or_default();
        until(&format!("{line:?} in the log"), async || {
            read().contains(line)
        })
        .await;
        read()
    }

    /// Stops the pod and proves that nothing of it is left.
    async fn stop(&self, life: &mut Life, at_once: bool) {
        life.engine.stop(&self.id, at_once).await.unwrap();
        let gone = |view: &EngineView| !view.pods.contains_key(&self.id);
        life.wait(gone).await;
        self.nothing_is_left();
    }

    fn nothing_is_left(&self) {
        let (process, ours) = (&self.process, &self.process.ours);
        assert_eq!(process.ctr(ours, &["containers", "list", "-q"]), "");
        assert_eq!(process.ctr(ours, &["tasks", "list", "-q"]), "");
        let snapshots = process.ctr(&process.kubelets, &["snapshots", "list"]);
        assert!(!snapshots.contains("rekindle-"), "{snapshots}");
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let state = process.path("state/io.containerd.runtime.v2.task");
        assert!(
            !mounts.contains(&format!("{}/{ours}", state.display())),
            "{mounts}"
        );
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let left = hierarchy.path().join(ours);
            assert!(!left.exists(), "{}", left.display());
        }
        let records = std::fs::read_dir(process.path("engine")).unwrap().flatten();
        let records = records.filter(|entry| entry.file_name() != "staging");
        assert_eq!(records.count(), 0);
    }

    fn tasks(&self) -> usize {
        let list = self
            .process
            .ctr(&self.process.ours, &["tasks", "list", "-q"]);
        list.lines().count()
    }
}

impl Life {
    async fn wait(&mut self, mut is_so: impl FnMut(&EngineView) -> bool) {
        let so = self
            .view
            .wait_for(|reading| reading.known().is_some_and(&mut is_so));
        let seen = tokio::time::timeout(PATIENCE, so)
            .await
            .map(|seen| seen.map(|_| ()));
        match seen {
            Ok(ended) => ended.expect("the engine ended"),
            Err(_) => panic!("never so; the view is {:?}", *self.engine.view().borrow()),
        }
    }

    async fn known(&mut self) {
        self.wait(|_| true).await;
    }

    async fn state(&mut self, lab: &Lab, is_so: impl Fn(&EngineState) -> bool) {
        let id = lab.id.clone();
        self.wait(|view| view.pods.get(&id).is_some_and(|pod| is_so(&pod.state)))
            .await;
    }
}

fn shell(script: &str) -> Value {
    json!({"name": "main", "image": BUSYBOX, "command": ["/bin/sh", "-c", script]})
}

#[tokio::test]
async fn c23_serves_on_the_host_network_and_leaves_nothing() {
    let lab = Lab::start("httpd").await;
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let mut life = lab.live();
    let begun = std::time::Instant::now();
    let mut container = shell(&format!("exec httpd -f -p 127.0.0.1:{port}"));
    container["readinessProbe"] = json!({"tcpSocket": {"port": port}, "periodSeconds": 1});
    container["livenessProbe"] = json!({"exec": {"command": ["/bin/true"]}});
    let spec = json!({"containers": [container]});
    lab.run(&mut life, spec.clone()).await;
    life.state(&lab, |state| *state == EngineState::Serving)
        .await;
    println!("order to serving: {:?}", begun.elapsed());
    // Again: nothing happens. Another revision: refused.
    let again = life
        .engine
        .start(&lab.id, &lab.revision, lab.pod(spec.clone()));
    again.await.unwrap();
    let other = RevisionId::parse("fedcba9876543210").unwrap();
    let other = life.engine.start(&lab.id, &other, lab.pod(spec)).await;
    assert!(matches!(other, Err(Error::Busy(_))), "{other:?}");
    assert_eq!(lab.tasks(), 1);
    let begun = std::time::Instant::now();
    lab.stop(&mut life, true).await;
    println!("order to verified gone: {:?}", begun.elapsed());
    lab.stop(&mut life, true).await;
}

#[tokio::test]
async fn the_process_gets_what_the_pod_asks_for() {
    let lab = Lab::start("inside").await;
    let host = lab.process.path("host");
    std::fs::create_dir_all(host.join("sub")).unwrap();
    crate::containerd_process::write(&host.join("sub/file"), "from the host\n");
    let script = "id; env; cat /data/file /etc/hostname; cat /proc/self/status; \
        touch /data/new || echo data is read-only; touch /new || echo root is read-only; \
        touch /empty/new && echo empty is writable; echo args: $0 $1; echo oops >&2; \
        echo done; exec sleep 1000";
    let mut life = lab.live();
    let spec = json!({
        "securityContext": {"fsGroup": 77, "supplementalGroups": [88]},
        "containers": [{
            "name": "main", "image": BUSYBOX,
            "command": ["/bin/sh", "-c", script], "args": ["$(GREETING)", "$$(GREETING)"],
            "env": [
                {"name": "GREETING", "value": "hello"},
                {"name": "TWICE", "value": "$(GREETING)-$(GREETING)-$(NONE)"},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['k8s-app']"}}},
                {"name": "MILLI", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
            ],
            "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "100m"}},
            "securityContext": {
                "runAsUser": 1234, "runAsGroup": 55, "readOnlyRootFilesystem": true,
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
            },
            "volumeMounts": [
                {"name": "host", "mountPath": "/data", "subPath": "sub", "readOnly": true},
                {"name": "empty", "mountPath": "/empty"},
            ],
        }],
        "volumes": [
            {"name": "host", "hostPath": {"path": host, "type": "Directory"}},
            {"name": "empty", "emptyDir": {}},
        ],
    });
    lab.run(&mut life, spec).await;
    let log = lab.logged("main", " done\n").await;
    for line in [
        "stdout F uid=1234 gid=55 groups=77,88",
        "stdout F TWICE=hello-hello-$(NONE)",
        "stdout F NODE=master-1",
        "stdout F IP=127.0.0.1",
        "stdout F LABEL=x",
        "stdout F MILLI=500",
        "stdout F from the host",
        "stdout F master-1",
        "stdout F NoNewPrivs:\t1",
        "stdout F CapBnd:\t0000000000000400",
        "stdout F data is read-only",
        "stdout F root is read-only",
        "stdout F empty is writable",
        "stdout F args: hello $(GREETING)",
        "stderr F oops",
    ] {
        assert!(log.contains(line), "{line:?} is not in\n{log}");
    }
    lab.stop(&mut life, false).await;
}

#[tokio::test]
async fn init_containers_go_first_and_in_order() {
    let lab = Lab::start("inits").await;
    let mut life = lab.live();
    let step = |name: &str, script: &str| {
        json!({"name": name, "image": BUSYBOX, "command": ["/bin/sh", "-c", script],
               "volumeMounts": [{"name": "v", "mountPath": "/v"}]})
    };
    let spec = json!({
        // The first fails once: `a` is made only then.
        "initContainers": [
            step("first", "if [ -e /v/a ]; then exit 0; fi; touch /v/a; exit 1"),
            step("second", "[ -e /v/a ] && touch /v/b"),
        ],
        "containers": [step("main", "ls /v; echo done; exec sleep 1000")],
        "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}],
    });
    lab.run(&mut life, spec).await;
    let log = lab.logged("main", " done\n").await;
    assert!(
        log.contains("stdout F a\n") && log.contains("stdout F b\n"),
        "{log}"
    );
    assert!(lab.log("first", 1).exists());
    life.state(&lab, |state| *state == EngineState::Serving)
        .await;
    lab.stop(&mut life, false).await;
}

#[tokio::test]
async fn a_container_that_crashes_waits_and_one_that_is_not_live_is_killed() {
    let lab = Lab::start("crash").await;
    let mut life = lab.live();
    let spec = json!({"containers": [shell("exit 3")]});
    lab.run(&mut life, spec).await;
    life.state(
        &lab,
        |state| matches!(state, EngineState::BackOff(why) if why.contains("ended with 3")),
    )
    .await;
    assert!(
        lab.log("main", 1).exists(),
        "the first restart is made at once"
    );
    lab.stop(&mut life, false).await;

    let mut container = shell("exec sleep 1000");
    container["livenessProbe"] = json!({
        "exec": {"command": ["/bin/false"]}, "periodSeconds": 1, "failureThreshold": 2
    });
    container["terminationMessagePath"] = json!("/dev/other-log");
    let spec = json!({"containers": [container], "terminationGracePeriodSeconds": 0});
    lab.run(&mut life, spec).await;
    life.state(
        &lab,
        |state| matches!(state, EngineState::BackOff(why) if why.contains("ended with 137")),
    )
    .await;
    lab.stop(&mut life, true).await;
}

#[tokio::test]
async fn d01_a_new_daemon_takes_over_what_runs() {
    let mut lab = Lab::start("adopted").await;
    let mut life = lab.live();
    let spec = json!({"containers": [shell("echo begun; exec sleep 1000")]});
    lab.run(&mut life, spec.clone()).await;
    lab.logged("main", "begun").await;
    life.state(&lab, |state| *state == EngineState::Serving)
        .await;
    let pid = |lab: &Lab| lab.process.ctr(&lab.process.ours, &["tasks", "list"]);
    let before = pid(&lab);
    life.shutdown.cancel();
    let mut life = lab.live();
    life.state(&lab, |state| *state == EngineState::Serving)
        .await;
    lab.run(&mut life, spec.clone()).await;
    assert_eq!(pid(&lab), before);

    // The record is lost with the daemon's disk: the container's own copy serves.
    life.shutdown.cancel();
    std::fs::remove_dir_all(lab.process.path("engine")).unwrap();
    let mut life = lab.live();
    life.state(&lab, |state| *state == EngineState::Serving)
        .await;
    assert_eq!(pid(&lab), before);

    // containerd goes and comes back: unknown in between, never empty.
    lab.process.kill();
    let unknown = life.view.wait_for(|reading| reading.known().is_none());
    let kind = unknown.await.unwrap().unseen().unwrap().kind;
    assert_ne!(kind, UnseenKind::NotAsked);
    let refused = life.engine.stop(&lab.id, true).await;
    assert!(matches!(refused, Err(Error::Unknown(_))), "{refused:?}");
    lab.process.run().await;
    life.state(&lab, |state| *state == EngineState::Serving)
        .await;
    assert_eq!(pid(&lab), before);
    life.shutdown.cancel();

    // After a reboot nothing is started by itself, and nothing is left.
    let mut life = lab.live_in("boot-2");
    life.wait(|view| view.pods.is_empty()).await;
    lab.nothing_is_left();
}

#[tokio::test]
async fn d01_cut_off_at_any_moment_of_a_start_there_is_one_copy() {
    let lab = Lab::start("cut-off").await;
    let spec = json!({"containers": [shell("exec sleep 1000")]});
    // The only sleeps: the moment of the cut is what is varied.
    for cut in [0, 5, 15, 30, 50, 80, 120, 200] {
        let mut life = lab.live();
        life.known().await;
        lab.run(&mut life, spec.clone()).await;
        tokio::time::sleep(Duration::from_millis(cut)).await;
        life.shutdown.cancel();
        drop(life);
        let mut life = lab.live();
        life.state(&lab, |state| *state == EngineState::Serving)
            .await;
        assert_eq!(lab.tasks(), 1, "cut off after {cut} ms");
        // And stopped while it starts again.
        let other = lab.live();
        other.shutdown.cancel();
        lab.stop(&mut life, true).await;
        lab.run(&mut life, spec.clone()).await;
        tokio::time::sleep(Duration::from_millis(cut)).await;
        lab.stop(&mut life, true).await;
        life.shutdown.cancel();
    }
}

#[tokio::test]
async fn what_cannot_run_is_refused_with_the_reason() {
    let lab = Lab::start("refused").await;
    let mut life = lab.live();
    life.known().await;
    let mut pod = lab.pod(json!({"containers": [shell("true")]}));
    pod.spec.as_mut().unwrap().host_network = None;
    let refused = life.engine.start(&lab.id, &lab.revision, pod).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");

    let link = lab.process.path("volume");
    std::fs::create_dir(&link).unwrap();
    std::os::unix::fs::symlink("/etc", link.join("out")).unwrap();
    let volume = json!([{"name": "v", "hostPath": {"path": link}}]);
    let mut escaping = shell("true");
    escaping["volumeMounts"] = json!([{"name": "v", "mountPath": "/v", "subPath": "out"}]);
    let mut upwards = escaping.clone();
    upwards["volumeMounts"][0]["subPath"] = json!("../../etc");
    let mut root = shell("true");
    root["securityContext"] = json!({"runAsNonRoot": true});
    let reasons = BTreeMap::from([
        ("goes by a link", escaping),
        ("leaves the volume", upwards),
        ("must not run as root", root),
    ]);
    for (reason, container) in reasons {
        let spec = json!({"containers": [container], "volumes": volume});
        lab.run(&mut life, spec).await;
        life.state(
            &lab,
            |state| matches!(state, EngineState::Refused(why) if why.contains(reason)),
        )
        .await;
        lab.stop(&mut life, true).await;
    }
    let mut missing = shell("true");
    missing["image"] = json!("lab.local/none:1");
    lab.run(&mut life, json!({"containers": [missing]})).await;
    life.state(&lab, |state| {
        matches!(state, EngineState::BackOff(why) if why.contains("lab.local/none:1 is not here"))
    })
    .await;
    lab.stop(&mut life, true).await;
}
