//! The real binary taking a backup of a real etcd in a process of its own, watched from outside:
//! how long it takes, and its peak memory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::etcd_cluster::Cluster;

/// Between two looks at a process.
const LOOK: Duration = Duration::from_millis(5);

/// A configuration and the places that it names. No daemon.
pub struct Machine {
    dir: TempDir,
}

/// What a process did.
#[derive(Debug)]
pub struct Watched {
    pub wall: Duration,
    /// Peak resident memory (`VmHWM`) in KiB.
    pub peak_kib: u64,
    pub success: bool,
    pub stderr: String,
}

impl Machine {
    /// Backups of `cluster`'s members `endpoints`, with zstd `level`.
    pub fn new(cluster: &Cluster, endpoints: &[usize], level: u32) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("rekindle-machine-")
            .tempdir();
        let dir = dir.unwrap();
        let at = dir.path().display();
        for made in ["manifests", "pki"] {
            std::fs::create_dir(dir.path().join(made)).unwrap();
        }
        let endpoints: Vec<_> = endpoints.iter().map(|m| cluster.endpoint(*m)).collect();
        let text = format!(
            r#"
[node]
name = "master1"
[paths]
state_dir = "{at}/state"
manifest_dir = "{at}/manifests"
manifest_staging_dir = "{at}/staging"
pod_log_dir = "{at}/logs"
[socket]
path = "{at}/socket"
[etcd]
endpoints = {endpoints:?}
ca_file = "{}"
certificate_file = "{}"
key_file = "{}"
[backup]
directory = "{at}/backups"
pki_dir = "{at}/pki"
extra_paths = []
min_free_bytes = 0
keep_last = 1
keep_daily = 0
keep_weekly = 0
keep_monthly = 0
compression_level = {level}
"#,
            cluster.path("ca.crt").display(),
            cluster.path("client.crt").display(),
            cluster.path("client.key").display(),
        );
        #[allow(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(dir.path().join("config.toml"), text).unwrap();
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `rekindle backup now`.
    pub fn backup(&self) -> Watched {
        let mut command = Command::new(program());
        command.args(["backup", "now", "--config"]);
        watch(command.arg(self.path("config.toml")), &self.path("stderr"))
    }
}

/// The released binary where `REKINDLE_BIN` names it, as `tests/run` does.
#[allow(
    clippy::disallowed_methods,
    reason = "the lab tells the tests by its environment"
)]
pub fn program() -> PathBuf {
    let named = std::env::var_os("REKINDLE_BIN").map(PathBuf::from);
    let named = named.filter(|path| path.is_file());
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_rekindle").into())
}

/// Runs a process to its end.
pub fn watch(command: &mut Command, stderr: &Path) -> Watched {
    let begun = Instant::now();
    let errors = std::fs::File::create(stderr).unwrap();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let (ended, end) = channel();
    let waiter = std::thread::spawn(move || ended.send((child.wait().unwrap(), Instant::now())));
    let mut peak_kib = 0;
    let (exit, at) = loop {
        match end.recv_timeout(LOOK) {
            Ok(end) => break end,
            // Only ever grows; the last look is at most 5 ms before the end.
            Err(RecvTimeoutError::Timeout) => peak_kib = high_water(&status).unwrap_or(peak_kib),
            Err(RecvTimeoutError::Disconnected) => panic!("nobody waits"),
        }
    };
    waiter.join().unwrap().ok();
    Watched {
        wall: at - begun,
        peak_kib,
        success: exit.success(),
        stderr: std::fs::read_to_string(stderr).unwrap(),
    }
}

fn high_water(status: &str) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
