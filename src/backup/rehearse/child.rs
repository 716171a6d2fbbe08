//! A child process: the end of what it says, and whether it still gets on.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::Instant;

use super::error::RehearseError;

/// So much of the beginning of what a child says is kept: Go says first why it crashes, and then
/// its stacks.
const HEAD: usize = 8 << 10;
/// And so much of its end.
const TAIL: usize = 8 << 10;
/// So much of it is told.
const TOLD: usize = 600;

/// A child process. Killed when it is dropped.
#[derive(Debug)]
pub(super) struct Child {
    process: tokio::process::Child,
    name: String,
    /// The limit that it was started with; 0: none.
    memory_bytes: u64,
    said: Arc<Mutex<Vec<u8>>>,
    readers: Vec<tokio::task::JoinHandle<()>>,
}

impl Child {
    /// Starts `command` in the directory `place`; `memory_bytes` is the limit in the command.
    pub(super) fn start(
        mut command: Command,
        name: &str,
        place: &Path,
        memory_bytes: u64,
    ) -> Result<Self, RehearseError> {
        let spawned = command
            .current_dir(place)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut process = spawned.map_err(|source| RehearseError::Start {
            program: name.to_owned(),
            source,
        })?;
        let said = Arc::default();
        let out = process.stdout.take().map(|it| keep(it, &said));
        let err = process.stderr.take().map(|it| keep(it, &said));
        Ok(Self {
            process,
            name: name.to_owned(),
            memory_bytes,
            said,
            readers: [out, err].into_iter().flatten().collect(),
        })
    }

    /// Its end, if it has ended.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Waits for its end.
    pub(super) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// Ends it and waits until it is gone.
    pub(super) async fn kill(&mut self) {
        let _ = self.process.kill().await;
    }

    /// Bytes that it has read and written so far.
    pub(super) fn moved(&self) -> u64 {
        self.process.id().map_or(0, moved)
    }

    /// Bytes and processor ticks: of a child that reads its files as memory.
    pub(super) fn activity(&self) -> u64 {
        let ticks = self.process.id().map_or(0, ticks);
        ticks.wrapping_add(self.moved())
    }

    /// How it ended, and the last that it said.
    pub(super) async fn story(&mut self, status: ExitStatus) -> String {
        for reader in self.readers.drain(..) {
            // Its pipes are closed; a grandchild could hold them.
            let _ = tokio::time::timeout(Duration::from_secs(2), reader).await;
        }
        let told = format!("{} ended with {status}{}", self.name, self.last_words());
        if self.memory_bytes > 0 && (status.signal() == Some(9) || self.lacks_memory()) {
            return format!(
                "{told}; it has a limit of {} bytes of memory",
                self.memory_bytes
            );
        }
        told
    }

    fn lacks_memory(&self) -> bool {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&said);
        let words = [
            "out of memory",
            "annot allocate memory",
            "runtime: cannot",
            "errno=12",
        ];
        words.iter().any(|word| text.contains(word))
    }

    /// `, and said: ` with the line that says why, or the last one.
    pub(super) fn last_words(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&said);
        let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
        let fatal = |line: &&str| {
            let starts = ["Error:", "fatal error:", "panic:", "runtime: out of memory"];
            starts.iter().any(|start| line.starts_with(start))
                || line.contains("\"level\":\"fatal\"")
                || line.contains("\"level\":\"panic\"")
        };
        let Some(line) = lines().find(fatal).or_else(|| lines().next_back()) else {
            return String::new();
        };
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        let told: String = line.chars().take(TOLD).map(clean).collect();
        format!(", and said: {told}")
    }

    /// Everything that is kept of what it said.
    pub(super) async fn output(&mut self) -> String {
        for reader in self.readers.drain(..) {
            let _ = tokio::time::timeout(Duration::from_secs(2), reader).await;
        }
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&said).into_owned()
    }
}

/// Reads a pipe to its end and keeps the last of it.
fn keep(
    mut pipe: impl AsyncRead + Unpin + Send + 'static,
    said: &Arc<Mutex<Vec<u8>>>,
) -> tokio::task::JoinHandle<()> {
    let said = Arc::clone(said);
    tokio::spawn(async move {
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = pipe.read(&mut chunk).await {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.extend_from_slice(chunk.get(..read).unwrap_or_default());
            if let Some(surplus @ 1..) = said.len().checked_sub(HEAD + TAIL) {
                said.drain(HEAD..HEAD + surplus);
            }
        }
    })
}

/// Processor ticks of a process: `proc(5)`.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name in parentheses, which may hold anything: utime and stime are 14 and 15.
    stat.rsplit_once(')').map_or(0, |(_, rest)| {
        let fields = rest.split_whitespace().skip(11).take(2);
        fields.filter_map(|field| field.parse::<u64>().ok()).sum()
    })
}

/// Bytes and calls of a process that read and write, added up.
fn moved(pid: u32) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    io.lines()
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(_, number)| number.parse::<u64>().ok())
        .fold(0, u64::wrapping_add)
}

/// Watches figures that must change.
#[derive(Debug)]
pub(super) struct Watch {
    last: Option<u64>,
    since: Instant,
    begun: Instant,
    stall: Duration,
    longest: Option<Duration>,
}

impl Watch {
    /// Begins: without a change for `stall` the step has failed.
    pub(super) fn begin(stall: Duration) -> Self {
        let now = Instant::now();
        Self {
            last: None,
            since: now,
            begun: now,
            stall,
            longest: None,
        }
    }

    /// For figures that also change where something spins for ever: it has ten times as long, and
    /// a second for each MiB of the `bytes` that it works on.
    pub(super) fn not_for_ever(mut self, bytes: u64) -> Self {
        let work = Duration::from_secs(bytes >> 20);
        self.longest = Some(self.stall.saturating_mul(10).saturating_add(work));
        self
    }

    /// Takes a look at the figure. `Some`: it hangs, in words.
    pub(super) fn look(&mut self, figure: u64) -> Option<String> {
        let now = Instant::now();
        if self.last != Some(figure) {
            self.last = Some(figure);
            self.since = now;
        }
        let still = now.duration_since(self.since);
        if still >= self.stall {
            return Some(format!("no progress for {} s", still.as_secs()));
        }
        let whole = now.duration_since(self.begun);
        let longest = self.longest?;
        (whole >= longest).then(|| format!("not done after {} s", whole.as_secs()))
    }
}
