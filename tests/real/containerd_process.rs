//! A containerd of the test's own: private root, state and socket, images from busybox. Everything
//! it started is ended, by id, when it goes out of scope.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rekindle::containerd::{Config, Containerd};
use tempfile::TempDir;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Generous: the machine is shared.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const BUSYBOX: &str = "lab.local/busybox:1";

pub(crate) struct Process {
    pub(crate) dir: TempDir,
    /// Namespaces of its own: runc keeps its state by namespace, for all containerds of a machine.
    pub(crate) kubelets: String,
    pub(crate) ours: String,
    child: Option<Child>,
}

impl Process {
    /// Starts it and waits until it answers; imports busybox.
    pub(crate) async fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("rekindle-containerd-")
            .tempdir()
            .unwrap();
        let config = include_str!("containerd.toml").replace("@DIR@", dir.path().to_str().unwrap());
        write(&dir.path().join("containerd.toml"), &config);
        let unique = dir.path().to_str().unwrap().rsplit_once('-').unwrap().1;
        let mut process = Self {
            kubelets: format!("k8s.{unique}"),
            ours: format!("rekindle.{unique}"),
            dir,
            child: None,
        };
        process.run().await;
        process.import(BUSYBOX, &["/bin/sleep", "1000000"]);
        process
    }

    /// Starts the containerd itself; also after [`Process::kill`].
    pub(crate) async fn run(&mut self) {
        let log = std::fs::File::create(self.path("containerd.log")).unwrap();
        let child = Command::new("containerd")
            .arg("-c")
            .arg(self.path("containerd.toml"))
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let client = self.client();
        until("containerd answers", async || client.view().await.is_ok()).await;
    }

    /// Kills containerd alone: shims and containers stay.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn client(&self) -> Containerd {
        Containerd::new(self.config())
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            socket: self.path("containerd.sock"),
            cri_namespace: self.kubelets.clone(),
            engine_namespace: self.ours.clone(),
            call_deadline: Duration::from_secs(10),
            resync: Duration::from_secs(30),
        }
    }

    /// Makes an image of busybox with an entry point, and imports it for the kubelet.
    pub(crate) fn import(&self, name: &str, entrypoint: &[&str]) {
        let tar = self.path("image.tar");
        let applets = [
            "sh", "sleep", "httpd", "cat", "id", "env", "ls", "touch", "false", "true",
        ];
        let mut command = Command::new("python3");
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/mkimage"))
            .arg(&tar)
            .arg(name)
            .arg(serde_json::to_string(entrypoint).unwrap())
            .arg("/bin/busybox=/bin/busybox");
        for applet in applets {
            command.arg(format!("->/bin/busybox=/bin/{applet}"));
        }
        run(&mut command);
        self.ctr(&self.kubelets, &["images", "import", tar.to_str().unwrap()]);
    }

    /// Runs `ctr` in a namespace and returns what it prints.
    pub(crate) fn ctr(&self, namespace: &str, args: &[&str]) -> String {
        let mut command = Command::new("ctr");
        command
            .arg("--address")
            .arg(self.path("containerd.sock"))
            .args(["--namespace", namespace])
            .args(args);
        run(&mut command)
    }

    fn try_ctr(&self, namespace: &str, args: &[&str]) -> String {
        let output = Command::new("ctr")
            .args(["--timeout", "5s", "--address"])
            .arg(self.path("containerd.sock"))
            .args(["--namespace", namespace])
            .args(args)
            .output();
        output.map_or(String::new(), |o| {
            String::from_utf8_lossy(&o.stdout).into_owned()
        })
    }

    /// Runs a container labelled as the kubelet's CRI plugin would label it.
    pub(crate) fn cri_container(&self, id: &str, kind: &str, uid: &str, name: &str, args: &[&str]) {
        let labels = [
            format!("io.cri-containerd.kind={kind}"),
            format!("io.kubernetes.pod.uid={uid}"),
            format!("io.kubernetes.pod.name={uid}-pod"),
            "io.kubernetes.pod.namespace=kube-system".to_owned(),
            format!("io.kubernetes.container.name={name}"),
        ];
        let mut command = vec!["run", "-d", "--null-io", "--net-host"];
        for label in &labels {
            command.extend(["--label", label]);
        }
        command.extend([BUSYBOX, id]);
        command.extend(args);
        self.ctr(&self.kubelets, &command);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path("containerd.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(15)..];
            eprintln!("containerd's log ends with\n{}", tail.join("\n"));
        }
        if self.child.is_some() {
            for namespace in [&self.kubelets, &self.ours] {
                let tasks = self.try_ctr(namespace, &["tasks", "list", "-q"]);
                for task in tasks.lines() {
                    self.try_ctr(namespace, &["tasks", "delete", "--force", task]);
                }
            }
        }
        self.kill();
        // Shims name our socket on their command line; what they run sits below them.
        let socket = self.path("containerd.sock").to_str().unwrap().to_owned();
        let processes = processes();
        let shims: Vec<u32> = processes
            .iter()
            .filter(|p| p.command.contains(&socket) && p.command.contains("containerd-shim"))
            .map(|p| p.pid)
            .collect();
        let mut doomed = shims;
        let mut next = 0;
        while next < doomed.len() {
            let parent = doomed[next];
            doomed.extend(
                processes
                    .iter()
                    .filter(|p| p.parent == parent)
                    .map(|p| p.pid),
            );
            next += 1;
        }
        for pid in doomed {
            if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
        }
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let dir = self.dir.path().to_str().unwrap();
        for mount in mounts
            .lines()
            .rev()
            .filter_map(|line| line.split(' ').nth(1))
        {
            if mount.starts_with(dir) {
                Command::new("umount").args(["-l", mount]).status().ok();
            }
        }
        for namespace in [&self.kubelets, &self.ours] {
            std::fs::remove_dir_all(format!("/run/containerd/runc/{namespace}")).ok();
            for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
                remove_cgroups(&hierarchy.path().join(namespace));
            }
        }
    }
}

fn remove_cgroups(dir: &Path) {
    for below in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        std::fs::remove_dir(below.path()).ok();
    }
    std::fs::remove_dir(dir).ok();
}

struct Seen {
    pid: u32,
    parent: u32,
    command: String,
}

fn processes() -> Vec<Seen> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let seen = pids.filter_map(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some(Seen {
            pid,
            parent: parent.parse().ok()?,
            command: String::from_utf8_lossy(&command).replace('\0', " "),
        })
    });
    seen.collect()
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, is_so: impl AsyncFn() -> bool) -> impl Future<Output = ()> {
    let end = Instant::now() + PATIENCE;
    let mut period = interval(Duration::from_millis(20));
    // What is asked blocks this thread: the daemon gets its turn in between, however slow that was.
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    async move {
        while !is_so().await {
            assert!(Instant::now() < end, "never: {what}");
            period.tick().await;
        }
    }
}

pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[allow(clippy::disallowed_methods, reason = "a test's own file")]
pub(crate) fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
