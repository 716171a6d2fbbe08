//! Does with etcd's manifest what the kubelet does: runs its command while it stands in the
//! directory, stops it when it is gone or another one, starts it again when it ends. There is no
//! container: containerd lists none, as of a pod that has ended. The kubelet itself is in the lab's
//! scenarios.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

pub struct Keeper {
    shared: Arc<Shared>,
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    manifest: PathBuf,
    log: PathBuf,
    child: Mutex<Option<Child>>,
    /// It crashed for good: it is started again only after its manifest was gone.
    down: AtomicBool,
}

impl Keeper {
    pub fn start(manifest: PathBuf, log: PathBuf) -> Self {
        let shared = Arc::new(Shared {
            manifest,
            log,
            child: Mutex::default(),
            down: AtomicBool::new(false),
        });
        let (end, ended) = channel();
        let keeping = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let mut running = None;
            let mut not_before = Instant::now();
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(Duration::from_millis(50))
            {
                keeping.turn(&mut running, &mut not_before);
            }
            stop(&mut keeping.child.lock().unwrap(), Signal::KILL);
        });
        Self {
            shared,
            end: Some(end),
            thread: Some(thread),
        }
    }

    /// SIGKILL in the middle of its work, and it stays away until its manifest was gone.
    pub fn crash(&self) {
        self.shared.down.store(true, Ordering::SeqCst);
        stop(&mut self.shared.child.lock().unwrap(), Signal::KILL);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.end.take());
        self.thread.take().unwrap().join().ok();
    }
}

impl Shared {
    fn turn(&self, running: &mut Option<Vec<u8>>, not_before: &mut Instant) {
        let wanted = std::fs::read(&self.manifest).ok();
        if wanted.is_none() {
            self.down.store(false, Ordering::SeqCst);
        }
        let mut child = self.child.lock().unwrap();
        if *running != wanted {
            stop(&mut child, Signal::TERM);
            running.clone_from(&wanted);
        }
        if child
            .as_mut()
            .is_some_and(|it| it.try_wait().unwrap().is_some())
        {
            *child = None;
            *not_before = Instant::now() + Duration::from_secs(1);
        }
        if let Some(manifest) = &wanted
            && child.is_none()
            && !self.down.load(Ordering::SeqCst)
            && Instant::now() >= *not_before
        {
            *child = Some(spawn(&command(manifest), &self.log));
        }
    }
}

fn command(manifest: &[u8]) -> Vec<String> {
    let pod: serde_json::Value = serde_json::from_slice(manifest).unwrap();
    serde_json::from_value(pod["spec"]["containers"][0]["command"].clone()).unwrap()
}

/// Starts a program whose output goes to a file.
pub fn spawn(words: &[String], log: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(log);
    let log = log.unwrap();
    Command::new(&words[0])
        .args(&words[1..])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn stop(child: &mut Option<Child>, signal: Signal) {
    if let Some(mut child) = child.take() {
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, signal).ok();
        child.wait().ok();
    }
}
