//! Verifying a snapshot against `sha256sum` on the same file, in turns, and its peak memory.
//!
//! `cargo bench --bench verify [-- GIB...]` (default 1 and 4) makes a snapshot of each size below
//! `target/tmp` with keys and values as a cluster has them, has `etcdctl snapshot status` read it
//! where that is installed, and prints the figures. The file is in the page cache for both.
#![allow(
    missing_docs,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../it/bolt_file.rs"]
mod bolt_file;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rekindle::backup::Progress;
use rekindle::backup::verify::verify;
use sha2::{Digest, Sha256};

use bolt_file::{Element, Freelist, Writer, bucket, inline, pair};

/// Each is measured so often; the median counts.
const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(file) = arguments.iter().find(|arg| arg.ends_with(".snapshot")) {
        // In a process of its own, so that the peak is the verification's alone.
        let found = verify(Path::new(file), &Progress::default()).unwrap();
        println!("{} {} {}", found.integrity, found.total_keys, peak_kib());
        return;
    }
    let sizes: Vec<u64> = arguments
        .iter()
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let sizes = if sizes.is_empty() { vec![1, 4] } else { sizes };
    for gib in sizes {
        measure(gib);
    }
}

fn measure(gib: u64) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{gib}-GiB.snapshot"));
    make(&path, gib << 30);
    let bytes = std::fs::metadata(&path).unwrap().len();
    let this = std::env::current_exe().unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut peak = 0;
    let mut figures = (0, 0);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let summed = Command::new("sha256sum")
            .arg(&path)
            .stdout(Stdio::null())
            .status();
        assert!(summed.unwrap().success());
        theirs.push(begun.elapsed());
        let begun = Instant::now();
        let output = Command::new(&this).arg(&path).output().unwrap();
        ours.push(begun.elapsed());
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let numbers: Vec<u64> = text
            .split_whitespace()
            .map(|n| n.parse().unwrap())
            .collect();
        figures = (numbers[0], numbers[1]);
        peak = peak.max(numbers[2]);
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap();
    let (ours, theirs) = (median(ours), median(theirs));
    let speed = |time: Duration| bytes as f64 / time.as_secs_f64() / f64::from(1 << 20);
    println!(
        "verify of {gib} GiB: {:.0} MiB/s, sha256sum {:.0} MiB/s, ratio {:.2} (goal at least 0.5); \
         peak resident memory {:.1} MiB (goal 40); medians of {ROUNDS}; load {}",
        speed(ours),
        speed(theirs),
        speed(ours) / speed(theirs),
        peak as f64 / 1024.0,
        load.trim()
    );
    println!("  {}", etcd_says(&path, figures));
    #[expect(clippy::disallowed_methods, reason = "a benchmark's own file")]
    std::fs::write(&path, b"").unwrap();
}

/// Whether etcd's own program reads the same out of a file that was not written by etcd.
fn etcd_says(path: &Path, figures: (u64, u64)) -> String {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3");
    let output = command
        .args(["snapshot", "status", "-w", "json"])
        .arg(path)
        .output();
    let Ok(output) = output else {
        return "etcdctl is not installed: nobody else has read this file".into();
    };
    assert!(output.status.success(), "{output:?}");
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let read = (
        status["hash"].as_u64().unwrap(),
        status["totalKey"].as_u64().unwrap(),
    );
    assert_eq!(read, figures, "etcdctl reads something else");
    format!(
        "`etcdctl snapshot status` agrees: {} keys, hash {:x}",
        read.1, read.0
    )
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn make(path: &Path, bytes: u64) {
    let mut writer = Writer::create(path, 4096);
    let key = writer.tree(Records::new(bytes));
    let index = 123_456_u64.to_be_bytes();
    let empty = |name: &str| inline(name, &[]);
    let buckets = [
        empty("alarm"),
        empty("auth"),
        empty("authRoles"),
        empty("authUsers"),
        inline("cluster", &[pair("clusterVersion", "3.5.0")]),
        bucket("key", key),
        empty("lease"),
        empty("members"),
        empty("members_removed"),
        inline("meta", &[pair("consistent_index", index)]),
    ];
    let root = writer.tree(buckets.into_iter());
    drop(writer.finish(root, &Freelist::Absent));
    append_trailer(path);
}

/// Appends the SHA-256 that makes a snapshot of a database.
fn append_trailer(path: &Path) {
    let mut hasher = Sha256::new();
    let mut file = File::open(path).unwrap();
    std::io::copy(&mut file, &mut Hashing(&mut hasher)).unwrap();
    let mut file = File::options().append(true).open(path).unwrap();
    file.write_all(&hasher.finalize()).unwrap();
}

struct Hashing<'a>(&'a mut Sha256);

impl std::io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Records with sizes as in a cluster: mostly one to four KiB, some small, a few large.
struct Records {
    left: u64,
    revision: u64,
    noise: Vec<u8>,
    seed: u64,
}

impl Records {
    fn new(bytes: u64) -> Self {
        let mut own = Self {
            left: bytes,
            revision: 1,
            noise: Vec::new(),
            seed: 0x2545_F491_4F6C_DD1D,
        };
        own.noise = (0..1 << 20).map(|_| own.random(256) as u8).collect();
        own
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below
    }
}

impl Iterator for Records {
    type Item = Element;

    fn next(&mut self) -> Option<Element> {
        if self.left == 0 {
            return None;
        }
        self.revision += 1;
        let revision = self.revision;
        let size = match self.random(100) {
            0 => 20_000 + self.random(400_000),
            1..=9 => 4_000 + self.random(8_000),
            10..=69 => 1_000 + self.random(3_000),
            _ => 150 + self.random(500),
        };
        let resource = [
            "pods",
            "events",
            "secrets",
            "configmaps",
            "leases",
            "minions",
        ][usize::try_from(revision % 6).unwrap()];
        let name = format!(
            "/registry/{resource}/namespace-{}/name-{revision:x}",
            revision % 97
        );
        let from = usize::try_from(self.random((1 << 20) - 500_000)).unwrap();
        let value = &self.noise[from..from + usize::try_from(size).unwrap()];
        let mut record = Vec::new();
        field(&mut record, 1, name.as_bytes());
        for number in [2, 3] {
            record.push(number << 3);
            varint(&mut record, revision);
        }
        record.extend([4 << 3, 1]);
        field(&mut record, 5, value);
        let mut key = revision.to_be_bytes().to_vec();
        key.push(b'_');
        key.extend(0_u64.to_be_bytes());
        self.left = self.left.saturating_sub(size + 100);
        Some(pair(key, record))
    }
}

fn field(record: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    record.push((number << 3) | 2);
    varint(record, bytes.len() as u64);
    record.extend(bytes);
}

fn varint(record: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        record.push(((number & 0x7F) as u8) | 0x80);
        number >>= 7;
    }
    record.push(number as u8);
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
