//! Kubernetes' containers taken off a real containerd, and nobody else's.

use std::time::Duration;

use rekindle::containerd::clear::Owner;

use crate::containerd_process::{BUSYBOX, Process};

const LABEL: &str = "rekindle.dev/checkpoint-id";
const SLEEP: [&str; 2] = ["/bin/sleep", "1000000"];

/// Containers of a namespace, and those with a task.
fn there(process: &Process, namespace: &str) -> (Vec<String>, Vec<String>) {
    let list = |what| {
        let said = process.ctr(namespace, &[what, "list", "-q"]);
        let mut ids: Vec<String> = said.lines().map(str::to_owned).collect();
        ids.sort();
        ids
    };
    (list("containers"), list("tasks"))
}

fn plain(process: &Process, namespace: &str, labels: &[&str], id: &str) {
    let mut args = vec!["run", "-d", "--null-io", "--net-host"];
    for label in labels {
        args.extend(["--label", label]);
    }
    args.extend([BUSYBOX, id]);
    args.extend(SLEEP);
    process.ctr(namespace, &args);
}

#[tokio::test]
async fn only_what_the_labels_say_is_kubernetes_goes_and_images_stay() {
    let process = Process::start().await;
    let (kubelets, ours) = (process.kubelets.clone(), process.ours.clone());
    process.cri_container("sandbox-1", "sandbox", "uid-1", "", &SLEEP);
    process.cri_container("container-1", "container", "uid-1", "main", &SLEEP);
    // Does not end by SIGTERM: it is the first process of its pid namespace, without a handler.
    process.cri_container("stubborn", "container", "uid-2", "main", &SLEEP);
    // Ended already.
    process.cri_container("ended", "container", "uid-2", "side", &["/bin/true"]);
    plain(&process, &kubelets, &[], "foreign");
    plain(
        &process,
        &kubelets,
        &["io.kubernetes.other=label"],
        "foreign-labelled",
    );
    process.ctr(
        &ours,
        &[
            "images",
            "import",
            process.path("image.tar").to_str().unwrap(),
        ],
    );
    plain(
        &process,
        &ours,
        &["rekindle.dev/checkpoint-id=daemonset.kube-system.a"],
        "engine-1",
    );
    plain(&process, &ours, &[], "foreign-in-ours");
    // A frozen one dies only when it is thawed.
    process.ctr(&kubelets, &["tasks", "pause", "container-1"]);

    let client = process.client();
    let found = client.found(LABEL).await.unwrap();
    let of = |owner| {
        let of = found.iter().filter(|found| found.owner == owner);
        let mut ids: Vec<&str> = of.map(|found| found.id.as_str()).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(
        of(Owner::Kubernetes),
        ["container-1", "ended", "sandbox-1", "stubborn"]
    );
    assert_eq!(of(Owner::Ours), ["engine-1"]);
    assert_eq!(
        of(Owner::Foreign),
        ["foreign", "foreign-in-ours", "foreign-labelled"]
    );
    let images = process.ctr(&kubelets, &["images", "list", "-q"]);

    client.clear(LABEL, Duration::from_secs(1)).await.unwrap();
    let foreign = vec!["foreign".to_owned(), "foreign-labelled".to_owned()];
    assert_eq!(there(&process, &kubelets), (foreign.clone(), foreign));
    let foreign = vec!["foreign-in-ours".to_owned()];
    assert_eq!(there(&process, &ours), (foreign.clone(), foreign));
    assert_eq!(process.ctr(&kubelets, &["images", "list", "-q"]), images);
    let layers = process.ctr(&kubelets, &["snapshots", "list"]);
    assert!(
        !layers.contains("container-1") && layers.contains("foreign"),
        "{layers}"
    );
    // Again: nothing to do.
    client.clear(LABEL, Duration::from_secs(1)).await.unwrap();
}

#[tokio::test]
async fn a_containerd_that_does_not_answer_is_an_error_and_not_nothing() {
    let mut process = Process::start().await;
    process.cri_container("container-1", "container", "uid-1", "main", &SLEEP);
    process.kill();
    let client = process.client();
    assert!(client.found(LABEL).await.is_err());
    assert!(client.clear(LABEL, Duration::ZERO).await.is_err());
    process.run().await;
    assert_eq!(there(&process, &process.kubelets).0, ["container-1"]);
}

/// A node's directories beside its containerd, and the command on them.
struct Node<'a> {
    process: &'a Process,
    root: std::path::PathBuf,
}

impl Node<'_> {
    /// Made anew: a pod in containerd, its manifest, directory and log, and etcd's data.
    fn furnish(&self) {
        let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/etcd/member");
        let script = "rm -rf \"$1\" && mkdir -p \"$1\"/manifests \"$1\"/pods/uid/volumes \"$1\"/etcd \
            \"$1\"/logs/pods/p \"$1\"/logs/containers && cp -a \"$2\" \"$1\"/etcd/member && \
            echo '{}' >\"$1\"/manifests/etcd.yaml && echo x >\"$1\"/pods/uid/volumes/token && \
            echo line >\"$1\"/logs/pods/p/0.log && ln -s \"$1\"/logs/pods/p/0.log \"$1\"/logs/containers/p.log";
        let status = std::process::Command::new("sh")
            .args(["-euc", script, "sh"])
            .arg(&self.root)
            .arg(fixture)
            .status();
        assert!(status.unwrap().success());
        let config = format!(
            "[node]\nname = 'node1'\n[paths]\nstate_dir = '{0}/state'\nmanifest_dir = '{0}/manifests'\n\
             pod_log_dir = '{0}/logs/pods'\ncontainer_log_dir = '{0}/logs/containers'\n\
             quarantine_dir = '{0}/quarantine'\n[containerd]\nsocket = '{1}'\n\
             kubelet_namespace = '{2}'\nengine_namespace = '{3}'\n[kubelet]\n\
             read_only_url = 'http://127.0.0.1:1'\nsecure_url = 'https://127.0.0.1:1'\n\
             pods_dir = '{0}/pods'\n[apiserver]\nkubeconfig = '{0}/none'\n[etcd]\nendpoints = []\n\
             data_dir = '{0}/etcd'\n[socket]\npath = '{0}/socket'\n",
            self.root.display(),
            self.process.path("containerd.sock").display(),
            self.process.kubelets,
            self.process.ours,
        );
        crate::containerd_process::write(&self.root.join("config.toml"), &config);
        let ends = [
            "/bin/sh",
            "-c",
            "trap 'exit 0' TERM; while :; do sleep 1; done",
        ];
        self.process
            .cri_container("sandbox-1", "sandbox", "uid-1", "", &SLEEP);
        self.process
            .cri_container("container-1", "container", "uid-1", "main", &ends);
    }

    fn cleanup(&self, args: &[&str], kill_at: &str) -> std::process::Output {
        std::process::Command::new(env!("CARGO_BIN_EXE_rekindle"))
            .arg("cleanup")
            .args(args)
            .arg("--config")
            .arg(self.root.join("config.toml"))
            .env("REKINDLE_KILL_AT", kill_at)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn done(&self, args: &[&str]) -> String {
        let output = self.cleanup(args, "");
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{args:?}: {out}\n{err}");
        out + &err
    }

    fn listing(&self) -> String {
        let script = "cd \"$1\" && for d in manifests pods etcd; do find $d -printf '%p %m %U %G %s %y\\n'; \
            find $d -type f -exec sha256sum {} +; done | sort";
        let output = std::process::Command::new("sh")
            .args(["-euc", script, "sh"])
            .arg(&self.root)
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }

    fn is_clean(&self) {
        for dir in ["manifests", "pods", "etcd"] {
            let left = std::fs::read_dir(self.root.join(dir)).unwrap().count();
            assert_eq!(left, 0, "{dir}");
        }
        let none = (Vec::new(), Vec::new());
        assert_eq!(there(self.process, &self.process.kubelets), none);
    }
}

#[tokio::test]
async fn killed_at_every_step_a_clean_up_converges_and_undo_brings_everything_back() {
    use std::os::unix::process::ExitStatusExt;

    let process = Process::start().await;
    let node = Node {
        root: process.path("node"),
        process: &process,
    };
    let mut kills = 0;
    for point in ["cleanup.step-begun", "cleanup.step-done"] {
        for time in 1.. {
            node.furnish();
            let before = node.listing();
            let output = node.cleanup(&["--yes"], &format!("{point}:{time}"));
            let killed = output.status.signal() == Some(9);
            let err = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(killed || output.status.success(), "{point}:{time}: {err}");
            if killed {
                kills += 1;
                let said = node.done(&["--yes"]);
                assert!(said.contains("gone on with"), "{point}:{time}: {said}");
            }
            node.is_clean();
            let homes: Vec<_> = std::fs::read_dir(node.root.join("quarantine"))
                .unwrap()
                .collect();
            assert_eq!(homes.len(), 1, "{point}:{time}: one quarantine");
            let home = homes[0].as_ref().unwrap().path();
            assert!(home.join("backup.db").is_file() && home.join("logs.tar.zst").is_file());
            let nothing = node.done(&["--yes"]);
            assert!(
                nothing.contains("nothing to clean up: that was done"),
                "{nothing}"
            );
            let undone = node.done(&["--undo", "--yes"]);
            assert!(undone.contains("was put back"), "{undone}");
            assert_eq!(node.listing(), before, "{point}:{time}");
            if !killed {
                break;
            }
        }
    }
    assert!(kills >= 12, "only {kills} kills");
}

#[tokio::test]
async fn nothing_is_done_without_an_answer_of_the_operator_or_of_containerd() {
    let mut process = Process::start().await;
    let root = process.path("node");
    {
        let node = Node {
            root: root.clone(),
            process: &process,
        };
        node.furnish();
        let before = node.listing();
        let output = node.cleanup(&[], "");
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(
            err.contains("nobody can be asked") && err.contains("hint: say --yes"),
            "{err}"
        );
        let said = node.done(&["--dry-run", "-o", "json"]);
        let json: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(json["done"], false);
        assert_eq!(json["steps"].as_array().unwrap().len(), 6, "{said}");
        assert_eq!(node.listing(), before);
        assert!(!root.join("state").exists() && !root.join("quarantine").exists());
        // Somebody has the data open: it is left alone, and everything else is done.
        let db = std::fs::File::open(root.join("etcd/member/snap/db")).unwrap();
        rustix::fs::flock(&db, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let said = node.done(&["--yes"]);
        assert!(
            said.contains("etcd's data in") && said.contains("stays"),
            "{said}"
        );
        assert!(root.join("etcd/member/snap/db").exists());
        node.done(&["--undo", "--yes"]);
        assert_eq!(node.listing(), before);
    }
    process.kill();
    let node = Node {
        root,
        process: &process,
    };
    let output = node.cleanup(&["--yes"], "");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("what containerd runs is not known"), "{err}");
    process.run().await;
}
