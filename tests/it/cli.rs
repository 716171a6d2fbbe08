//! The command line as a user runs it: exit codes, streams, help.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rekindle::core::report::State;

use crate::api::{LONG, Served};

fn rekindle(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
    command
        .args(args)
        .env_remove("NO_COLOR")
        .stdin(Stdio::null());
    command
}

async fn run(args: &[&str]) -> (i32, String, String) {
    let mut command = rekindle(args);
    let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn file(dir: &tempfile::TempDir, text: &str) -> String {
    let path = dir.path().join("config.toml");
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn wrong_usage_and_bad_configuration_are_2() {
    let dir = tempfile::tempdir().unwrap();
    let bad = file(&dir, "[engine]\nenabled = 3\n[lgo]\n");
    for args in [
        &["bogus"][..],
        &[],
        &["status", "--what"],
        &["checkpoint", "show"],
        &["checkpoint", "show", "../../etc/shadow"],
        &["status", "-o", "xml"],
        &["run", "--config", "/nonexistent.toml"],
        &["check-config", "--config", &bad],
        &["run", "--config", &bad],
        &["status", "--config", &bad],
    ] {
        let (code, out, err) = run(args).await;
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(!err.is_empty(), "{args:?}");
    }
    let (_, _, err) = run(&["check-config", "--config", &bad]).await;
    assert!(
        err.starts_with("error: 2 mistakes in the configuration\n"),
        "{err}"
    );
    assert!(
        err.contains("config.toml:2: engine.enabled: ") && err.contains("config.toml:3: [lgo]: "),
        "{err}"
    );
}

#[tokio::test]
async fn nobody_there_is_3_with_a_hint_and_without_data() {
    let dir = tempfile::tempdir().unwrap();
    let config = format!("[paths]\nstate_dir = \"{}/none\"\n", dir.path().display());
    let config = file(&dir, &config);
    let socket = dir.path().join("none.sock");
    let socket = socket.to_str().unwrap();
    for command in [
        &["status"][..],
        &["status", "--watch"],
        &["checkpoint", "list"],
        &["checkpoint", "show", "pod.a.b"],
        &["checkpoint", "diff", "pod.a.b"],
    ] {
        let args = [command, &["--socket", socket, "--config", &config]].concat();
        let (code, out, err) = run(&args).await;
        assert_eq!((code, out.as_str()), (3, ""), "{command:?}: {err}");
        assert!(
            err.contains("does not answer") && err.contains("\nhint: "),
            "{err}"
        );
    }
}

#[tokio::test]
async fn answers_of_the_daemon_are_shown() {
    let served = Served::start(LONG);
    let socket = served.path.to_str().unwrap();
    let (code, out, err) = run(&["status", "--socket", socket]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!("status", out);
    let (code, out, _) = run(&["status", "--socket", socket, "-o", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &json["generation"], &json["node"]),
        (0, &1.into(), &"master-0".into())
    );
    let (code, out, _) = run(&["checkpoint", "list", "--socket", socket]).await;
    assert_eq!(code, 0);
    insta::assert_snapshot!("checkpoint_list", out);
    let id = "daemonset.kube-system.kube-apiserver";
    let (code, out, _) = run(&["checkpoint", "show", id, "--socket", socket]).await;
    assert_eq!(code, 0);
    assert!(out.contains("the parent serves"), "{out}");
    let (code, out, err) = run(&["checkpoint", "diff", id, "--socket", socket]).await;
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "", "no candidate: nothing differs\n")
    );
    let (code, out, err) = run(&["checkpoint", "show", "pod.a.b", "--socket", socket]).await;
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(
        err.starts_with("error: no checkpoint pod.a.b\n\nhint: "),
        "{err}"
    );
    served.stop().await;
}

#[tokio::test]
async fn what_a_name_holds_does_not_steer_the_terminal() {
    let served = Served::start(LONG);
    served.publish(|report| {
        report.summary = "a\x1b[2Jb".to_owned();
        report.problems = vec!["image \x1b]0;evil\x07 is missing".to_owned()];
        report.checkpoints[0].reason = "line\nbreak".to_owned();
        report.checkpoints[0].state = State::Active;
    });
    let (code, out, _) = run(&["status", "--socket", served.path.to_str().unwrap()]).await;
    assert_eq!(code, 0);
    assert!(
        !out.contains('\x1b') && !out.contains('\x07') && out.contains("line?break"),
        "{out:?}"
    );
    served.stop().await;
}

#[tokio::test]
async fn watch_prints_a_line_for_each_change() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let served = Served::start(LONG);
    let socket = served.path.to_str().unwrap().to_owned();
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_rekindle"))
        .args(["status", "--watch", "-o", "json", "--socket", &socket])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for generation in 1..4 {
        let line = tokio::time::timeout(LONG, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["generation"], generation, "{line}");
        served.publish(|report| report.summary = format!("change {generation}"));
    }
    drop(lines);
    served.publish(|report| report.summary = "nobody reads this".to_owned());
    let status = tokio::time::timeout(LONG, child.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.code(), Some(0), "a closed pipe is no failure");
    served.stop().await;
}

#[test]
fn a_closed_pipe_is_no_failure() {
    for args in [
        &["completions", "bash"][..],
        &["man"],
        &["--help"],
        &["check-config", "-o", "default"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = rekindle(args).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(output.stderr.is_empty(), "{args:?}: {output:?}");
    }
}

#[tokio::test]
async fn help_is_what_it_was() {
    let all = help_of(&[
        &[],
        &["run"],
        &["check-config"],
        &["status"],
        &["checkpoint"],
        &["checkpoint", "list"],
        &["checkpoint", "show"],
        &["checkpoint", "diff"],
        &["checkpoint", "render"],
        &["backup", "prune"],
        &["doctor"],
        &["completions"],
        &["man"],
    ]);
    insta::assert_snapshot!("help", all.await);
    let operations = help_of(&[&["cleanup"], &["start"]]);
    insta::assert_snapshot!("help_of_operations", operations.await);
    insta::assert_snapshot!("help_of_hold", help_of(&[&["hold"]]).await);
    let recovery = help_of(&[
        &["recovery-mode"],
        &["recovery-mode", "status"],
        &["recovery-mode", "plan"],
        &["recovery-mode", "enter"],
        &["recovery-mode", "exit"],
    ]);
    insta::assert_snapshot!("help_of_recovery_mode", recovery.await);
}

async fn help_of(commands: &[&[&str]]) -> String {
    let mut all = String::new();
    for command in commands {
        let (code, out, err) = run(&[command, &["--help"][..]].concat()).await;
        assert_eq!((code, err.as_str()), (0, ""), "{command:?}");
        all.push_str("$ ");
        all.push_str(&[&["rekindle"], *command, &["--help"]].concat().join(" "));
        all.push('\n');
        all.push_str(&out);
        all.push('\n');
    }
    all
}

#[test]
fn man_pages_and_completions_cover_each_command() {
    let dir = tempfile::tempdir().unwrap();
    let status = rekindle(&["man", "--dir", dir.path().to_str().unwrap()])
        .status()
        .unwrap();
    assert!(status.success());
    let mut names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "rekindle-backup-fetch.8",
            "rekindle-backup-list.8",
            "rekindle-backup-now.8",
            "rekindle-backup-prune.8",
            "rekindle-backup-rehearse.8",
            "rekindle-backup-restore.8",
            "rekindle-backup-show.8",
            "rekindle-backup-verify.8",
            "rekindle-backup.8",
            "rekindle-check-config.8",
            "rekindle-checkpoint-diff.8",
            "rekindle-checkpoint-list.8",
            "rekindle-checkpoint-render.8",
            "rekindle-checkpoint-show.8",
            "rekindle-checkpoint.8",
            "rekindle-cleanup.8",
            "rekindle-completions.8",
            "rekindle-doctor.8",
            "rekindle-hold.8",
            "rekindle-man.8",
            "rekindle-recover.8",
            "rekindle-recovery-mode-enter.8",
            "rekindle-recovery-mode-exit.8",
            "rekindle-recovery-mode-plan.8",
            "rekindle-recovery-mode-report.8",
            "rekindle-recovery-mode-status.8",
            "rekindle-recovery-mode.8",
            "rekindle-run.8",
            "rekindle-start.8",
            "rekindle-status.8",
            "rekindle.8",
        ]
    );
    for shell in ["bash", "zsh", "fish"] {
        let output = rekindle(&["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(
            script.contains("check-config") && script.contains("render"),
            "{shell}"
        );
    }
}

#[test]
fn render_reads_a_pod_list_from_stdin_or_says_why_not() {
    use std::io::Write;
    let render = |input: &str| {
        let mut child = rekindle(&[
            "checkpoint",
            "render",
            "--pods",
            "-",
            "--node-name",
            "m",
            "-o",
            "json",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    };
    let output = render(r#"{"kind":"PodList","apiVersion":"v1","items":[]}"#);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["checkpoints"], serde_json::json!([]));
    let output = render("no json");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .starts_with("error: the input is no list of pods")
    );
    let output = rekindle(&["checkpoint", "render", "--pods", "/nonexistent"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn no_command_hangs_on_a_daemon_that_accepts_and_says_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mute.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let before = std::time::Instant::now();
    let output = rekindle(&["status", "--socket", path.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(before.elapsed() < Duration::from_secs(30));
}
