//! `rekindle run` as systemd runs it, with every other component down: it starts, answers,
//! reloads and stops.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Generous: only a hang reaches it.
const LONG: Duration = Duration::from_secs(30);

struct Daemon {
    dir: tempfile::TempDir,
    notify: UnixDatagram,
    child: Option<Child>,
}

impl Daemon {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let notify = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        notify.set_read_timeout(Some(LONG)).unwrap();
        let daemon = Self {
            dir,
            notify,
            child: None,
        };
        daemon.configure("");
        daemon
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A node on which nothing is there.
    fn configure(&self, more: &str) {
        let at = self.dir.path().display();
        let text = format!(
            "[paths]\nstate_dir = \"{at}/state\"\nmanifest_dir = \"{at}/manifests\"\n\
             pod_log_dir = \"{at}/logs\"\n[socket]\npath = \"{at}/s.sock\"\n\
             [containerd]\nsocket = \"{at}/containerd.sock\"\n\
             [kubelet]\nread_only_url = \"\"\nsecure_url = \"\"\n\
             [apiserver]\nkubeconfig = \"{at}/kubelet.conf\"\n{more}\n"
        );
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(self.path("config.toml"), text).unwrap();
    }

    fn start(&mut self, program: &str, before: &[&str]) {
        let child = Command::new(program)
            .args(before)
            .args(["run", "--config"])
            .arg(self.path("config.toml"))
            .env("NOTIFY_SOCKET", self.path("notify"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.path("log")).unwrap())
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// Waits until systemd would be told this.
    #[track_caller]
    fn told(&self, wanted: &str) {
        let mut all = Vec::new();
        loop {
            let mut bytes = [0; 4096];
            let Ok(length) = self.notify.recv(&mut bytes) else {
                panic!("no {wanted} after {all:?}\n{}", self.log());
            };
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if text.lines().any(|line| line == wanted) {
                return;
            }
            all.push(text);
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    #[track_caller]
    fn ends(&mut self) -> Option<i32> {
        self.child.take().unwrap().wait().unwrap().code()
    }

    fn ask(&self, args: &[&str]) -> std::process::Output {
        Command::new(env!("CARGO_BIN_EXE_rekindle"))
            .args(args)
            .arg("--socket")
            .arg(self.path("s.sock"))
            .output()
            .unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn starts_answers_reloads_and_stops_with_everything_else_down() {
    let mut daemon = Daemon::new();
    daemon.start(env!("CARGO_BIN_EXE_rekindle"), &[]);
    daemon.told("READY=1");
    let output = daemon.ask(&["status", "-o", "json"]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{output:?}\n{}",
        daemon.log()
    );
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let sources = status["sources"].as_array().unwrap();
    let containerd = sources
        .iter()
        .find(|source| source["name"] == "containerd")
        .unwrap();
    assert!(
        containerd["unknown"].is_string(),
        "silence is not an empty list: {containerd}"
    );
    assert_eq!(status["checkpoints"], serde_json::json!([]));

    daemon.signal(Signal::HUP);
    daemon.told("READY=1");
    daemon.configure("[engine]\nenabled = 5");
    daemon.signal(Signal::HUP);
    daemon.told("READY=1");
    assert!(
        daemon.log().contains("engine.enabled"),
        "mistakes are told:\n{}",
        daemon.log()
    );
    assert_eq!(
        daemon.ask(&["status"]).status.code(),
        Some(0),
        "and it goes on"
    );

    daemon.signal(Signal::TERM);
    daemon.told("STOPPING=1");
    assert_eq!(daemon.ends(), Some(0), "{}", daemon.log());
    assert_eq!(daemon.ask(&["status"]).status.code(), Some(3));
}

#[test]
fn the_socket_of_systemd_is_taken() {
    let mut daemon = Daemon::new();
    let socket = daemon.path("s.sock");
    let listen = format!("--listen={}", socket.display());
    let notify = format!("--setenv=NOTIFY_SOCKET={}", daemon.path("notify").display());
    let before = [listen.as_str(), &notify, env!("CARGO_BIN_EXE_rekindle")];
    daemon.start("systemd-socket-activate", &before);
    // It listens for the daemon and starts it with the first connection, which is kept.
    while !socket.exists() {
        std::thread::yield_now();
    }
    let output = daemon.ask(&["status"]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{output:?}\n{}",
        daemon.log()
    );
    daemon.told("READY=1");
    daemon.signal(Signal::INT);
    assert_eq!(daemon.ends(), Some(0), "{}", daemon.log());
    assert!(socket.exists(), "it is systemd's to remove");
}

#[test]
fn a_second_daemon_on_the_same_socket_refuses_to_run() {
    let mut daemon = Daemon::new();
    daemon.start(env!("CARGO_BIN_EXE_rekindle"), &[]);
    daemon.told("READY=1");
    let second = Command::new(env!("CARGO_BIN_EXE_rekindle"))
        .args(["run", "--config"])
        .arg(daemon.path("config.toml"))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let told = String::from_utf8(second.stderr).unwrap();
    assert!(told.contains("another process answers"), "{told}");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.ends(), Some(0), "{}", daemon.log());
}
