//! The whole daemon as a process, with every other component hanging, missing or broken.

use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rekindle::core::report::Report;

/// Generous: the machine may be busy.
const LONG: Duration = Duration::from_secs(60);

/// A running daemon and what it tells systemd.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    notify: UnixDatagram,
    pub(crate) dir: tempfile::TempDir,
}

impl Daemon {
    /// Starts it with a configuration made of `lines` and directories of its own.
    pub(crate) fn start(dir: tempfile::TempDir, lines: &str) -> Self {
        Self::start_with(dir, lines, "")
    }

    /// The same, killed at a crash point (`name:n`; none where empty).
    pub(crate) fn start_with(dir: tempfile::TempDir, lines: &str, kill_at: &str) -> Self {
        // One of an earlier daemon in the same directory.
        let _absent = std::fs::remove_file(dir.path().join("notify"));
        let notify = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        notify.set_read_timeout(Some(LONG)).unwrap();
        std::fs::create_dir_all(dir.path().join("manifests")).unwrap();
        configure(dir.path(), lines);
        let child = Command::new(env!("CARGO_BIN_EXE_rekindle"))
            .args(["run", "--config"])
            .arg(dir.path().join("config.toml"))
            .env("NOTIFY_SOCKET", dir.path().join("notify"))
            .env("WATCHDOG_USEC", "2000000")
            .env("REKINDLE_KILL_AT", kill_at)
            .env_remove("WATCHDOG_PID")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, notify, dir }
    }

    /// A new daemon in the directory of one that has ended.
    pub(crate) fn again(mut self, lines: &str) -> Self {
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        Self::start(dir, lines)
    }

    /// Waits for a notification that starts so.
    pub(crate) fn told(&self, start: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length = self
                .notify
                .recv(&mut buffer)
                .expect("a notification in time");
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.lines().any(|line| line.starts_with(start)) {
                return text;
            }
        }
    }

    pub(crate) fn status(&self) -> Report {
        let output = Command::new(env!("CARGO_BIN_EXE_rekindle"))
            .args(["status", "-o", "json", "--socket"])
            .arg(self.dir.path().join("socket"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The status after a turn that it satisfies; each look is paced by a completed turn.
    pub(crate) fn status_with(&self, wanted: impl Fn(&Report) -> bool) -> Report {
        for _ in 0..200 {
            self.told("WATCHDOG=1");
            let report = self.status();
            if wanted(&report) {
                return report;
            }
        }
        panic!("never so: {:#?}", self.status());
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn configure(dir: &Path, lines: &str) {
    let text = format!(
        "[node]\nname = \"node1\"\n[paths]\nstate_dir = \"{0}/state\"\nmanifest_dir = \
         \"{0}/manifests\"\npod_log_dir = \"{0}/logs\"\n[socket]\npath = \"{0}/socket\"\n{lines}",
        dir.display()
    );
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(dir.join("config.toml"), text).unwrap();
}

fn unknown(report: &Report, name: &str) -> Option<String> {
    let source = report.sources.iter().find(|source| source.name == name)?;
    source.unknown.map(|kind| kind.word().to_owned())
}

pub(crate) fn nothing_there() -> &'static str {
    "[containerd]\nsocket = \"/nonexistent/containerd.sock\"\n[kubelet]\nread_only_url = \
     \"http://127.0.0.1:1\"\nsecure_url = \"\"\n[apiserver]\nkubeconfig = \"/nonexistent\"\n"
}

#[test]
fn d08_sources_that_hang_for_ever_stop_nothing_and_are_named() {
    let dir = tempfile::tempdir().unwrap();
    // They accept (the kernel does) and never answer.
    let _containerd = UnixListener::bind(dir.path().join("containerd.sock")).unwrap();
    let kubelet = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let apiserver = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: \
         \"http://{}\"}}}}]\nusers: [{{name: u, user: {{}}}}]\ncontexts: [{{name: x, context: \
         {{cluster: c, user: u}}}}]\ncurrent-context: x\n",
        apiserver.local_addr().unwrap()
    );
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(dir.path().join("kubeconfig"), kubeconfig).unwrap();
    let lines = format!(
        "[containerd]\nsocket = \"{0}/containerd.sock\"\ncall_deadline_seconds = \
         1\n[kubelet]\nread_only_url = \"http://{1}\"\nsecure_url = \"\"\ncall_deadline_seconds = \
         1\n[apiserver]\nkubeconfig = \"{0}/kubeconfig\"\ncall_deadline_seconds = 1\n",
        dir.path().display(),
        kubelet.local_addr().unwrap()
    );
    let daemon = Daemon::start(dir, &lines);
    daemon.told("READY=1");
    let silent = |report: &Report| {
        ["containerd", "kubelet", "apiserver"]
            .iter()
            .all(|name| unknown(report, name).is_some_and(|word| word != "not-asked"))
    };
    let report = daemon.status_with(silent);
    assert_eq!(
        unknown(&report, "kubelet").as_deref(),
        Some("timed-out"),
        "{report:#?}"
    );
    assert_eq!(
        unknown(&report, "apiserver").as_deref(),
        Some("timed-out"),
        "{report:#?}"
    );
    assert_eq!(unknown(&report, "manifests"), None, "the directory answers");
    // The watchdog is fed by completed turns, and goes on being fed.
    for _ in 0..3 {
        daemon.told("WATCHDOG=1");
    }
}

#[test]
fn runs_answers_and_explains_itself_with_everything_else_down() {
    let daemon = Daemon::start(tempfile::tempdir().unwrap(), nothing_there());
    daemon.told("READY=1");
    let report = daemon.status_with(|report| {
        unknown(report, "apiserver").is_some_and(|word| word != "not-asked")
            && unknown(report, "containerd").is_some_and(|word| word != "not-asked")
    });
    assert_eq!(report.node, "node1");
    assert!(report.summary.contains("silent"), "{}", report.summary);
    assert!(
        report
            .waiting
            .iter()
            .any(|line| line.starts_with("containerd: "))
    );
}

#[test]
fn a_hangup_reads_the_configuration_again_and_mistakes_change_nothing() {
    let daemon = Daemon::start(tempfile::tempdir().unwrap(), nothing_there());
    daemon.told("READY=1");
    configure(daemon.dir.path(), "[nonsense]\n");
    daemon.signal(rustix::process::Signal::HUP);
    daemon.told("RELOADING=1");
    daemon.told("READY=1");
    assert_eq!(daemon.status().node, "node1");
    let other = nothing_there().replace(
        "[containerd]",
        "[checkpoint]\nready_seconds = 1\n[containerd]",
    );
    configure(daemon.dir.path(), &other);
    daemon.signal(rustix::process::Signal::HUP);
    daemon.told("RELOADING=1");
    daemon.told("READY=1");
    assert_eq!(daemon.status().node, "node1");
}

#[test]
fn a_termination_stops_it_cleanly() {
    let mut daemon = Daemon::start(tempfile::tempdir().unwrap(), nothing_there());
    daemon.told("READY=1");
    daemon.signal(rustix::process::Signal::TERM);
    daemon.told("STOPPING=1");
    assert!(daemon.child.wait().unwrap().success());
}

#[test]
fn d07_an_unusable_state_directory_is_said_and_not_taken_for_empty() {
    let dir = tempfile::tempdir().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(dir.path().join("state"), "a file, no directory").unwrap();
    let daemon = Daemon::start(dir, nothing_there());
    daemon.told("READY=1");
    let report = daemon.status();
    assert!(report.summary.contains("nothing is decided"), "{report:#?}");
    let state = std::fs::read_to_string(daemon.dir.path().join("state")).unwrap();
    assert_eq!(state, "a file, no directory", "and nothing is done to it");
}

#[test]
fn the_daemon_says_first_which_operation_has_the_node_and_when_it_is_left() {
    use rekindle::core::operation::{OperationKind, OperationState};
    use rekindle::operation::Operation;

    let daemon = Daemon::start(tempfile::tempdir().unwrap(), nothing_there());
    daemon.told("READY=1");
    let state_dir = daemon.dir.path().join("state");
    let now = "2026-11-25T18:00:00Z".parse().unwrap();
    let begun = Operation::begin(&state_dir, OperationKind::Start, now, "waits", &1).unwrap();
    let running = |report: &Report| {
        let first = report.operations.first();
        first.is_some_and(|seen| matches!(seen.state, OperationState::Running { .. }))
    };
    let report = daemon.status_with(running);
    assert!(
        report.summary.starts_with("`rekindle start` is under way"),
        "{}",
        report.summary
    );
    drop(begun);
    let left = |report: &Report| {
        let first = report.operations.first();
        first.is_some_and(|seen| seen.state == OperationState::Unfinished)
    };
    let report = daemon.status_with(left);
    assert!(
        report.summary.starts_with("`rekindle start` is unfinished"),
        "{}",
        report.summary
    );
    assert!(
        report.problems[0].contains("rekindle start --abort"),
        "{:?}",
        report.problems
    );
    let again = Operation::begin(&state_dir, OperationKind::Start, now, "waits", &1).unwrap();
    assert_eq!(again.resumed, Some(1));
    again.operation.finish().unwrap();
    daemon.status_with(|report| report.operations.is_empty());
}
