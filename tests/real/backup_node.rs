//! A node for tests of backups: the real daemon with directories of its own, and nothing but etcd
//! there.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rekindle::api::{client, wire};
use rekindle::core::backup::report::BackupsReport;
use rustix::process::{Pid, Signal, kill_process};

use crate::etcd_cluster::{Cluster, PATIENCE};

/// A daemon with directories of its own, and nothing but etcd there.
pub struct Node {
    pub dir: tempfile::TempDir,
    pub child: Option<Child>,
}

impl Node {
    /// Writes the configuration; `backup`: further keys of `[backup]`.
    pub fn new(cluster: &Cluster, backup: &str) -> Self {
        let node = Self {
            dir: tempfile::tempdir().unwrap(),
            child: None,
        };
        node.configure(cluster, backup);
        node
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    #[allow(clippy::disallowed_methods, reason = "a test's own files")]
    pub fn configure(&self, cluster: &Cluster, backup: &str) {
        let dir = self.dir.path().display();
        for made in ["manifests", "pki"] {
            std::fs::create_dir_all(self.path(made)).unwrap();
        }
        std::fs::write(self.path("pki/ca.crt"), "a certificate").unwrap();
        let text = format!(
            "[node]\nname = \"master1\"\n[paths]\nstate_dir = \"{dir}/state\"\nmanifest_dir = \
             \"{dir}/manifests\"\nmanifest_staging_dir = \"{dir}/staging\"\npod_log_dir = \
             \"{dir}/logs\"\n[socket]\npath = \"{dir}/socket\"\n[containerd]\nsocket = \
             \"{dir}/no-containerd\"\n[kubelet]\nread_only_url = \"http://127.0.0.1:1\"\nsecure_url \
             = \"\"\n[apiserver]\nkubeconfig = \"{dir}/no-kubeconfig\"\n[etcd]\nendpoints = \
             {:?}\nca_file = {:?}\ncertificate_file = {:?}\nkey_file = \
             {:?}\ncall_deadline_seconds = 2\nchunk_deadline_seconds = 2\n[backup]\ndirectory = \
             \"{dir}/backups\"\npki_dir = \"{dir}/pki\"\nextra_paths = []\nhigh_water_seconds = \
             1\nmin_free_bytes = 0\nspread_minutes = 0\n{backup}\n",
            cluster.endpoints(),
            cluster.path("ca.crt").to_str().unwrap(),
            cluster.path("client.crt").to_str().unwrap(),
            cluster.path("client.key").to_str().unwrap(),
        );
        std::fs::write(self.path("config.toml"), text).unwrap();
    }

    pub fn start(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_rekindle"))
            .args(["run", "--config"])
            .arg(self.path("config.toml"))
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    pub fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().unwrap().id();
        kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), signal).unwrap();
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    pub async fn status(&self) -> Option<wire::Status> {
        let socket = self.path("socket");
        client::get(&socket, "/v1/status", Duration::ZERO)
            .await
            .ok()
    }

    /// Waits for the section on backups to be so, and gives it.
    pub async fn backups(
        &self,
        what: &str,
        wanted: impl Fn(&BackupsReport) -> bool,
    ) -> BackupsReport {
        let mut found = None;
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let end = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < end {
            if let Some(status) = self.status().await {
                if wanted(&status.backups) {
                    return status.backups;
                }
                found = Some(status.backups);
            }
            ticks.tick().await;
        }
        panic!("never so: {what}: {found:#?}\n{}", self.log());
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
        command.args(args);
        command.arg("--config").arg(self.path("config.toml"));
        command
    }

    pub async fn run(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = self.command(args);
        let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    pub async fn metrics(&self) -> String {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--unix-socket"])
            .arg(self.path("socket"))
            .arg("http://rekindle/metrics");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        String::from_utf8(output.await.unwrap().stdout).unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(' '))
    });
    let value = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
    value.rsplit(' ').next().unwrap().parse().unwrap()
}

pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()))
        .map(Iterator::collect)
        .unwrap_or_default();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

/// Some megabytes, so that a backup takes long enough to be caught.
pub fn fill(cluster: &Cluster, megabytes: usize) {
    let value = "v".repeat(120_000);
    for number in 0..megabytes * 8 {
        cluster.ctl(&["put", &format!("/registry/configmaps/a/{number}"), &value]);
    }
}
