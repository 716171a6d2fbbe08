//! Who may use the local socket, tried as other users, and what stands in its place.
//!
//! As root the requests come from `nobody`; without root from this test's own user.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rekindle::api::listen::{ListenError, listen};
use rekindle::api::peer;

use crate::api::{LONG, Served, own_ids};

const NOBODY: u32 = 65534;
/// A group that nobody has.
const GROUP: u32 = 61234;

/// What a plain HTTP client gets, run by another user where `ids` says so.
async fn ask(served: &Served, ids: Option<(u32, u32)>, method: &'static str) -> String {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--include",
        "--max-time",
        "10",
        "--request",
        method,
    ]);
    request(&mut command, &served.path);
    if let Some((uid, gid)) = ids {
        command.uid(uid).gid(gid);
    }
    output(command).await
}

fn request(command: &mut Command, socket: &Path) {
    command
        .arg("--unix-socket")
        .arg(socket)
        .arg("http://rekindle/v1/status");
}

async fn output(mut command: Command) -> String {
    let run = move || command.output().expect("curl and setpriv are installed");
    String::from_utf8(tokio::task::spawn_blocking(run).await.unwrap().stdout).unwrap()
}

#[tokio::test]
async fn d06_an_unprivileged_peer_is_refused_and_a_group_member_only_reads() {
    let (uid, gid) = own_ids();
    let root = uid == 0;
    let closed = Served::start_for(LONG, GROUP);
    let outsider = root.then_some((NOBODY, NOBODY));
    for method in ["GET", "POST"] {
        let answer = ask(&closed, outsider, method).await;
        assert!(
            answer.starts_with("HTTP/1.1 403 "),
            "it learns no routes either: {answer}"
        );
        assert!(
            answer.contains("socket.group") && !answer.contains("master-0"),
            "{answer}"
        );
    }
    let open = Served::start_for(LONG, if root { GROUP } else { gid });
    let member = root.then_some((NOBODY, GROUP));
    let answer = ask(&open, member, "GET").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let answer = ask(&open, member, "POST").await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    if root {
        let answer = ask(&closed, None, "GET").await;
        assert!(
            answer.starts_with("HTTP/1.1 200 "),
            "root needs no group: {answer}"
        );
    }
    closed.stop().await;
    open.stop().await;
}

#[tokio::test]
async fn d06_a_supplementary_group_counts() {
    if own_ids().0 == 0 {
        let served = Served::start_for(LONG, GROUP);
        let mut command = Command::new("setpriv");
        let groups = format!("--groups=100,{GROUP}");
        command.args([
            "--reuid=65534",
            "--regid=65534",
            &groups,
            "curl",
            "--silent",
        ]);
        request(&mut command, &served.path);
        let answer = output(command).await;
        assert!(answer.contains("master-0"), "{answer}");
        served.stop().await;
    }
    let own = i32::try_from(std::process::id()).unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Groups:"))
        .unwrap();
    let told: Vec<String> = peer::groups(Some(own)).iter().map(u32::to_string).collect();
    assert_eq!(told, line.split_whitespace().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_anything_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.sock");
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let first = listen(&path, "no-such-group").unwrap();
    assert_eq!(mode(), 0o600, "without a group only the owner may connect");
    assert!(matches!(
        listen(&path, "root"),
        Err(ListenError::InUse { .. })
    ));
    drop(first);
    let second = listen(&path, "root").unwrap();
    assert_eq!(mode(), if own_ids().0 == 0 { 0o660 } else { 0o600 });
    UnixStream::connect(&path).unwrap();
    drop(second);
    let file = dir.path().join("file");
    std::fs::File::create(&file)
        .unwrap()
        .write_all(b"precious")
        .unwrap();
    assert!(matches!(
        listen(&file, "root"),
        Err(ListenError::InTheWay { .. })
    ));
    let mut text = String::new();
    std::fs::File::open(&file)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "precious");
}
