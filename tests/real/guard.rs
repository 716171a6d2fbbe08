//! Static manifests under guard, with a real kubelet that has no API server: what the kubelet runs of
//! a good content, of a ruined one, and of what was put back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rekindle::config::{self, Settings};
use rekindle::containerd::{self, Containerd, spawn_source};
use rekindle::core::observed::{RuntimeView, TaskState};
use rekindle::core::reading::Reading;
use rekindle::core::recovery::guard::learn::{FileReport, Wrong};
use rekindle::core::recovery::guard::restore::{Asker, Restore, Situation, restores};
use rekindle::core::recovery::loss::{Assessment, Loss, LossSeen};
use rekindle::core::time::Moment;
use rekindle::daemon::recovery::guard::{self, GuardView};
use rekindle::probe::ExecRequest;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// A kubelet under load takes its time to back off and to stop a pod.
const LONG: Duration = Duration::from_secs(180);
const FILE: &str = "guarded-apiserver.yaml";
const NAME: &str = "guarded-apiserver";

/// The lab's description of a node, `NAME=value` in lines.
struct Node(String);

impl Node {
    #[allow(
        clippy::disallowed_methods,
        reason = "the lab tells the tests by its environment"
    )]
    fn standalone() -> Self {
        let path = std::env::var("REKINDLE_LAB_NODE_ENV");
        let path = path.expect("no node: tests/run real sets REKINDLE_LAB_NODE_ENV");
        Self(std::fs::read_to_string(path).unwrap())
    }

    fn get(&self, name: &str) -> &str {
        let lines = self.0.lines();
        let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        values.next().unwrap_or_else(|| panic!("no {name}"))
    }
}

/// A stand-in for an API server: busybox with this command.
fn manifest(image: &str, command: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {NAME}\n  namespace: kube-system\n  labels:\n    \
         component: kube-apiserver\nspec:\n  hostNetwork: true\n  terminationGracePeriodSeconds: 1\n  \
         containers:\n  - name: main\n    image: {image}\n    imagePullPolicy: IfNotPresent\n    \
         command: [/bin/sh, -c, \"{command}\"]\n    readinessProbe:\n      exec: {{command: [/bin/true]}}\n"
    )
}

/// One guard on the node, as the daemon has it.
struct Guarded {
    dir: tempfile::TempDir,
    manifest: PathBuf,
    settings: Settings,
    runtime: watch::Receiver<Reading<RuntimeView>>,
    view: watch::Receiver<GuardView>,
    _stop: tokio_util::sync::DropGuard,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _absent = std::fs::remove_file(&self.manifest);
    }
}

async fn answer(client: Containerd, mut requests: mpsc::Receiver<ExecRequest>) {
    while let Some(request) = requests.recv().await {
        let namespace = client.config().cri_namespace.clone();
        let (id, command) = (&request.container_id, &request.command);
        let said = client.exec(&namespace, id, command, request.deadline).await;
        let _gone = request.reply.send(said.map_err(|error| error.to_string()));
    }
}

impl Guarded {
    fn start(node: &Node) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let manifests = node.get("LAB_MANIFEST_DIR");
        let text = format!(
            "[node]\nname = '{}'\n[paths]\nstate_dir = '{1}/state'\nmanifest_dir = '{manifests}'\n\
             manifest_staging_dir = '{2}/staging-guard'\n[containerd]\nsocket = '{3}'\n\
             [checkpoint]\nready_seconds = 3\n[recovery]\nwedged_after_seconds = 15\n\
             guarded_static_pods = ['{FILE}']\n",
            node.get("LAB_NODE_NAME"),
            dir.path().display(),
            Path::new(manifests).parent().unwrap().display(),
            node.get("LAB_CONTAINERD_SOCKET"),
        );
        let config = dir.path().join("config.toml");
        write(&config, &text);
        let settings = config::load(Some(&config)).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let settings = settings.settings;
        let client = Containerd::new(containerd::Config {
            socket: settings.containerd.socket.clone(),
            cri_namespace: settings.containerd.kubelet_namespace.clone(),
            engine_namespace: settings.containerd.engine_namespace.clone(),
            call_deadline: settings.containerd.call_deadline,
            resync: settings.containerd.resync_interval,
        });
        let stop = CancellationToken::new();
        let (exec, requests) = mpsc::channel(16);
        tokio::spawn(answer(client.clone(), requests));
        let runtime = spawn_source(client, stop.clone());
        let view = guard::spawn(&settings, runtime.clone(), exec, &stop);
        Self {
            manifest: Path::new(manifests).join(FILE),
            dir,
            settings,
            runtime,
            view,
            _stop: stop.drop_guard(),
        }
    }

    async fn until(&mut self, what: &str, is: impl Fn(&FileReport) -> bool) -> FileReport {
        let found = |view: &GuardView| view.files.first().is_some_and(&is);
        let waited = tokio::time::timeout(LONG, self.view.wait_for(found)).await;
        let waited = waited.is_ok_and(|view| view.is_ok());
        let view = self.view.borrow();
        assert!(waited, "{what}: not in time: {view:?}");
        view.files[0].clone()
    }

    /// Waits until the kubelet's pod of the file is so: its sandbox, and whether its container runs.
    async fn pod(&mut self, what: &str, is: impl Fn(Option<(&str, bool)>) -> bool) {
        let found = |reading: &Reading<RuntimeView>| {
            let Reading::Known(runtime) = reading else {
                return false;
            };
            let mut pods = runtime.sandboxes.iter();
            let sandbox = pods.find(|one| one.running && one.pod.name.starts_with(NAME));
            is(sandbox.map(|sandbox| {
                let mut all = sandbox.containers.iter();
                (
                    sandbox.id.as_str(),
                    all.any(|one| one.task == TaskState::Running),
                )
            }))
        };
        let waited = tokio::time::timeout(LONG, self.runtime.wait_for(found)).await;
        assert!(waited.is_ok(), "{what}: not in time");
    }

    /// What would be put back now if the API servers were lost.
    fn restores(&self) -> Vec<Restore> {
        let view = self.view.borrow().clone();
        let seen = LossSeen {
            loss: Loss::ApiServers,
            since: Moment(0),
            due: Moment(0),
            confirmed: true,
            evidence: Vec::new(),
        };
        let assessment = Assessment {
            losses: vec![seen],
            ..Assessment::default()
        };
        let situation = Situation {
            asker: Asker::Automatic,
            assessment: &assessment,
            held: None,
            kubelet: &Reading::Known(()),
            kubeadm: &view.kubeadm,
        };
        let found = restores(&view.files, &situation);
        assert_eq!(found.blockers, [] as [String; 0]);
        found.files
    }
}

fn write(path: &Path, text: &str) {
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn a_ruined_manifest_is_put_back_and_the_kubelet_runs_it_again() {
    let node = Node::standalone();
    let image = node.get("LAB_IMAGE_BUSYBOX");
    let good = manifest(image, "exec sleep 100000");
    let mut guarded = Guarded::start(&node);
    write(&guarded.manifest, &good);
    let proven = guarded.until("proven", |file| file.copy.is_some()).await;
    assert!(proven.wrong.is_none(), "{proven:?}");
    let put_back = guard::of(&guarded.settings);
    let now = "2026-11-25T18:00:00Z".parse().unwrap();

    for (ruin, wrong) in [
        (Some(""), Wrong::Empty),
        (Some("apiVersion: v1\n kind: Pod\n"), Wrong::Broken),
        (None, Wrong::Gone),
    ] {
        let started = std::time::Instant::now();
        match ruin {
            Some(text) => write(&guarded.manifest, text),
            None => std::fs::remove_file(&guarded.manifest).unwrap(),
        }
        let is = move |file: &FileReport| file.wrong == Some(wrong);
        guarded.until("found wrong", is).await;
        guarded
            .pod("stopped by the kubelet", |pod| pod.is_none())
            .await;
        let found = guarded.restores();
        assert_eq!(found.len(), 1, "{found:?}");
        let stopped = std::time::Instant::now();
        put_back.put_back(&found[0], now).unwrap();
        assert_eq!(std::fs::read_to_string(&guarded.manifest).unwrap(), good);
        guarded
            .pod("run again", |pod| pod.is_some_and(|pod| pod.1))
            .await;
        println!(
            "{wrong:?}: stopped by the kubelet within {:?}, runs {:?} after it was put back",
            stopped - started,
            stopped.elapsed()
        );
        guarded.until("as ever", |file| file.wrong.is_none()).await;
    }

    // A change that serves is the operator's, and the new good one.
    let changed = manifest(image, "exec sleep 200000");
    write(&guarded.manifest, &changed);
    let before = proven.copy.clone();
    let changed = guarded
        .until("the change is proven", |file| file.copy != before)
        .await;
    assert_eq!(guarded.restores(), []);

    // One that cannot start is not, and the last good one comes back.
    write(&guarded.manifest, &manifest(image, "exit 1"));
    let wedged = |file: &FileReport| file.wrong == Some(Wrong::Wedged);
    let wedged = guarded.until("wedged", wedged).await;
    assert_eq!(wedged.copy, changed.copy);
    let found = guarded.restores();
    let done = put_back.put_back(&found[0], now).unwrap();
    guarded
        .pod("run again", |pod| pod.is_some_and(|pod| pod.1))
        .await;
    println!("{done:?}");
    let kept = std::fs::read_dir(guarded.dir.path().join("state/static-pods/aside"));
    assert_eq!(kept.unwrap().count(), 3, "each ruin is kept aside");
}
