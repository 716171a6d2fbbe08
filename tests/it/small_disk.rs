//! Small disks, real ones: a tmpfs in a mount namespace of our own. Also taken in by the tests of
//! `src/engine/spec.rs`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const INSIDE: &str = "REKINDLE_TEST_INSIDE";

/// Runs the test `name` again in a mount namespace of its own, where a tmpfs of `size` is mounted;
/// there, returns its path. The kernel unmounts it when that process ends, however it ends.
#[allow(clippy::print_stdout, reason = "what the test said inside")]
pub fn inside(name: &str, size: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(INSIDE) {
        return Some(path.into());
    }
    let root = rustix::process::geteuid().is_root();
    assert!(
        root,
        "mounting a small disk needs root: run the tests as root"
    );
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=$1,mode=0700 tmpfs \"$2\" && exec \"$3\" --exact \"$4\" --nocapture";
    let output = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "sh",
            size,
        ])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(INSIDE, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.contains("1 passed"), "{said}\n{errors}");
    println!("{said}");
    None
}

/// Takes all the room there is on the disk of `dir`.
pub fn fill(dir: &Path) -> PathBuf {
    let path = dir.join("filler");
    let mut filler = File::create(&path).unwrap();
    for size in [64 << 10, 4 << 10, 1] {
        while filler.write_all(&vec![1; size]).is_ok() {}
    }
    path
}
