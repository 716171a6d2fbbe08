//! Who may use the local socket, tried as other users, and what stands in its place.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rekindle::api::listen::{ListenError, listen};

use crate::api::{LONG, Served};

/// A request by another user, through a plain HTTP client of this machine.
fn ask_as(uid: u32, gid: u32, path: &Path, method: &str) -> String {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--include",
            "--max-time",
            "10",
            "--request",
            method,
            "--unix-socket",
        ])
        .arg(path)
        .arg("http://rekindle/v1/status")
        .uid(uid)
        .gid(gid)
        .output()
        .expect("curl is installed");
    String::from_utf8(output.stdout).unwrap()
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}

#[tokio::test]
async fn d06_an_unprivileged_peer_is_refused_and_a_group_member_only_reads() {
    assert!(is_root(), "this test changes its user: run it as root");
    const GROUP: u32 = 61234;
    const NOBODY: u32 = 65534;
    let served = Served::start(LONG, Some(GROUP));
    let path = served.path.clone();
    let ask = |uid, gid, method| {
        let path = path.clone();
        tokio::task::spawn_blocking(move || ask_as(uid, gid, &path, method))
    };
    let nobody = ask(NOBODY, NOBODY, "GET").await.unwrap();
    assert!(nobody.starts_with("HTTP/1.1 403 "), "{nobody}");
    assert!(
        nobody.contains("socket.group") && !nobody.contains("master-0"),
        "{nobody}"
    );
    let nobody = ask(NOBODY, NOBODY, "POST").await.unwrap();
    assert!(
        nobody.starts_with("HTTP/1.1 403 "),
        "a refused peer learns no routes: {nobody}"
    );
    let member = ask(NOBODY, GROUP, "GET").await.unwrap();
    assert!(member.starts_with("HTTP/1.1 200 "), "{member}");
    let member = ask(NOBODY, GROUP, "POST").await.unwrap();
    assert!(member.starts_with("HTTP/1.1 405 "), "{member}");
    let root = ask(0, 0, "GET").await.unwrap();
    assert!(root.starts_with("HTTP/1.1 200 "), "{root}");
    served.stop().await;
}

#[tokio::test]
async fn d06_a_supplementary_group_counts() {
    assert!(is_root(), "this test changes its user: run it as root");
    let served = Served::start(LONG, Some(61234));
    let path = served.path.clone();
    let asked = tokio::task::spawn_blocking(move || {
        Command::new("setpriv")
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--groups=100,61234",
                "curl",
                "--silent",
            ])
            .args(["--max-time", "10", "--unix-socket"])
            .arg(&path)
            .arg("http://rekindle/v1/status")
            .output()
            .expect("setpriv is installed")
    });
    let answer = String::from_utf8(asked.await.unwrap().stdout).unwrap();
    assert!(answer.contains("master-0"), "{answer}");
    served.stop().await;
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_anything_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.sock");
    let first = listen(&path, "no-such-group").unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "without a group only root may connect");
    assert!(matches!(
        listen(&path, "root"),
        Err(ListenError::InUse { .. })
    ));
    drop(first);
    let second = listen(&path, "root").unwrap();
    if is_root() {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o660);
    }
    StdStream::connect(&path).unwrap();
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
