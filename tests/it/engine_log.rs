//! The log writer of our own engine's containers, and image references.

use std::sync::Mutex;

use rekindle::cli::cri_log::{Log, copy};
use rekindle::containerd::normalised;

#[test]
fn entries_are_whole_parts_and_bounded_in_number() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ns_pod_uid/main/0.log");
    let log = Mutex::new(Log::open(&path, 60_000).unwrap());
    copy(&b"one\n\ntwo"[..], "stdout", &log);
    let long = vec![b'x'; 20_000];
    copy(&long[..], "stderr", &log);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let (time, _) = lines[0].split_once(' ').unwrap();
    assert!(
        time.parse::<jiff::Timestamp>().is_ok() && time.len() == 30,
        "{time}"
    );
    let rest = |n: usize| lines[n].split_once(' ').unwrap().1;
    assert_eq!(
        [rest(0), rest(1), rest(2)],
        ["stdout F one", "stdout F ", "stdout F two"]
    );
    assert_eq!(rest(3).len(), "stderr P ".len() + 16_384);
    assert!(rest(3).starts_with("stderr P xxx"));
    assert!(rest(4).starts_with("stderr F xxx"));
    for _ in 0..20 {
        copy(&long[..], "stdout", &log);
    }
    let names = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(names, 2, "the file and the one before it");
    assert!(std::fs::metadata(&path).unwrap().len() < 80_000);
}

#[test]
fn references_are_named_as_the_cri_plugin_names_them() {
    let digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    let at = |name: &str| format!("{name}@{digest}");
    for (given, full) in [
        ("busybox", "docker.io/library/busybox:latest".to_owned()),
        ("busybox:1", "docker.io/library/busybox:1".to_owned()),
        ("a/b:1", "docker.io/a/b:1".to_owned()),
        ("localhost/b", "localhost/b:latest".to_owned()),
        ("host:5000/b", "host:5000/b:latest".to_owned()),
        ("k8s.gcr.io/pause:3.2", "k8s.gcr.io/pause:3.2".to_owned()),
        ("index.docker.io/a/b", "docker.io/a/b:latest".to_owned()),
        (&at("k8s.gcr.io/pause:3.2"), at("k8s.gcr.io/pause")),
        (digest, digest.to_owned()),
    ] {
        assert_eq!(normalised(given), full);
    }
}
