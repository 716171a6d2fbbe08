//! What stands before each child's command: programs of util-linux and systemd that take rights and
//! resources from it and then become it.
//!
//! Each is tried once with `true`: a unit's own sandbox or a small kernel may forbid one, and then
//! the others still hold. What is left out is said in the outcome.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::Limits;
use super::tools::program;

/// Each of the tries.
const DEADLINE: Duration = Duration::from_secs(10);

/// The words before a command.
#[derive(Debug, Clone, Default)]
pub(super) struct Confinement {
    words: Vec<OsString>,
    pub(super) memory_bytes: u64,
    /// What could not be done, in words.
    pub(super) without: Vec<&'static str>,
}

impl Confinement {
    /// Tries what there is.
    pub(super) async fn probe(limits: &Limits) -> Self {
        Self::probe_with(limits, true).await
    }

    /// Tries what there is. `behind`: everything else on this node goes first.
    pub(super) async fn probe_with(limits: &Limits, behind: bool) -> Self {
        let mut it = Self {
            memory_bytes: limits.memory_bytes,
            ..Self::default()
        };
        // First, so that as little as possible happens before it: what kills the child when the
        // thread that started it is gone.
        it.add("death with us", &["setpriv", "--pdeathsig", "KILL"])
            .await;
        let memory = format!("MemoryMax={}", limits.memory_bytes);
        let (weight, io_weight) = match behind {
            true => ("CPUWeight=10", "IOWeight=10"),
            false => ("CPUWeight=100", "IOWeight=100"),
        };
        let scope = [
            "systemd-run",
            "--scope",
            "--quiet",
            "--collect",
            "--property",
            &memory,
            "--property",
            "MemorySwapMax=0",
            "--property",
            weight,
            "--property",
            io_weight,
            "--",
        ];
        let systemd = Path::new("/run/systemd/system").is_dir();
        if !systemd || !it.add("a control group of its own", &scope).await {
            let data = format!("--data={}", limits.memory_bytes);
            it.add("a limit of memory", &["prlimit", &data]).await;
        }
        it.add("a network namespace", &["unshare", "--net"]).await;
        if !behind {
            return it;
        }
        it.add(
            "being killed first for memory",
            &["choom", "-n", "1000", "--"],
        )
        .await;
        it.add("idle I/O", &["ionice", "-c", "3"]).await;
        it.add("low priority", &["nice", "-n", "19"]).await;
        it
    }

    async fn add(&mut self, what: &'static str, words: &[&str]) -> bool {
        let mut longer = self.words.clone();
        let found = words.split_first().and_then(|(name, rest)| {
            longer.push(program(None, name)?.into());
            longer.extend(rest.iter().map(OsString::from));
            Some(())
        });
        let works = found.is_some() && {
            let mut tried = Self {
                words: longer.clone(),
                ..self.clone()
            }
            .command(Path::new("true"));
            tried.stdout(Stdio::null()).stderr(Stdio::null());
            let ended = tokio::time::timeout(DEADLINE, tried.status()).await;
            ended.is_ok_and(|status| status.is_ok_and(|status| status.success()))
        };
        if works {
            self.words = longer;
        } else {
            self.without.push(what);
        }
        works
    }

    /// A command for `program`, confined, with nothing of our environment.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut words = self.words.iter();
        let mut command = match words.next() {
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(program);
                command
            }
            None => Command::new(program),
        };
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("ETCDCTL_API", "3")
            // Go collects harder before it meets the limit, and takes one processor at a time.
            .env("GOMEMLIMIT", format!("{}B", self.memory_bytes / 10 * 8))
            .env("GOMAXPROCS", "1")
            .current_dir("/")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}
