//! etcd's own program that makes a data directory of a snapshot: found, asked what it can, run.
//!
//! `etcdutl` is of 3.5 and later; before, `etcdctl` did it.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::error::RestoreError;
use crate::core::time::Moment;
use crate::daemon::clock;

const NAMES: [&str; 2] = ["etcdutl", "etcdctl"];
/// Between two looks at how far it is.
const TICK: Duration = Duration::from_millis(200);
/// To answer a question about itself.
const ANSWER: u64 = 20_000;
/// What is kept of its output, the last of it.
const SAID_LIMIT: usize = 64 << 10; // 64 KiB

/// The program, and what it can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Where it is.
    pub path: PathBuf,
    /// What it says its version is.
    pub version: String,
    /// It has `--bump-revision` and `--mark-compacted`.
    pub bumps: bool,
}

/// How a run ended.
#[derive(Debug)]
struct Ended {
    status: ExitStatus,
    said: String,
}

impl Tool {
    /// The program `named`, or the first of `etcdutl` and `etcdctl` in the directories of `path`
    /// (as `$PATH`), and what it can do.
    ///
    /// # Errors
    /// Where there is none, or it does not restore.
    pub fn find(named: Option<&Path>, path: &str) -> Result<Self, RestoreError> {
        let place = match named {
            Some(named) => named.to_owned(),
            None => search(path).ok_or_else(|| RestoreError::NoTool {
                searched: path.to_owned(),
            })?,
        };
        let help = ask(&place, &["snapshot", "restore", "--help"])?;
        if !help.contains("--initial-cluster-token") {
            return Err(RestoreError::ToolFailed {
                path: place,
                said: "it has no `snapshot restore`".to_owned(),
            });
        }
        let version = ask(&place, &["version"])?;
        let version = version
            .lines()
            .next()
            .and_then(|line| line.rsplit(' ').next())
            .unwrap_or("of unknown version");
        Ok(Self {
            version: version.to_owned(),
            bumps: help.contains("--bump-revision") && help.contains("--mark-compacted"),
            path: place,
        })
    }

    /// Runs it with `args`; `look` is called now and then with nothing to do but look, and says
    /// how far it is: where that stays the same for `patience` milliseconds, it is ended.
    pub(super) fn run(
        &self,
        args: &[OsString],
        patience: u64,
        mut look: impl FnMut() -> u64,
    ) -> Result<(), RestoreError> {
        let ended = run(&self.path, args, patience, &mut look)?;
        if ended.status.success() {
            return Ok(());
        }
        Err(RestoreError::ToolFailed {
            path: self.path.clone(),
            said: complaint(&ended.said, ended.status),
        })
    }
}

/// What a program prints about itself.
fn ask(path: &Path, args: &[&str]) -> Result<String, RestoreError> {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let ended = run(path, &args, ANSWER, &mut || 0)?;
    Ok(ended.said)
}

fn search(path: &str) -> Option<PathBuf> {
    let dirs: Vec<&Path> = path
        .split(':')
        .filter(|dir| dir.starts_with('/'))
        .map(Path::new)
        .collect();
    let every = NAMES
        .iter()
        .flat_map(|name| dirs.iter().map(move |dir| dir.join(name)));
    every.into_iter().find(|file| {
        use rustix::fs::{Access, access};
        file.is_file() && access(file, Access::EXEC_OK).is_ok()
    })
}

/// The line that says why: `Error: …`, or the last one.
fn complaint(said: &str, status: ExitStatus) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines().find(|line| line.starts_with("Error:"));
    let line = error.or_else(|| lines().next_back()).unwrap_or_default();
    let line: String = line.chars().take(500).collect();
    format!("{line} ({status})")
}

/// Ended with the value that holds it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(
    path: &Path,
    args: &[OsString],
    patience: u64,
    look: &mut dyn FnMut() -> u64,
) -> Result<Ended, RestoreError> {
    let failed = |source| RestoreError::Tool {
        path: path.to_owned(),
        source,
    };
    // Nothing of our environment: every flag of etcdctl can come from there.
    let mut command = Command::new(path);
    command
        .args(args)
        .env_clear()
        .env("ETCDCTL_API", "3")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = Running(command.spawn().map_err(failed)?);
    let (done, ended) = mpsc::channel();
    let outs: [Option<Box<dyn Read + Send>>; 2] = [
        running.0.stdout.take().map(|out| Box::new(out) as _),
        running.0.stderr.take().map(|out| Box::new(out) as _),
    ];
    for out in outs.into_iter().flatten() {
        let done = done.clone();
        std::thread::spawn(move || done.send(tail(out)));
    }
    drop(done);
    let mut said = String::new();
    let mut moved: (u64, Moment) = (0, clock::now());
    loop {
        match ended.recv_timeout(TICK) {
            Ok(text) => said.push_str(&text),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let at = look();
        if at != moved.0 {
            moved = (at, clock::now());
        } else if clock::now().0.saturating_sub(moved.1.0) > patience {
            let text = format!("it did nothing for {} s", patience / 1000);
            return Err(failed(io::Error::new(io::ErrorKind::TimedOut, text)));
        }
    }
    let status = running.0.wait().map_err(failed)?;
    Ok(Ended { status, said })
}

/// The last of what comes out, in text.
fn tail(mut out: impl Read) -> String {
    let mut kept = Vec::new();
    let mut buffer = vec![0; 8 << 10];
    while let Ok(read @ 1..) = out.read(&mut buffer) {
        kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let over = kept.len().saturating_sub(SAID_LIMIT);
        kept.drain(..over);
    }
    String::from_utf8_lossy(&kept).into_owned()
}
