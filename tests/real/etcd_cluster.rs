//! A real etcd cluster of one or more members with TLS on loopback: chosen version, free ports, own
//! directory, and certificates made for it. Its processes are ended, by id, when it goes out of
//! scope.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::etcd_way::Way;

/// Generous: the machine is shared.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The cluster. File names below its directory: `ca.crt`, `client.crt`, `client.key`,
/// `server.crt`, `server.key`; each member's data in `m0`, `m1`, …, its log in `m0.log`, ….
pub struct Cluster {
    dir: TempDir,
    binaries: PathBuf,
    extra: Vec<String>,
    members: Vec<Member>,
}

struct Member {
    client_port: u16,
    peer_port: u16,
    /// `existing` for those that joined a cluster that was there.
    existing: bool,
    /// Where its peers reach it, if not directly.
    way: Option<Way>,
    child: Option<Child>,
}

impl Member {
    /// What its peers know it by.
    fn peer_url(&self) -> String {
        let port = self.way.as_ref().map_or(self.peer_port, Way::port);
        format!("https://127.0.0.1:{port}")
    }
}

impl Cluster {
    /// Starts `members` members of version `3.4`, `3.5` or `newest` (of `tests/lab/etcd`) and
    /// waits until all are healthy.
    pub async fn start(version: &str, members: usize) -> Self {
        Self::start_with(version, members, &[]).await
    }

    /// The same with further arguments for each etcd.
    pub async fn start_with(version: &str, members: usize, extra: &[&str]) -> Self {
        Self::begin(version, new_members(members, false), extra).await
    }

    /// Three members that [`Cluster::cut`] works on.
    pub async fn start_cuttable(version: &str) -> Self {
        let mut members = new_members(3, false);
        for member in &mut members {
            member.way = Some(Way::to(member.peer_port));
        }
        Self::begin(version, members, &[]).await
    }

    async fn begin(version: &str, members: Vec<Member>, extra: &[&str]) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("rekindle-etcd-")
            .tempdir()
            .unwrap();
        certificates(dir.path());
        let mut cluster = Self {
            dir,
            binaries: binaries(version),
            extra: extra.iter().map(ToString::to_string).collect(),
            members,
        };
        for member in 0..cluster.members.len() {
            cluster.run(member);
        }
        cluster.healthy().await;
        cluster
    }

    /// `https://127.0.0.1:PORT` of a member's clients.
    pub fn endpoint(&self, member: usize) -> String {
        format!("https://127.0.0.1:{}", self.members[member].client_port)
    }

    pub fn endpoints(&self) -> Vec<String> {
        (0..self.members.len()).map(|m| self.endpoint(m)).collect()
    }

    /// A file of the cluster's directory, as `ca.crt`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn data_dir(&self, member: usize) -> PathBuf {
        self.path(&format!("m{member}"))
    }

    /// The directory of `etcd`, `etcdctl` and, from 3.5 on, `etcdutl`.
    pub fn binaries(&self) -> &Path {
        &self.binaries
    }

    pub fn pid(&self, member: usize) -> Pid {
        let child = self.members[member].child.as_ref().unwrap();
        Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut child) = self.members[member].child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// SIGSTOP: its connections stay and nothing answers.
    pub fn pause(&self, member: usize) {
        kill_process(self.pid(member), Signal::STOP).unwrap();
    }

    pub fn resume(&self, member: usize) {
        kill_process(self.pid(member), Signal::CONT).unwrap();
    }

    /// Starts a member that was killed, on its data.
    pub async fn restart(&mut self, member: usize) {
        self.run(member);
        self.healthy().await;
    }

    /// Cuts all members off from each other; their clients do not notice. Only for
    /// [`Cluster::start_cuttable`].
    pub fn cut(&self) {
        for member in &self.members {
            member.way.as_ref().unwrap().cut();
        }
    }

    /// Starts every member that does not run, each on its data.
    pub async fn restart_all(&mut self) {
        for member in 0..self.members.len() {
            if self.members[member].child.is_none() {
                self.run(member);
            }
        }
        self.healthy().await;
    }

    /// `https://127.0.0.1:PORT` of a member's peers.
    pub fn peer_url(&self, member: usize) -> String {
        format!("https://127.0.0.1:{}", self.members[member].peer_port)
    }

    /// One more member, a learner, that stays one. Returns its number.
    pub async fn add_learner(&mut self) -> usize {
        let number = self.members.len();
        let mut learner = new_members(1, true).remove(0);
        learner.existing = true;
        let peer = format!("--peer-urls={}", learner.peer_url());
        let name = format!("m{number}");
        let endpoint = self.endpoint(0);
        // Refused for some seconds after a member has come back.
        until("the learner is added", async || {
            let add = ["member", "add", &name, "--learner", &peer];
            self.try_ctl(&endpoint, &add).is_ok()
        })
        .await;
        self.members.push(learner);
        self.run(number);
        let endpoint = self.endpoint(number);
        until("the learner answers", async || {
            self.try_ctl(&endpoint, &["endpoint", "status"]).is_ok()
        })
        .await;
        number
    }

    /// `etcdctl` at every member that runs.
    pub fn ctl(&self, args: &[&str]) -> String {
        self.try_ctl(&self.running(), args)
            .unwrap_or_else(|error| panic!("etcdctl {args:?}: {error}"))
    }

    /// `etcdctl` at one member.
    pub fn ctl_of(&self, member: usize, args: &[&str]) -> String {
        self.try_ctl(&self.endpoint(member), args)
            .unwrap_or_else(|error| panic!("etcdctl {args:?}: {error}"))
    }

    /// The member that leads.
    pub fn leader(&self) -> usize {
        let leads = |member: &usize| {
            let text = self.ctl_of(*member, &["endpoint", "status", "-w", "json"]);
            let status: serde_json::Value = serde_json::from_str(&text).unwrap();
            status[0]["Status"]["leader"] == status[0]["Status"]["header"]["member_id"]
        };
        (0..self.members.len())
            .filter(|member| self.members[*member].child.is_some())
            .find(leads)
            .unwrap()
    }

    /// Waits until every member that runs says that it is healthy. Learners cannot: they refuse
    /// the question.
    pub async fn healthy(&self) {
        let running = (0..self.members.len())
            .filter(|m| self.members[*m].child.is_some() && !self.members[*m].existing);
        let endpoints: Vec<_> = running.map(|member| self.endpoint(member)).collect();
        let endpoints = endpoints.join(",");
        until("etcd is healthy", async || {
            self.try_ctl(&endpoints, &["endpoint", "health"]).is_ok()
        })
        .await;
    }

    fn running(&self) -> String {
        let running = (0..self.members.len()).filter(|m| self.members[*m].child.is_some());
        let endpoints: Vec<_> = running.map(|member| self.endpoint(member)).collect();
        endpoints.join(",")
    }

    pub fn try_ctl(&self, endpoints: &str, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new(self.binaries.join("etcdctl"));
        command.env("ETCDCTL_API", "3").args(args);
        command.arg("--command-timeout=10s");
        command.arg(format!("--endpoints={endpoints}"));
        for (flag, file) in [
            ("cacert", "ca.crt"),
            ("cert", "client.crt"),
            ("key", "client.key"),
        ] {
            command.arg(format!("--{flag}={}", self.path(file).display()));
        }
        let output = command.output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(out)
        } else {
            Err(out + &String::from_utf8_lossy(&output.stderr))
        }
    }

    fn run(&mut self, number: usize) {
        let member = &self.members[number];
        let client = self.endpoint(number);
        let listen = format!("https://127.0.0.1:{}", member.peer_port);
        let peer = member.peer_url();
        // Later ones are unknown to a member that founded the cluster.
        let founders = self.members.iter().enumerate();
        let initial: Vec<_> = founders
            .filter(|(_, other)| member.existing || !other.existing)
            .map(|(at, other)| format!("m{at}={}", other.peer_url()))
            .collect();
        let state = if member.existing { "existing" } else { "new" };
        let file = |name: &str| self.path(name).display().to_string();
        let (ca, cert, key) = (file("ca.crt"), file("server.crt"), file("server.key"));
        let log = self.path(&format!("m{number}.log"));
        let log = std::fs::File::options().create(true).append(true).open(log);
        let log = log.unwrap();
        let child = Command::new(self.binaries.join("etcd"))
            .env_clear()
            .arg(format!("--name=m{number}"))
            .arg(format!("--data-dir={}", self.data_dir(number).display()))
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"))
            .arg(format!("--listen-peer-urls={listen}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!("--initial-cluster={}", initial.join(",")))
            .arg(format!("--initial-cluster-state={state}"))
            .args(["--client-cert-auth", "--peer-client-cert-auth"])
            .arg(format!("--trusted-ca-file={ca}"))
            .arg(format!("--cert-file={cert}"))
            .arg(format!("--key-file={key}"))
            .arg(format!("--peer-trusted-ca-file={ca}"))
            .arg(format!("--peer-cert-file={cert}"))
            .arg(format!("--peer-key-file={key}"))
            .args(&self.extra)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.members[number].child = Some(child);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in 0..self.members.len() {
            self.kill(member);
        }
    }
}

/// The directory of a version's binaries, fetched where they are missing.
pub fn binaries(version: &str) -> PathBuf {
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/etcd"))
        .args(["path", version])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "no etcd {version}; try tests/lab/etcd"
    );
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// Polls ten times a second until `done`.
pub async fn until(what: &str, done: impl AsyncFn() -> bool) {
    let end = Instant::now() + PATIENCE;
    let mut ticks = interval(Duration::from_millis(100));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !done().await {
        assert!(Instant::now() < end, "waited in vain: {what}");
        ticks.tick().await;
    }
}

/// Members with ports that are free now: all bound together, so that they differ.
fn new_members(number: usize, existing: bool) -> Vec<Member> {
    let bind = |_| TcpListener::bind("127.0.0.1:0").unwrap();
    let bound: Vec<_> = (0..number * 2).map(bind).collect();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let pairs = bound.chunks(2);
    pairs
        .map(|pair| Member {
            client_port: port(&pair[0]),
            peer_port: port(&pair[1]),
            existing,
            way: None,
            child: None,
        })
        .collect()
}

#[allow(clippy::disallowed_methods, reason = "a test's own files")]
pub fn certificates(dir: &Path) {
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    };
    let write = |name: &str, pem: String| std::fs::write(dir.join(name), pem).unwrap();
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name
        .push(DnType::CommonName, "test etcd authority");
    write("ca.crt", ca.self_signed(&ca_key).unwrap().pem());
    let issuer = Issuer::new(ca, ca_key);
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    for (file, names) in [("server", names), ("client", Vec::new())] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, file);
        // The server is its own client too: of its peers, and of its gateway.
        let usages = [
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.extended_key_usages = usages.to_vec();
        let signed = params.signed_by(&key, &issuer).unwrap();
        write(&format!("{file}.crt"), signed.pem());
        write(&format!("{file}.key"), key.serialize_pem());
    }
}
