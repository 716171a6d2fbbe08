//! `rekindle doctor` on a directory of real backups, with no daemon.

use std::path::Path;
use std::process::Command;

use crate::backup_prune::Shelf;

fn doctor(dir: &Path, shelf: &Shelf, args: &[&str]) -> (Option<i32>, String) {
    let config = dir.join("config.toml");
    let (pki, manifests) = (dir.join("pki"), dir.join("manifests"));
    let text = format!(
        "[paths]\nstate_dir = '{}'\nmanifest_dir = '{}'\n[etcd]\nca_file = '{pki}'\n\
         certificate_file = '{pki}'\nkey_file = '{pki}'\n\
         [backup]\ndirectory = '{}'\nmin_free_bytes = 0\n",
        shelf.state.display(),
        manifests.display(),
        shelf.backups.display(),
        pki = pki.display(),
    );
    std::fs::create_dir_all(&manifests).unwrap();
    for (path, text) in [(&config, text.as_str()), (&pki, "")] {
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(path, text).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_rekindle"))
        .arg("doctor")
        .args(args)
        .arg("--config")
        .arg(config)
        .arg("--socket")
        .arg(dir.join("none.sock"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), text)
}

#[test]
fn b01_doctor_works_with_no_daemon_and_ends_with_1_where_something_fails() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(dir.path());
    std::fs::create_dir_all(&shelf.backups).unwrap();
    let (code, told) = doctor(dir.path(), &shelf, &[]);
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.starts_with("FAIL  backups: "),
        "the worst first:\n{told}"
    );
    assert!(
        told.contains("there is no verified backup\n      hint: `rekindle backup now`"),
        "{told}"
    );
    assert!(told.contains("warn  daemon: it does not answer"), "{told}");
    // With one that is old, it says since when.
    shelf.backup(400, 'r');
    let (code, told) = doctor(dir.path(), &shelf, &["-o", "json"]);
    assert_eq!(code, Some(1), "{told}");
    let json: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(json["worst"], "fail");
    let findings = json["findings"].as_array().unwrap();
    let old = findings
        .iter()
        .find(|it| it["what"].as_str().unwrap().contains("although backups"));
    assert!(old.unwrap()["since"].is_string(), "{told}");
    // The encryption configuration that a static pod names is missed where it is not there.
    let enc = dir.path().join("enc.yaml");
    let pod = format!("- --encryption-provider-config={}\n", enc.display());
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(dir.path().join("manifests/kube-apiserver.yaml"), pod).unwrap();
    let (_, told) = doctor(dir.path(), &shelf, &[]);
    let missed = format!(
        "Secrets could not be read after a restore: {}",
        enc.display()
    );
    assert!(told.contains(&missed), "{told}");
}

#[test]
fn an_operation_that_was_cut_off_fails_without_a_daemon_too() {
    use rekindle::core::operation::OperationKind;
    use rekindle::operation::Operation;

    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(dir.path());
    let now = "2026-11-25T18:00:00Z".parse().unwrap();
    let begun = Operation::begin(&shelf.state, OperationKind::Start, now, "waits", &1).unwrap();
    let (_, told) = doctor(dir.path(), &shelf, &[]);
    assert!(
        told.contains("warn  operations: `rekindle start` is under way"),
        "{told}"
    );
    drop(begun);
    let (code, told) = doctor(dir.path(), &shelf, &[]);
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains("FAIL  operations: `rekindle start` is unfinished"),
        "{told}"
    );
    assert!(told.contains("rekindle start --abort"), "{told}");
}
