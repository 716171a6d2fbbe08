//! `recovery-mode plan` and `enter` as an operator uses them right after a start, and after a run
//! that was cut off.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::nothing_there;
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

/// A daemon that tells nobody how it is.
struct Running(Child);

impl Running {
    fn start(config: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_rekindle"))
            .args(["run", "--config"])
            .arg(config)
            .env_remove("NOTIFY_SOCKET")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn configured(dir: &Path, lines: &str) -> std::path::PathBuf {
    std::fs::create_dir_all(dir.join("manifests")).unwrap();
    let config = dir.join("config.toml");
    let text = format!(
        "[node]\nname = \"master1\"\n[paths]\nstate_dir = \"{0}/state\"\nmanifest_dir = \
         \"{0}/manifests\"\npod_log_dir = \"{0}/logs\"\n[socket]\npath = \"{0}/socket\"\n{lines}",
        dir.display()
    );
    overwrite(&config, text.as_bytes());
    config
}

/// containerd accepts and never answers, so it is heard of only by its deadline.
#[test]
fn right_after_the_start_the_plan_waits_until_every_source_was_asked() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("containerd.sock");
    let _hangs = UnixListener::bind(&socket).unwrap();
    let lines = nothing_there().replace("/nonexistent/containerd.sock", socket.to_str().unwrap());
    let _daemon = Running::start(&configured(dir.path(), &lines));
    let (code, told, notes) = asked(&["plan"], dir.path());
    assert_eq!(code, Some(1), "{told}\n{notes}");
    assert!(told.contains("containerd is not known: "), "{told}");
    assert!(!told.contains("not asked yet"), "{told}");
    assert!(notes.contains("it has still to ask: containerd"), "{notes}");
    // What stays unknown is refused, and says why and what to do.
    let (code, told, notes) = asked(&["enter", "--from", "backup", "--yes"], dir.path());
    assert_eq!((code, told.as_str()), (Some(1), ""), "{notes}");
    assert!(notes.contains("containerd is not known: "), "{notes}");
    let plain = notes.contains("hint: ") && !notes.contains("not asked yet");
    assert!(plain, "{notes}");
}

/// R08: the same command goes on where it was cut off, whatever it asks for.
#[test]
fn r08_a_recovery_in_the_foreground_that_was_cut_off_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut opened = rekindle::recovery::current::open(&state).unwrap();
    let mut journal = journal();
    // It ends at once.
    journal.ending = Some("by an operator (user id 0)".to_owned());
    opened.current.record(&journal).unwrap();
    drop(opened);
    let config = configured(dir.path(), nothing_there());
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
