//! A real etcd and a real kube-apiserver (1.20.2, as the lab builds it) on loopback ports, with
//! the lab's certificates and the Node authorizer: what the API server adapter is tested against.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// The node whose credentials the tests use.
pub const NODE: &str = "labnode";

pub struct ControlPlane {
    dir: TempDir,
    binaries: PathBuf,
    pub port: u16,
    etcd_port: u16,
    encryption: Option<PathBuf>,
    /// The address that stands in the endpoints of `default/kubernetes`; `None`: nobody writes them.
    advertised: Option<&'static str>,
    etcd: Option<Child>,
    apiserver: Option<Child>,
}

#[allow(
    clippy::disallowed_methods,
    reason = "the lab tells the tests by its environment"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn binaries() -> PathBuf {
    let cache = variable("REKINDLE_LAB_CACHE").unwrap_or("/var/cache/rekindle-lab".to_owned());
    let found = std::fs::read_dir(&cache)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut found: Vec<PathBuf> = found
        .filter(|path| path.join("kube-apiserver").is_file())
        .collect();
    found.sort();
    found
        .pop()
        .unwrap_or_else(|| panic!("no kube-apiserver below {cache}: tests/lab/build-kubernetes"))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

impl ControlPlane {
    /// Starts both and waits until the API server is ready.
    pub async fn start() -> Self {
        Self::start_encrypting(None).await
    }

    /// The same; the API server encrypts at rest as the file says.
    pub async fn start_encrypting(encryption: Option<PathBuf>) -> Self {
        Self::start_so(encryption, None).await
    }

    /// The same; the API server says that it is at `address`, and writes its endpoints as it does
    /// in a cluster.
    pub async fn start_advertising(address: &'static str) -> Self {
        Self::start_so(None, Some(address)).await
    }

    async fn start_so(encryption: Option<PathBuf>, advertised: Option<&'static str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/certificates");
        let made = Command::new(script)
            .arg(dir.path().join("tls"))
            .args([NODE, "127.0.0.1"])
            .status()
            .await
            .unwrap();
        assert!(made.success(), "certificates: {made}");
        let mut plane = Self {
            binaries: binaries(),
            port: free_port(),
            etcd_port: free_port(),
            encryption,
            advertised,
            etcd: None,
            apiserver: None,
            dir,
        };
        plane.start_etcd();
        plane.start_apiserver().await;
        plane
    }

    fn spawn(&self, name: &str, program: &Path, arguments: &[String]) -> Child {
        let log = std::fs::File::create(self.dir.path().join(format!("{name}.log"))).unwrap();
        Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    fn start_etcd(&mut self) {
        let client = format!("http://127.0.0.1:{}", self.etcd_port);
        let peer = format!("http://127.0.0.1:{}", free_port());
        let data = self.dir.path().join("etcd");
        let arguments = [
            format!("--data-dir={}", data.display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
        ];
        self.etcd = Some(self.spawn("etcd", Path::new("etcd"), &arguments));
    }

    /// Starts the API server and waits until it is ready.
    pub async fn start_apiserver(&mut self) {
        let tls = self.dir.path().join("tls");
        let file = |flag: &str, name: &str| format!("--{flag}={}", tls.join(name).display());
        let arguments = [
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            format!("--secure-port={}", self.port),
            format!("--cert-dir={}", self.dir.path().display()),
            file("client-ca-file", "ca.crt"),
            file("tls-cert-file", "apiserver.crt"),
            file("tls-private-key-file", "apiserver.key"),
            file("service-account-key-file", "service-account.pub"),
            file("service-account-signing-key-file", "service-account.key"),
            "--bind-address=127.0.0.1".to_owned(),
            format!(
                "--advertise-address={}",
                self.advertised.unwrap_or("127.0.0.1")
            ),
            match self.advertised {
                Some(_) => "--endpoint-reconciler-type=lease".to_owned(),
                None => "--endpoint-reconciler-type=none".to_owned(),
            },
            "--insecure-port=0".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--service-cluster-ip-range=10.3.0.0/24".to_owned(),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
        ];
        let encryption = self.encryption.iter();
        let encryption =
            encryption.map(|file| format!("--encryption-provider-config={}", file.display()));
        let arguments: Vec<String> = arguments.into_iter().chain(encryption).collect();
        let program = self.binaries.join("kube-apiserver");
        self.apiserver = Some(self.spawn("apiserver", &program, &arguments));
        let admin = self.admin().await;
        let ready = async {
            let mut every = tokio::time::interval(Duration::from_millis(100));
            loop {
                every.tick().await;
                let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
                if admin
                    .request_text(request)
                    .await
                    .is_ok_and(|text| text == "ok")
                {
                    return;
                }
            }
        };
        if tokio::time::timeout(Duration::from_secs(60), ready)
            .await
            .is_err()
        {
            let log = std::fs::read_to_string(self.dir.path().join("apiserver.log")).unwrap();
            let end: Vec<&str> = log.lines().rev().take(15).collect();
            panic!("the API server is not ready: {end:#?}");
        }
    }

    /// Kills the API server at once.
    pub async fn kill_apiserver(&mut self) {
        self.apiserver.take().unwrap().kill().await.unwrap();
    }

    /// Kills etcd at once.
    pub async fn kill_etcd(&mut self) {
        self.etcd.take().unwrap().kill().await.unwrap();
    }

    /// What etcd holds under a key: `etcdctl` with an argument more.
    pub async fn etcdctl(&self, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints=http://127.0.0.1:{}", self.etcd_port))
            .args(arguments)
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }

    /// Writes a value of any bytes, which no argument can be.
    pub async fn put(&self, key: &str, value: &[u8]) {
        let mut child = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints=http://127.0.0.1:{}", self.etcd_port))
            .args(["put", key])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(value).await.unwrap();
        assert!(child.wait().await.unwrap().success());
    }

    /// Where its etcd answers.
    pub fn etcd_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.etcd_port)
    }

    /// Its etcd's data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("etcd")
    }

    pub fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.dir
            .path()
            .join("tls")
            .join(format!("{user}.kubeconfig"))
    }

    /// The same, with the address of this API server in it.
    pub fn kubeconfig_here(&self, user: &str) -> PathBuf {
        let text = std::fs::read_to_string(self.kubeconfig(user)).unwrap();
        let path = self.dir.path().join(format!("{user}.here.kubeconfig"));
        let text = text.replace("https://127.0.0.1:6443", &self.server());
        #[allow(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A client with every right.
    pub async fn admin(&self) -> kube::Client {
        let mut kubeconfig = Kubeconfig::read_from(self.kubeconfig("admin")).unwrap();
        for cluster in &mut kubeconfig.clusters {
            cluster.cluster.as_mut().unwrap().server = Some(self.server());
        }
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .unwrap();
        kube::Client::try_from(config).unwrap()
    }

    /// Ends both and waits for it.
    pub async fn stop(mut self) {
        for child in [self.apiserver.as_mut(), self.etcd.as_mut()]
            .into_iter()
            .flatten()
        {
            child.kill().await.unwrap();
        }
    }
}
