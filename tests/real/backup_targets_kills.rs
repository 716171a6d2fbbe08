//! Copies by a process that is killed: this test program itself, started again as a child that
//! copies one backup.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rekindle::backup::Progress;
use rekindle::backup::targets::{Target, copy_once, fetch, uploads_dir};
use rustix::process::{Pid, Signal};

use crate::s3_server::{S3Server, Trap, settings};
use crate::target_stage::{PART, PARTS, Stage, put, s3};

/// Set for the child: directory and port of the server, directory of the stage, recipient.
const JOB: &str = "REKINDLE_TEST_COPY";

/// In the child: copies, prints its peak memory, and is done.
fn child(job: &str) {
    let words: Vec<&str> = job.split(' ').collect();
    let (dir, port, stage) = (
        Path::new(words[0]),
        words[1].parse().unwrap(),
        Path::new(words[2]),
    );
    let mut target = s3(settings(dir, port));
    target.recipients = words
        .iter()
        .skip(3)
        .map(|text| (*text).to_owned())
        .collect();
    // Not before the parent is ready.
    std::io::stdin()
        .lock()
        .read_line(&mut String::new())
        .unwrap();
    let bundle = std::fs::read_dir(stage.join("backups")).unwrap();
    let bundle: Vec<PathBuf> = bundle.map(|entry| entry.unwrap().path()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let uploads = uploads_dir(&stage.join("state"));
    let copied = runtime.block_on(async {
        let target = Target::open(&target).unwrap();
        copy_once(&target, &bundle[0], &uploads, &Progress::default()).await
    });
    copied.unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    put(&stage.join("peak"), peak.as_bytes());
}

fn start(test: &str, server: &S3Server, stage: &Stage, recipient: &str, kill_at: &str) -> Child {
    let job = format!(
        "{} {} {} {recipient}",
        server.path("").display(),
        server.port(),
        stage.dir.path().display()
    );
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            &format!("backup_targets_kills::{test}"),
            "--nocapture",
        ])
        .env(JOB, job.trim())
        .stdin(Stdio::piped());
    if !kill_at.is_empty() {
        command.env("REKINDLE_KILL_AT", kill_at);
    }
    command.spawn().unwrap()
}

fn finish(mut child: Child) -> ExitStatus {
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    child.wait().unwrap()
}

fn identity(stage: &Stage) -> (PathBuf, String) {
    let key = stage.path("identity.txt");
    let made = Command::new("age-keygen").arg("-o").arg(&key).output();
    assert!(
        made.unwrap().status.success(),
        "age is missing: run tests/lab/packages"
    );
    let public = Command::new("age-keygen")
        .arg("-y")
        .arg(&key)
        .output()
        .unwrap();
    (
        key,
        String::from_utf8(public.stdout).unwrap().trim().to_owned(),
    )
}

/// The copy is what the local backup is.
fn is_whole(server: &S3Server, stage: &Stage, key: Option<&Path>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let into = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let target = Target::open(&s3(server.settings())).unwrap();
        fetch(&target, &stage.id, into.path(), key, &Progress::default())
            .await
            .unwrap();
    });
    for (path, digest) in stage.local() {
        let there = into
            .path()
            .join(stage.id.as_str())
            .join(path.file_name().unwrap());
        let there = std::fs::read(there).unwrap();
        assert_eq!(rekindle::store::sealed::hex_digest(&there), digest);
    }
}

#[test]
fn b05_killed_in_the_middle_of_a_part_the_next_life_sends_only_the_rest() {
    if let Some(job) = std::env::var_os(JOB) {
        return child(job.to_str().unwrap());
    }
    let test = "b05_killed_in_the_middle_of_a_part_the_next_life_sends_only_the_rest";
    for encrypted in [false, true] {
        let (stage, server) = (Stage::new(), S3Server::start());
        let before = stage.local();
        let (key, public) = identity(&stage);
        let recipient = if encrypted { public.as_str() } else { "" };
        let first = start(test, &server, &stage, recipient, "");
        server.trap(Trap {
            part: 4,
            pid: Pid::from_child(&first),
            signal: Signal::KILL,
        });
        assert!(!finish(first).success());
        server.requests();
        let second = start(test, &server, &stage, recipient, "");
        assert!(finish(second).success());
        let parts = server.requests().iter().filter(|r| r.is_part()).count();
        assert_eq!(parts, PARTS - 3, "only what was not there");
        is_whole(&server, &stage, encrypted.then_some(key.as_path()));
        assert_eq!(stage.local(), before);
    }
}

#[test]
fn memory_of_a_copy_does_not_grow_with_the_backup() {
    if let Some(job) = std::env::var_os(JOB) {
        return child(job.to_str().unwrap());
    }
    let test = "memory_of_a_copy_does_not_grow_with_the_backup";
    let server = S3Server::start();
    let mut peaks = Vec::new();
    for parts in [4, 60] {
        let stage = Stage::of(parts * PART);
        let (_, public) = identity(&stage);
        assert!(finish(start(test, &server, &stage, &public, "")).success());
        let peak = std::fs::read_to_string(stage.path("peak")).unwrap();
        let kib: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
        println!(
            "{} MiB encrypted and sent: peak memory {kib} KiB",
            parts * 5
        );
        peaks.push(kib);
        // The next one has the same name.
        std::fs::remove_dir_all(server.object("clusters")).unwrap();
    }
    assert!(peaks[1] < peaks[0] + 6 * 1024, "{peaks:?}");
}

#[cfg(feature = "failpoints")]
#[test]
fn b05_killed_at_every_step_of_an_upload_the_next_life_completes_it() {
    if let Some(job) = std::env::var_os(JOB) {
        return child(job.to_str().unwrap());
    }
    let test = "b05_killed_at_every_step_of_an_upload_the_next_life_completes_it";
    let points = rekindle::failpoints::ALL
        .iter()
        .filter(|name| name.starts_with("upload."));
    let first_and_later = points.flat_map(|name| [format!("{name}:1"), format!("{name}:3")]);
    let mut killed = 0;
    for point in first_and_later {
        let (stage, server) = (Stage::new(), S3Server::start());
        let (key, public) = identity(&stage);
        let first = finish(start(test, &server, &stage, &public, &point));
        killed += u32::from(!first.success());
        server.requests();
        let second = finish(start(test, &server, &stage, &public, ""));
        assert!(second.success(), "after {point}");
        let parts = server.requests().iter().filter(|r| r.is_part()).count();
        let begun_anew = point.starts_with("upload.begun") || point.starts_with("upload.noted");
        assert!(
            parts <= PARTS && (parts < PARTS || begun_anew || point.ends_with(":1")),
            "{point}"
        );
        is_whole(&server, &stage, Some(&key));
        let left = std::fs::read_dir(stage.uploads()).unwrap();
        assert_eq!(left.count(), 0, "a state is left after {point}");
    }
    // Some points are passed only once.
    assert!(killed >= 8, "only {killed} were killed");
}
