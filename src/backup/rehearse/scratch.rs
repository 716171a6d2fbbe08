//! The place of one rehearsal, and that nothing of it stays.
//!
//! ```text
//! <scratch>/                 0700, locked while a rehearsal is under way
//! <scratch>/run-<pid>-<ms>/  everything of one rehearsal; working directory of its children
//! ```
//!
//! A helper, the *reaper*, waits for the end of a pipe that only this process holds. When that
//! comes, however it comes, the reaper kills every process whose working directory is in the
//! run's directory and removes it. Should the reaper be killed as well (systemd ends whole control
//! groups), [`sweep`] does the same at the daemon's start and before the next rehearsal.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::error::RehearseError;
use super::tools::program;
use crate::daemon::clock;
use crate::failpoints::hit;
use crate::store::dir::Dir;
use crate::store::durable;
use crate::store::lock::{self, Lock, LockError};

const RUN: &str = "run-";
/// Longest path of a socket in the run's directory.
const SOCKET_PATH: usize = 107;
/// For the reaper to remove some files, which may be large.
const REAPER_DEADLINE: Duration = Duration::from_secs(60);

/// `$1`: the run's directory. Builtins only until the pipe ends, so that it is one process.
const REAPER: &str = r#"trap '' HUP INT TERM QUIT
while read -r _; do :; done
tries=0
while [ -e "$1" ] && [ "$tries" -lt 100 ]; do
    for process in /proc/[0-9]*; do
        place=$(readlink "$process/cwd" 2>/dev/null) || continue
        case $place in "$1" | "$1"/* | "$1 (deleted)") kill -9 "${process#/proc/}" 2>/dev/null ;; esac
    done
    rm -rf -- "$1" 2>/dev/null || sleep 0.1
    tries=$((tries + 1))
done"#;

/// The place of one rehearsal. Dropped, the reaper cleans up.
#[derive(Debug)]
pub(super) struct Scratch {
    dir: Dir,
    root: Dir,
    name: String,
    reaper: tokio::process::Child,
    pipe: Option<tokio::process::ChildStdin>,
    _lock: Lock,
}

impl Scratch {
    /// Makes one below `root`, after what an earlier one may have left there is gone. Blocks for
    /// a moment.
    pub(super) fn make(root: &Path) -> Result<Self, RehearseError> {
        let (root, lock) = locked(root)?;
        clear(&root)?;
        let name = format!("{RUN}{}-{}", std::process::id(), clock::now().0);
        let path = root.path().join(&name);
        if path.join("client:1").as_os_str().len() > SOCKET_PATH {
            return Err(RehearseError::LongPath { path });
        }
        // The reaper first: from now on nothing can stay.
        let (reaper, pipe) = reaper(&path)?;
        let dir = durable::ensure_dir(&root, &name, 0o700)?;
        hit("rehearse.scratch-made");
        Ok(Self {
            dir,
            root,
            name,
            reaper,
            pipe,
            _lock: lock,
        })
    }

    /// The directory.
    pub(super) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Its path, without links.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Lets the reaper remove it, and looks whether it has. Its children should have ended.
    pub(super) async fn finish(mut self) -> Result<(), RehearseError> {
        drop(self.pipe.take());
        let _ = tokio::time::timeout(REAPER_DEADLINE, self.reaper.wait()).await;
        let cleared = tokio::task::spawn_blocking(move || self.gone());
        cleared.await.map_err(|_| RehearseError::CutOff)?
    }

    /// [`Scratch::finish`] where nothing was begun in it. Blocks.
    pub(super) fn abandon(self) {
        // What cannot be removed now, the reaper does.
        let _ = self.gone();
    }

    fn gone(&self) -> Result<(), RehearseError> {
        match self.root.stat(&self.name) {
            Ok(None) => Ok(()),
            _ => clear_run(&self.root, &self.name),
        }
    }
}

/// Removes what a rehearsal that was cut off may have left below `root`, processes included. Does
/// nothing while one is under way. Blocks.
///
/// # Errors
/// Where something cannot be removed.
pub fn sweep(root: &Path) -> Result<(), RehearseError> {
    if std::fs::symlink_metadata(root).is_err() {
        return Ok(());
    }
    match locked(root) {
        Ok((root, _lock)) => clear(&root),
        Err(RehearseError::Busy(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn locked(root: &Path) -> Result<(Dir, Lock), RehearseError> {
    durable::ensure_root(root)?;
    let place = |source| RehearseError::Place {
        doing: "find",
        path: root.to_owned(),
        source,
    };
    // Working directories of processes are told without links.
    let root = std::fs::canonicalize(root).map_err(place)?;
    let dir = Dir::open(&root)?;
    match lock::hold_dir(dir.walk("")?) {
        Ok(lock) => Ok((dir, lock)),
        Err(error @ LockError::Held { .. }) => Err(RehearseError::Busy(error)),
        Err(LockError::Open(error)) => Err(error.into()),
        Err(LockError::Lock { path, source }) => Err(RehearseError::Place {
            doing: "lock",
            path,
            source,
        }),
    }
}

fn clear(root: &Dir) -> Result<(), RehearseError> {
    for name in root.names()? {
        if name.starts_with(RUN) {
            clear_run(root, &name)?;
        }
    }
    Ok(())
}

fn clear_run(root: &Dir, name: &str) -> Result<(), RehearseError> {
    kill_all_in(&root.path().join(name));
    durable::discard(root, name, root)?;
    Ok(durable::sweep(root)?)
}

/// Kills every process that works in the directory `place` or below.
fn kill_all_in(place: &Path) {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let pid = process.file_name().to_str().and_then(|it| it.parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else {
            continue;
        };
        let works_in = std::fs::read_link(process.path().join("cwd"));
        if works_in.is_ok_and(|works_in| works_in.starts_with(place)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn reaper(
    path: &Path,
) -> Result<(tokio::process::Child, Option<tokio::process::ChildStdin>), RehearseError> {
    let sh = program(None, "sh").ok_or(RehearseError::NoTool {
        program: "sh",
        places: vec!["/bin".to_owned()],
    })?;
    let mut command = tokio::process::Command::new(sh);
    command
        .args(["-c", REAPER, "rekindle-reaper"])
        .arg(path)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        // A terminal's Ctrl-C is for us.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut reaper = command.spawn().map_err(|source| RehearseError::Start {
        program: "sh".to_owned(),
        source,
    })?;
    let pipe = reaper.stdin.take();
    Ok((reaper, pipe))
}
