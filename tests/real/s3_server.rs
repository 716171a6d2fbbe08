//! A real S3 server (`tests/lab/s3`) behind TLS on loopback. What passes is counted, and a process
//! can be hit by a signal in the middle of a chosen part.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rekindle::objectstore::S3Settings;
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

pub const BUCKET: &str = "backups";
pub const KEY_ID: &str = "lab";
/// Must never come out in a message.
pub const SECRET: &str = "s3cr3t-of-the-lab-that-nobody-sees";
const PATIENCE: Duration = Duration::from_secs(30);

/// One request that went through.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
}

impl Request {
    pub fn is_part(&self) -> bool {
        self.method == "PUT" && self.target.contains("partNumber=")
    }
}

/// What to do when the nth part (from 1) is half through.
#[derive(Debug, Clone, Copy)]
pub struct Trap {
    pub part: usize,
    pub pid: Pid,
    pub signal: Signal,
}

#[derive(Default)]
struct Seen {
    requests: Vec<Request>,
    parts: usize,
    trap: Option<Trap>,
}

/// The server with its directory. Its process is ended, by id, when this goes out of scope.
pub struct S3Server {
    dir: TempDir,
    port: u16,
    inner: u16,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    seen: Arc<Mutex<Seen>>,
}

impl S3Server {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With variables in the server's environment, as those of libfaketime.
    pub fn start_with(environment: &[(&str, &str)]) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("rekindle-s3-")
            .tempdir()
            .unwrap();
        std::fs::create_dir_all(dir.path().join("data").join(BUCKET)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let inner = TcpListener::bind("127.0.0.1:0").unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let mut server = Self {
            port: listener.local_addr().unwrap().port(),
            inner: inner.local_addr().unwrap().port(),
            environment: environment.iter().map(own).collect(),
            dir,
            child: None,
            seen: Arc::clone(&seen),
        };
        drop(inner);
        let tls = server.certificates();
        let inner = server.inner;
        std::thread::spawn(move || serve(&listener, inner, &tls, &seen));
        server.credentials(KEY_ID, SECRET);
        server.run();
        server
    }

    /// Starts the process again.
    pub fn run(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("s3.log"))
            .unwrap();
        let child = Command::new(program())
            .args(["--host", "127.0.0.1", "--port", &self.inner.to_string()])
            .args(["--access-key", KEY_ID, "--secret-key", SECRET])
            .arg(self.dir.path().join("data"))
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.inner)).is_err() {
            assert!(Instant::now() < end, "the S3 server does not start");
            std::thread::yield_now();
        }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().unwrap())
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub fn trap(&self, trap: Trap) {
        let mut seen = self.seen.lock().unwrap();
        seen.trap = Some(trap);
        seen.parts = 0;
    }

    /// What went through since the last call.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.seen.lock().unwrap().requests)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The file of an object.
    pub fn object(&self, key: &str) -> PathBuf {
        self.path("data").join(BUCKET).join(key)
    }

    /// Writes the file of credentials (0600).
    pub fn credentials(&self, id: &str, secret: &str) {
        let path = self.path("credentials");
        let _ = std::fs::remove_file(&path);
        let mut file = std::fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .unwrap();
        let text =
            format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
        file.write_all(text.as_bytes()).unwrap();
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn settings(&self) -> S3Settings {
        settings(self.dir.path(), self.port)
    }

    /// An authority in `ca.crt`, and a server's certificate of it.
    fn certificates(&self) -> Arc<ServerConfig> {
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap();
        crate::target_stage::put(&self.path("ca.crt"), ca.pem().as_bytes());
        let issuer = rcgen::Issuer::new(params, key);
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        Arc::new(config)
    }
}

/// Settings for the server of this directory and port: for another process too.
pub fn settings(dir: &Path, port: u16) -> S3Settings {
    S3Settings {
        endpoint: format!("https://localhost:{port}"),
        region: "us-east-1".to_owned(),
        bucket: BUCKET.to_owned(),
        prefix: "clusters/lab".to_owned(),
        path_style: true,
        credentials_file: dir.join("credentials"),
        ca_file: Some(dir.join("ca.crt")),
        deadline: Duration::from_secs(5),
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(child) = &self.child {
            // A stopped process is killed all the same.
            let _ = kill_process(Pid::from_child(child), Signal::CONT);
        }
        self.kill();
    }
}

/// The server's program, built where it is missing.
fn program() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/s3");
    let output = Command::new(script).arg("path").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "tests/lab/s3 path: {said}");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

fn serve(listener: &TcpListener, inner: u16, tls: &Arc<ServerConfig>, seen: &Arc<Mutex<Seen>>) {
    for client in listener.incoming() {
        let (Ok(client), tls, seen) = (client, Arc::clone(tls), Arc::clone(seen)) else {
            return;
        };
        std::thread::spawn(move || {
            // A connection that breaks is what the tests are about.
            let _ = connection(client, inner, tls, &seen);
        });
    }
}

/// Requests one after another: each whole to the server, then its answer whole to the client.
fn connection(
    client: TcpStream,
    inner: u16,
    tls: Arc<ServerConfig>,
    seen: &Mutex<Seen>,
) -> std::io::Result<()> {
    let raw = client.try_clone()?;
    let mut client = StreamOwned::new(ServerConnection::new(tls).unwrap(), client);
    let mut server = None;
    let done = loop {
        let Some((head, length)) = head(&mut client)? else {
            break Ok(());
        };
        let server = match &mut server {
            Some(server) => server,
            none => none.insert(TcpStream::connect(("127.0.0.1", inner))?),
        };
        if let Err(error) = exchange(&mut client, server, &head, length, seen) {
            break Err(error);
        }
    };
    let _ = raw.shutdown(Shutdown::Both);
    done
}

fn exchange(
    client: &mut (impl Read + Write),
    server: &mut TcpStream,
    head: &[u8],
    length: u64,
    seen: &Mutex<Seen>,
) -> std::io::Result<()> {
    let text = String::from_utf8_lossy(head).into_owned();
    let mut words = text.split(' ').map(str::to_owned);
    let request = Request {
        method: words.next().unwrap_or_default(),
        target: words.next().unwrap_or_default(),
    };
    let trap = {
        let mut seen = seen.lock().unwrap();
        seen.parts += usize::from(request.is_part());
        let is_here = |trap: &Trap| request.is_part() && trap.part == seen.parts;
        let trap = seen.trap.filter(is_here);
        if trap.is_some() {
            seen.trap = None;
        }
        trap
    };
    server.write_all(head)?;
    if let Some(Trap { pid, signal, .. }) = trap {
        pass(client, server, length / 2)?;
        kill_process(pid, signal)?;
        pass(client, server, length - length / 2)?;
    } else {
        // A server may answer before it has read everything, and close.
        let _ = pass(client, server, length);
    }
    let Some((answer, length)) = self::head(server)? else {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    };
    client.write_all(&answer)?;
    let is_chunked = String::from_utf8_lossy(&answer)
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    if is_chunked {
        chunks(server, client)?;
    } else if request.method != "HEAD" {
        pass(server, client, length)?;
    }
    client.flush()?;
    seen.lock().unwrap().requests.push(request);
    Ok(())
}

/// A head up to its empty line, and the length of the body that it announces; `None`: the end.
fn head(from: &mut impl Read) -> std::io::Result<Option<(Vec<u8>, u64)>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match from.read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) => head.extend(byte),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) if head.is_empty() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length = length.map_or(0, |length| length.trim().parse().unwrap());
    Ok(Some((head, length)))
}

fn pass(from: &mut impl Read, to: &mut impl Write, length: u64) -> std::io::Result<()> {
    let passed = std::io::copy(&mut from.take(length), to)?;
    if passed == length {
        Ok(())
    } else {
        Err(std::io::ErrorKind::UnexpectedEof.into())
    }
}

/// A chunked body, as it is.
fn chunks(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<()> {
    loop {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            from.read_exact(&mut byte)?;
            line.extend(byte);
        }
        to.write_all(&line)?;
        let size = String::from_utf8_lossy(&line);
        let size = u64::from_str_radix(size.trim(), 16).unwrap();
        pass(from, to, size + 2)?;
        if size == 0 {
            return Ok(());
        }
    }
}
