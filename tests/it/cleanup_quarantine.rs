//! The quarantine on the disk: what goes in comes back byte for byte, whatever it is called.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rekindle::cleanup::CleanupError;
use rekindle::cleanup::quarantine::{Origin, Quarantine, all, new_id};

use crate::small_disk::inside;

/// Names that somebody may have given.
const HOSTILE: [&str; 8] = [
    "plain.yaml",
    "with space",
    "-rf",
    "line\nbreak",
    "\u{1b}[31mred",
    "..hidden",
    "über-ünïcode",
    "quote'\"$(id)",
];

pub fn put(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    crate::backup_samples::put(path, bytes);
}

pub fn origin() -> Origin {
    Origin {
        began: now(),
        node: "master-0".into(),
        force_reason: None,
    }
}

pub fn now() -> jiff::Timestamp {
    "2026-11-25T19:00:00Z".parse().unwrap()
}

/// What stands below a directory: kind, mode, owner, content or target.
pub fn snapshot(dir: &Path) -> BTreeMap<PathBuf, (u32, u32, u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).unwrap().map(Result::unwrap) {
            let (path, meta) = (entry.path(), entry.path().symlink_metadata().unwrap());
            let content = if meta.is_symlink() {
                std::fs::read_link(&path)
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes()
            } else if meta.is_file() {
                std::fs::read(&path).unwrap()
            } else {
                if meta.is_dir() {
                    open.push(path.clone());
                }
                Vec::new()
            };
            let path = path.strip_prefix(dir).unwrap().to_owned();
            found.insert(path, (meta.mode(), meta.uid(), meta.gid(), content));
        }
    }
    found
}

/// A node's directories with everything that could be difficult in them.
pub fn furnish(root: &Path) -> PathBuf {
    let dir = root.join("pods");
    std::fs::create_dir_all(&dir).unwrap();
    for (number, name) in HOSTILE.iter().enumerate() {
        put(&dir.join(name), format!("content {number}").as_bytes());
    }
    std::fs::create_dir_all(dir.join("uid/volumes/empty")).unwrap();
    put(&dir.join("uid/volumes/secret"), b"hidden");
    let mode = |path: &str, mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(dir.join(path), mode).unwrap();
    };
    mode("uid/volumes/secret", 0o400);
    mode("uid/volumes", 0o2770);
    mode("plain.yaml", 0o4711);
    std::os::unix::fs::chown(dir.join("uid/volumes/secret"), Some(12), Some(34)).unwrap();
    // Leads out, and is a link there and back.
    put(&root.join("outside"), b"not ours");
    symlink(root.join("outside"), dir.join("link-out")).unwrap();
    symlink("nowhere", dir.join("uid/dangling")).unwrap();
    dir
}

pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| !name.starts_with(".rekindle-quarantined-"))
        .collect();
    names.sort();
    names
}

#[test]
fn what_goes_in_comes_back_byte_for_byte() {
    let root = tempfile::tempdir().unwrap();
    let dir = furnish(root.path());
    let before = snapshot(&dir);
    let home = root.path().join("quarantine");
    let id = new_id(&home, now());
    let mut quarantine = Quarantine::open(&home, &id, &origin()).unwrap();
    quarantine.take("pods", &dir, &names(&dir)).unwrap();
    assert_eq!(names(&dir), [] as [&str; 0]);
    assert_eq!(snapshot(&home.join(&id).join("moved/pods")), before);
    let entry = quarantine
        .list()
        .entries
        .iter()
        .find(|e| e.name == "plain.yaml")
        .unwrap();
    assert_eq!((entry.mode.as_str(), entry.kind.as_str()), ("4711", "file"));
    assert_eq!(entry.from_dir, dir);
    assert_eq!(
        std::fs::read(root.path().join("outside")).unwrap(),
        b"not ours"
    );

    let mut again = Quarantine::existing(&home, &id).unwrap();
    assert_eq!(again.put_back(now()).unwrap(), HOSTILE.len() + 2);
    assert_eq!(snapshot(&dir), before);
    assert_eq!(again.put_back(now()).unwrap(), 0, "twice is fine");
    let (lists, problems) = all(&home).unwrap();
    assert_eq!((lists.len(), problems.len()), (1, 0));
    assert!(lists[0].undone.is_some());
}

#[test]
fn on_another_file_system_a_verified_copy_goes_and_the_original_stays_aside() {
    let name = "cleanup_quarantine::on_another_file_system_a_verified_copy_goes_and_the_original_stays_aside";
    let Some(disk) = inside(name, "8m") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let dir = furnish(root.path());
    put(&dir.join("large"), &vec![7; 600 << 10]);
    let _socket = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    let before = snapshot(&dir);
    let mut quarantine = Quarantine::open(&disk, "q", &origin()).unwrap();
    quarantine.take("pods", &dir, &names(&dir)).unwrap();
    assert_eq!(
        names(&dir),
        [] as [&str; 0],
        "set aside under names that nobody reads"
    );
    let mut copied = before.clone();
    copied.remove(Path::new("socket"));
    assert_eq!(snapshot(&disk.join("q/moved/pods")), copied);
    // Another run finds nothing to take.
    quarantine.take("pods", &dir, &names(&dir)).unwrap();
    assert!(
        quarantine
            .list()
            .entries
            .iter()
            .all(|entry| entry.aside.is_some())
    );
    quarantine.put_back(now()).unwrap();
    assert_eq!(
        snapshot(&dir),
        before,
        "the originals themselves, with the socket"
    );
}

#[test]
fn something_new_in_the_way_is_named_and_nothing_is_put_back() {
    let root = tempfile::tempdir().unwrap();
    let dir = furnish(root.path());
    let home = root.path().join("quarantine");
    let mut quarantine = Quarantine::open(&home, "q", &origin()).unwrap();
    quarantine.take("pods", &dir, &names(&dir)).unwrap();
    put(&dir.join("uid"), b"new");
    symlink("nowhere", dir.join("plain.yaml")).unwrap();
    let before = snapshot(root.path());
    let error = quarantine.put_back(now()).unwrap_err();
    let CleanupError::InTheWay(way) = &error else {
        panic!("{error}");
    };
    assert_eq!(way.len(), 2, "{way:?}");
    assert!(error.to_string().contains("plain.yaml"), "{error}");
    assert_eq!(snapshot(root.path()), before);
    assert!(error.hint().contains("--undo"));
    for name in ["uid", "plain.yaml"] {
        std::fs::remove_file(dir.join(name)).unwrap();
    }
    assert_eq!(quarantine.put_back(now()).unwrap(), HOSTILE.len() + 2);
}

#[test]
fn a_second_thing_from_the_same_place_is_kept_beside_the_first() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("manifests");
    let home = root.path().join("quarantine");
    let mut quarantine = Quarantine::open(&home, "q", &origin()).unwrap();
    for content in [b"first", b"other"] {
        put(&dir.join("a.yaml"), content);
        quarantine.take("manifests", &dir, &names(&dir)).unwrap();
    }
    let moved = home.join("q/moved");
    assert_eq!(
        std::fs::read(moved.join("manifests/a.yaml")).unwrap(),
        b"first"
    );
    assert_eq!(
        std::fs::read(moved.join("manifests.2/a.yaml")).unwrap(),
        b"other"
    );
    let error = quarantine.put_back(now()).unwrap_err().to_string();
    assert!(error.contains("moved twice"), "{error}");
}

#[test]
fn a_link_in_the_quarantine_is_not_followed_and_a_damaged_list_is_told() {
    let root = tempfile::tempdir().unwrap();
    let (home, outside) = (root.path().join("quarantine"), root.path().join("outside"));
    for dir in [&home, &outside] {
        std::fs::create_dir_all(dir).unwrap();
    }
    symlink(&outside, home.join("q")).unwrap();
    assert!(Quarantine::open(&home, "q", &origin()).is_err());
    assert!(Quarantine::existing(&home, "../outside").is_err());
    assert_eq!(names(&outside), [] as [&str; 0]);
    Quarantine::open(&home, "good", &origin()).unwrap();
    put(&home.join("bad/list.json"), b"{\"id\": 7}");
    let (lists, problems) = all(&home).unwrap();
    assert_eq!(lists.len(), 1);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(matches!(
        Quarantine::existing(&home, "bad"),
        Err(CleanupError::List { .. })
    ));
}

/// The command with a configuration whose directories are all below `root`.
fn cleanup(root: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let text = format!(
        "[node]\nname = 'node1'\n[paths]\nstate_dir = '{0}/state'\nmanifest_dir = '{0}/manifests'\n\
         quarantine_dir = '{0}/quarantine'\n[containerd]\nsocket = '{0}/none.sock'\n[kubelet]\n\
         read_only_url = 'http://127.0.0.1:1'\nsecure_url = 'https://127.0.0.1:1'\n\
         pods_dir = '{0}/pods'\n[apiserver]\nkubeconfig = '{0}/none'\n[etcd]\nendpoints = []\n\
         data_dir = '{0}/etcd'\n[socket]\npath = '{0}/socket'\n",
        root.display()
    );
    put(&root.join("config.toml"), text.as_bytes());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_rekindle"))
        .arg("cleanup")
        .args(args)
        .arg("--config")
        .arg(root.join("config.toml"))
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn a_silent_containerd_refuses_before_anything_is_done() {
    let root = tempfile::tempdir().unwrap();
    let dir = furnish(root.path());
    let before = snapshot(&dir);
    let (code, out, err) = cleanup(root.path(), &["--yes"]);
    assert_eq!(code, Some(1), "{out}\n{err}");
    assert!(err.contains("refused, and nothing was done"), "{err}");
    assert!(err.contains("hint: start containerd"), "{err}");
    assert!(out.contains("move 10 directories of pods"), "{out}");
    assert!(!out.contains('\u{1b}'), "a name steers no terminal: {out}");
    assert_eq!(snapshot(&dir), before);
    assert!(!root.path().join("quarantine").exists() && !root.path().join("state").exists());
}

#[test]
fn list_undo_and_release_say_what_there_is() {
    let root = tempfile::tempdir().unwrap();
    let dir = furnish(root.path());
    let before = snapshot(&dir);
    let (code, _, err) = cleanup(root.path(), &["--undo", "--yes"]);
    assert_eq!(code, Some(1), "{err}");
    assert!(
        err.contains("there is no quarantine") && err.contains("--list"),
        "{err}"
    );
    let (code, out, _) = cleanup(root.path(), &["--release"]);
    assert_eq!(
        (code, out.contains("nothing to release")),
        (Some(0), true),
        "{out}"
    );
    let home = root.path().join("quarantine");
    let mut quarantine = Quarantine::open(&home, "20261125T190000Z", &origin()).unwrap();
    quarantine.take("pods", &dir, &names(&dir)).unwrap();
    let (code, out, _) = cleanup(root.path(), &["--list"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("20261125T190000Z  10       -"), "{out}");
    let (code, out, _) = cleanup(root.path(), &["--undo", "--dry-run", "-o", "json"]);
    assert_eq!(code, Some(0));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["put_back"].as_array().unwrap().len(), 10);
    assert_eq!(names(&dir), [] as [&str; 0]);
    let (code, out, err) = cleanup(root.path(), &["--undo", "20261125T190000Z", "--yes"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(snapshot(&dir), before);
    let (code, _, err) = cleanup(root.path(), &["--undo", "20261125T190000Z", "--yes"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("was put back already"), "{err}");
    let (code, _, err) = cleanup(root.path(), &["--undo", "../etc", "--yes"]);
    assert_eq!(code, Some(2), "{err}");
}

#[test]
fn a_dry_undo_says_what_the_undo_would_refuse_for() {
    let root = tempfile::tempdir().unwrap();
    let place = |below: &str| root.path().join(below);
    let (manifest, data) = (place("manifests/etcd.yaml"), place("etcd/member"));
    put(&manifest, b"of the cluster that was lost");
    put(&data.join("snap/db"), b"its data");
    let home = place("quarantine");
    let mut quarantine = Quarantine::open(&home, "20261125T190000Z", &origin()).unwrap();
    let etcd = ["etcd.yaml".to_owned()];
    let taken = quarantine.take("manifests", &place("manifests"), &etcd);
    taken.unwrap();
    let taken = quarantine.take("etcd", &place("etcd"), &["member".to_owned()]);
    taken.unwrap();
    // Put there by hand, as README says for the master that is recovered first.
    put(&manifest, b"the same again");
    put(&data.join("snap/db"), b"and its data");
    let before = snapshot(root.path());
    let (code, out, dry) = cleanup(root.path(), &["--undo", "--dry-run"]);
    assert_eq!(
        (code, out.as_str()),
        (Some(1), "nothing was done\n"),
        "{dry}"
    );
    let (code, out, _) = cleanup(root.path(), &["--undo", "--dry-run", "-o", "json"]);
    assert_eq!(code, Some(1));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    let refused = json["refused"].as_str().unwrap();
    let (code, _, real) = cleanup(root.path(), &["--undo", "--yes"]);
    assert_eq!(code, Some(1), "{real}");
    for path in [&manifest, &data] {
        let path = path.display().to_string();
        assert!(refused.contains(&path), "{refused}");
        let last = |said: &str| {
            said.lines()
                .any(|it| it.contains("stands") && it.contains(&path))
        };
        assert!(last(&dry) && last(&real), "{dry}\n{real}");
    }
    assert!(dry.contains("hint: move it away or remove it"), "{dry}");
    for (path, entry) in before {
        let now = snapshot(root.path());
        let ours = path.starts_with("state") || path.starts_with("config.toml");
        assert!(ours || now.get(&path) == Some(&entry), "{}", path.display());
    }
    // With nothing in the way the same is no refusal.
    std::fs::remove_file(&manifest).unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    let (code, _, dry) = cleanup(root.path(), &["--undo", "--dry-run"]);
    assert_eq!(code, Some(0), "{dry}");
}
