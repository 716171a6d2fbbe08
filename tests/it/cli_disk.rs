//! Commands that read the disk where no daemon answers; no secret comes out of any of them.

use std::process::{Command, Output};

use rekindle::core::stored::Candidate;
use rekindle::store::state;

use crate::store_samples::{SECRET, file, rendered, revision, store, stored};

struct Disk {
    dir: tempfile::TempDir,
    config: String,
}

impl Disk {
    /// A node whose API server has a good revision and a candidate that differs.
    fn new() -> Self {
        let (dir, revisions) = store();
        let good = rendered("kube-apiserver", 'a');
        let mut candidate = rendered("kube-apiserver", 'b');
        candidate.files[0] = file("tls/tls.key", "another-secret");
        candidate.files.pop();
        candidate.files.push(file("tls/new.crt", "certificate"));
        let spec = candidate.pod.spec.as_mut().unwrap();
        spec.containers[0].image = Some("kube-apiserver:v1.21.0".to_owned());
        spec.containers[0].env.as_mut().unwrap()[0].value = Some("another-secret".to_owned());
        revisions.store(&good).unwrap();
        revisions.store(&candidate).unwrap();
        let state_dir = dir.path().join("state");
        let mut memory = stored("kube-apiserver", Some('a'), 1);
        for checkpoint in memory.checkpoints.values_mut() {
            checkpoint.candidate = Some(Candidate {
                revision: revision('b'),
                ready_since: None,
            });
        }
        state::load(&state_dir)
            .unwrap()
            .file
            .commit(&memory)
            .unwrap();
        let config = dir.path().join("config.toml");
        let text = format!("[paths]\nstate_dir = \"{}\"\n", state_dir.display());
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(&config, text).unwrap();
        let config = config.to_str().unwrap().to_owned();
        Self { dir, config }
    }

    fn run(&self, args: &[&str]) -> Output {
        let socket = self.dir.path().join("none.sock");
        let output = Command::new(env!("CARGO_BIN_EXE_rekindle"))
            .args(args)
            .args(["--config", &self.config, "--socket"])
            .arg(socket)
            .output()
            .unwrap();
        let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        let all = String::from_utf8(all).unwrap();
        assert!(
            !all.contains(SECRET) && !all.contains("another-secret"),
            "{all}"
        );
        output
    }

    /// Stdout of a command that must say on stderr that it read the disk.
    fn read(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{told}");
        assert!(
            told.contains("does not answer") && told.contains("read from"),
            "{told}"
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

const ID: &str = "daemonset.kube-system.kube-apiserver";

#[test]
fn list_reads_the_state() {
    let disk = Disk::new();
    let list = disk.read(&["checkpoint", "list"]);
    assert!(list.contains(ID) && list.contains("inactive"), "{list}");
    let list = disk.read(&["checkpoint", "list", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(json["checkpoints"][0]["candidate"], "b".repeat(16));
}

#[test]
fn show_tells_names_and_no_values() {
    let disk = Disk::new();
    let shown = disk.read(&["checkpoint", "show", ID]);
    for part in [
        "TOKEN",
        "<hidden>",
        "tls/tls.key",
        "node affinity left out",
        "v1.21.0",
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    let json = disk.read(&["checkpoint", "show", ID, "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        json["details"]["good"]["files"].as_array().unwrap().len(),
        3
    );
    let missing = disk.run(&["checkpoint", "show", "pod.a.b"]);
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn diff_tells_what_the_candidate_changes() {
    let disk = Disk::new();
    let diff = disk.read(&["checkpoint", "diff", ID]);
    for line in [
        "-    image: kube-apiserver:v1.20.2",
        "+    image: kube-apiserver:v1.21.0",
        "+      value: <hidden, differs from the good revision>",
        "file tls/tls.key: content differs",
        "file tls/new.crt: added",
        "file tls/empty: removed",
    ] {
        assert!(
            diff.lines().any(|l| l.trim_end() == line),
            "{line} is not in\n{diff}"
        );
    }
    assert!(
        !diff.contains("ca.crt"),
        "what is equal is not told:\n{diff}"
    );
}

#[test]
fn a_damaged_revision_is_a_problem_and_no_panic() {
    let disk = Disk::new();
    let place = disk
        .dir
        .path()
        .join("state/checkpoints")
        .join(ID)
        .join("b".repeat(16));
    crate::store_samples::overwrite(&place.join("data/tls/tls.key"), b"rot");
    let shown = disk.read(&["checkpoint", "show", ID]);
    assert!(shown.contains("problem: "), "{shown}");
    assert_eq!(disk.run(&["checkpoint", "diff", ID]).status.code(), Some(1));
}

#[test]
fn reading_a_damaged_state_changes_nothing_on_disk() {
    let disk = Disk::new();
    let state = disk.dir.path().join("state");
    crate::store_samples::overwrite(&state.join("state.json"), b"rot");
    let listing = || {
        let entries = std::fs::read_dir(&state).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = listing();
    let listed = disk.read(&["checkpoint", "list"]);
    assert!(listed.contains(ID), "{listed}");
    assert_eq!(before, listing());
    assert_eq!(std::fs::read(state.join("state.json")).unwrap(), b"rot");
}
