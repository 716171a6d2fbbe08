//! The message to logged-in operators, on real pseudo-terminals (of `script`, package bsdutils).

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rekindle::recovery::wall::tell_terminals;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const LONG: Duration = Duration::from_secs(60);

/// Somebody who is logged in.
struct Login {
    _script: Child,
    keyboard: ChildStdin,
    screen: Lines<BufReader<ChildStdout>>,
    terminal: PathBuf,
}

impl Login {
    async fn new() -> Self {
        let mut script = Command::new("script")
            .args(["-qfc", "tty; exec cat", "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("script: install the package bsdutils");
        let keyboard = script.stdin.take().unwrap();
        let mut screen = BufReader::new(script.stdout.take().unwrap()).lines();
        let name = tokio::time::timeout(LONG, screen.next_line()).await;
        let name = name.unwrap().unwrap().unwrap();
        let terminal = PathBuf::from(name.trim());
        assert!(terminal.starts_with("/dev/pts"), "{}", terminal.display());
        Self {
            _script: script,
            keyboard,
            screen,
            terminal,
        }
    }

    /// Reads until a line contains `text`; gives that line.
    async fn sees(&mut self, text: &str) -> String {
        let reading = async {
            loop {
                let line = self.screen.next_line().await.unwrap();
                let line = line.expect("the terminal is closed");
                if line.contains(text) {
                    return line;
                }
            }
        };
        tokio::time::timeout(LONG, reading).await.unwrap()
    }
}

#[tokio::test]
async fn operators_are_told_and_nothing_steers_their_terminals() {
    let (mut one, mut two) = (Login::new().await, Login::new().await);
    let places = [one.terminal.clone(), two.terminal.clone()];
    let message = "the control plane is lost\x1b[2J (etcd-quorum)\nrecovery begins";
    let told = tell_terminals(&places, message).await;
    assert_eq!(told.skipped, Vec::<String>::new());
    assert_eq!(told.reached, places);
    for login in [&mut one, &mut two] {
        login.sees("Broadcast message from rekindle:").await;
        let line = login.sees("the control plane is lost").await;
        assert_eq!(line.trim(), "the control plane is lost [2J (etcd-quorum)");
        login.sees("recovery begins").await;
    }
}

#[tokio::test]
async fn a_terminal_that_does_not_take_it_is_skipped() {
    let (stuck, mut fine) = (Login::new().await, Login::new().await);
    let mut stuck = stuck;
    // Ctrl-S: from when the terminal has it, nothing more is taken.
    stuck.keyboard.write_all(b"\x13").await.unwrap();
    stuck.keyboard.flush().await.unwrap();
    let gone = PathBuf::from("/dev/pts/9999");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    crate::store_samples::overwrite(&file, b"kept");
    let places = [
        stuck.terminal.clone(),
        gone,
        file.clone(),
        fine.terminal.clone(),
    ];
    let skipping = async {
        loop {
            let begun = std::time::Instant::now();
            let told = tell_terminals(&places, "lost").await;
            assert!(begun.elapsed() < Duration::from_secs(20));
            if told.skipped.len() == 3 {
                return told;
            }
            assert_eq!(told.skipped.len(), 2, "{:?}", told.skipped);
            tokio::task::yield_now().await;
        }
    };
    let told = tokio::time::timeout(LONG, skipping).await.unwrap();
    assert_eq!(told.reached, [fine.terminal.clone()]);
    assert!(told.skipped[0].contains("within 1 s"), "{:?}", told.skipped);
    assert!(
        told.skipped[2].contains("no terminal"),
        "{:?}",
        told.skipped
    );
    assert_eq!(std::fs::read(&file).unwrap(), b"kept");
    fine.sees("lost").await;
}
