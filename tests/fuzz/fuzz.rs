//! Fuzzing of what reads hostile bytes, with the one stable toolchain that builds the rest:
//! `tests/run fuzz`.
//!
//! rustc's own `sancov` pass counts the edges of our library (`instrument`), and this program is
//! the loop around it: it mutates inputs, keeps those that reach something new, and stops at the
//! first panic or hang. libFuzzer would need a C++ compiler, cargo-fuzz's sanitizers a nightly
//! rustc; without the pass this runs too, without guidance, and says so.
//!
//! ```text
//! fuzz TARGET [--seconds N] [--seed N] [--guided]     default 60 seconds, a seed by the clock
//!                                          --guided: fail where nothing guides it
//! fuzz TARGET --replay FILE                one input, as a finding prints it
//! ```
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test program: it prints, writes its own files, and uses a part of what tests share"
)]

#[path = "../it/bolt_file.rs"]
mod bolt_file;
mod coverage;
mod mutate;
#[path = "../it/recover_database.rs"]
mod recover_database;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coverage::Coverage;
use mutate::{Mutator, Random};
use targets::Target;

/// One input that takes longer is a finding.
const SLOWEST: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let names: Vec<&str> = Target::ALL.iter().map(|target| target.name()).collect();
    let target = arguments.first().and_then(|name| Target::named(name));
    let Some(target) = target else {
        eprintln!(
            "usage: fuzz {} [--seconds N] [--seed N] [--replay FILE]",
            names.join("|")
        );
        return ExitCode::from(2);
    };
    if let Some(file) = option("--replay") {
        target.run(&std::fs::read(file).unwrap());
        println!("nothing happened");
        return ExitCode::SUCCESS;
    }
    let seconds = option("--seconds").map_or(60, |text| text.parse().unwrap());
    let seed = option("--seed").map(|text| text.parse().unwrap());
    let run = Run {
        target,
        seconds,
        seed: seed.unwrap_or_else(clock),
        guided: arguments.iter().any(|argument| argument == "--guided"),
        dir: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/fuzz"),
    };
    run.go()
}

fn clock() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(1, |since| u64::try_from(since.as_nanos()).unwrap_or(1))
}

/// One target for some time.
struct Run {
    target: Target,
    seconds: u64,
    seed: u64,
    /// Not without coverage.
    guided: bool,
    /// Where findings are put.
    dir: PathBuf,
}

impl Run {
    fn go(&self) -> ExitCode {
        let name = self.target.name();
        std::fs::create_dir_all(&self.dir).unwrap();
        let guided = Coverage::edges() > 0;
        if self.guided && !guided {
            eprintln!("fuzz {name}: built without tests/fuzz/instrument, so nothing guides it");
            return ExitCode::FAILURE;
        }
        println!(
            "fuzz {name}: {} s, seed {}, {}",
            self.seconds,
            self.seed,
            if guided {
                "guided by coverage"
            } else {
                "NOT guided: built without tests/fuzz/instrument"
            }
        );
        let mut coverage = Coverage::default();
        let mut corpus = self.target.seeds();
        for input in &corpus {
            if !self.survives(input) {
                return ExitCode::FAILURE;
            }
            coverage.is_new();
        }
        let begun = Instant::now();
        let watch = Watch::start(self.current());
        let mut mutator = Mutator::new(Random::new(self.seed));
        let (mut count, mut grown) = (0_u64, 0);
        while begun.elapsed() < Duration::from_secs(self.seconds) {
            let mut input = mutator.next(&corpus);
            self.target.repair(&mut input, mutator.random());
            std::fs::write(self.current(), &input).unwrap();
            watch.begin();
            if !self.survives(&input) {
                return ExitCode::FAILURE;
            }
            watch.end();
            count += 1;
            if coverage.is_new() {
                corpus.push(input);
                grown += 1;
            }
        }
        println!(
            "fuzz {name}: {count} inputs, {grown} of them new, {} of {} edges; no finding",
            coverage.reached(),
            Coverage::edges()
        );
        ExitCode::SUCCESS
    }

    /// The input that is being tried, in memory: what is left of a process that was killed.
    fn current(&self) -> PathBuf {
        PathBuf::from(format!(
            "/dev/shm/rekindle-fuzz-{}.current",
            self.target.name()
        ))
    }

    fn survives(&self, input: &[u8]) -> bool {
        Coverage::reset();
        if catch_unwind(AssertUnwindSafe(|| self.target.run(input))).is_ok() {
            return true;
        }
        let name = self.target.name();
        let file = self.dir.join(format!("{name}-{}.finding", self.seed));
        std::fs::write(&file, input).unwrap();
        eprintln!("FINDING in {name}, seed {}: see the panic above", self.seed);
        told(name, &file);
        false
    }
}

fn told(name: &str, file: &Path) {
    eprintln!(
        "again: cargo run --all-features --example fuzz -- {name} --replay {}",
        file.display()
    );
}

/// Ends the process where one input takes too long.
struct Watch {
    /// Milliseconds since the start at which the present input began, plus one; 0: none.
    since: &'static AtomicU64,
    start: Instant,
}

impl Watch {
    fn start(current: PathBuf) -> Self {
        let since: &'static AtomicU64 = Box::leak(Box::default());
        let start = Instant::now();
        std::thread::spawn(move || {
            loop {
                std::thread::park_timeout(Duration::from_secs(1));
                let began = since.load(Ordering::Relaxed);
                if began > 0 && start.elapsed() > SLOWEST + Duration::from_millis(began) {
                    let name = current.file_stem().unwrap().to_string_lossy();
                    eprintln!("FINDING in {name}: one input takes more than {SLOWEST:?}");
                    told(&name, &current);
                    std::process::exit(1);
                }
            }
        });
        Self { since, start }
    }

    fn begin(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap();
        self.since.store(now + 1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
    }
}
