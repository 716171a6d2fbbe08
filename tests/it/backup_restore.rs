//! Restoring: what is refused and what is said about it, with a stand-in for etcd's program; what
//! the real one makes of it is in `tests/real/backup_restore.rs`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rekindle::backup::signing::{Signer, Trust};

use crate::backup_samples::{Node, SECRET, backup_id, flip, put, take};
use crate::small_disk::inside;
use crate::store_samples::names;

/// A program that says it can do all, and makes a data directory; the last word of its arguments
/// is in `arguments` there.
pub fn tool(dir: &Path, ending: &str) -> PathBuf {
    let path = dir.join("etcdutl");
    let script = format!(
        "#!/bin/sh\n\
         if [ \"$1\" = version ]; then echo 'etcdutl version: 3.5.99'; exit 0; fi\n\
         if [ \"$3\" = --help ]; then\n\
         echo ' --initial-cluster-token --bump-revision --mark-compacted'; exit 0; fi\n\
         for word; do case \"$word\" in --data-dir=*) data=\"${{word#--data-dir=}}\";; esac; done\n\
         mkdir -p \"$data/member/snap\" && cat \"$3\" >\"$data/member/snap/db\"\n\
         for word; do echo \"$word\"; done >\"$data/arguments\"\n\
         {ending}\n"
    );
    put(&path, script.as_bytes());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn config(node: &Node) -> PathBuf {
    let path = node.path("config.toml");
    let text = format!("[paths]\nstate_dir = \"{}\"\n", node.state().display());
    put(&path, text.as_bytes());
    path
}

fn restore(node: &Node, backup: &str, args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_rekindle"))
        .args(["backup", "restore", backup, "--data-dir"])
        .arg(node.path("data"))
        .arg("--config")
        .arg(config(node))
        .arg("--backups-dir")
        .arg(node.backups())
        .args(args)
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin", node.dir.path().display()),
        )
        .output()
        .unwrap();
    let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    assert!(!String::from_utf8_lossy(&all).contains(SECRET));
    output
}

#[track_caller]
fn refused(node: &Node, backup: &str, args: &[&str], why: &str) {
    let output = restore(node, backup, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(why), "{why:?} is not in {errors}");
    assert!(!node.path("data/member").exists(), "{why}: restored");
    let left: Vec<String> = names(node.dir.path())
        .into_iter()
        .filter(|name| name.contains(".part") || name.starts_with("rekindle-tmp"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[track_caller]
fn restored(node: &Node, backup: &str, args: &[&str]) -> String {
    let output = restore(node, backup, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_whole_backup_is_restored_with_everything_said() {
    let node = Node::new();
    tool(node.dir.path(), "");
    let bundle = node.take(&backup_id(0), 3).unwrap();
    let id = bundle.manifest().id.as_str();
    let planned = restored(&node, id, &["--dry-run"]);
    assert!(planned.contains("nothing was done"), "{planned}");
    assert!(!node.path("data").exists());
    let text = restored(&node, id, &[]);
    for part in [
        "by 1000000028 = 40 (highest revision on record) - 12 (the backup's) + 1000000000",
        &node.signer().public().to_string(),
        "trailer",
        "default=http://127.0.0.1:2380",
        "chown -R etcd:",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let said = std::fs::read_to_string(node.path("data/arguments")).unwrap();
    for argument in ["--bump-revision=1000000028", "--mark-compacted"] {
        assert!(said.lines().any(|line| line == argument), "{said}");
    }
    let token = said
        .lines()
        .find_map(|line| line.strip_prefix("--initial-cluster-token=rekindle-"));
    assert_eq!(token.map(str::len), Some(32));
    let mode = std::fs::metadata(node.path("data")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o7777, 0o700);
    let db = std::fs::read(node.path("data/member/snap/db")).unwrap();
    assert_eq!(db, crate::backup_samples::snapshot());
    refused_because_there(&node, id);
}

#[test]
fn the_revision_is_raised_above_a_cluster_that_was_restored_before() {
    let node = Node::new();
    tool(node.dir.path(), "");
    let bundle = node.take(&backup_id(0), 3).unwrap();
    // The backup's own cluster, and what a restore of it has made since: the clients are the same.
    let cluster = bundle.manifest().etcd.cluster_id;
    for (cluster, revision) in [(cluster, 50), (cluster ^ 1, 1_000_000_700)] {
        let at = jiff::Timestamp::UNIX_EPOCH;
        rekindle::backup::high_water::record(&node.state(), cluster, revision, at).unwrap();
    }
    let text = restored(&node, bundle.manifest().id.as_str(), &["--dry-run"]);
    let raised = "by 2000000688 = 1000000700 (highest revision on record) - 12 (the backup's)";
    assert!(text.contains(raised), "{text}");
}

#[track_caller]
fn refused_because_there(node: &Node, id: &str) {
    let output = restore(node, id, &[]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("is not empty") && errors.contains("hint: stop etcd"));
}

#[test]
fn what_is_no_backup_is_refused() {
    let node = Node::new();
    tool(node.dir.path(), "");
    let bundle = node.take(&backup_id(0), 3).unwrap();
    let id = bundle.manifest().id.to_string();
    refused(&node, "20301124T003000Z-master1", &[], "there is no backup");
    let part = node.backups().join(format!("{}.part", backup_id(1)));
    std::fs::create_dir(&part).unwrap();
    for name in names(bundle.path()) {
        std::fs::copy(bundle.path().join(&name), part.join(&name)).unwrap();
    }
    let part = part.to_str().unwrap();
    refused(&node, part, &["--allow-unsigned"], "and no backup");
    let bare = node.path("bare.db");
    put(&bare, &crate::backup_samples::snapshot());
    refused(&node, bare.to_str().unwrap(), &[], "it has no signature");
    let missing = ["--tool", "/nowhere/etcdutl"];
    refused(&node, &id, &missing, "No such file");
    std::fs::remove_file(node.path("etcdutl")).unwrap();
    tool(node.dir.path(), "echo 'Error: no room' >&2; exit 3");
    refused(&node, &id, &[], "Error: no room");
    std::fs::create_dir(node.path("data")).unwrap();
    put(&node.path("data/file"), b"somebody's");
    refused(&node, &id, &[], "is not empty: it holds \"file\"");
}

#[test]
fn an_empty_directory_is_taken_and_leftovers_of_a_kill_are_cleared() {
    let node = Node::new();
    tool(node.dir.path(), "");
    let id = node
        .take(&backup_id(0), 0)
        .unwrap()
        .manifest()
        .id
        .to_string();
    std::fs::create_dir_all(node.path("data.part-0123/data/member")).unwrap();
    std::fs::create_dir(node.path("data")).unwrap();
    restored(&node, &id, &[]);
    assert!(node.path("data/member/snap/db").exists());
    assert!(!node.path("data.part-0123").exists());
}

#[test]
fn a_data_directory_that_is_a_file_system_of_its_own_is_filled() {
    let name = "backup_restore::a_data_directory_that_is_a_file_system_of_its_own_is_filled";
    // Room for the log that etcd allocates; none of it is used here.
    let Some(disk) = inside(name, "400m") else {
        return;
    };
    let node = Node::new();
    tool(node.dir.path(), "");
    let id = node
        .take(&backup_id(0), 3)
        .unwrap()
        .manifest()
        .id
        .to_string();
    std::fs::remove_dir_all(node.path("data")).ok();
    std::os::unix::fs::symlink(&disk, node.path("data")).unwrap();
    std::fs::create_dir(disk.join("lost+found")).unwrap();
    std::fs::create_dir_all(disk.join("restore.part-0123/data")).unwrap();
    restored(&node, &id, &[]);
    assert_eq!(names(&disk), ["lost+found", "member"]);
    refused_because_there(&node, &id);
}

#[test]
fn a_program_that_cannot_raise_the_revision_needs_consent() {
    let node = Node::new();
    let path = tool(node.dir.path(), "");
    let script = std::fs::read_to_string(&path).unwrap();
    put(&path, script.replace("--bump-revision", "").as_bytes());
    let id = node
        .take(&backup_id(0), 3)
        .unwrap()
        .manifest()
        .id
        .to_string();
    refused(&node, &id, &[], "cannot raise the revision");
    let text = restored(&node, &id, &["--no-revision-bump"]);
    assert!(text.contains("NOT raised"), "{text}");
    let said = std::fs::read_to_string(node.path("data/arguments")).unwrap();
    assert!(
        !said.contains("bump") && !said.contains("compacted"),
        "{said}"
    );
}

#[test]
fn b10_a_backup_of_another_machine_needs_its_key() {
    let node = Node::new();
    tool(node.dir.path(), "");
    node.signer();
    let other = Signer::open_or_create(&node.path("other")).unwrap();
    let bundle = take(&node.backups(), &other, &backup_id(0), 3, &[]).unwrap();
    let id = bundle.manifest().id.to_string();
    refused(&node, &id, &[], "does not know, rekindle-ed25519:");
    refused(
        &node,
        &id,
        &[],
        "hint: where it was taken on another machine",
    );
    let garbage = node.path("garbage.pub");
    put(&garbage, b"ssh-ed25519 AAAA");
    let garbage = garbage.to_str().unwrap();
    refused(
        &node,
        &id,
        &["--trusted-key", garbage],
        "holds no public key",
    );
    let key = node.path("other/backup/signing-key.pub");
    restored(&node, &id, &["--trusted-key", key.to_str().unwrap()]);
}

#[test]
fn b10_whatever_was_altered_restore_refuses_and_says_what() {
    let node = Node::new();
    tool(node.dir.path(), "");
    let whole = node.take(&backup_id(0), 0).unwrap();
    let id = whole.manifest().id.to_string();
    let dir = whole.path().to_owned();
    let with = |name: &str, alter: &dyn Fn(&Path), args: &[&str], why: &str| {
        let path = dir.join(name);
        let before = std::fs::read(&path).unwrap();
        alter(&path);
        refused(&node, &id, args, why);
        put(&path, &before);
    };
    let length = |name: &str| std::fs::metadata(dir.join(name)).unwrap().len();
    let unsigned = ["--allow-unsigned"];
    for args in [&[][..], &unsigned] {
        let end = length("snapshot.db") - 1;
        for at in [0, 4096, 10_000, end - 32, end] {
            let altered = |path: &Path| flip(path, at);
            with(
                "snapshot.db",
                &altered,
                args,
                "snapshot.db is damaged or was altered",
            );
        }
        for at in [0, 30, length("host.tar.zst") - 1] {
            let altered = |path: &Path| flip(path, at);
            with(
                "host.tar.zst",
                &altered,
                args,
                "host.tar.zst is damaged or was altered",
            );
        }
        let cut = |path: &Path| put(path, b"");
        with("snapshot.db", &cut, args, "it has 0 bytes instead of");
        with("manifest.json", &cut, args, "is not understood");
    }
    let manifest = std::fs::read_to_string(dir.join("manifest.json")).unwrap();
    for (was, is) in [
        ("\"high_water_revision\": 40", "\"high_water_revision\": 41"),
        ("\"default\"", "\"defauld\""),
        ("\"trigger\": \"asked\"", "\"trigger\": \"schedule\""),
        ("}\n", "}"),
    ] {
        assert!(manifest.contains(was), "{was}");
        let text = manifest.replace(was, is);
        let altered = |path: &Path| put(path, text.as_bytes());
        with("manifest.json", &altered, &[], "the signature does not fit");
    }
    // Part and manifest altered together, as only a forger would.
    flip(&dir.join("snapshot.db"), 5000);
    let other =
        rekindle::store::sealed::hex_digest(&std::fs::read(dir.join("snapshot.db")).unwrap());
    let text = manifest.replace(&whole.snapshot().sha256, &other);
    let altered = |path: &Path| put(path, text.as_bytes());
    with("manifest.json", &altered, &[], "the signature does not fit");
    flip(&dir.join("snapshot.db"), 5000);
    let none = |path: &Path| std::fs::remove_file(path).unwrap();
    with("manifest.sig", &none, &[], "has no signature");
    let text = std::fs::read_to_string(dir.join("manifest.sig")).unwrap();
    let (_, signature) = text.split_once('\n').unwrap();
    let swapped = Signer::open_or_create(&node.path("other")).unwrap();
    let key = format!("{}\n{signature}", swapped.public());
    let altered = |path: &Path| put(path, key.as_bytes());
    with("manifest.sig", &altered, &[], "does not know");
    let resigned = swapped.sign(manifest.as_bytes());
    let altered = |path: &Path| put(path, resigned.as_bytes());
    with("manifest.sig", &altered, &[], "does not know");
    restored(&node, &id, &[]);
}

#[test]
fn b10_every_byte_of_manifest_and_signature_counts() {
    let node = Node::new();
    let bundle = node.take(&backup_id(0), 3).unwrap();
    let trust = Trust::in_keys([node.signer().public()]);
    let path = bundle.path().to_owned();
    let trusted = || {
        let bundle = rekindle::backup::bundle::Bundle::open(&path);
        bundle.and_then(|bundle| bundle.check_signature(&trust))
    };
    trusted().unwrap();
    let mut count = 0;
    for name in ["manifest.json", "manifest.sig"] {
        let file = path.join(name);
        for at in 0..std::fs::metadata(&file).unwrap().len() {
            flip(&file, at);
            assert!(trusted().is_err(), "byte {at} of {name} does not count");
            flip(&file, at);
            count += 1;
        }
    }
    trusted().unwrap();
    assert!(count > 1000, "{count}");
}
