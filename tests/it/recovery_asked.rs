//! `recovery-mode plan` and `enter` as an operator uses them right after a start, and after a run
//! that was cut off.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, nothing_there};
use crate::recovery_current::journal;
use crate::store_samples::overwrite;

fn recovery_mode(args: &[&str], option: &str, path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rekindle"))
        .arg("recovery-mode")
        .args(args)
        .arg(option)
        .arg(path)
        .output()
        .unwrap()
}

/// Asked until somebody listens on the socket.
fn asked(args: &[&str], dir: &Path) -> (Option<i32>, String, String) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let output = recovery_mode(args, "--socket", &dir.join("socket"));
        if output.status.code() == Some(3) && Instant::now() < end {
            std::thread::yield_now();
            continue;
        }
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (told, notes) = (text(output.stdout), text(output.stderr));
        return (output.status.code(), told, notes);
    }
}

/// containerd accepts and never answers, so it is heard of only by its deadline.
#[test]
fn right_after_the_start_the_plan_waits_until_every_source_was_asked() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("containerd.sock");
    let _hangs = UnixListener::bind(&socket).unwrap();
    let lines = nothing_there().replace("/nonexistent/containerd.sock", socket.to_str().unwrap());
    let daemon = Daemon::start(dir, &lines);
    let (code, told, notes) = asked(&["plan"], daemon.dir.path());
    assert_eq!(code, Some(1), "{told}\n{notes}");
    assert!(told.contains("containerd is not known: "), "{told}");
    assert!(!told.contains("not asked yet"), "{told}");
    assert!(notes.contains("it has still to ask: containerd"), "{notes}");
    // What stays unknown is refused, and says why and what to do.
    let (code, told, notes) = asked(&["enter", "--from", "backup", "--yes"], daemon.dir.path());
    assert_eq!((code, told.as_str()), (Some(1), ""), "{notes}");
    assert!(
        notes.contains("error: checkpoints: containerd is not known: ")
            || notes.contains(": containerd is not known: "),
        "{notes}"
    );
    assert!(
        notes.contains("hint: ") && !notes.contains("not asked yet"),
        "{notes}"
    );
}

/// R08: the same command goes on where it was cut off, whatever it asks for.
#[test]
fn r08_a_recovery_in_the_foreground_that_was_cut_off_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    std::fs::create_dir_all(dir.path().join("manifests")).unwrap();
    let mut opened = rekindle::recovery::current::open(&state).unwrap();
    let mut journal = journal();
    // It ends at once.
    journal.ending = Some("by an operator (user id 0)".to_owned());
    opened.current.record(&journal).unwrap();
    drop(opened);
    let config = dir.path().join("config.toml");
    let root = dir.path().display();
    let text = format!(
        "[node]\nname = \"master1\"\n[paths]\nstate_dir = \"{root}/state\"\nmanifest_dir = \
         \"{root}/manifests\"\npod_log_dir = \"{root}/logs\"\n{}",
        nothing_there()
    );
    overwrite(&config, text.as_bytes());
    let args = ["enter", "--standalone", "--from", "backup", "--yes"];
    let output = recovery_mode(&args, "--config", &config);
    let notes = String::from_utf8(output.stderr).unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{notes}");
    let id = &journal.record.id;
    assert!(
        notes.contains(&format!("recovery {id} was cut off")),
        "{notes}"
    );
    assert!(told.starts_with(&format!("{id}: ")), "{told}\n{notes}");
    assert!(!notes.contains("is under way"), "{notes}");
}
